//! Finds an API key in a text that was pasted, such as a header or a line of a log.

use domain::api_key::{KEY_PREFIX, PlainKey};
use thiserror::Error;

use crate::prepare::parse_key;

/// Characters that follow a key in a text. An imported key may contain them, and is found if the text has nothing else.
const ENDS: &[char] = &['"', '\'', '`', '<', '>', '(', ')', '[', ']', '{', '}', ',', ';', '&', '\\'];

/// The text has several keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text has several keys: paste one at a time")]
pub(super) struct SeveralKeys;

/// The one key in a text, if there is one.
pub(super) fn find_key(text: &str) -> Result<Option<PlainKey>, SeveralKeys> {
    if let Ok(key) = parse_key(text) {
        return Ok(Some(key));
    }
    let mut found: Option<PlainKey> = None;
    for (start, _) in text.match_indices(KEY_PREFIX) {
        let rest = text.get(start..).unwrap_or_default();
        let word = rest.split(|c: char| c.is_whitespace() || ENDS.contains(&c)).next().unwrap_or_default();
        let Ok(key) = PlainKey::parse(word.trim_end_matches(['.', ':', '!', '?'])) else { continue };
        match &found {
            Some(other) if other.expose() != key.expose() => return Err(SeveralKeys),
            _ => found = Some(key),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        find_key(text).unwrap().map(|key| key.expose().to_owned())
    }

    #[test]
    fn a_key_is_found_alone_and_in_other_text() {
        let key = "pictai_4Zk0aB8c";
        for text in [
            key.to_owned(),
            format!(" {key}\n"),
            format!("Bearer {key}"),
            format!("Authorization: {key}\r\n"),
            format!("{{\"key\":\"{key}\"}}"),
            format!("curl -H 'authorization: Bearer {key}' http://x"),
            format!("It is {key}. And again: {key}"),
            format!("https://x/?key={key}&b=1"),
            format!("pictai_ is the prefix of <{key}>"),
        ] {
            assert_eq!(found(&text).as_deref(), Some(key), "{text}");
        }
        let imported = "pictai_with\"quotes,";
        assert_eq!(found(imported).as_deref(), Some(imported), "nothing else is in the text");
        for text in ["", "pictai_", "pictai_short", "sk_4Zk0aB8c", "PICTAI_4Zk0aB8c"] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_with_several_keys_is_refused() {
        let error = find_key("pictai_4Zk0aB8c pictai_5Zk0aB8c").unwrap_err();
        assert!(!error.to_string().contains("Zk0"), "{error}");
    }
}
