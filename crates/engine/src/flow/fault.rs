//! What can be broken or slow during a step, and how it is written.

use diagnostic::{Diagnostic, nearest};
use std::fmt;

/// Least share of a part that is left and not dead: slower, a step may outlast 64 bits of picoseconds.
const SMALLEST_SHARE: f64 = 1e-3;

/// One fault, present for the whole step.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What it is about.
    pub kind: FaultKind,
    /// What is left of the normal rate, 0 to 1; 0 is dead.
    pub rate: f64,
}

/// What a fault is about. Ranks are counted from 0 in the job's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Compute of one rank's chip.
    Chip {
        /// Its rank.
        rank: u64,
    },
    /// One port of a rank's chip into a level: of a mesh its link to the next member, of switches its
    /// port into the first plane. Where their number is not known, the rate is what is left of the
    /// rank's whole bandwidth.
    Port {
        /// Its rank.
        rank: u64,
        /// Name of the level.
        level: String,
    },
    /// The direct link between two ranks' chips.
    Link {
        /// One end.
        from: u64,
        /// The other.
        to: u64,
    },
    /// A board (an instance of the innermost level), by number.
    Board {
        /// Which.
        board: u64,
    },
    /// A switch of a level: of its first plane, or where it has one only, all of it, for every rank of
    /// that instance.
    Switch {
        /// Name of the level.
        level: String,
        /// Which instance of the level.
        instance: u64,
    },
}

impl fmt::Display for Fault {
    /// As [`Fault::fail`] reads it.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Chip { rank } => write!(to, "chip:{rank}"),
            FaultKind::Port { rank, level } => write!(to, "port:{rank}/{level}"),
            FaultKind::Link { from, to: end } => write!(to, "link:{from}-{end}"),
            FaultKind::Board { board } => write!(to, "board:{board}"),
            FaultKind::Switch { level, instance } => write!(to, "switch:{level}/{instance}"),
        }?;
        if self.rate > 0.0 { write!(to, "={}", self.rate) } else { Ok(()) }
    }
}

const KINDS: [&str; 5] = ["link", "port", "chip", "board", "switch"];

const FORMS: &str = "link:FROM-TO, port:RANK/LEVEL, chip:RANK, board:N or switch:LEVEL/N, \
                     each with =RATE for what is left";

impl Fault {
    /// Reads what is broken: `link:3-5`, `port:3/pod=0.75`, `chip:3`, `board:2`, `switch:pod/0=0.9`.
    ///
    /// # Errors
    /// What is written otherwise.
    ///
    /// ```
    /// use engine::{Fault, FaultKind};
    /// let fault = Fault::fail("link:3-5").unwrap();
    /// assert_eq!(fault.to_string(), "link:3-5");
    /// assert_eq!((fault.kind, fault.rate), (FaultKind::Link { from: 3, to: 5 }, 0.0));
    /// assert!(Fault::fail("cable:3").is_err());
    /// ```
    pub fn fail(text: &str) -> Result<Self, Diagnostic> {
        let bad = |message: String| Diagnostic::error("flow::fault", message).hint(FORMS);
        let (what, rate) = split_rate(text)?;
        let (kind, of) = what
            .split_once(':')
            .ok_or_else(|| bad(format!("`{text}` does not say what kind of thing fails")))?;
        let number = |n: &str| {
            n.parse::<u64>().map_err(|_| bad(format!("`{n}` in `{text}` is not a number")))
        };
        let two = |by: char| {
            of.split_once(by).ok_or_else(|| bad(format!("`{text}` names one thing, not two")))
        };
        let kind = match kind {
            "link" => {
                let (from, to) = two('-')?;
                FaultKind::Link { from: number(from)?, to: number(to)? }
            }
            "port" => {
                let (rank, level) = two('/')?;
                FaultKind::Port { rank: number(rank)?, level: level.to_owned() }
            }
            "chip" => FaultKind::Chip { rank: number(of)? },
            "board" => FaultKind::Board { board: number(of)? },
            "switch" => {
                let (level, instance) = two('/')?;
                FaultKind::Switch { level: level.to_owned(), instance: number(instance)? }
            }
            other => {
                let hint = nearest(other, KINDS).map(|n| format!("did you mean `{n}`?"));
                let problem = bad(format!("`{other}` in `{text}` is nothing that can fail"));
                return Err(hint.map_or(problem.clone(), |h| problem.hint(h)));
            }
        };
        Ok(Self { kind, rate: rate.unwrap_or(0.0) })
    }

    /// Reads what is slow: `rank:3=0.9`.
    ///
    /// # Errors
    /// What is written otherwise, or a rank that does not run at all.
    pub fn slow(text: &str) -> Result<Self, Diagnostic> {
        let bad = |message: String| {
            Diagnostic::error("flow::fault", message).hint("write rank:N=SHARE, such as rank:3=0.9")
        };
        let (what, rate) = split_rate(text)?;
        let rank = what.strip_prefix("rank:").and_then(|n| n.parse().ok());
        let rank = rank.ok_or_else(|| bad(format!("`{text}` names no rank")))?;
        let rate = rate.ok_or_else(|| bad(format!("`{text}` does not say how slow")))?;
        if rate == 0.0 {
            return Err(bad("a rank that runs at `0` of its speed is dead".to_owned())
                .hint(format!("write --fail chip:{rank}")));
        }
        Ok(Self { kind: FaultKind::Chip { rank }, rate })
    }
}

fn split_rate(text: &str) -> Result<(&str, Option<f64>), Diagnostic> {
    let Some((what, rate)) = text.split_once('=') else { return Ok((text, None)) };
    let read = rate.parse::<f64>().ok().filter(|r| (0.0..=1.0).contains(r));
    let Some(share) = read else {
        let message = format!("`{rate}` in `{text}` is not a share between 0 and 1");
        return Err(Diagnostic::error("flow::fault", message).hint("0.9 is nine tenths of normal"));
    };
    // Times are whole picoseconds of 64 bits: what is left of a part must end within them.
    if share > 0.0 && share < SMALLEST_SHARE {
        let message = format!("`{rate}` in `{text}` leaves less than {SMALLEST_SHARE} of the part");
        return Err(
            Diagnostic::error("flow::fault", message).hint("a dead part is named without `=`")
        );
    }
    Ok((what, Some(share)))
}
