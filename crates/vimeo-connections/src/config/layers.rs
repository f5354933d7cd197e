//! Where values come from: defaults, file, environment. The later wins.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::keys::{KEYS, Key, variable};
use super::{ConfigError, LogFormat};

const PREFIX: &str = "VIMEO_CONNECTIONS_";
const DEFAULT_FILE: &str = "vimeo-connections.toml";

/// Variables of the environment that begin with our prefix.
pub(crate) struct Environment(Vec<(String, String)>);

impl Environment {
    /// The process's own.
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub(crate) fn of_process() -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            // A value that is no Unicode is kept as one that no key takes.
            Some((name, value.into_string().unwrap_or_else(|_| "\u{fffd}".to_owned())))
        });
        Self(ours.collect())
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    File,
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("from the file"),
            Self::Environment(name) => write!(f, "from {name}"),
        }
    }
}

/// The value of every key, and where it is from.
pub(crate) struct Layers(BTreeMap<&'static str, (String, Source)>);

impl Layers {
    /// Reads all three. The error lists every fault.
    pub(super) fn read(file: Option<&Path>, environment: Environment) -> Result<Self, ConfigError> {
        let defaults = KEYS.iter().map(|key| (key.name, (key.default.to_owned(), Source::Default)));
        let mut layers = Self(defaults.collect());
        let mut faults = Vec::new();
        match read_file(file) {
            Ok(Some(table)) => layers.overlay_file(table, &mut faults),
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
        layers.overlay_environment(environment, &mut faults);
        if faults.is_empty() {
            return Ok(layers);
        }
        Err(ConfigError { faults, log_format: LogFormat::of(&layers) })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|(text, _)| text.as_str())
    }

    pub(crate) fn source(&self, key: &str) -> Source {
        self.0.get(key).map_or(Source::Default, |(_, source)| source.clone())
    }

    fn overlay_file(&mut self, table: toml::Table, faults: &mut Vec<String>) {
        for (name, value) in table {
            if let toml::Value::Table(section) = value {
                for (inner, value) in section {
                    self.set_from_file(&format!("{name}.{inner}"), &value, faults);
                }
            } else {
                self.set_from_file(&name, &value, faults);
            }
        }
    }

    fn set_from_file(&mut self, name: &str, value: &toml::Value, faults: &mut Vec<String>) {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            faults.push(unknown(name, KEYS.iter().map(|key| key.name.to_owned())));
            return;
        };
        match text_of(value) {
            Some(text) => self.set(key, &text, Source::File, faults),
            None => faults.push(format!("{name} (from the file): must not be a table or a date")),
        }
    }

    fn overlay_environment(&mut self, environment: Environment, faults: &mut Vec<String>) {
        for (name, value) in environment.0 {
            match KEYS.iter().find(|key| variable(key.name) == name) {
                Some(key) => self.set(key, &value, Source::Environment(name), faults),
                None if is_of_kubernetes(&name) => {}
                None => faults.push(unknown(&name, KEYS.iter().map(|key| variable(key.name)))),
            }
        }
    }

    fn set(&mut self, key: &Key, value: &str, source: Source, faults: &mut Vec<String>) {
        match key.kind.read(value) {
            Ok(text) => {
                self.0.insert(key.name, (text, source));
            }
            Err(fault) => faults.push(format!("{} ({source}): {fault}", key.name)),
        }
    }
}

/// Kubernetes sets variables for every service of the namespace; for one that is called like us they bear our prefix.
fn is_of_kubernetes(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    rest == "PORT"
        || rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || rest.strip_prefix("PORT_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn read_file(file: Option<&Path>) -> Result<Option<toml::Table>, String> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => return Ok(None),
        Err(error) => return Err(format!("the file {} cannot be read: {error}", path.display())),
    };
    // The parser's own text quotes the line, which may hold a secret.
    text.parse::<toml::Table>().map(Some).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("the file {} is not TOML (line {})", path.display(), before.matches('\n').count() + 1)
    })
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(entries) => {
            let texts: Option<Vec<_>> =
                entries.iter().map(|entry| entry.as_str().map(str::to_owned)).collect();
            Some(texts?.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let near = known.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    let hint = near.filter(|near| strsim::damerau_levenshtein(near, name) <= 4);
    let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("{name} is not a configuration key{hint} (docs/config.md lists them)")
}
