//! How much of a pass's communication shows, and what the hidden part costs.

use crate::machine::Machine;
use crate::price::{CLASSES, CommAxis, PassTime};
use model::Class;
use program::Overlap;

/// A pass or an overlapped pair as it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    /// Kernel time on the device by class. Seconds.
    pub by_class: [f64; CLASSES],
    /// Waiting for the host to launch. Seconds.
    pub host_gap: f64,
    /// Communication that nothing hides, by axis. Seconds.
    pub exposed: [f64; 4],
    /// Communication behind compute, by axis. Seconds.
    pub hidden: [f64; 4],
    /// Compute slowed by communication kernels taking cores. Seconds.
    pub contention: f64,
    /// Copies to and from the host's memory that nothing hides. Seconds.
    pub copies: f64,
    /// Copies behind everything else. Seconds.
    pub copies_hidden: f64,
}

impl Run {
    /// All of it. Seconds.
    pub fn seconds(&self) -> f64 {
        self.by_class.iter().sum::<f64>()
            + self.host_gap
            + self.exposed.iter().sum::<f64>()
            + self.contention
            + self.copies
    }

    /// Adds `times` repetitions of `other`.
    pub fn add(&mut self, other: &Self, times: f64) {
        let both = |mine: &mut [f64], theirs: &[f64]| {
            for (m, t) in mine.iter_mut().zip(theirs) {
                *m += t * times;
            }
        };
        both(&mut self.by_class, &other.by_class);
        both(&mut self.exposed, &other.exposed);
        both(&mut self.hidden, &other.hidden);
        self.host_gap += other.host_gap * times;
        self.contention += other.contention * times;
        self.copies += other.copies * times;
        self.copies_hidden += other.copies_hidden * times;
    }
}

/// What bounds an overlap on this machine and under this plan.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What the plan lets run beside compute.
    pub overlap: Overlap,
    /// Share of the traffic of sharded weights and gradients that may run beside compute.
    pub shards_beside: f64,
    /// How kernels are launched.
    pub launch: kernel::Launch,
    /// Time of the host to start one collective. Seconds.
    pub collective_s: f64,
    /// Time the device waits, once a dispatch, for the host to learn how many rows come and launch what
    /// follows. Seconds.
    pub wait_s: f64,
    /// Ranks of a tensor-parallel group: an overlapped collective runs in as many slices.
    pub tensor_slices: f64,
    /// Blocks of a pass: the first copy to the host has nothing to run behind.
    pub pass_blocks: f64,
    /// Share of the cores that communication kernels take.
    pub cores: f64,
    /// Share of the cores set aside for communication while two passes overlap.
    pub reserved: f64,
}

impl Rules {
    /// The rules of a plan with `tensor` tensor-parallel ranks on `machine`, nothing sharded.
    pub fn new(overlap: Overlap, graphs: bool, tensor: u64, machine: &Machine) -> Self {
        Self {
            overlap,
            shards_beside: 0.0,
            launch: kernel::Launch { graphs, host_s: machine.stack.launch.value },
            tensor_slices: tensor as f64,
            pass_blocks: f64::INFINITY,
            collective_s: machine.stack.collective_launch.value,
            wait_s: machine.stack.dispatch_waits.value * machine.stack.launch.value,
            cores: machine.cluster.chip.communication_cores.value,
            reserved: machine.stack.reserved_cores.value.min(0.9),
        }
    }

    /// The same for a rank of `blocks` blocks in `chunks` chunks. Of gathered weights (ZeRO-3) the first
    /// gather of a pass has nothing to run behind, nor has its last scatter. Scattered gradients beside
    /// whole weights (ZeRO-2) are not waited for before the end of the step: of a block's `scatters`
    /// in it, only the last one of the last block shows.
    #[must_use]
    pub fn of_rank(self, blocks: f64, chunks: f64, gathers: bool, scatters: f64) -> Self {
        let pass_blocks = (blocks / chunks).max(1.0);
        let (allowed, parts) = if gathers {
            (self.overlap.parameter_gather, pass_blocks)
        } else {
            (self.overlap.gradient_reduce, (blocks * scatters).max(1.0))
        };
        let shards_beside = if allowed { 1.0 - 1.0 / parts } else { 0.0 };
        Self { shards_beside, pass_blocks, ..self }
    }

