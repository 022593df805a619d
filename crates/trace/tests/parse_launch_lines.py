"""Passes launch lines to the argument parsers of the programs they are for.

Not part of the test suite: it needs Python 3.11 or later and, from PyPI, torch, megatron-core 0.19.2
and torchtitan 0.3.0 with its dependencies.

    supernode plan launch SCENARIO --launch megatron --format json | python parse_launch_lines.py
    python parse_launch_lines.py --names megatron   # every name the parser takes, one a line
"""

import argparse
import json
import sys
import typing

if not hasattr(typing, "override"):  # Python 3.11
    import typing_extensions

    typing.override = typing_extensions.override


def megatron():
    from megatron.training.arguments import add_megatron_arguments

    return add_megatron_arguments(argparse.ArgumentParser(allow_abbrev=False))


def main():
    if sys.argv[1:] == ["--names", "megatron"]:
        names = {n for a in megatron()._actions for n in a.option_strings}
        print("\n".join(sorted(n for n in names if n.startswith("--"))))
        return
    answer = json.load(sys.stdin)
    if answer["program"] == "megatron":
        megatron().parse_args(answer["arguments"])
    elif answer["program"] == "torchtitan":
        from torchtitan.config import ConfigManager

        ConfigManager().parse_args(answer["arguments"])
    else:
        sys.exit("MindSpeed-LLM is in no package: its names are checked against the list only")
    print("parsed", len(answer["arguments"]), "words for", answer["program_version"])


main()
