//! Reads a JSON object field by field. Collects all errors, suggests the field that was probably meant, and echoes no
//! values.

mod ignored;
mod likely;

use zeroize::Zeroizing;

use crate::UnknownFields;
use crate::error::FieldError;
use crate::json::{Json, Number, UNKNOWN_NAMED_MAX};

use ignored::NAMED_MAX;
pub(crate) use ignored::{IGNORED_FIELDS, IgnoredFields};
pub(crate) use likely::{Vocabulary, likely_name};

/// Longest unknown field name that is echoed to the client.
const ECHO_MAX_CHARS: usize = 40;
/// How many unknown names of an object are compared with known ones. The rest are only counted.
const COMPARED_MAX: usize = 32;
// All names that are compared or shown have been kept.
const _: () = assert!(COMPARED_MAX + NAMED_MAX < UNKNOWN_NAMED_MAX);

/// The fields of an object, and how unknown fields are treated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// All fields of the object.
    pub(crate) names: &'static [&'static str],
    /// How unknown fields that do not resemble a known one are treated.
    pub(crate) unknown: UnknownFields,
    /// Other names for these fields; `None` if there are none.
    pub(crate) vocabulary: Option<&'static Vocabulary>,
}

impl Known {
    /// An object with these fields and no other names for them.
    pub(crate) fn new(names: &'static [&'static str], unknown: UnknownFields) -> Self {
        Self { names, unknown, vocabulary: None }
    }
}

/// Reads an object field by field and collects the errors.
pub(crate) struct Fields {
    /// The object's path in the body, with a trailing dot.
    prefix: String,
    known: Known,
    values: Vec<(&'static str, Json)>,
    /// Names of unknown fields, in the order of the body.
    unknown: Vec<String>,
    /// The number of further unknown fields.
    omitted: usize,
    errors: Vec<FieldError>,
    ignored: IgnoredFields,
}

impl Fields {
    pub(crate) fn new(object: Vec<(String, Json)>, known: Known) -> Self {
        Self::at(String::new(), object, known)
    }

    fn at(prefix: String, object: Vec<(String, Json)>, known: Known) -> Self {
        let (mut values, mut unknown) = (Vec::with_capacity(known.names.len()), Vec::new());
        let mut omitted = 0;
        for (name, value) in object {
            match known.names.iter().find(|known| **known == name) {
                Some(known) => values.push((*known, value)),
                None => match value {
                    Json::Omitted(count) => omitted = count,
                    _ => unknown.push(name),
                },
            }
        }
        let (errors, ignored) = (Vec::new(), IgnoredFields::default());
        Self { prefix, known, values, unknown, omitted, errors, ignored }
    }

    fn required<T>(&mut self, name: &'static str) -> Option<T> {
        self.take(name);
        self.error(name, "is required")
    }

    /// A required string, passed to a parser.
    pub(crate) fn required_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(name) {
            None => self.error(name, "is required"),
            Some(Json::Text(text)) => {
                parse(&text).map_or_else(|error| self.error(name, &error.to_string()), Some)
            }
            Some(_) => self.error(name, "must be a string"),
        }
    }

