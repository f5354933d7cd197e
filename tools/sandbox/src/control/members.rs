//! The members of a control's JSON body, taken one by one, so that each error message can name its member.

use serde_json::{Map, Value};

use crate::state::Failure;

/// The members that have not been taken yet.
pub(crate) struct Members(Map<String, Value>);

impl From<Map<String, Value>> for Members {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl Members {
    /// Parses a body. An empty body is an object without members.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err("The body must be a JSON object.".to_owned()),
            Err(error) => Err(format!("The body is not JSON: {error}.")),
        }
    }

    /// Rejects unknown members: a misspelt one must not be mistaken for a default.
    pub(crate) fn refuse_unknown(&self, what: &str, known: &[&str]) -> Result<(), String> {
        let list = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) if known.is_empty() => Err(format!("`{name}` is unknown: {what} takes nothing.")),
            Some(name) => Err(format!("`{name}` is unknown: {what} takes {}.", list())),
            None => Ok(()),
        }
    }

    /// Whether the member is present; `null` counts as absent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The members that have not been taken yet.
    pub(crate) fn rest(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Any value; `null` counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Any value, including `null`.
    pub(crate) fn take_even_null(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` must be a string.")),
        }
    }

    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, String> {
        let error_response = || format!("`{name}` must be an array of strings.");
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(values)) => {
                let texts = values.into_iter().map(|value| match value {
                    Value::String(text) => Some(text),
                    _ => None,
                });
                texts.collect::<Option<_>>().map(Some).ok_or_else(error_response)
            }
            Some(_) => Err(error_response()),
        }
    }

    /// An array of strings or `null`, which differ from an absent member.
    #[expect(clippy::option_option, reason = "absent, null and a value mean different things")]
    pub(crate) fn texts_or_null(&mut self, name: &str) -> Result<Option<Option<Vec<String>>>, String> {
        if self.0.get(name).is_some_and(Value::is_null) {
            return Ok(Some(None));
        }
        let texts =
            self.texts(name).map_err(|_| format!("`{name}` must be an array of strings, or null."))?;
        Ok(texts.map(Some))
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => {
                value.as_u64().map(Some).ok_or_else(|| format!("`{name}` must be a whole number."))
            }
        }
    }

    /// A number or `null`, which differ from an absent member.
    #[expect(clippy::option_option, reason = "absent, null and a value mean different things")]
    pub(crate) fn number_or_null(&mut self, name: &str) -> Result<Option<Option<u64>>, String> {
        match self.take_even_null(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(Some(number))),
                None => Err(format!("`{name}` must be a whole number, or null.")),
            },
        }
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(boolean)) => Ok(Some(boolean)),
            Some(_) => Err(format!("`{name}` must be true or false.")),
        }
    }

    /// A failure, given by a `status`, the `error` of an upload, an `upload_status`, or several of these.
    pub(crate) fn failure(&mut self) -> Result<Failure, String> {
        let status = self.choice("status", &Failure::STATUSES)?;
        let error = self.choice("error", &Failure::ERRORS)?;
        let is_canceled = self.choice("upload_status", &["canceled"])?.is_some();
        if status.is_none() && error.is_none() && !is_canceled {
            return Err(format!(
                "A failure needs a `status` (one of {}), the `error` of an upload, or the `upload_status` canceled.",
                Failure::STATUSES.join(", ")
            ));
        }
        let status = status.unwrap_or_else(|| "uploading_error".to_owned());
        Ok(Failure { status, error, is_canceled })
    }

    fn choice(&mut self, name: &str, known: &[&str]) -> Result<Option<String>, String> {
        match self.text(name)? {
            Some(value) if !known.contains(&value.as_str()) => {
                Err(format!("There is no {name} `{value}`; what there is: {}.", known.join(", ")))
            }
            value => Ok(value),
        }
    }
}
