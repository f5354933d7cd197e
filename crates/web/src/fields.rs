//! An object of a body, field by field: every fault at once, near misses told, no value echoed.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use zeroize::Zeroizing;

use crate::UnknownFields;
use crate::error::FieldFault;
use crate::json::{Json, Number};

/// Names the fields of a body that were ignored.
pub(crate) const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");
/// The longest unknown field name that is repeated to the client.
const ECHO_MAX_CHARS: usize = 40;
/// How many ignored fields are named in the header.
const IGNORED_NAMED_MAX: usize = 20;
/// Up to this many typing errors an unknown field is taken for a misspelt known one.
const NEAR_MISS_DISTANCE: usize = 2;

/// Takes an object apart field by field, and collects what is wrong with it.
pub(crate) struct Fields {
    /// In front of each name: where the object stands in the body, with a dot behind it.
    prefix: String,
    object: Vec<(String, Json)>,
    faults: Vec<FieldFault>,
    ignored: IgnoredFields,
}

impl Fields {
    pub(crate) fn new(object: Vec<(String, Json)>) -> Self {
        Self::at(String::new(), object)
    }

    fn at(prefix: String, object: Vec<(String, Json)>) -> Self {
        Self { prefix, object, faults: Vec::new(), ignored: IgnoredFields::default() }
    }

    fn required<T>(&mut self, name: &'static str) -> Option<T> {
        self.take(name);
        self.fault(name, "is required")
    }

    /// A text that must be there and pass its parser.
    pub(crate) fn required_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(name) {
            None => self.fault(name, "is required"),
            Some(Json::Text(text)) => {
                parse(&text).map_or_else(|error| self.fault(name, &error.to_string()), Some)
            }
            Some(_) => self.fault(name, "must be a string"),
        }
    }

    /// A text that may be left out or null.
    pub(crate) fn optional_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<Option<T>, E>,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Text(text)) => {
                parse(&text).unwrap_or_else(|error| self.fault(name, &error.to_string()))
            }
            Some(_) => self.fault(name, "must be a string or null"),
        }
    }

    /// `true` or `false`, which must be there.
    pub(crate) fn required_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name) {
            None => self.fault(name, "is required"),
            Some(Json::Bool(value)) => Some(value),
            Some(_) => self.fault(name, "must be true or false"),
        }
    }

    /// A text that may be left out, but not be null.
    pub(crate) fn changed_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.is_given(name) { self.required_text(name, parse) } else { None }
    }

    /// `true` or `false`, which may be left out, but not be null.
    pub(crate) fn changed_bool(&mut self, name: &'static str) -> Option<bool> {
        if self.is_given(name) { self.required_bool(name) } else { None }
    }

    /// A whole number from 1 to 2^53 - 1, which must be there.
    pub(crate) fn required_version(&mut self, name: &'static str) -> Option<u64> {
        match self.take(name) {
            None => self.fault(name, "is required"),
            Some(Json::Number(number)) if number.whole() > Some(0) => number.whole(),
            Some(_) => self.fault(name, "must be a whole number from 1 to 9007199254740991"),
        }
    }

    /// `true` or `false`, which may be left out or null.
    pub(crate) fn optional_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Bool(value)) => Some(value),
            Some(_) => self.fault(name, "must be true, false or null"),
        }
    }

    /// A number that may be left out or null; `None` from `read` is what `rule` forbids.
    pub(crate) fn optional_number<T>(
        &mut self,
        name: &'static str,
        rule: &str,
        read: impl FnOnce(&Number) -> Option<T>,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Number(number)) => read(&number).or_else(|| self.fault(name, rule)),
            Some(_) => self.fault(name, rule),
        }
    }

    /// Texts that may be left out or null, each read by its parser. A text alone stands for a list of one.
    pub(crate) fn optional_texts<T, E: ToString>(
        &mut self,
        name: &'static str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let items = match self.take(name) {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::Array(items)) => items,
            Some(text @ Json::Text(_)) => vec![text],
            Some(_) => {
                self.fault::<()>(name, "must be an array of strings");
                Vec::new()
            }
        };
        if items.len() > most {
            self.fault::<()>(name, &format!("must have at most {most} entries"));
            return Vec::new();
        }
        let mut texts = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let parsed = match item {
                Json::Text(text) => parse(text).map_err(|error| error.to_string()),
                _ => Err("must be a string".to_owned()),
            };
            match parsed {
                Ok(text) => texts.push(text),
                Err(error) => {
                    let errors = format!("has a faulty entry, number {}: it {error}", place + 1);
                    self.fault::<()>(name, &errors);
                }
            }
        }
        texts
    }

    /// An object that must be there, to be taken apart in its turn and then given back to [`Self::absorb`].
    pub(crate) fn required_object(&mut self, name: &'static str) -> Option<Self> {
        if self.is_set(name) { self.optional_object(name) } else { self.required(name) }
    }

    /// An object that may be left out or null, to be taken apart in its turn and then given back to [`Self::absorb`].
    pub(crate) fn optional_object(&mut self, name: &'static str) -> Option<Self> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Object(object)) => Some(Self::at(format!("{}{name}.", self.prefix), object)),
            Some(_) => self.fault(name, "must be an object"),
        }
    }

    /// The text of a field that was kept as it came, if it is there and not null.
    pub(crate) fn optional_raw(
        &mut self,
        name: &'static str,
        most_bytes: usize,
    ) -> Option<Zeroizing<String>> {
        match self.take(name) {
            Some(Json::Raw(text)) if text.len() <= most_bytes => Some(text),
            Some(Json::Raw(_)) => self.fault(name, &format!("must be at most {most_bytes} bytes long")),
            _ => None,
        }
    }

    /// Whether the field is there, whatever it says.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.object.iter().any(|(key, _)| key == name)
    }

    /// Whether the field is there and not null.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.object.iter().any(|(key, value)| key == name && *value != Json::Null)
    }

    /// Whether anything is wrong with one of these fields, or with what is in it.
    pub(crate) fn is_faulty(&self, names: &[&str]) -> bool {
        let is_of = |fault: &FieldFault| {
            let name = fault.name.strip_prefix(&self.prefix).unwrap_or(&fault.name);
            names.contains(&name)
        };
        self.faults.iter().any(is_of)
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let index = self.object.iter().position(|(key, _)| key == name)?;
        Some(self.object.remove(index).1)
    }

    /// Takes a field out without looking at it, because something else is wrong with it.
    pub(crate) fn refuse(&mut self, name: &str, errors: &str) {
        self.take(name);
        self.fault::<()>(name, errors);
    }

    pub(crate) fn fault<T>(&mut self, name: &str, errors: &str) -> Option<T> {
        let name = format!("{}{name}", self.prefix);
        self.faults.push(FieldFault { name, errors: errors.to_owned() });
        None
    }

    /// The object as a whole is wrong.
    pub(crate) fn fault_of_whole(&mut self, errors: &str) {
        let name = self.prefix.trim_end_matches('.').to_owned();
        self.faults.push(FieldFault { name, errors: errors.to_owned() });
    }

    /// Takes over what an object inside this one came to, which knows these fields.
    pub(crate) fn absorb(&mut self, inside: Self, known: &[&str], unknown: UnknownFields) {
        let (faults, ignored) = inside.finish(known, unknown);
        self.faults.extend(faults);
        self.ignored.0.extend(ignored.0);
    }

    /// What is left is unknown, or only the service's to set. `known` is every field that the object has.
    pub(crate) fn finish(
        mut self,
        known: &[&str],
        unknown: UnknownFields,
    ) -> (Vec<FieldFault>, IgnoredFields) {
        let mut ignored = IgnoredFields::default();
        for (name, _) in std::mem::take(&mut self.object) {
            if known.contains(&name.as_str()) {
                continue;
            }
            if let Some(near) = near_miss(&name, known) {
                let prefix = &self.prefix;
                let errors = format!("is not a known field; did you mean {prefix}{near}?");
                self.fault::<()>(&shown(&name), &errors);
            } else if unknown == UnknownFields::Refuse {
                self.fault::<()>(&shown(&name), "is not a known field");
            } else {
                ignored.0.push(format!("{}{}", self.prefix, shown(&name)));
            }
        }
        ignored.0.append(&mut self.ignored.0);
        (self.faults, ignored)
    }
}