    /// Share of the cores that communication takes while two passes overlap.
    fn cores_of_pair(&self) -> f64 {
        if self.reserved > 0.0 { self.reserved } else { self.cores }
    }
}

/// `passes` run one after another on their own: nothing hides their expert traffic.
pub fn run(passes: &[&PassTime], rules: &Rules) -> Run {
    together(&sum_of(passes), rules, None)
}

/// The `forward` pass of one micro-batch and the `backward` passes of another beside each other: each
/// one's expert traffic runs behind the other's compute.
pub fn run_pair(forward: &PassTime, backward: &[&PassTime], rules: &Rules) -> Run {
    let mut sum = sum_of(backward);
    let share = expert_share(forward, &sum, rules);
    sum.add(forward, 1.0);
    together(&sum, rules, Some(share))
}

/// Share of a pair's expert traffic that can hide: of each exchange as much as its partner in the
/// other micro-batch is long enough for.
///
/// A block's halves pair up so, in `DualPipe` (arXiv 2412.19437, figure 4) and in Megatron-Core's
/// `--overlap-moe-expert-parallel-comm`: the dispatch forward beside the experts backward, the combine
/// forward beside attention backward, the combine's gradients beside attention forward and the
/// dispatch's beside the experts forward. Not valid where dispatch and combine differ in size: each
/// counts as half of its pass's traffic.
pub(crate) fn expert_share(forward: &PassTime, backward: &PassTime, rules: &Rules) -> f64 {
    let slowed = 1.0 - rules.cores_of_pair();
    let each = |pass: &PassTime| 0.5 * pass.comm[CommAxis::Expert as usize] * slowed;
    let ([attention, experts], [attention_back, experts_back]) =
        (halves(forward), halves(backward));
    let (ahead, behind) = (each(forward), each(backward));
    let all = 2.0 * (ahead + behind);
    if all == 0.0 {
        return 1.0;
    }
    let [dispatch, combine] = [experts_back, attention_back].map(|window| ahead.min(window));
    let [combine_back, dispatch_back] = [attention, experts].map(|window| behind.min(window));
    (dispatch + combine + combine_back + dispatch_back) / all
}

/// Kernels of a pass's blocks before the dispatch and after it; norms, residuals and activations
/// counted to both alike. Seconds.
fn halves(pass: &PassTime) -> [f64; 2] {
    use Class::{AttentionCore, Elementwise, Experts, FeedForward, HyperConnection, Indexer};
    let both = 0.5 * of(pass, &[Elementwise, HyperConnection]);
    let before = of(pass, &[Class::Projection, AttentionCore, Indexer, Class::Routing]);
    [before + both, of(pass, &[Experts, FeedForward]) + both]
}

pub(crate) fn sum_of(passes: &[&PassTime]) -> PassTime {
    let mut sum = PassTime::default();
    for pass in passes {
        sum.add(pass, 1.0);
    }
    sum
}