    /// An optional or null string.
    pub(crate) fn optional_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<Option<T>, E>,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Text(text)) => {
                parse(&text).unwrap_or_else(|error| self.error(name, &error.to_string()))
            }
            Some(_) => self.error(name, "must be a string or null"),
        }
    }

    /// A required boolean.
    pub(crate) fn required_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name) {
            None => self.error(name, "is required"),
            Some(Json::Bool(value)) => Some(value),
            Some(_) => self.error(name, "must be true or false"),
        }
    }

    /// An optional string that must not be null.
    pub(crate) fn changed_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.is_present(name) { self.required_text(name, parse) } else { None }
    }

    /// An optional boolean that must not be null.
    pub(crate) fn changed_bool(&mut self, name: &'static str) -> Option<bool> {
        if self.is_present(name) { self.required_bool(name) } else { None }
    }

    /// A required whole number from 1 to 2^53 - 1.
    pub(crate) fn required_version(&mut self, name: &'static str) -> Option<u64> {
        match self.take(name) {
            None => self.error(name, "is required"),
            Some(Json::Number(number)) if number.whole() > Some(0) => number.whole(),
            Some(_) => self.error(name, "must be a whole number from 1 to 9007199254740991"),
        }
    }

    /// An optional or null boolean.
    pub(crate) fn optional_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Bool(value)) => Some(value),
            Some(_) => self.error(name, "must be true, false or null"),
        }
    }

    /// An optional or null number. `rule` is the error if `read` returns `None`.
    pub(crate) fn optional_number<T>(
        &mut self,
        name: &'static str,
        rule: &str,
        read: impl FnOnce(&Number) -> Option<T>,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Number(number)) => read(&number).or_else(|| self.error(name, rule)),
            Some(_) => self.error(name, rule),
        }
    }

    /// An optional or null array of strings, each passed to a parser. A single string counts as an array of one.
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
                self.error::<()>(name, "must be an array of strings");
                Vec::new()
            }
        };
        if items.len() > most {
            self.error::<()>(name, &format!("must have at most {most} entries"));
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
                    let errors = format!("entry {} is invalid: {error}", place + 1);
                    self.error::<()>(name, &errors);
                }
            }
        }
        texts
    }

    /// A required object. Read its fields, then pass it to [`Self::merge`].
    pub(crate) fn required_object(&mut self, name: &'static str, known: Known) -> Option<Self> {
        if self.is_set(name) { self.optional_object(name, known) } else { self.required(name) }
    }

    /// An optional or null object. Read its fields, then pass it to [`Self::merge`].
    pub(crate) fn optional_object(&mut self, name: &'static str, known: Known) -> Option<Self> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Object(object)) => Some(Self::at(format!("{}{name}.", self.prefix), object, known)),
            Some(_) => self.error(name, "must be an object"),
        }
    }

    /// An optional or null array of objects. Read the fields of each, then pass each to [`Self::merge`].
    pub(crate) fn optional_objects(&mut self, name: &'static str, most: usize, known: Known) -> Vec<Self> {
        let items = match self.take(name) {
            None | Some(Json::Null) => return Vec::new(),
            Some(Json::Array(items)) if items.len() <= most => items,
            Some(Json::Array(_)) => {
                self.error::<()>(name, &format!("must have at most {most} entries"));
                return Vec::new();
            }
            Some(_) => {
                self.error::<()>(name, "must be an array of objects");
                return Vec::new();
            }
        };
        let mut objects = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate() {
            match item {
                Json::Object(object) => {
                    objects.push(Self::at(format!("{}{name}[{place}].", self.prefix), object, known));
                }
                _ => {
                    self.error::<()>(&format!("{name}[{place}]"), "must be an object");
                }
            }
        }
        objects
    }

    /// An optional or null object whose names are the client's, with strings as values.
    pub(crate) fn optional_pairs(&mut self, name: &'static str) -> Vec<(String, Zeroizing<String>)> {
        let pairs = match self.take(name) {
            None | Some(Json::Null) => return Vec::new(),
            Some(Json::Object(pairs)) => pairs,
            Some(_) => {
                self.error::<()>(name, "must be an object with strings as values");
                return Vec::new();
            }
        };
        let mut texts = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            match value {
                Json::Text(text) => texts.push((key, text)),
                _ => {
                    self.error::<()>(&format!("{name}.{}", safe_name(&key)), "must be a string");
                }
            }
        }
        texts
    }

    /// The raw JSON text of a field that was kept as received, if it is present and not null.
    pub(crate) fn optional_raw(
        &mut self,
        name: &'static str,
        most_bytes: usize,
    ) -> Option<Zeroizing<String>> {
        match self.take(name) {
            Some(Json::Raw(text)) if text.len() <= most_bytes => Some(text),
            Some(Json::Raw(_)) => self.error(name, &format!("must be at most {most_bytes} bytes long")),
            _ => None,
        }
    }

    /// Whether the field is present, possibly null.
    pub(crate) fn is_present(&self, name: &str) -> bool {
        self.values.iter().any(|(key, _)| *key == name)
    }

    /// Whether the field is present and not null.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.values.iter().any(|(key, value)| *key == name && *value != Json::Null)
    }

    /// Whether one of these fields, or a field inside one, has an error.
    pub(crate) fn has_error(&self, names: &[&str]) -> bool {
        let is_of = |error: &FieldError| {
            let name = error.name.strip_prefix(&self.prefix).unwrap_or(&error.name);
            names.contains(&name)
        };
        self.errors.iter().any(is_of)
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let index = self.values.iter().position(|(key, _)| *key == name)?;
        Some(self.values.swap_remove(index).1)
    }

    /// Removes a field without reading it, and records an error.
    pub(crate) fn reject(&mut self, name: &str, errors: &str) {
        self.take(name);
        self.error::<()>(name, errors);
    }

    pub(crate) fn error<T>(&mut self, name: &str, errors: &str) -> Option<T> {
        let name = format!("{}{name}", self.prefix);
        self.errors.push(FieldError { name, errors: errors.to_owned() });
        None
    }

    /// Records an error of the whole object.
    pub(crate) fn object_error(&mut self, errors: &str) {
        let name = self.prefix.trim_end_matches('.').to_owned();
        self.errors.push(FieldError { name, errors: errors.to_owned() });
    }

    /// Adds the errors and ignored fields of an inner object.
    pub(crate) fn merge(&mut self, inside: Self) {
        let (errors, ignored) = inside.finish();
        self.errors.extend(errors);
        self.ignored.append(ignored);
    }

    /// Handles the unknown fields. A known field that was not read is one that only the service sets.
    pub(crate) fn finish(mut self) -> (Vec<FieldError>, IgnoredFields) {
        let unknown = std::mem::take(&mut self.unknown);
        let mut ignored = IgnoredFields::default();
        for name in unknown.iter().take(COMPARED_MAX) {
            if let Some(likely) = self.known.likely(&self.prefix, name) {
                self.error::<()>(&safe_name(name), &format!("is not a known field; did you mean {likely}?"));
            } else if self.known.unknown == UnknownFields::Reject {
                self.error::<()>(&safe_name(name), "is not a known field");
            } else {
                ignored.add(&self.prefix, &safe_name(name));
            }
        }
        let rest = unknown.get(COMPARED_MAX..).unwrap_or_default();
        match self.known.unknown {
            // Names beyond the displayed ones are not needed.
            UnknownFields::Ignore => {
                rest.iter().take(NAMED_MAX + 1).for_each(|name| ignored.add(&self.prefix, &safe_name(name)));
            }
            UnknownFields::Reject if rest.is_empty() => {}
            UnknownFields::Reject => {
                let more = rest.len() + self.omitted;
                let errors = format!("is one of {more} more unknown fields");
                self.error::<()>("?", &errors);
            }
        }
        ignored.append(self.ignored);
        (self.errors, ignored)
    }
}

impl Known {
    /// The path of the field that an unknown name probably means.
    fn likely(&self, prefix: &str, name: &str) -> Option<String> {
        match self.vocabulary {
            Some(vocabulary) => vocabulary.likely_path(name, prefix, self.names),
            None => likely_name(name, self.names).map(|near| format!("{prefix}{near}")),
        }
    }
}

/// A name that is safe to echo: a client may have put a secret into a key.
pub(crate) fn safe_name(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.len() <= ECHO_MAX_CHARS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain { name.to_owned() } else { "?".to_owned() }
}

#[cfg(test)]
mod tests;
