//! The Python list expressions some arguments take: `([0]*3+[1]*58)`.

/// The list an expression makes; at most 100,000 elements.
///
/// # Errors
/// A sentence about the first thing that is no such expression.
pub(super) fn read(text: &str) -> Result<Vec<u64>, String> {
    let tokens: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut at = 0;
    let list = sum(&tokens, &mut at, 0)?;
    if at == tokens.len() { Ok(list) } else { Err(format!("`{}` is not expected", tokens[at])) }
}

const LONGEST: usize = 100_000;
const DEEPEST: usize = 32;

fn sum(tokens: &[char], at: &mut usize, depth: usize) -> Result<Vec<u64>, String> {
    let mut list = product(tokens, at, depth)?;
    while tokens.get(*at) == Some(&'+') {
        *at += 1;
        list.extend(product(tokens, at, depth)?);
        if list.len() > LONGEST {
            return Err(format!("more than {LONGEST} elements"));
        }
    }
    Ok(list)
}

fn product(tokens: &[char], at: &mut usize, depth: usize) -> Result<Vec<u64>, String> {
    let mut list = atom(tokens, at, depth)?;
    while tokens.get(*at) == Some(&'*') {
        *at += 1;
        let times = usize::try_from(number(tokens, at)?).unwrap_or(usize::MAX);
        if list.len().saturating_mul(times) > LONGEST {
            return Err(format!("more than {LONGEST} elements"));
        }
        list = list.repeat(times);
    }
    Ok(list)
}

fn atom(tokens: &[char], at: &mut usize, depth: usize) -> Result<Vec<u64>, String> {
    if depth > DEEPEST {
        return Err(format!("brackets deeper than {DEEPEST}"));
    }
    match tokens.get(*at) {
        Some('(') => {
            *at += 1;
            let list = sum(tokens, at, depth + 1)?;
            close(tokens, at, ')')?;
            Ok(list)
        }
        Some('[') => {
            *at += 1;
            let mut list = Vec::new();
            while tokens.get(*at) != Some(&']') {
                list.push(number(tokens, at)?);
                if tokens.get(*at) == Some(&',') {
                    *at += 1;
                } else {
                    break;
                }
            }
            close(tokens, at, ']')?;
            Ok(list)
        }
        Some(other) => Err(format!("`{other}` is not expected")),
        None => Err("it ends too early".to_owned()),
    }
}

fn close(tokens: &[char], at: &mut usize, bracket: char) -> Result<(), String> {
    if tokens.get(*at) != Some(&bracket) {
        return Err(format!("`{bracket}` is missing"));
    }
    *at += 1;
    Ok(())
}

fn number(tokens: &[char], at: &mut usize) -> Result<u64, String> {
    let start = *at;
    while tokens.get(*at).is_some_and(char::is_ascii_digit) {
        *at += 1;
    }
    let digits: String = tokens[start..*at].iter().collect();
    digits.parse().map_err(|_| "a number is missing or too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn lists_unfold_as_megatron_documents_them() {
        assert_eq!(read("([0]*3+[1]*1)*2").unwrap(), [0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(read("[1, 1, 0]").unwrap(), [1, 1, 0]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let deep = "(".repeat(500);
        for text in ["", "3", "[1", "[1]*", "[1]*99999999", "[1]+x", "[1])", deep.as_str()] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
