//! An object of a body, field by field: every fault at once, the likely field named, no value echoed.

mod ignored;
mod likely;

use zeroize::Zeroizing;

use crate::UnknownFields;
use crate::error::FieldFault;
use crate::json::{Json, Number, UNKNOWN_NAMED_MAX};

use ignored::NAMED_MAX;
pub(crate) use ignored::{IGNORED_FIELDS, IgnoredFields};
pub(crate) use likely::{Vocabulary, likely_name};

/// The longest unknown field name that is repeated to the client.
const ECHO_MAX_CHARS: usize = 40;
/// How many unknown names of one object are compared with known ones. The rest cost nothing but reading them.
const COMPARED_MAX: usize = 32;
// All that is compared or shown has its name.
const _: () = assert!(COMPARED_MAX + NAMED_MAX < UNKNOWN_NAMED_MAX);

/// The fields of an object, and what happens to others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Every field that the object has.
    pub(crate) names: &'static [&'static str],
    /// What happens to unknown fields that are no near misses of these names.
    pub(crate) unknown: UnknownFields,
    /// What unknown fields may mean besides these names; `None`: nothing.
    pub(crate) vocabulary: Option<&'static Vocabulary>,
}

impl Known {
    /// An object that has these fields; only their near misses are recognised.
    pub(crate) fn new(names: &'static [&'static str], unknown: UnknownFields) -> Self {
        Self { names, unknown, vocabulary: None }
    }
}

/// Reads an object field by field, and collects what is wrong with it.
pub(crate) struct Fields {
    /// The object's path in the body, with a dot at its end.
    prefix: String,
    known: Known,
    values: Vec<(&'static str, Json)>,
    /// Names of fields that the object does not have, in the order of the body.
    unknown: Vec<String>,
    /// How many more there are.
    omitted: usize,
    faults: Vec<FieldFault>,
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
        let (faults, ignored) = (Vec::new(), IgnoredFields::default());
        Self { prefix, known, values, unknown, omitted, faults, ignored }
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
                    let errors = format!("entry {} is invalid: {error}", place + 1);
                    self.fault::<()>(name, &errors);
                }
            }
        }
        texts
    }

    /// An object that must be there, to be read in its turn and then given back to [`Self::absorb`].
    pub(crate) fn required_object(&mut self, name: &'static str, known: Known) -> Option<Self> {
        if self.is_set(name) { self.optional_object(name, known) } else { self.required(name) }
    }

    /// An object that may be left out or null, to be read in its turn and then given back to [`Self::absorb`].
    pub(crate) fn optional_object(&mut self, name: &'static str, known: Known) -> Option<Self> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Object(object)) => Some(Self::at(format!("{}{name}.", self.prefix), object, known)),
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
        self.values.iter().any(|(key, _)| *key == name)
    }

    /// Whether the field is there and not null.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.values.iter().any(|(key, value)| *key == name && *value != Json::Null)
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
        let index = self.values.iter().position(|(key, _)| *key == name)?;
        Some(self.values.swap_remove(index).1)
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

    /// Takes over the faults of an object inside this one, and the names that were ignored in it.
    pub(crate) fn absorb(&mut self, inside: Self) {
        let (faults, ignored) = inside.finish();
        self.faults.extend(faults);
        self.ignored.append(ignored);
    }

    /// Judges the unknown fields. A known field that was not read is one that only the service sets.
    pub(crate) fn finish(mut self) -> (Vec<FieldFault>, IgnoredFields) {
        let unknown = std::mem::take(&mut self.unknown);
        let mut ignored = IgnoredFields::default();
        for name in unknown.iter().take(COMPARED_MAX) {
            if let Some(likely) = self.known.likely(&self.prefix, name) {
                self.fault::<()>(&shown(name), &format!("is not a known field; did you mean {likely}?"));
            } else if self.known.unknown == UnknownFields::Refuse {
                self.fault::<()>(&shown(name), "is not a known field");
            } else {
                ignored.add(&self.prefix, &shown(name));
            }
        }
        let rest = unknown.get(COMPARED_MAX..).unwrap_or_default();
        match self.known.unknown {
            // More than are shown are not even read.
            UnknownFields::Report => {
                rest.iter().take(NAMED_MAX + 1).for_each(|name| ignored.add(&self.prefix, &shown(name)));
            }
            UnknownFields::Refuse if rest.is_empty() => {}
            UnknownFields::Refuse => {
                let more = rest.len() + self.omitted;
                let errors = format!("is one of {more} more fields that are not known");
                self.fault::<()>("?", &errors);
            }
        }
        ignored.append(self.ignored);
        (self.faults, ignored)
    }
}

impl Known {
    /// The path of the field that an unknown one was probably meant to be.
    fn likely(&self, prefix: &str, name: &str) -> Option<String> {
        match self.vocabulary {
            Some(vocabulary) => vocabulary.likely_path(name, prefix, self.names),
            None => likely_name(name, self.names).map(|near| format!("{prefix}{near}")),
        }
    }
}

/// A name as it may be repeated: a client may have put a secret into a key.
pub(crate) fn shown(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.len() <= ECHO_MAX_CHARS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain { name.to_owned() } else { "?".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["name", "clientSecret", "clientIdentifier", "accessToken"];

    fn finish(unknown: UnknownFields, names: &[String]) -> (Vec<FieldFault>, IgnoredFields) {
        let object = names.iter().map(|name| (name.clone(), Json::Null)).collect();
        Fields::new(object, Known::new(&NAMES, unknown)).finish()
    }

    #[test]
    fn only_plain_names_are_repeated() {
        assert_eq!(shown("folder_uri2"), "folder_uri2");
        for name in ["", "client-secret", "a b", "caf\u{e9}", "x\r\ny", &"x".repeat(41)] {
            assert_eq!(shown(name), "?", "{name:?}");
        }
    }

    #[test]
    fn of_many_unknown_fields_some_are_compared_and_the_rest_is_counted() {
        let mut names: Vec<_> = (0..COMPARED_MAX - 1).map(|number| format!("unheard_of_{number}")).collect();
        names.push("client_secret".to_owned());
        names.extend((0..2_000).map(|_| "nmae".to_owned()));
        let (faults, ignored) = finish(UnknownFields::Report, &names);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].errors, "is not a known field; did you mean clientSecret?");
        assert!(ignored.in_words().unwrap().ends_with("unheard_of_19, ..."));
        let (faults, _) = finish(UnknownFields::Refuse, &names);
        assert_eq!(faults.len(), COMPARED_MAX + 1);
        let last = faults.last().unwrap();
        assert_eq!((&*last.name, &*last.errors), ("?", "is one of 2000 more fields that are not known"));
    }
}
