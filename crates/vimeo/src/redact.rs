//! Removes secrets from Vimeo's messages: the secrets of a request must not appear in an error, whole or in part, plain
//! or encoded.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use domain::secret::Secret;
use zeroize::Zeroizing;

/// How many characters of a text are searched; far more than are kept.
const SEARCHED_MAX: usize = 1_024;
/// How many consecutive characters count as a part of a token.
const TOKEN_RUN: usize = 8;
/// The same for a password, which is shorter and easier to guess.
const PASSWORD_RUN: usize = 4;
const MASK: &str = "[redacted]";

/// The secrets of a request, to be removed from texts.
pub(crate) struct Redactor {
    needles: Vec<Needle>,
}

/// One encoding of a secret, in lower case.
struct Needle {
    characters: Zeroizing<Vec<char>>,
    run: usize,
}

impl Redactor {
    pub(crate) fn new(token: &str, passwords: &[&Secret]) -> Self {
        let mut needles = Vec::new();
        add_forms(&mut needles, token, TOKEN_RUN);
        for password in passwords {
            add_forms(&mut needles, password.expose(), PASSWORD_RUN);
        }
        Self { needles }
    }

    /// A message of Vimeo's for logs and users: no control characters, URLs reduced to their hosts, parts of secrets
    /// masked, at most `max_chars` characters.
    pub(crate) fn clean(&self, text: &str, max_chars: usize) -> String {
        let plain = text.chars().filter(|character| !character.is_control());
        let plain: Vec<char> = plain.take(SEARCHED_MAX).collect();
        // Mask first, because the host of a URL may contain a secret.
        let masked = self.mask(&plain);
        strip_paths(&masked).chars().take(max_chars).collect()
    }

    /// Whether a text contains a part of a secret.
    pub(crate) fn contains_secret(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.marks(&text).contains(&true)
    }

    fn mask(&self, text: &[char]) -> String {
        let marks = self.marks(text);
        let mut masked = String::with_capacity(text.len());
        let mut is_masked = false;
        for (character, mark) in text.iter().zip(marks) {
            match (mark, is_masked) {
                (true, false) => masked.push_str(MASK),
                (true, true) => {}
                (false, _) => masked.push(*character),
            }
            is_masked = mark;
        }
        masked
    }

    /// For each character, whether it belongs to a part of a secret.
    fn marks(&self, text: &[char]) -> Vec<bool> {
        let lower: Vec<char> = text.iter().map(char::to_ascii_lowercase).collect();
        let mut marks = vec![false; text.len()];
        for needle in &self.needles {
            for (start, window) in lower.windows(needle.run).enumerate() {
                if needle.characters.windows(needle.run).any(|part| part == window) {
                    marks.iter_mut().skip(start).take(needle.run).for_each(|mark| *mark = true);
                }
            }
        }
        marks
    }
}

/// Adds a secret as it is, percent-encoded, in hexadecimal, and in base64 for each of the three alignments.
fn add_forms(needles: &mut Vec<Needle>, secret: &str, run: usize) {
    if secret.is_empty() {
        return;
    }
    let mut add = |form: Zeroizing<String>, run: usize| {
        let characters: Vec<char> = form.chars().map(|character| character.to_ascii_lowercase()).collect();
        let run = run.min(characters.len()).max(1);
        needles.push(Needle { characters: Zeroizing::new(characters), run });
    };
    let (mut percent, mut hexadecimal) = (Zeroizing::new(String::new()), Zeroizing::new(String::new()));
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() {
            percent.push(char::from(byte));
        } else {
            let _ = write!(percent, "%{byte:02x}");
        }
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    add(Zeroizing::new(secret.to_owned()), run);
    add(percent, run);
    add(hexadecimal, run.max(TOKEN_RUN));
    for skipped in 0..secret.len().min(3) {
        let rest = secret.as_bytes().get(skipped..).unwrap_or_default();
        // The last characters also depend on the bytes that follow.
        let whole = rest.get(..rest.len() / 3 * 3).unwrap_or_default();
        for encoded in [STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)] {
            if encoded.len() >= TOKEN_RUN {
                add(Zeroizing::new(encoded), TOKEN_RUN);
            }
        }
    }
}

/// A text may contain an upload link, which is a secret: only the host of a URL is kept.
fn strip_paths(text: &str) -> String {
    let mut rest = text;
    let mut shown = String::with_capacity(text.len());
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let is_end = |character: char| character.is_whitespace() || "\"'<>)".contains(character);
        let address = after.split(is_end).next().unwrap_or_default();
        let host = address.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        shown.push_str(host);
        if host.len() < address.len() {
            shown.push_str("/…");
        }
        rest = after.get(address.len()..).unwrap_or_default();
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdefFEDCBA98+/=76543210canary";

    fn clean(text: &str) -> String {
        Redactor::new(TOKEN, &[&Secret::new("Pass-word9".to_owned())]).clean(text, 300)
    }

    #[test]
    fn no_part_of_a_token_survives_in_any_encoding() {
        let base64 = |offset: usize| {
            let padded = format!("{}{TOKEN}tail", &"xyz"[..offset]);
            STANDARD_NO_PAD.encode(padded)
        };
        let percent = TOKEN.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let hexadecimal = TOKEN.bytes().fold(String::new(), |text, byte| text + &format!("{byte:02X}"));
        let mut forms = vec![TOKEN.to_owned(), TOKEN.to_uppercase(), percent, hexadecimal];
        forms.extend((0..3).map(base64));
        for form in forms {
            let cleaned = clean(&format!("The token {form} is unknown."));
            assert!(cleaned.contains(MASK), "{cleaned}");
            for part in form.as_bytes().windows(TOKEN_RUN) {
                let part = std::str::from_utf8(part).unwrap();
                // In base64, the first and last characters depend on the neighbouring bytes.
                if part.contains("eHl6") || form.ends_with(part) || form.starts_with(part) {
                    continue;
                }
                assert!(!cleaned.contains(part) || !clean(part).contains(MASK), "{part}: {cleaned}");
            }
        }
        for start in 0..TOKEN.len() - TOKEN_RUN {
            let part = &TOKEN[start..start + TOKEN_RUN];
            assert_eq!(clean(&format!("<{part}>")), format!("<{MASK}>"));
        }
        assert_eq!(clean(&TOKEN.chars().flat_map(|c| [c, '\u{1}']).collect::<String>()), MASK);
    }

    #[test]
    fn a_token_is_masked_before_the_text_is_truncated() {
        for before in 280..=300 {
            let cleaned = clean(&format!("{}{TOKEN}", "-".repeat(before)));
            assert!(!cleaned.contains(&TOKEN[..4]), "{before}: {cleaned}");
        }
    }

    #[test]
    fn passwords_and_upload_links_are_masked_too() {
        assert_eq!(clean("pass-WORD9 is too weak"), format!("{MASK} is too weak"));
        assert_eq!(clean("`ord9` is too weak"), format!("`{MASK}` is too weak"));
        assert_eq!(
            clean("see https://u:p@files.tus.vimeo.com/files/secret?x=1, now"),
            "see https://files.tus.vimeo.com/… now"
        );
        assert_eq!(
            clean("see https://vimeo.com and <http://a.b/c> too"),
            "see https://vimeo.com and <http://a.b/…> too"
        );
        assert_eq!(clean("Invalid privacy.view"), "Invalid privacy.view");
    }
}
