//! The location of a database: a URL, parsed once and displayed without its secrets.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};

use crate::{OpenError, PreparedStatements};

/// The directory of PostgreSQL's socket on Debian, for URLs without a host.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";
/// How long connecting to a server, and one statement, may take by default.
const TIMEOUT: Duration = Duration::from_secs(5);
const WHAT_TLS_MAY_BE: &str = "sslmode must be verify-full, or disable on loopback and sockets: the server's certificate and name are verified \
     beyond them, and `prefer` is not supported";

const CHANNEL_BINDING_WITHOUT_TLS: &str =
    "channel_binding=require needs TLS: add sslmode=verify-full, or leave channel_binding out";

/// The URL of a database. It is displayed without its password.
#[derive(Clone)]
pub struct DatabaseUrl {
    shown: String,
    pub(crate) location: Location,
}

/// The engine, and where its data is.
#[derive(Clone)]
pub(crate) enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// One server, or several of which one is the primary.
    Postgres(Box<Server>),
}

/// How to connect to a PostgreSQL server.
#[derive(Clone)]
pub(crate) struct Server {
    /// One for each server of the URL: each has its own timeout.
    pub(crate) configs: Vec<tokio_postgres::Config>,
    pub(crate) tls: Tls,
    /// For [`Tls::SystemRoots`].
    pub(crate) system_roots: Option<rustls::ClientConfig>,
    pub(crate) prepared_statements: PreparedStatements,
    /// How long connecting, and one statement, may take.
    pub(crate) timeout: Duration,
}

/// Whether connections are encrypted; then the certificate and name of the server are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Only on loopback and sockets.
    Off,
    /// The authorities that the service trusts everywhere.
    SystemRoots,
    /// The authorities in this PEM file.
    Roots(PathBuf),
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.shown)
    }
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH` or `postgres://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE[?PARAMETERS]`.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Ok(Self { shown: text.to_owned(), location: Location::Sqlite(file_path(path)?) });
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let server = server(text)?;
            return Ok(Self { shown: without_secrets(text), location: Location::Postgres(Box::new(server)) });
        }
        Err(OpenError::Url("it begins with neither"))
    }

    /// The URL of a file, whatever characters its path has.
    pub(crate) fn of_file(path: &Path) -> Self {
        Self { shown: format!("sqlite://{}", path.display()), location: Location::Sqlite(path.to_owned()) }
    }

    /// The same, with the authorities for a server whose URL names none.
    #[must_use]
    pub fn trusting(mut self, roots: Option<&rustls::ClientConfig>) -> Self {
        if let Location::Postgres(server) = &mut self.location {
            server.system_roots = roots.cloned();
        }
        self
    }

    /// The same, with how long a PostgreSQL server keeps prepared statements.
    #[must_use]
    pub fn preparing(mut self, statements: PreparedStatements) -> Self {
        if let Location::Postgres(server) = &mut self.location {
            server.prepared_statements = statements;
        }
        self
    }

    /// The same, with how long connecting to a PostgreSQL server, and one statement, may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        if let Location::Postgres(server) = &mut self.location {
            server.timeout = timeout;
        }
        self
    }

    /// The file, if the engine is SQLite.
    pub fn file(&self) -> Option<&Path> {
        match &self.location {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }
}

fn file_path(path: &str) -> Result<PathBuf, OpenError> {
    // `sqlite:///abs` and `sqlite://rel` are common in other programs.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(['?', '\0']) || path == ":memory:" {
        return Err(OpenError::Url("the path is empty, has a `?`, or is not a file"));
    }
    Ok(PathBuf::from(path))
}

