//! Sockets that a supervisor has opened for this process (socket activation of systemd): a restart then refuses no
//! connection, and the service needs no right to open its port.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use thiserror::Error;

/// The name of the socket for metrics. A socket with another name, or without one, is the API's.
const METRICS_NAME: &str = "metrics";
/// systemd's variable with the names of the sockets, separated by colons.
const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";

/// The sockets of the process.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) api: Option<TcpListener>,
    pub(crate) metrics: Option<TcpListener>,
}

/// Why the sockets cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ActivationError {
    #[error(
        "the supervisor passed {0} sockets for the API, and one can be used. Name a second one `{METRICS_NAME}` to serve \
         metrics on it (FileDescriptorName={METRICS_NAME})"
    )]
    SeveralApis(usize),
    #[error("the supervisor passed {0} sockets named `{METRICS_NAME}`, and one can be used")]
    SeveralMetrics(usize),
    #[error("socket {number} from the supervisor cannot be used")]
    Unusable { number: usize, source: io::Error },
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Api,
    Metrics,
}

/// What each of the sockets is for, by their names.
fn assign(count: usize, names: &str) -> Result<Vec<Purpose>, ActivationError> {
    let mut names = names.split(':');
    let purposes: Vec<_> = (0..count)
        .map(|_| if names.next() == Some(METRICS_NAME) { Purpose::Metrics } else { Purpose::Api })
        .collect();
    let metrics = purposes.iter().filter(|purpose| **purpose == Purpose::Metrics).count();
    match (count - metrics, metrics) {
        (2.., _) => Err(ActivationError::SeveralApis(count - metrics)),
        (_, 2..) => Err(ActivationError::SeveralMetrics(metrics)),
        _ => Ok(purposes),
    }
}

/// Takes the sockets of this process from its environment; none if they were passed to another process. Call it once,
/// before other threads start: it removes the variables.
#[expect(clippy::disallowed_methods, reason = "systemd passes the names of sockets in the environment")]
pub(crate) fn take() -> Result<Sockets, ActivationError> {
    let names = std::env::var(NAMES_VARIABLE).unwrap_or_default();
    let mut passed = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for (at, purpose) in assign(passed.len(), &names)?.into_iter().enumerate() {
        let taken = passed.take_tcp_listener(at);
        let socket = taken.map_err(|source| ActivationError::Unusable { number: at + 1, source })?;
        match purpose {
            Purpose::Api => sockets.api = socket,
            Purpose::Metrics => sockets.metrics = socket,
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_sockets_decide_what_they_are_for() {
        use Purpose::{Api, Metrics};
        for (count, names, expected) in [
            (0, "", &[][..]),
            (1, "", &[Api]),
            (1, "vimeo-connections.socket", &[Api]),
            (1, "unknown", &[Api]),
            (1, "metrics", &[Metrics]),
            (2, "api:metrics", &[Api, Metrics]),
            (2, "metrics:api", &[Metrics, Api]),
            (2, "metrics", &[Metrics, Api]),
        ] {
            assert_eq!(assign(count, names).unwrap(), expected, "{count} {names}");
        }
        for (count, names, expected) in [
            (2, "", "2 sockets for the API"),
            (3, "a:metrics:b", "2 sockets for the API"),
            (2, "metrics:metrics", "2 sockets named `metrics`"),
        ] {
            let error = assign(count, names).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
