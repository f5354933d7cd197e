//! What a response of the transit engine means. Errors of OpenBao and Vault are texts, which are not read: the status says
//! something, and the state of the key the rest.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::FailureKind;

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Failed(FailureKind),
    /// The request was not accepted: the state of the key shows why.
    Refused,
}

/// The state of a key, as `GET keys/NAME` returns it.
#[derive(Debug, Deserialize)]
pub(super) struct KeyState {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    derived: bool,
    /// Only OpenBao.
    #[serde(default)]
    soft_deleted: bool,
    #[serde(default)]
    min_decryption_version: u64,
    #[serde(default)]
    min_available_version: u64,
    /// The versions that decrypt.
    #[serde(default)]
    keys: Map<String, Value>,
}

/// Types that take associated data and have 256 bits.
const TYPES: [&str; 3] = ["aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

pub(super) fn of_status(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Done,
        401 | 403 => Verdict::Failed(FailureKind::Forbidden),
        404 => Verdict::Failed(FailureKind::KeyNotFound),
        // A node that is behind, a limit, a standby of another cluster, no active node, sealed.
        408 | 412 | 425 | 429 | 472 | 473 | 500..=599 => Verdict::Failed(FailureKind::Unavailable),
        400 | 422 => Verdict::Refused,
        _ => Verdict::Failed(FailureKind::Misconfigured),
    }
}

/// What the state of a key prevents: encrypting, or decrypting this ciphertext. `None`: nothing.
pub(super) fn of_state(state: &KeyState, ciphertext: Option<&str>) -> Option<FailureKind> {
    if state.soft_deleted {
        return Some(FailureKind::KeyDisabled);
    }
    if state.derived || !TYPES.contains(&state.kind.as_str()) {
        return Some(FailureKind::Misconfigured);
    }
    let version = version(ciphertext?)?;
    let newest = state.keys.keys().filter_map(|version| version.parse::<u64>().ok()).max()?;
    let is_retired = version < state.min_decryption_version.max(state.min_available_version)
        || (version < newest && !state.keys.contains_key(&version.to_string()));
    is_retired.then_some(FailureKind::KeyDisabled)
}

/// The version of the key that encrypted `vault:v1:…`.
fn version(ciphertext: &str) -> Option<u64> {
    ciphertext.split(':').nth(1)?.strip_prefix('v')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_to_do_next() {
        use FailureKind::{Forbidden, KeyNotFound, Misconfigured, Unavailable};
        for (status, expected) in [
            (200, Verdict::Done),
            (204, Verdict::Done),
            (307, Verdict::Failed(Misconfigured)),
            (400, Verdict::Refused),
            (403, Verdict::Failed(Forbidden)),
            (404, Verdict::Failed(KeyNotFound)),
            (405, Verdict::Failed(Misconfigured)),
            (412, Verdict::Failed(Unavailable)),
            (429, Verdict::Failed(Unavailable)),
            (473, Verdict::Failed(Unavailable)),
            (500, Verdict::Failed(Unavailable)),
            (502, Verdict::Failed(Unavailable)),
            (503, Verdict::Failed(Unavailable)),
        ] {
            assert_eq!(of_status(status), expected, "{status}");
        }
    }

    fn state(more: &str) -> KeyState {
        let text = format!("{{\"type\": \"aes256-gcm96\", \"keys\": {{\"2\": 1, \"3\": 1}}{more}}}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_state_of_a_key_shows_what_it_prevents() {
        use FailureKind::{KeyDisabled, Misconfigured};
        for (more, ciphertext, expected) in [
            ("", None, None),
            ("", Some("vault:v3:AA"), None),
            ("", Some("vault:v2:AA"), None),
            ("", Some("vault:v4:AA"), None),
            ("", Some("nonsense"), None),
            ("", Some("vault:v1:AA"), Some(KeyDisabled)),
            (", \"min_decryption_version\": 3", Some("vault:v2:AA"), Some(KeyDisabled)),
            (", \"min_available_version\": 3", Some("vault:v2:AA"), Some(KeyDisabled)),
            (", \"min_decryption_version\": 3", Some("vault:v3:AA"), None),
            (", \"soft_deleted\": true", None, Some(KeyDisabled)),
            (", \"soft_deleted\": true", Some("vault:v3:AA"), Some(KeyDisabled)),
            (", \"derived\": true", None, Some(Misconfigured)),
        ] {
            assert_eq!(of_state(&state(more), ciphertext), expected, "{more} {ciphertext:?}");
        }
        let rsa = KeyState { kind: "rsa-2048".to_owned(), ..state("") };
        assert_eq!(of_state(&rsa, None), Some(Misconfigured));
    }
}
