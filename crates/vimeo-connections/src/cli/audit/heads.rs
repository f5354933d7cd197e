//! Exported heads as JSON lines.

use std::path::Path;

use app::SignedHead;
use domain::audit::{AuditHead, LINK_LEN, Link};
use domain::id::AccountId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cli::BoxError;

/// The largest file that is read, in bytes: some hundred thousand heads.
const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HeadJson {
    account_id: String,
    position: u64,
    /// In hexadecimal digits.
    link: String,
    date: String,
    /// In hexadecimal digits.
    signature: String,
}

/// A head as JSON.
pub(super) fn show(signed: &SignedHead) -> impl std::fmt::Display {
    let SignedHead { head, signature } = signed;
    let shown = HeadJson {
        account_id: head.account_id.to_string(),
        position: head.position,
        link: hex(&head.link.0),
        date: head.at.to_string(),
        signature: hex(signature),
    };
    // A serialisation of texts and numbers does not fail.
    serde_json::to_string(&shown).unwrap_or_default()
}

/// Reads a file of heads.
pub(super) fn read(path: &Path) -> Result<Vec<SignedHead>, BoxError> {
    let failed = |reason: String| -> BoxError { format!("{}: {reason}", path.display()).into() };
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > FILE_MAX_BYTES {
        return Err(failed("the file is too large for exported heads".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let heads: Vec<_> = lines
        .map(|(number, line)| {
            parse(line).ok_or_else(|| {
                failed(format!("line {} is not a head that `audit head export` printed", number + 1))
            })
        })
        .collect::<Result<_, _>>()?;
    // An empty file would verify nothing.
    if heads.is_empty() { Err(failed("the file has no heads".to_owned())) } else { Ok(heads) }
}

fn parse(line: &str) -> Option<SignedHead> {
    let json: HeadJson = serde_json::from_str(line).ok()?;
    let last_link: [u8; LINK_LEN] = unhex(&json.link)?.try_into().ok()?;
    let head = AuditHead {
        account_id: AccountId::from_stored(json.account_id),
        position: json.position,
        link: Link(last_link),
        at: Timestamp::parse(&json.date).ok()?,
    };
    Some(SignedHead { head, signature: unhex(&json.signature)? })
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_shown_and_nothing_else_is() {
        let head = AuditHead {
            account_id: AccountId::from_random([1; 16]),
            position: 7,
            link: Link([0xa5; LINK_LEN]),
            at: Timestamp::from_millis(1_769_850_300_042),
        };
        let signed = SignedHead { head, signature: vec![0, 1, 254, 255] };
        let line = show(&signed).to_string();
        assert_eq!(parse(&line), Some(signed));
        for bad in [
            "",
            "{}",
            &line.replace("a5", "a"),
            &line.replace("a5", "ag"),
            &line.replace(".042Z", ""),
            &line.replace("position", "place"),
            &line.replace('7', "-7"),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
