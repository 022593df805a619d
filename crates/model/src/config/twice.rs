//! Keys that a JSON object has twice: readers take the last, and whoever wrote the file need not know.

use std::collections::BTreeSet;
use std::ops::Range;

/// Where a key of an object stands that the object has already, the first in the text. `json` is valid JSON.
pub(super) fn twice(json: &str) -> Option<Range<usize>> {
    // A list counts as an object without keys.
    let mut open: Vec<BTreeSet<String>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => open.push(BTreeSet::new()),
            b'}' | b']' => {
                open.pop();
            }
            b'"' => {
                let word = at..string_end(json, at);
                at = word.end;
                let is_key = json[at..].trim_start().starts_with(':');
                // Letters may be written as `\u` and their number.
                let key = serde_json::from_str(&json[word.clone()]).unwrap_or_default();
                if is_key && open.last_mut().is_some_and(|keys| !keys.insert(key)) {
                    return Some(word);
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Just behind the string that begins at `from`.
fn string_end(json: &str, from: usize) -> usize {
    let mut escaped = false;
    let ends = |byte: &u8| {
        let end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        end
    };
    let inside = json.as_bytes()[from + 1..].iter().position(ends);
    inside.map_or(json.len(), |length| from + length + 2)
}

#[cfg(test)]
mod tests {
    use super::twice;

    #[test]
    fn only_keys_of_one_object_clash() {
        let found = |json: &str| twice(json).map(|span| json[span].to_owned());
        assert_eq!(found(r#"{"a": 1, "b": {"a": 2}, "c": [{"a": 1}, {"a": 1}], "d": "a"}"#), None);
        assert_eq!(found(r#"{"a": ["b", "b"], "b": "a", "\\": 1, "\"": ":"}"#), None);
        assert_eq!(found(r#"{"a": 1, "b": {"x": 1, "y" : {}, "x" : 2}}"#).unwrap(), "\"x\"");
        assert_eq!(found(r#"{"a": 1, "\u0061": 1}"#).unwrap(), "\"\\u0061\"");
    }
}
