//! The configuration file: TOML, with the line of every value. Errors show no values, which may be secrets.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Kind;
use super::limit_keys;

const DEFAULT_FILE: &str = "vimeo-connections.toml";
/// The byte order mark that some editors add.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One key in the file.
pub(super) struct Entry {
    /// Section and name, separated by a dot.
    pub(super) name: String,
    /// The value as text, or why it is invalid.
    pub(super) value: Result<String, String>,
    /// Starts at 1.
    pub(super) line: usize,
}

/// Reads the given file, or the default one. A missing default file has no keys.
pub(super) fn read(file: Option<&Path>) -> Result<Vec<Entry>, String> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => return Ok(Vec::new()),
        Err(error) => return Err(format!("the file {} cannot be read: {error}", path.display())),
    };
    parse(&text).map_err(|error| format!("the file {} is not TOML: {error}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let table = DeTable::parse(text).map_err(|error| {
        // The parser's message quotes the line, which may contain a secret.
        let line = line_at(text, error.span().map_or(0, |span| span.start));
        format!("line {line}: {}", cure(text, line))
    })?;
    let mut entries = Vec::new();
    flatten("", table.get_ref(), text, &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// The entries of a table whose name ends with a dot, and of those in it.
fn flatten(prefix: &str, table: &DeTable<'_>, text: &str, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        let line = line_at(text, name.span().start);
        let name = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(section) => flatten(&format!("{name}."), section, text, entries),
            _ => entries.push(entry(name, value, line)),
        }
    }
}

fn entry(name: String, value: &Spanned<DeValue<'_>>, line: usize) -> Entry {
    Entry { name, value: text_of(value.get_ref()), line }
}

fn text_of(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Array(entries) => {
            let texts: Option<Vec<_>> = entries.iter().map(|entry| entry.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(",")).ok_or_else(|| "every entry of a list needs quotes".to_owned())
        }
        DeValue::Float(_) => Err("must be a whole number, or have quotes around it".to_owned()),
        DeValue::Datetime(_) | DeValue::Table(_) => Err("must not be a table or a date".to_owned()),
    }
}

/// Starts at 1.
fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

/// How to fix a line that cannot be parsed.
fn cure(text: &str, line: usize) -> String {
    let line = text.lines().nth(line - 1).unwrap_or_default();
    let Some((name, value)) = line.split_once('=').map(|(name, value)| (name.trim(), value.trim())) else {
        return "write `key = value`, or `[section]`".to_owned();
    };
    let is_named = |key: &str| key == name || key.rsplit_once('.').is_some_and(|(_, last)| last == name);
    let key = limit_keys::all()
        .find(|key| key.name == name)
        .or_else(|| limit_keys::all().find(|key| is_named(key.name)));
    let example = key.map(|key| key.default).filter(|default| !default.is_empty()).unwrap_or("…");
    match key.map(|key| &key.kind) {
        _ if value.is_empty() => format!("`{name}` has no value; leave the line out, or write a value"),
        Some(Kind::Text | Kind::Choice(_)) if !value.starts_with(['"', '\'']) => {
            format!("a string value needs quotes: {name} = \"{example}\"")
        }
        Some(Kind::List) if !value.starts_with('[') => {
            format!("a list needs brackets, and quotes around each entry: {name} = [\"{}\"]", {
                example.replace(',', "\", \"")
            })
        }
        Some(Kind::Flag) => format!("`{name}` is true or false, in lower case and without quotes"),
        Some(Kind::Number { .. }) => format!("`{name}` is a whole number, in digits only"),
        _ => "a quote or bracket is missing, or the key is duplicated".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_line_is_named_with_a_fix() {
        for (text, expected) in [
            (
                "\nlisten = 127.0.0.1:8080\n",
                "line 2: a string value needs quotes: listen = \"127.0.0.1:8080\"",
            ),
            ("[vimeo]\nbase_url = https://x\n", "line 2: a string value needs quotes: base_url = \"https://"),
            ("[keyring.transit]\nmount = a\n", "line 2: a string value needs quotes: mount = \"transit\""),
            ("[vimeo]\nrequired_scopes = private\n", "required_scopes = [\"private\", \"upload\", \"edit\"]"),
            ("strict_fields = True\n", "line 1: `strict_fields` is true or false, in lower case"),
            ("shutdown_seconds = 10s\n", "line 1: `shutdown_seconds` is a whole number"),
            ("listen = ", "line 1: `listen` has no value"),
            ("listen \"x\"\n", "line 1: write `key = value`"),
            ("a = 1\nlisten = \"x\n", "line 2: a quote or bracket is missing"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let secret = parse("[keyring]\nvalue = canary\n").err().unwrap();
        assert!(secret.contains("value = \"…\"") && !secret.contains("canary"), "{secret}");
    }

    #[test]
    fn every_value_has_its_line_and_a_byte_order_mark_is_skipped() {
        let text = "\u{feff}listen = \"a\"\nvimeo.proxy = \"b\"\n\n[store]\n# c\nqueue = 7\n[keyring.transit]\nkey = \"k\"\n";
        let entries = parse(text).unwrap();
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value.clone().unwrap(), entry.line))
            .collect();
        let expected = [
            ("listen", "a".to_owned(), 1),
            ("vimeo.proxy", "b".to_owned(), 2),
            ("store.queue", "7".to_owned(), 6),
            ("keyring.transit.key", "k".to_owned(), 8),
        ];
        assert_eq!(shown, expected);
    }
}