/// The known field that a name was probably meant to be.
fn near_miss<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = fold(name);
    if let Some(spelt_otherwise) = known.iter().find(|known| fold(known) == folded) {
        return Some(spelt_otherwise);
    }
    // A name much longer than any field is no typing error; comparing it would cost more than reading it.
    if name.len() > 4 * ECHO_MAX_CHARS {
        return None;
    }
    let distances = known.iter().map(|known| (strsim::levenshtein(known, name), *known));
    let (best, near) = distances.min_by_key(|(best, _)| *best)?;
    (best <= NEAR_MISS_DISTANCE).then_some(near)
}

fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// A name as it may be repeated: who knows what a client put into a key.
fn shown(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.len() <= ECHO_MAX_CHARS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain { name.to_owned() } else { "?".to_owned() }
}

/// Names of the fields that were ignored, fit to be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IgnoredFields(Vec<String>);

impl IgnoredFields {
    /// Names them in the response.
    pub(crate) fn report(&self, response: &mut Response) {
        // Every name is plain ASCII, so that this is always a header's value.
        if let Some(Ok(value)) = self.in_words().as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(IGNORED_FIELDS, value);
        }
    }

    /// Their names, for the header; `None` if there are none.
    pub(crate) fn in_words(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = self.0.iter().take(IGNORED_NAMED_MAX).map(String::as_str).collect();
        if self.0.len() > IGNORED_NAMED_MAX {
            names.push("...");
        }
        Some(names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["name", "clientSecret", "clientIdentifier", "accessToken"];

    #[test]
    fn a_near_miss_is_a_few_letters_or_another_spelling_away() {
        for (name, near) in [
            ("client_secret", Some("clientSecret")),
            ("CLIENT-IDENTIFIER", Some("clientIdentifier")),
            ("accesToken", Some("accessToken")),
            ("acessTokn", Some("accessToken")),
            ("accessTokens", Some("accessToken")),
            ("nmae", Some("name")),
            ("token", None),
            ("client", None),
            ("title", None),
            ("clientId", None),
        ] {
            assert_eq!(near_miss(name, &KNOWN), near, "{name}");
        }
    }

    #[test]
    fn only_plain_names_are_repeated() {
        assert_eq!(shown("folder_uri2"), "folder_uri2");
        for name in ["", "client-secret", "a b", "caf\u{e9}", "x\r\ny", &"x".repeat(41)] {
            assert_eq!(shown(name), "?", "{name:?}");
        }
    }

    #[test]
    fn many_ignored_fields_make_a_short_header() {
        let ignored = IgnoredFields((0..500).map(|n| format!("field{n}")).collect());
        let mut response = Response::default();
        ignored.report(&mut response);
        let value = response.headers()["x-ignored-fields"].to_str().unwrap();
        assert!(value.starts_with("field0, field1, ") && value.ends_with(", ..."), "{value}");
        assert!(value.len() < 300);
    }
}