/// Removes the parameters that this service handles itself; the library parses the rest.
fn server(text: &str) -> Result<Server, OpenError> {
    let (front, query) = text.split_once('?').unwrap_or((text, ""));
    let (mut mode, mut roots, mut names_hosts) = (None, None, false);
    let mut rest = form_urlencoded::Serializer::new(String::new());
    // A plus is literal here, as in other programs that parse such URLs.
    for (key, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
        names_hosts |= ["host", "hostaddr", "port"].contains(&key.as_ref());
        match key.as_ref() {
            "sslmode" => mode = Some(value.into_owned()),
            "sslrootcert" => roots = Some(value.into_owned()),
            // Only a server that accepts writes can be used, whatever the URL requests.
            "target_session_attrs" => {}
            _ => drop(rest.append_pair(&key, &value)),
        }
    }
    // The serializer writes spaces as `+`, which the library does not decode.
    let rest = rest.finish().replace('+', "%20");
    let fronts = if names_hosts { vec![front.to_owned()] } else { each_host(front) };
    let mut configs = Vec::new();
    for front in fronts {
        // The library's own error could contain a part of the URL, and so of the password.
        let mut config: tokio_postgres::Config = format!("{front}?{rest}").parse().map_err(|_| {
            OpenError::Url(
                "it cannot be read: is the password percent-encoded, and every parameter a known one?",
            )
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host(SOCKET_DIRECTORY);
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        configs.push(config);
    }
    let tls = match (mode.as_deref(), roots) {
        (None | Some("disable"), None) if configs.iter().all(is_local) => Tls::Off,
        (None | Some("require" | "verify-full"), None) => Tls::SystemRoots,
        (None | Some("require" | "verify-full"), Some(roots)) if roots == "system" => Tls::SystemRoots,
        (None | Some("require" | "verify-full"), Some(roots)) => Tls::Roots(PathBuf::from(roots)),
        _ => return Err(OpenError::Url(WHAT_TLS_MAY_BE)),
    };
    let is_bound = |config: &tokio_postgres::Config| config.get_channel_binding() == ChannelBinding::Require;
    if tls == Tls::Off && configs.iter().any(is_bound) {
        return Err(OpenError::Url(CHANNEL_BINDING_WITHOUT_TLS));
    }
    let ssl_mode = if tls == Tls::Off { SslMode::Disable } else { SslMode::Require };
    for config in &mut configs {
        config.ssl_mode(ssl_mode);
    }
    Ok(Server {
        configs,
        tls,
        system_roots: None,
        prepared_statements: PreparedStatements::default(),
        timeout: TIMEOUT,
    })
}

/// The front of a URL once for each of its hosts, which commas separate.
fn each_host(front: &str) -> Vec<String> {
    let Some((scheme, rest)) = front.split_once("://") else { return vec![front.to_owned()] };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

/// Whether all traffic stays on this machine.
fn is_local(config: &tokio_postgres::Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    })
}

/// The URL without its password and parameters.
fn without_secrets(text: &str) -> String {
    let front = text.split_once('?').map_or(text, |(front, _)| front);
    let Some((scheme, rest)) = front.split_once("://") else { return String::new() };
    match rest.rsplit_once('@') {
        Some((user, rest)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{scheme}://{user}@{rest}")
        }
        None => front.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(text: &str) -> Option<Tls> {
        match DatabaseUrl::parse(text).ok()?.location {
            Location::Postgres(server) => Some(server.tls),
            Location::Sqlite(_) => None,
        }
    }

    #[test]
    fn beyond_loopback_the_server_is_always_verified() {
        for local in ["localhost", "127.0.0.1:5433", "[::1]", "%2Ftmp", "127.0.0.9,localhost", ""] {
            let url = format!("postgres://u:p@{local}/d");
            assert_eq!(tls(&url), Some(Tls::Off), "{url}");
            assert_eq!(tls(&format!("{url}?sslmode=disable")), Some(Tls::Off));
            assert_eq!(tls(&format!("{url}?sslmode=verify-full")), Some(Tls::SystemRoots));
        }
        for far in ["db.example.com", "10.0.0.1", "127.0.0.1,db.example.com", "localhost.example.com"] {
            let url = format!("postgresql://u:p@{far}/d");
            assert_eq!(tls(&url), Some(Tls::SystemRoots), "{url}");
            assert_eq!(tls(&format!("{url}?sslmode=require")), Some(Tls::SystemRoots));
            let roots = Some(Tls::Roots("/etc/my ca.pem".into()));
            assert_eq!(tls(&format!("{url}?sslrootcert=%2Fetc%2Fmy%20ca.pem")), roots);
            for weak in ["disable", "allow", "prefer", "verify-ca", "VERIFY-FULL"] {
                let refused = DatabaseUrl::parse(&format!("{url}?sslmode={weak}"));
                assert!(refused.unwrap_err().to_string().contains("`prefer` is not supported"), "{weak}");
            }
        }
        let elsewhere = tls("postgres://localhost/d?hostaddr=10.0.0.1");
        assert_eq!(elsewhere, Some(Tls::SystemRoots), "a local name for a far address");
        assert_eq!(tls("postgres://u@localhost/d?sslmode=prefer"), None);
    }

    #[test]
    fn channel_binding_is_required_with_tls_alone() {
        for url in ["postgres://localhost/d?", "postgres:///d?sslmode=disable&"] {
            let refused = DatabaseUrl::parse(&format!("{url}channel_binding=require")).unwrap_err();
            assert!(refused.to_string().ends_with(CHANNEL_BINDING_WITHOUT_TLS), "{refused}");
            for other in ["prefer", "disable"] {
                assert_eq!(tls(&format!("{url}channel_binding={other}")), Some(Tls::Off));
            }
        }
        for url in ["postgres://db.example.com/d?", "postgres://localhost/d?sslmode=verify-full&"] {
            assert_eq!(tls(&format!("{url}channel_binding=require")), Some(Tls::SystemRoots));
        }
    }

    #[test]
    fn each_host_has_its_own_configuration_and_a_plus_is_literal() {
        let url =
            DatabaseUrl::parse("postgres://u:p%40@a.example:1,b.example/d?application_name=x+y&password=q+r");
        let Location::Postgres(server) = url.unwrap().location else { panic!() };
        let hosts: Vec<_> = server
            .configs
            .iter()
            .map(|config| (config.get_hosts().to_vec(), config.get_ports().to_vec()))
            .collect();
        let tcp = |name: &str| vec![Host::Tcp(name.to_owned())];
        assert_eq!(hosts, [(tcp("a.example"), vec![1]), (tcp("b.example"), vec![5432])]);
        for config in &server.configs {
            assert_eq!((config.get_user(), config.get_dbname()), (Some("u"), Some("d")));
            assert_eq!(config.get_application_name(), Some("x+y"));
            assert_eq!(config.get_password(), Some(&b"q+r"[..]));
        }
    }

    #[test]
    fn a_url_is_displayed_without_its_password() {
        for (text, shown) in [
            ("sqlite:./a.db", "sqlite:./a.db"),
            ("postgres://me:hunter2@localhost/d?application_name=x", "postgres://me@localhost/d"),
            ("postgres://me@localhost/d?password=hunter2", "postgres://me@localhost/d"),
            ("postgres://me:hun@ter2@localhost:5433/d", "postgres://me@localhost:5433/d"),
            ("postgres:///d", "postgres:///d"),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(
                (url.to_string(), format!("{url:?}")),
                (shown.to_owned(), format!("DatabaseUrl({shown})"))
            );
        }
        let refused = DatabaseUrl::parse("postgres://me:hunter2@localhost/d?no_such=hunter2").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"));
    }

    #[test]
    fn a_url_that_names_no_engine_is_refused() {
        for bad in
            ["", "mysql://x", "./file.db", "sqlite:", "sqlite::memory:", "sqlite:a?mode=ro", "postgres:d"]
        {
            assert!(matches!(DatabaseUrl::parse(bad), Err(OpenError::Url(_))), "{bad}");
        }
    }
}
