//! The effective configuration, for `config check`.

use std::fmt::Write as _;

use super::{Layers, limit_keys};

/// The effective configuration as a file, with the source of each value. Secrets are redacted.
pub(crate) fn effective(layers: &Layers) -> String {
    let mut text = String::new();
    for key in limit_keys::all() {
        let (mark, value) = match layers.text(key.name) {
            None | Some("") => ("# ", "not set".to_owned()),
            Some(_) if key.is_secret => ("", "\"<redacted>\"".to_owned()),
            Some(value) => ("", key.kind.to_toml(&redact_password(value))),
        };
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{mark}{} = {value}  # {}", key.name, layers.source(key.name));
    }
    text
}

/// A URL without its user information and without passwords in its query.
fn redact_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (front, query) = rest.split_once('?').map_or((rest, None), |(front, query)| (front, Some(query)));
    let front = match front.rsplit_once('@') {
        Some((_, place)) => format!("<redacted>@{place}"),
        None => front.to_owned(),
    };
    let query = query.map_or_else(String::new, |query| {
        let shown = query.split('&').map(|pair| {
            let is_secret = pair.split('=').next().is_some_and(|key| key.to_lowercase().contains("pass"));
            if is_secret { "<redacted>" } else { pair }
        });
        format!("?{}", shown.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{front}{query}")
}