/// All of `sum`, which is of one micro-batch, or of two where `experts` is the share of expert traffic
/// that can hide.
fn together(sum: &PassTime, rules: &Rules, experts: Option<f64>) -> Run {
    let paired = experts.is_some();
    let mut run = Run { by_class: sum.by_class, ..Run::default() };
    let (reserved, cores) =
        if paired { (rules.reserved, rules.cores_of_pair()) } else { (0.0, rules.cores) };
    let experts = experts.unwrap_or(0.0) * sum.comm[CommAxis::Expert as usize] * (1.0 - cores);
    let all = |allowed| if allowed { 1.0 } else { 0.0 };
    // Of a tensor exchange the first slice has no product before it to run behind.
    let slices = all(rules.overlap.tensor) * (1.0 - 1.0 / rules.tensor_slices);
    let core = of(sum, &[Class::AttentionCore]);
    let hides: [(CommAxis, f64, f64); 4] = [
        (CommAxis::Tensor, slices, sum.tensor_beside),
        (CommAxis::Context, all(rules.overlap.context), core),
        (CommAxis::Expert, all(rules.overlap.expert && paired), experts),
        (CommAxis::Shard, rules.shards_beside, sum.cost.seconds),
    ];
    // Hidden communication shares one stretch of compute: what one axis uses the next cannot. While
    // it lasts compute advances at 1 - cores, so that much of the stretch is used up.
    let mut free = sum.cost.seconds;
    for (axis, share, beside) in hides {
        let comm = sum.comm[axis as usize];
        let (hidden, slow) = behind(comm * share, beside.min(free), cores);
        free = (free - hidden * (1.0 - cores)).max(0.0);
        run.hidden[axis as usize] = hidden;
        run.exposed[axis as usize] = comm - hidden;
        run.contention += slow;
    }
    if reserved > 0.0 {
        // Cores set aside are lost to all of the compute, not only to what runs beside traffic.
        run.contention = sum.cost.seconds * reserved / (1.0 - reserved);
    }
    // The first block's tensors are there after it ran, and needed before it runs backward.
    let beside = run.seconds() * (1.0 - 1.0 / rules.pass_blocks);
    run.copies_hidden = sum.copies.min(beside);
    run.copies = sum.copies - run.copies_hidden;
    run.host_gap = host_gap(sum, rules, run.seconds());
    // Beside another micro-batch's passes the device has those to run meanwhile.
    run.host_gap += if paired { 0.0 } else { waiting(sum, rules) };
    run
}

/// How much longer the host needs to launch a pass's kernels and collectives than the device to run
/// them: the host does not wait for exposed communication either, so it is compared with the whole.
fn host_gap(sum: &PassTime, rules: &Rules, device_s: f64) -> f64 {
    if rules.launch.graphs {
        return 0.0;
    }
    let host_s = sum.cost.launches * rules.launch.host_s + sum.collectives * rules.collective_s;
    (host_s - device_s).max(0.0)
}

/// How long the device waits in a pass for the host, which has waited for the number of rows of each
/// dispatch: for the time of one launch, since nothing could be launched ahead.
pub(crate) fn waiting(sum: &PassTime, rules: &Rules) -> f64 {
    if rules.launch.graphs { 0.0 } else { sum.waits * rules.wait_s }
}

/// Communication of `comm` seconds beside a window of compute: how much hides, and how much longer
/// the compute takes because a share `cores` of the chip moves data meanwhile.
///
/// While both run, compute advances at 1 - cores; so compute W hides at most W/(1 - cores) of
/// communication, and is longer by cores·hidden.
pub(crate) fn behind(comm: f64, window: f64, cores: f64) -> (f64, f64) {
    let hidden = comm.min(window / (1.0 - cores));
    (hidden, cores * hidden)
}

fn of(pass: &PassTime, classes: &[Class]) -> f64 {
    classes.iter().map(|&c| pass.by_class[c as usize]).sum()
}

#[cfg(test)]
mod tests {
    use super::{Rules, behind, run, run_pair};
    use crate::price::{CLASSES, PassTime};
    use model::Class;
    use program::Overlap;

    fn rules() -> Rules {
        let none = Overlap {
            gradient_reduce: false,
            parameter_gather: true,
            expert: true,
            tensor: true,
            context: false,
            pipeline: false,
        };
        Rules {
            overlap: none,
            shards_beside: 0.9,
            launch: kernel::Launch { graphs: true, host_s: 0.0 },
            collective_s: 0.0,
            wait_s: 0.0,
            tensor_slices: 4.0,
            pass_blocks: 10.0,
            cores: 0.0,
            reserved: 0.0,
        }
    }

    fn pass(seconds: f64, comm: [f64; 4], tensor_beside: f64) -> PassTime {
        let cost = kernel::Cost { seconds, ..kernel::Cost::default() };
        let mut by_class = [0.0; CLASSES];
        by_class[0] = seconds;
        PassTime { cost, by_class, comm, tensor_beside, ..PassTime::default() }
    }

    /// A pass with `attention` and `experts` seconds of kernels, and `comm` of expert traffic.
    fn halved(attention: f64, experts: f64, comm: f64) -> PassTime {
        let mut pass = pass(attention + experts, [0.0, 0.0, comm, 0.0], 0.0);
        pass.by_class = [0.0; CLASSES];
        pass.by_class[Class::AttentionCore as usize] = attention;
        pass.by_class[Class::Experts as usize] = experts;
        pass
    }

