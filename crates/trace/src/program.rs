//! A captured program: what each rank does and what it waits for, node by node.
//!
//! This is what Chakra, and programs written by hand, come to; [`crate::run`] executes it. Ranks
//! that do the same are one [`RankTrace`].

use diagnostic::{Diagnostic, Diagnostics};
use model::Collective;
use std::collections::{BTreeMap, BTreeSet};

/// What every rank does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceProgram {
    /// Ranks in all, numbered from 0.
    pub ranks: u64,
    /// Distinct traces; each rank is in exactly one.
    pub traces: Vec<RankTrace>,
    /// Members of named groups, sorted.
    pub groups: BTreeMap<String, Vec<u64>>,
}

/// What one or more ranks do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankTrace {
    /// The file it was read from, for messages.
    pub file: String,
    /// Whose, sorted.
    pub ranks: Vec<u64>,
    /// In order of id.
    pub nodes: Vec<Node>,
}

/// One thing a rank does.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its number in its trace.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub work: Work,
    /// Ids of the nodes of the same trace that must have ended.
    pub after: Vec<u64>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Nothing; it only orders others.
    Nothing,
    /// Computes on the host or the chip.
    Compute {
        /// On the host, which runs beside the chip.
        host: bool,
        /// Recorded duration, if there is one. Picoseconds.
        duration_ps: Option<u64>,
        /// Operations, for a chip to be priced by its roofline.
        flop: u64,
        /// Bytes read and written.
        bytes: u64,
    },
    /// A collective over a group.
    Collective {
        /// What is done.
        operation: Operation,
        /// Size by nccl-tests' convention for the operation.
        bytes: u64,
        /// A name of [`TraceProgram::groups`]; none is all ranks.
        group: Option<String>,
    },
    /// A message to another rank.
    Send {
        /// Who gets it.
        peer: u64,
        /// Tells messages between the same two apart.
        tag: u64,
        /// Size.
        bytes: u64,
    },
    /// A message from another rank.
    Receive {
        /// Who sends it.
        peer: u64,
        /// Tells messages between the same two apart.
        tag: u64,
        /// Size.
        bytes: u64,
    },
}

/// A collective of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// One that moves bytes.
    Of(Collective),
    /// One rank's bytes to all; priced as the all-gather that it is half of.
    Broadcast,
    /// Waits for all, moves nothing.
    Barrier,
}

impl Operation {
    /// Every operation with its word.
    pub const WORDS: [(Self, &'static str); 6] = [
        (Self::Of(Collective::AllReduce), "all_reduce"),
        (Self::Of(Collective::AllGather), "all_gather"),
        (Self::Of(Collective::ReduceScatter), "reduce_scatter"),
        (Self::Of(Collective::AllToAll), "all_to_all"),
        (Self::Broadcast, "broadcast"),
        (Self::Barrier, "barrier"),
    ];

    /// The word used in files and output.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(o, _)| *o == self).map_or("?", |(_, w)| w)
    }
}

/// Most problems of one program that are told one by one.
const TOLD: usize = 20;

impl TraceProgram {
    /// The members of a group.
    pub fn members(&self, group: Option<&str>) -> Option<Vec<u64>> {
        match group {
            None => Some((0..self.ranks).collect()),
            Some(name) => self.groups.get(name).cloned(),
        }
    }

    /// Checks what a run relies on: ranks partition, ids are unique, dependencies exist, groups are
    /// known and hold the ranks that use them, peers exist. That communication matches and that
    /// nothing waits for itself is checked by [`crate::run`].
    pub fn check(&self) -> Result<(), Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut seen = BTreeSet::new();
        for rank in self.traces.iter().flat_map(|t| &t.ranks) {
            if *rank >= self.ranks || !seen.insert(*rank) {
                let text = format!("rank `{rank}` of {} is given twice or too large", self.ranks);
                problems.push(Diagnostic::error("trace::ranks", text));
            }
        }
        if seen.len() as u64 != self.ranks {
            let text = format!("{} of {} ranks have a trace", seen.len(), self.ranks);
            problems.push(Diagnostic::error("trace::ranks", text));
        }
        for (name, members) in &self.groups {
            let sorted = members.windows(2).all(|w| w[0] < w[1]);
            if !sorted || members.is_empty() || members.last().is_some_and(|m| *m >= self.ranks) {
                let text = format!("group `{name}` is empty, unsorted, or beyond the ranks");
                problems.push(Diagnostic::error("trace::group", text));
            }
        }
        for trace in &self.traces {
            self.check_trace(trace, &mut problems);
        }
        if problems.0.len() > TOLD {
            let more = problems.0.len() - TOLD;
            problems.0.truncate(TOLD);
            problems.push(Diagnostic::error("trace::more", format!("and {more} more like these")));
        }
        problems.into_result(())
    }

    fn check_trace(&self, trace: &RankTrace, problems: &mut Diagnostics) {
        let mut tell = |node: &Node, text: String| {
            let text = format!("node `{}` ({}): {text}", node.id, shortened(&node.name));
            let problem = Diagnostic::error("trace::node", text).at(trace.file.as_str(), 0..0);
            let hint = "a JSON program lists its `groups`; for Chakra files `--groups FILE` does, \
                        an object of lists of ranks";
            let ungrouped = matches!(&node.work, Work::Collective { group: Some(name), .. }
                if !self.groups.contains_key(name));
            problems.push(if ungrouped { problem.hint(hint) } else { problem });
        };
        let ids: BTreeSet<u64> = trace.nodes.iter().map(|n| n.id).collect();
        for pair in trace.nodes.windows(2).filter(|w| w[0].id >= w[1].id) {
            tell(&pair[1], "its id is used twice or out of order".to_owned());
        }
        for node in &trace.nodes {
            for id in node.after.iter().filter(|id| !ids.contains(id)) {
                tell(node, format!("it waits for node `{id}`, which is not there"));
            }
            match &node.work {
                Work::Collective { group: Some(name), .. } => match self.groups.get(name) {
                    None => tell(node, format!("its group `{}` is not given", shortened(name))),
                    Some(members) => {
                        let out = |r: &&u64| members.binary_search(r).is_err();
                        if let Some(rank) = trace.ranks.iter().find(out) {
                            let name = shortened(name);
                            tell(node, format!("rank `{rank}` is not in its group `{name}`"));
                        }
                    }
                },
                Work::Send { peer, .. } | Work::Receive { peer, .. }
                    if *peer >= self.ranks || trace.ranks.binary_search(peer).is_ok() =>
                {
                    tell(node, format!("its peer `{peer}` is itself or no rank"));
                }
                _ => {}
            }
        }
    }
}

/// A name for a message: not longer than a line.
pub(crate) fn shortened(name: &str) -> String {
    let mut short: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    if short.len() < name.len() {
        short.push_str("..");
    }
    short
}
