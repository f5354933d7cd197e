//! Decides whether a command works on the database or on a remote service, and on which.

use std::path::PathBuf;

use clap::Args;
use domain::api_key::PlainKey;
use thiserror::Error;

use super::ClientError;
use super::http::ApiClient;
use super::profiles::{self, Profile, ProfileError};
use super::service_url::{ServiceUrl, ServiceUrlError};
use crate::config::{self, API_KEY_VARIABLE, ClientVariables, URL_VARIABLE};
use crate::exit::{ExitStatus, HasExitStatus};
use crate::prepare::parse_key;

/// The remote service, if any.
#[derive(Debug, Default, Args)]
pub(crate) struct ServiceArguments {
    /// Work on a remote service at this URL, with the API key in `VIMEO_CONNECTIONS_API_KEY`
    #[arg(long, global = true, value_name = "URL", help_heading = "Remote service")]
    url: Option<String>,
    /// Work on a remote service with the URL and API key of this profile
    #[arg(long, global = true, value_name = "NAME", help_heading = "Remote service")]
    profile: Option<String>,
}

/// What a command works on.
pub(crate) enum Target {
    Database,
    Service(Box<ApiClient>),
}

/// A service, before anything is checked.
struct Selected {
    /// Where the URL comes from.
    from: String,
    url: String,
    key: Option<zeroize::Zeroizing<String>>,
    ca_file: Option<PathBuf>,
}

/// Why the service cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TargetError {
    #[error("--url and --profile name two services; pass one of them")]
    Both,
    #[error("{from} {source}")]
    Url { from: String, source: ServiceUrlError },
    #[error(
        "there is no API key for the service: set {API_KEY_VARIABLE}, or use --profile with a profile that has one. Keys \
         are never taken from arguments, which are stored in shell histories"
    )]
    NoKey,
    #[error("the API key is not valid: it must start with pictai_, without spaces")]
    MalformedKey,
    #[error("ca_file {0}")]
    CaFile(String),
    #[error(
        "`{command}` works on the database, and {from} selects a remote service: leave it out, on the machine of the database"
    )]
    NeedsDatabase { command: &'static str, from: &'static str },
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl HasExitStatus for TargetError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Both | Self::NeedsDatabase { .. } => ExitStatus::Usage,
            _ => ExitStatus::Misconfigured,
        }
    }
}

impl ServiceArguments {
    /// An error if a service is selected, for a command that cannot work on one.
    pub(crate) fn reject(
        &self,
        variables: &ClientVariables,
        command: &'static str,
    ) -> Result<(), TargetError> {
        let from = match (&self.url, &self.profile, &variables.url) {
            (Some(_), _, _) => "--url",
            (_, Some(_), _) => "--profile",
            (_, _, Some(_)) => URL_VARIABLE,
            (None, None, None) => return Ok(()),
        };
        Err(TargetError::NeedsDatabase { command, from })
    }
}

/// The target of a command. Arguments take precedence over the environment.
pub(crate) fn choose(
    arguments: &ServiceArguments,
    variables: ClientVariables,
) -> Result<Target, TargetError> {
    let profile = match &arguments.profile {
        Some(name) if arguments.url.is_none() => {
            Some((name.as_str(), profiles::find(name, variables.config_home.as_deref())?))
        }
        _ => None,
    };
    let Some(selected) = select(arguments, profile, variables)? else { return Ok(Target::Database) };
    let Selected { from, url, key, ca_file } = selected;
    let url = ServiceUrl::parse(&url).map_err(|source| TargetError::Url { from, source })?;
    let key: PlainKey = parse_key(&key.ok_or(TargetError::NoKey)?).map_err(|_| TargetError::MalformedKey)?;
    let tls = config::client_tls(ca_file.as_deref()).map_err(TargetError::CaFile)?;
    Ok(Target::Service(Box::new(ApiClient::new(url, &key, tls)?)))
}

