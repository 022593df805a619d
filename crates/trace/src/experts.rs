//! Expert loads: a histogram, or a routing trace, as a CSV file.

use diagnostic::{Diagnostic, Diagnostics};

/// Most experts a file may name; no model has nearly as many.
const MOST_EXPERTS: usize = 65_536;

/// Tokens by expert, from 0 up. With columns `expert` and `tokens` a histogram; with `expert` alone a
/// routing trace: one line for every token sent to an expert. Lines of the same expert add up.
///
/// # Errors
/// Every line that is neither, at its place in the text; no line below the header.
///
/// ```
/// let histogram = "expert,tokens\n0,30\n2,10\n";
/// assert_eq!(trace::experts::read("load.csv", histogram).unwrap(), [30.0, 0.0, 10.0]);
/// let routed = "expert\n1\n1\n0\n";
/// assert_eq!(trace::experts::read("routing.csv", routed).unwrap(), [1.0, 2.0]);
/// ```
pub fn read(file: &str, text: &str) -> Result<Vec<f64>, Diagnostics> {
    let bad = |message: String, at: usize, line: &str| {
        Diagnostic::error("trace::experts", message).at(file, at..at + line.len())
    };
    let mut lines = text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line.trim_end()))
    });
    let header: Vec<&str> = lines.next().map_or("", |(_, l)| l).split(',').map(str::trim).collect();
    let place = |name: &str| header.iter().position(|h| *h == name);
    let Some(expert) = place("expert") else {
        let problem = bad("the first line has no column `expert`".to_owned(), 0, "");
        let hint = "a histogram has columns expert,tokens; a routing trace has expert alone";
        return Err(problem.hint(hint).into());
    };
    let tokens = place("tokens");
    let mut sums: Vec<f64> = Vec::new();
    let mut problems = Diagnostics::default();
    for (at, line) in lines.filter(|(_, l)| !l.is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let number = cells.get(expert).and_then(|c| c.parse::<usize>().ok());
        let Some(number) = number.filter(|n| *n < MOST_EXPERTS) else {
            problems.push(bad("no number of an expert".to_owned(), at, line));
            continue;
        };
        let count = match tokens {
            None => Some(1.0),
            Some(column) => cells.get(column).and_then(|c| c.parse::<f64>().ok()),
        };
        let Some(count) = count.filter(|c| c.is_finite() && *c >= 0.0) else {
            problems.push(bad("no number of tokens".to_owned(), at, line));
            continue;
        };
        if sums.len() <= number {
            sums.resize(number + 1, 0.0);
        }
        sums[number] += count;
    }
    if sums.is_empty() && !problems.has_errors() {
        // Not the same as balanced loads, which are what runs without a file.
        problems.push(bad("no expert below the header".to_owned(), 0, ""));
    }
    // A file of another kind would give a problem a line.
    problems.0.truncate(20);
    problems.into_result(sums)
}
