"""Passes launch lines to the argument parsers and the checks of the programs they are for.

Not part of the test suite: it needs Python 3.11 or later and, from PyPI, torch, megatron-core 0.19.2
and torchtitan 0.3.0 with its dependencies. No GPU is needed.

    LAUNCH_LINES=$PWD/lines.jsonl cargo test -p trace --test it every_line_is
    python crates/trace/tests/parse_launch_lines.py lines.jsonl

`LAUNCH_LINES` has the test write every line it tries, a JSON value a line with `program`, `ranks`,
`environment` and `arguments`, as `plan launch .. --format json` has them.
Fails if a program takes one of them not. MindSpeed-LLM is in no package: its lines are held against its
list and rules by the test alone.

    python parse_launch_lines.py --list megatron     # the list in src/launch/flags: names and values
    python parse_launch_lines.py --list torchtitan
"""

import argparse
import collections
import contextlib
import io
import json
import logging
import os
import re
import sys
import typing
import warnings

if not hasattr(typing, "override"):  # Python 3.11
    import typing_extensions

    typing.override = typing_extensions.override

warnings.filterwarnings("ignore")


def megatron_parser():
    from megatron.training.arguments import add_megatron_arguments

    return add_megatron_arguments(argparse.ArgumentParser(allow_abbrev=False))


def megatron():
    """The parser, then what Megatron-LM checks of all arguments together and of the model's."""
    import torch
    from megatron.core.models.common.embeddings import rope_utils
    from megatron.core.transformer import transformer_config
    from megatron.training import arguments

    # What the machine has that a line is made for, not the one this runs on.
    for module in (arguments, transformer_config):
        module.is_te_min_version = lambda *_, **__: True
    arguments.get_device_arch_version = lambda: 9
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    rope_utils.fused_apply_rotary_pos_emb = rope_utils.fused_apply_rotary_pos_emb_thd = object()
    parser = megatron_parser()

    def check(line):
        args = parser.parse_args(line["arguments"])
        args.rank, args.world_size = 0, line["ranks"]
        os.environ.pop("CUDA_DEVICE_MAX_CONNECTIONS", None)
        os.environ.update(pair.split("=") for pair in line["environment"])
        # Blackwell needs no such setting; the check below is Hopper's.
        if not line["environment"] and "--use-megatron-fsdp" not in line["arguments"]:
            os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "1"
        arguments.validate_args(args, {})
        arguments.core_transformer_config_from_args(args)

    return check


def torchtitan():
    """The parser with its configurations' own checks, then the meshes."""
    from torchtitan.components.quantization import float8
    from torchtitan.config import ConfigManager
    from torchtitan.distributed import ParallelDims

    # What the machine has that a line is made for.
    float8.has_cuda_capability = lambda *_: True

    def check(line):
        # A model that torchtitan does not register is the user's to name.
        named = {"$MODULE": "llama3", "$CONFIG": "llama3_8b"}
        config = ConfigManager().parse_args([named.get(w, w) for w in line["arguments"]])
        p = config.parallelism
        ParallelDims(
            dp_replicate=p.data_parallel_replicate_degree,
            dp_shard=p.data_parallel_shard_degree,
            cp=p.context_parallel_degree,
            tp=p.tensor_parallel_degree,
            pp=p.pipeline_parallel_degree,
            ep=p.expert_parallel_degree,
            world_size=line["ranks"],
        )

    return check


def torchtitan_parser():
    import tyro
    from torchtitan.config.manager import custom_registry
    from torchtitan.models.llama3 import config_registry

    default = config_registry.llama3_8b()
    return tyro.extras.get_parser(type(default), default=default, registry=custom_registry)


def takes(action):
    """What values an argument takes, as the lists say it."""
    if action.nargs == 0:
        return ""
    shape = action.metavar if isinstance(action.metavar, str) else ""
    choices = action.choices or (shape.strip("{}").split(",") if re.fullmatch(r"\{.*\}", shape) else None)
    if choices:
        word = "|".join(str(getattr(c, "name", c)) for c in choices)
    elif action.type is int or shape == "INT":
        word = "int"
    elif action.type is float or shape == "FLOAT":
        word = "float"
    else:
        word = "text"
    return " " + word + (action.nargs if action.nargs in ("+", "*", "?") else "")


def print_list(program):
    if program == "megatron":
        parser = megatron_parser()
        print("# Arguments of Megatron-LM's training parser as packaged in megatron-core 0.19.2, and the")
        print("# values they take; written by tests/parse_launch_lines.py.")
    else:
        parser = torchtitan_parser()
        print("# Options of torchtitan 0.3.0's command line for a language model, and the values they take")
        print("# (- and _ are alike); written by tests/parse_launch_lines.py.")
    lines = {n + takes(a) for a in parser._actions for n in a.option_strings if n.startswith("--")}
    if program == "torchtitan":
        # Its lists are one word with commas.
        lines = {line.removesuffix("*") for line in lines}
    if program == "torchtitan":
        # What a reader of its own takes, before or beside the parser.
        lines.update(["--module text", "--config text", "--override.imports text*"])
        lines.update(torchtitan_commands())
    print("\n".join(sorted(lines)))


def torchtitan_commands():
    """The sub-commands, which only the help says."""
    from torchtitan.config import ConfigManager

    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        ConfigManager().parse_args(["--module", "llama3", "--config", "llama3_8b", "--help"])
    return re.findall(r"activation-checkpoint:[a-z-]+", told.getvalue())


def main():
    if sys.argv[1] == "--list":
        return print_list(sys.argv[2])
    logging.disable(logging.CRITICAL)
    checks = {"megatron": megatron(), "torchtitan": torchtitan()}
    count, refused = collections.Counter(), {}
    for text in open(sys.argv[1]):
        line = json.loads(text)
        program = line["program"]
        if program not in checks:
            continue
        count[program] += 1
        told = io.StringIO()
        try:
            with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                checks[program](line)
        except (Exception, SystemExit) as problem:
            why = str(problem) if isinstance(problem, Exception) else told.getvalue()
            refused.setdefault((program, re.sub(r"\d+", "N", why)[:400]), []).append(line.get("name", "the line"))
    for (program, why), names in refused.items():
        print(f"{program}: {len(names)} refused, for example {names[0]}: {why}")
    print(dict(count), "lines;", sum(map(len, refused.values())), "refused")
    sys.exit(bool(refused))


main()
