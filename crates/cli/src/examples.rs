//! Examples under each command's help; a test parses every one.

/// Of all commands.
pub const ALL: &str = "\
Examples:
  supernode                                  the shipped main answer
  supernode catalog list                     scenarios, machines, models
  supernode rehearse my-run.toml             a step of yours
  supernode plan my-run.toml                 its best plan
  supernode campaign my-run.toml             the whole run and its bill
  supernode compare v4-pro                   machine by machine

Every command: `supernode COMMAND --help`.";

pub const REHEARSE: &str = "\
Examples:
  supernode rehearse deepseek-v3-on-h800
  supernode rehearse my-run.toml --set plan.pipeline=8
  supernode rehearse --engine flow --trace step.pftrace
  supernode rehearse --format html -o step.html";

pub const MODEL: &str = "\
Examples:
  supernode model deepseek-v4-pro --seq 65536
  supernode model my-model/config.json";

pub const CATALOG: &str = "\
Examples:
  supernode catalog list
  supernode catalog show ascend-950dt";

pub const FABRIC: &str = "\
Examples:
  supernode fabric atlas-950-superpod --collective all-to-all --bytes 1MiB..1GiB
  supernode fabric dgx-h100 --collective all-reduce --ranks 16 --fail port:0/scale-out/0=0.5
  supernode fabric ring:64@50GB/s,500ns --collective all-gather
  supernode fabric gb200-nvl72 --show -o rack.svg";

pub const PLAN: &str = "\
Examples:
  supernode plan deepseek-v4-pro-on-atlas-950
  supernode plan my-run.toml --fix plan.pipeline=4,8 --launch megatron
  supernode plan my-run.toml --pareto --save best.toml
  supernode plan check my-run.toml
  supernode plan import run.sh --cluster dgx-h100 -o my-run";

pub const CAMPAIGN: &str = "\
Examples:
  supernode campaign
  supernode campaign my-run.toml --what must-hold 50M..200M
  supernode campaign --set campaign.spare_hosts=32 --format html -o run.html
  supernode campaign my-run.toml --without money";

pub const COMPARE: &str = "\
Examples:
  supernode compare v4-pro
  supernode compare v4-pro --at equal-power --format html -o machines.html
  supernode compare deepseek-v4-pro-on-atlas-950 deepseek-v4-pro-on-h800 --plan best
  supernode compare my-set.toml";

pub const CALIBRATE: &str = "\
Examples:
  supernode calibrate kernels.csv nccl-tests.txt --chip h100 -o my-h100.toml
  supernode calibrate kernels.csv --chip h100 --blind h100";

pub const VALIDATE: &str = "\
Examples:
  supernode validate
  supernode validate --rows my-steps.csv --format json";

pub const TRACE: &str = "\
Examples:
  supernode trace run rank.%d.et --cluster dgx-h100
  supernode trace run program.json --network ring:8@50GB/s,500ns --trace out.pftrace";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Arguments;
    use clap::Parser;

    #[test]
    fn every_example_parses() {
        let all = [ALL, REHEARSE, MODEL, CATALOG, FABRIC, PLAN, CAMPAIGN, COMPARE, CALIBRATE];
        let mut count = 0;
        for line in all.into_iter().chain([VALIDATE, TRACE]).flat_map(str::lines) {
            let Some(example) = line.strip_prefix("  ") else { continue };
            // What stands behind two spaces is a remark.
            let command = example.split("  ").next().unwrap_or_default();
            let parsed = Arguments::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
            count += 1;
        }
        assert!(count > 25, "{count} examples");
    }
}
