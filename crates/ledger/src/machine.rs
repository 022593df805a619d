//! A row's machine: accelerator and network text to a catalog cluster.

use crate::columns::{Fields, number_before};
use catalog::{Cluster, Kind};
use units::{Figure, Origin, Unit};

/// Beginnings of `accelerator` and the cluster they mean, longest first where they share one.
const CLUSTERS: [(&str, &str); 18] = [
    ("h100-sxm5-96gb", "h100-96g-roce"),
    ("a100", "dgx-a100"),
    ("h100", "dgx-h100"),
    ("h200", "dgx-h200"),
    ("h800", "hgx-h800-infiniband"),
    ("h20", "hgx-h20"),
    ("b200", "dgx-b200"),
    ("b300", "dgx-b300"),
    ("gb200", "gb200-nvl72"),
    ("gb300", "gb300-nvl72"),
    ("ascend 910b", "atlas-800t-a2-313t"),
    ("ascend 910c", "atlas-900-a3-superpod"),
    ("ascend 950", "atlas-950-superpod"),
    ("tpu v5e", "tpu-v5e"),
    ("tpu v5p", "tpu-v5p"),
    ("tpu v6e", "tpu-v6e"),
    ("vr200", "rubin-nvl72"),
    ("rubin", "rubin-nvl72"),
];

/// The cluster of a row: the machine it names, if the catalog has it, or the chip's usual one; its
/// network's rate as the row states it.
pub(crate) fn cluster(fields: &Fields) -> Result<Cluster, String> {
    let accelerator = fields.lower("accelerator");
    let machine = fields.text("machine");
    let id = if catalog::ids(Kind::Cluster).contains(&machine) {
        machine
    } else {
        CLUSTERS
            .iter()
            .find(|(begin, _)| accelerator.starts_with(begin))
            .map(|(_, id)| *id)
            .ok_or_else(|| format!("no cluster for accelerator `{}`", fields.text("accelerator")))?
    };
    let mut cluster = catalog::cluster(id).map_err(|d| d.0[0].message.clone())?;
    let per_node = fields.number("chips_per_node")?.filter(|n| *n >= 1.0);
    let network = fields.lower("network");
    if let (Some(rate), Some(last)) = (stated_rate(&network, per_node), cluster.levels.last_mut()) {
        let source = fields.text("source_title").to_owned();
        last.bandwidth = Figure::exact(rate, Unit::BytePerSecond, Origin::Vendor, source);
    }
    Ok(cluster)
}

/// Bytes per second of one chip into the network, where the text states it: `4x200Gb/s .. per node`,
/// `1600 Gb/s per node`, `8x 400 Gb/s IB per node`, `4x CX7 NDR 400 Gb/s IB per 4-GPU tray`.
fn stated_rate(network: &str, per_node: Option<f64>) -> Option<f64> {
    let gbits = number_before(network, "gb/s")?;
    if network.contains("per gpu") {
        return Some(gbits * 1e9 / 8.0);
    }
    let ports = number_before(network, "x").filter(|n| *n >= 1.0).unwrap_or(1.0);
    let shared = network.contains("per node") || network.contains("tray");
    let chips = per_node?;
    shared.then(|| gbits * ports * 1e9 / 8.0 / chips)
}

#[cfg(test)]
mod tests {
    use super::stated_rate;

    #[test]
    fn networks_are_read_per_chip() {
        let rate = |text: &str, n: f64| stated_rate(text, Some(n));
        assert_eq!(rate("4x200gb/s hdr infiniband per node (800 gb/s)", 8.0), Some(12.5e9));
        assert_eq!(rate("1600 gb/s per node roce", 8.0), Some(25e9));
        assert_eq!(rate("eos: 8x cx7 ndr 400 gb/s ib per node", 8.0), Some(50e9));
        assert_eq!(rate("400 gb/s rdma per gpu", 8.0), Some(50e9));
        assert_eq!(rate("4x cx7 ndr 400 gb/s ib per 4-gpu tray", 4.0), Some(50e9));
        assert_eq!(rate("", 8.0), None);
        assert_eq!(rate("dcn between slices (data parallel)", 4.0), None);
    }
}
