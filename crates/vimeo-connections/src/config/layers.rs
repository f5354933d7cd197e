//! The layers of the configuration: defaults, file, environment. Later layers take precedence.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::{self, Entry};
use super::keys::{Key, variable};
use super::kubernetes;
use super::limit_keys;
use super::{ConfigError, LogFormat};

pub(super) const PREFIX: &str = "VIMEO_CONNECTIONS_";

/// Selects a remote service for a command. Not a configuration key.
pub(crate) const URL_VARIABLE: &str = "VIMEO_CONNECTIONS_URL";
/// The API key for it.
pub(crate) const API_KEY_VARIABLE: &str = "VIMEO_CONNECTIONS_API_KEY";
/// Also a configuration key.
const CA_FILE_VARIABLE: &str = "VIMEO_CONNECTIONS_CA_FILE";

/// Environment variables with the service's prefix.
pub(crate) struct Environment(Vec<(String, String)>);

/// What commands on a remote service take from the environment. Empty variables count as not set.
#[derive(Default)]
pub(crate) struct ClientVariables {
    pub(crate) url: Option<String>,
    pub(crate) api_key: Option<Zeroizing<String>>,
    pub(crate) ca_file: Option<PathBuf>,
    /// The user's directory of configuration.
    pub(crate) config_home: Option<PathBuf>,
}

impl ClientVariables {
    fn take(environment: &mut Environment, config_home: Option<PathBuf>) -> Self {
        let mut take = |name: &str| {
            let at = environment.0.iter().position(|(found, _)| found == name)?;
            Some(environment.0.swap_remove(at).1).filter(|value| !value.trim().is_empty())
        };
        let (url, api_key) = (take(URL_VARIABLE), take(API_KEY_VARIABLE).map(Zeroizing::new));
        let ca_file = environment.0.iter().find(|(name, _)| name == CA_FILE_VARIABLE);
        let ca_file = ca_file.map(|(_, value)| value.trim()).filter(|value| !value.is_empty());
        Self { url, api_key, ca_file: ca_file.map(PathBuf::from), config_home }
    }
}

impl Environment {
    /// Those of this process: the configuration of the service, and what selects a remote one.
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub(crate) fn from_process() -> (Self, ClientVariables) {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config_home = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            // A value that is not Unicode is replaced by one that no key accepts.
            Some((name, value.into_string().unwrap_or_else(|_| "\u{fffd}".to_owned())))
        });
        let mut environment = Self(ours.collect());
        let client = ClientVariables::take(&mut environment, config_home);
        (environment, client)
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    /// This line of the file.
    File(usize),
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(_) => f.write_str("from the file"),
            Self::Environment(name) => write!(f, "from {name}"),
        }
    }
}

impl Source {
    /// For an error: with the line number, if there is one.
    pub(super) fn location(&self) -> String {
        match self {
            Self::File(line) => format!("line {line} of the file"),
            _ => self.to_string(),
        }
    }
}

/// The value of every key, and its source.
pub(crate) struct Layers(BTreeMap<&'static str, (String, Source)>);

impl Layers {
    /// Reads all layers. The error lists all problems.
    pub(super) fn read(file: Option<&Path>, environment: Environment) -> Result<Self, ConfigError> {
        let defaults = limit_keys::all().map(|key| (key.name, (key.default.to_owned(), Source::Default)));
        let mut layers = Self(defaults.collect());
        let mut errors = Vec::new();
        match file::read(file) {
            Ok(entries) => layers.overlay_file(entries, &mut errors),
            Err(error) => errors.push(error),
        }
        layers.overlay_environment(environment, &mut errors);
        if errors.is_empty() {
            return Ok(layers);
        }
        Err(ConfigError { errors, log_format: LogFormat::of(&layers) })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|(text, _)| text.as_str())
    }

    pub(crate) fn source(&self, key: &str) -> Source {
        self.0.get(key).map_or(Source::Default, |(_, source)| source.clone())
    }

    fn overlay_file(&mut self, entries: Vec<Entry>, errors: &mut Vec<String>) {
        for Entry { name, value, line } in entries {
            let Some(key) = limit_keys::all().find(|key| key.name == name) else {
                let error = unknown(&name, limit_keys::all().map(|key| key.name.to_owned()));
                errors.push(format!("line {line} of the file: {error}"));
                continue;
            };
            match value {
                Ok(text) => self.set(key, &text, Source::File(line), errors),
                Err(what) => errors.push(format!("{name} (line {line} of the file): {what}")),
            }
        }
    }

    fn overlay_environment(&mut self, environment: Environment, errors: &mut Vec<String>) {
        for (name, value) in environment.0 {
            match limit_keys::all().find(|key| variable(key.name) == name) {
                // An empty variable counts as not set, as in most programs.
                Some(_) if value.trim().is_empty() => {}
                Some(key) => self.set(key, &value, Source::Environment(name), errors),
                None if kubernetes::is_service_variable(&name, &value) => {}
                None => errors.push(unknown(&name, limit_keys::all().map(|key| variable(key.name)))),
            }
        }
    }

    fn set(&mut self, key: &Key, value: &str, source: Source, errors: &mut Vec<String>) {
        match key.kind.read(value) {
            Ok(text) => {
                self.0.insert(key.name, (text, source));
            }
            Err(error) => errors.push(format!("{} ({}): {error}", key.name, source.location())),
        }
    }
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let near = known.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    let hint = near.filter(|near| strsim::damerau_levenshtein(near, name) <= 4);
    let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("{name} is not a configuration key{hint} (docs/config.md lists them)")
}
