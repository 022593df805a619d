//! Dead and slow parts of a graph.

use crate::graph::Graph;
use diagnostic::{Diagnostic, nearest};

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// All links between two chips, in both directions.
    Link {
        /// One chip.
        from: u32,
        /// The other.
        to: u32,
        /// Share of the rate that is left.
        left: f64,
    },
    /// One link of a chip at a level, in both directions.
    Port {
        /// The chip.
        chip: u32,
        /// The level's name.
        level: String,
        /// Which of its links there.
        index: u32,
        /// Share of the rate that is left.
        left: f64,
    },
    /// A chip with all its links.
    Chip(u32),
    /// A chip whose place its rack's spare has taken (64 + 1): the spare has no direct links, all
    /// its ports go to the switches that the others reach by theirs (UB-Mesh, figure 9).
    Spare(u32),
    /// All chips of one instance of a level, such as a board or a rack.
    Group {
        /// The level's name.
        level: String,
        /// Which instance.
        index: u32,
    },
    /// A switch with all its links.
    Switch {
        /// The level's name.
        level: String,
        /// Which of its switches.
        index: u32,
        /// Share of the rate that is left.
        left: f64,
    },
}

/// Reads `link:A-B`, `port:CHIP/LEVEL/K`, `chip:N`, `spare:N`, `switch:LEVEL/K` or `LEVEL:K` (`board:3`),
/// with `=SHARE` at the end for a link, port or switch that keeps a share of its rate.
///
/// ```
/// use fabric::{Fault, parse_fault};
/// assert_eq!(parse_fault("chip:7").unwrap(), Fault::Chip(7));
/// assert_eq!(parse_fault("link:0-1=0.5").unwrap(), Fault::Link { from: 0, to: 1, left: 0.5 });
/// assert!(parse_fault("link:0").is_err());
/// ```
///
/// # Errors
/// What does not read.
pub fn parse_fault(text: &str) -> Result<Fault, Diagnostic> {
    let error = |message: String| {
        Diagnostic::error("fabric::fault", message).hint(
            "link:A-B, port:CHIP/LEVEL/K, chip:N, spare:N, switch:LEVEL/K or LEVEL:K, the first two \
             and switch also with `=SHARE`",
        )
    };
    let (kind, rest) =
        text.split_once(':').ok_or_else(|| error(format!("fault `{text}` has no `:`")))?;
    let (place, left) = match rest.split_once('=') {
        None => (rest, 0.0),
        Some((place, share)) => match share.parse::<f64>() {
            Ok(left) if (0.0..=1.0).contains(&left) => (place, left),
            _ => return Err(error(format!("`{share}` is not a share from 0 to 1"))),
        },
    };
    let number = |word: &str| {
        word.parse::<u32>().map_err(|_| error(format!("`{word}` in `{text}` is not a number")))
    };
    match kind {
        "link" => {
            let (a, b) = place
                .split_once('-')
                .ok_or_else(|| error(format!("`{place}` is not two chips joined by `-`")))?;
            Ok(Fault::Link { from: number(a)?, to: number(b)?, left })
        }
        "port" => match place.split('/').collect::<Vec<_>>()[..] {
            [chip, level, index] => Ok(Fault::Port {
                chip: number(chip)?,
                level: level.to_owned(),
                index: number(index)?,
                left,
            }),
            _ => Err(error(format!("`{place}` is not CHIP/LEVEL/K"))),
        },
        "switch" => {
            let (level, index) =
                place.split_once('/').ok_or_else(|| error(format!("`{place}` is not LEVEL/K")))?;
            Ok(Fault::Switch { level: level.to_owned(), index: number(index)?, left })
        }
        _ if rest != place => {
            Err(error(format!("a {kind} is whole or gone, `={left}` is neither")))
        }
        "chip" => Ok(Fault::Chip(number(place)?)),
        "spare" => Ok(Fault::Spare(number(place)?)),
        level => Ok(Fault::Group { level: level.to_owned(), index: number(place)? }),
    }
}

/// The graph with the faults in it: links at their rest of the rate, dead chips marked, the ports of
/// spares widened.
///
/// # Errors
/// Every fault that names a chip, level, link or switch that is not there.
pub fn apply_faults(graph: &Graph, faults: &[Fault]) -> Result<Graph, diagnostic::Diagnostics> {
    let mut out = graph.clone();
    let mut problems = diagnostic::Diagnostics::default();
    for fault in faults {
        if let Err(problem) = apply(graph, &mut out, fault) {
            problems.push(problem);
        }
    }
    problems.into_result(out)
}