/// Which service is meant, if any. The key of a profile is sent only to the profile's URL.
fn select(
    arguments: &ServiceArguments,
    profile: Option<(&str, Profile)>,
    variables: ClientVariables,
) -> Result<Option<Selected>, TargetError> {
    if arguments.url.is_some() && arguments.profile.is_some() {
        return Err(TargetError::Both);
    }
    if let Some((name, Profile { url, api_key, ca_file })) = profile {
        let (key, ca_file) = (api_key.or(variables.api_key), ca_file.or(variables.ca_file));
        return Ok(Some(Selected { from: format!("url of profile {name}"), url, key, ca_file }));
    }
    let (from, url) = match (&arguments.url, variables.url) {
        (Some(url), _) => ("--url", url.clone()),
        (None, Some(url)) => (URL_VARIABLE, url),
        (None, None) => return Ok(None),
    };
    let (key, ca_file) = (variables.api_key, variables.ca_file);
    Ok(Some(Selected { from: from.to_owned(), url, key, ca_file }))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn arguments(url: Option<&str>, profile: Option<&str>) -> ServiceArguments {
        ServiceArguments { url: url.map(str::to_owned), profile: profile.map(str::to_owned) }
    }

    fn variables(url: Option<&str>, key: Option<&str>) -> ClientVariables {
        ClientVariables {
            url: url.map(str::to_owned),
            api_key: key.map(|key| Zeroizing::new(key.to_owned())),
            ..ClientVariables::default()
        }
    }

    fn profile(key: Option<&str>) -> Profile {
        let api_key = key.map(|key| Zeroizing::new(key.to_owned()));
        Profile { url: "of-profile".to_owned(), api_key, ca_file: None }
    }

    fn selected(
        arguments: &ServiceArguments,
        profile: Option<(&str, Profile)>,
        variables: ClientVariables,
    ) -> Option<(String, Option<String>)> {
        let selected = select(arguments, profile, variables).unwrap()?;
        Some((selected.url, selected.key.map(|key| key.to_string())))
    }

    #[test]
    fn arguments_take_precedence_and_without_any_the_database_is_meant() {
        let pair = |url: &str, key: Option<&str>| Some((url.to_owned(), key.map(str::to_owned)));
        let none = arguments(None, None);
        assert_eq!(selected(&none, None, variables(None, None)), None);
        assert_eq!(selected(&none, None, variables(None, Some("k"))), None, "a key alone names no service");
        assert_eq!(selected(&none, None, variables(Some("e"), Some("k"))), pair("e", Some("k")));
        let url = arguments(Some("u"), None);
        assert_eq!(selected(&url, None, variables(Some("e"), Some("k"))), pair("u", Some("k")));
        let named = arguments(None, Some("p"));
        let of = |key| Some(("p", profile(key)));
        assert_eq!(
            selected(&named, of(Some("own")), variables(Some("e"), Some("k"))),
            pair("of-profile", Some("own"))
        );
        assert_eq!(selected(&named, of(None), variables(None, Some("k"))), pair("of-profile", Some("k")));
        let both = select(&arguments(Some("u"), Some("p")), None, variables(None, None));
        assert!(matches!(both, Err(TargetError::Both)));
    }

    #[test]
    fn a_command_of_the_database_rejects_every_way_to_select_a_service() {
        let cases = [
            (arguments(Some("u"), None), variables(None, None), Some("--url")),
            (arguments(None, Some("p")), variables(None, None), Some("--profile")),
            (arguments(None, None), variables(Some("e"), None), Some(URL_VARIABLE)),
            (arguments(None, None), variables(None, Some("k")), None),
        ];
        for (arguments, variables, from) in cases {
            let rejected = arguments.reject(&variables, "backup").err().map(|error| error.to_string());
            assert_eq!(rejected.is_some(), from.is_some());
            assert!(rejected.unwrap_or_default().contains(from.unwrap_or_default()));
        }
    }
}