    #[test]
    fn the_first_gather_and_the_first_slice_show() {
        // Ten blocks of sharded weights behind enough compute: a tenth shows.
        let shard = run(&[&pass(100.0, [0.0, 0.0, 0.0, 10.0], 0.0)], &rules());
        assert!((shard.exposed[3] - 1.0).abs() < 1e-12, "{shard:?}");
        // A tensor exchange hides behind its own product only, however much else there is.
        let tensor = run(&[&pass(100.0, [8.0, 0.0, 0.0, 0.0], 2.0)], &rules());
        assert!((tensor.exposed[0] - 6.0).abs() < 1e-12, "{tensor:?}");
        let ample = run(&[&pass(100.0, [8.0, 0.0, 0.0, 0.0], 8.0)], &rules());
        assert!((ample.exposed[0] - 2.0).abs() < 1e-12, "{ample:?}");
    }

    #[test]
    fn copies_to_the_host_hide_behind_all_but_the_first_block() {
        let copying = |copies| PassTime { copies, ..pass(100.0, [0.0; 4], 0.0) };
        assert!((run(&[&copying(80.0)], &rules()).seconds() - 100.0).abs() < 1e-12);
        // Ten blocks: 90 s of compute after the first hide as much.
        let slow = run(&[&copying(120.0)], &rules());
        assert!((slow.copies - 30.0).abs() < 1e-12 && (slow.seconds() - 130.0).abs() < 1e-12);
    }

    #[test]
    fn the_device_waits_once_a_dispatch_unless_it_has_other_passes() {
        let host = kernel::Launch { graphs: false, host_s: 0.0 };
        let rules = Rules { launch: host, wait_s: 0.5, ..rules() };
        let dispatching = PassTime { waits: 4.0, ..halved(4.0, 4.0, 1.0) };
        // 8 s of kernels and 1 s of traffic that shows.
        assert!((run(&[&dispatching], &rules).seconds() - 11.0).abs() < 1e-12);
        let pair = run_pair(&dispatching, &[&halved(4.0, 4.0, 1.0)], &rules);
        assert!((pair.seconds() - 16.0).abs() < 1e-12, "{pair:?}");
        let graphs = Rules { launch: kernel::Launch { graphs: true, host_s: 0.0 }, ..rules };
        assert!((run(&[&dispatching], &graphs).seconds() - 9.0).abs() < 1e-12);
    }

    #[test]
    fn cores_set_aside_slow_the_whole_pair() {
        let aside = Rules { reserved: 0.2, ..rules() };
        let both = halved(4.0, 4.0, 1.0);
        // 16 s of compute on four fifths of the cores last 20 s, whatever the traffic.
        let pair = |rules| run_pair(&both, &[&both], &rules);
        assert!((pair(aside).seconds() - 20.0).abs() < 1e-12, "{:?}", pair(aside));
        // On its own nothing is set aside, and expert traffic shows.
        assert!((run(&[&both], &aside).seconds() - 9.0).abs() < 1e-12);
    }

    #[test]
    fn expert_traffic_hides_behind_its_partner_only() {
        // Four exchanges of 2 s beside 3 and 1 s forward, 6 and 2 s backward: one of them shows 1 s.
        let pair = |comm| run_pair(&halved(3.0, 1.0, comm), &[&halved(6.0, 2.0, comm)], &rules());
        assert!((pair(4.0).exposed[2] - 1.0).abs() < 1e-12, "{:?}", pair(4.0));
        assert!(pair(2.0).exposed[2].abs() < 1e-12);
    }

    #[test]
    fn hidden_communication_costs_cores() {
        // 2 s of traffic behind 8 s of compute on a quarter of the cores: all hidden, 0.5 s slower.
        assert_eq!(behind(2.0, 8.0, 0.25), (2.0, 0.5));
        // More traffic than compute: 6 s of compute last 8 s and hide 8 s.
        assert_eq!(behind(10.0, 6.0, 0.25), (8.0, 2.0));
        assert_eq!(behind(3.0, 0.0, 0.0), (0.0, 0.0));
    }
}