fn apply(graph: &Graph, out: &mut Graph, fault: &Fault) -> Result<(), Diagnostic> {
    let error = |message: String| Diagnostic::error("fabric::fault", message);
    let chip = |n: u32| {
        (n < graph.endpoints).then_some(n).ok_or_else(|| {
            error(format!("no chip {n}; there are {}, counted from 0", graph.endpoints))
        })
    };
    match fault {
        Fault::Link { from, to, left } => {
            let (from, to) = (chip(*from)?, chip(*to)?);
            let links: Vec<usize> = graph.out(from).filter(|l| graph.to[*l] == to).collect();
            if links.is_empty() {
                return Err(error(format!("no link joins chips {from} and {to}"))
                    .hint("chips joined by switches have ports: `port:CHIP/LEVEL/K`"));
            }
            for link in links {
                slow(out, link, *left);
            }
        }
        Fault::Port { chip: n, level, index, left } => {
            let n = chip(*n)?;
            let label = level_index(graph, level)?;
            let mut links = graph.out(n).filter(|l| graph.label(*l) as usize == label);
            let found = links.nth(*index as usize).ok_or_else(|| {
                let count = graph.out(n).filter(|l| graph.label(*l) as usize == label).count();
                error(format!("chip {n} has {count} links at `{level}`, none numbered {index}"))
            })?;
            slow(out, found, *left);
        }
        Fault::Chip(n) => kill(out, chip(*n)?),
        Fault::Spare(n) => replace(graph, out, chip(*n)?)?,
        Fault::Group { level, index } => {
            let at = level_index(graph, level)?;
            let size: u32 = graph.fans[..=at].iter().product();
            let count = graph.endpoints / size;
            if *index >= count {
                return Err(error(format!("no `{level}` {index}; there are {count}, from 0")));
            }
            for n in index * size..(index + 1) * size {
                kill(out, n);
            }
        }
        Fault::Switch { level, index, left } => {
            let at = level_index(graph, level)?;
            let tier = graph.tiers.iter().find(|t| t.level == Some(at));
            let tier =
                tier.ok_or_else(|| error(format!("level `{level}` is wired without switches")))?;
            if *index >= tier.count {
                let count = tier.count;
                return Err(error(format!("no switch {index} at `{level}`; there are {count}")));
            }
            let node = tier.first + index;
            for link in graph.out(node) {
                slow(out, link, *left);
            }
            out.dead[node as usize] = *left == 0.0;
        }
    }
    Ok(())
}

fn level_index(graph: &Graph, name: &str) -> Result<usize, Diagnostic> {
    graph.labels.iter().position(|l| l == name).ok_or_else(|| {
        let names = graph.labels.iter().map(String::as_str);
        let hint = nearest(name, names.clone()).map_or_else(
            || format!("levels are {}", names.collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        Diagnostic::error("fabric::fault", format!("no level is called `{name}`")).hint(hint)
    })
}

fn slow(graph: &mut Graph, link: usize, left: f64) {
    graph.bytes_per_s[link] *= left;
    let back = graph.reverse(link);
    graph.bytes_per_s[back] *= left;
}

/// The spare in the place of chip `n`: no direct links, their rate added to the ports to switches.
fn replace(graph: &Graph, out: &mut Graph, n: u32) -> Result<(), Diagnostic> {
    let (direct, switched): (Vec<usize>, Vec<usize>) =
        graph.out(n).partition(|l| graph.to[*l] < graph.endpoints);
    if switched.is_empty() {
        let message = format!("chip {n} has no switch through which a spare would be reached");
        return Err(Diagnostic::error("fabric::fault", message));
    }
    let rate = |links: &[usize]| links.iter().map(|l| graph.bytes_per_s[*l]).sum::<f64>();
    let wider = 1.0 + rate(&direct) / rate(&switched);
    for link in direct {
        slow(out, link, 0.0);
    }
    for link in switched {
        slow(out, link, wider);
    }
    Ok(())
}

fn kill(graph: &mut Graph, node: u32) {
    for link in graph.out(node) {
        slow(graph, link, 0.0);
    }
    graph.dead[node as usize] = true;
}
