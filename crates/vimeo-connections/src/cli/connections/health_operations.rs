//! The health of connections, read and checked in the database or at a remote service.

use std::time::Duration;

use domain::id::ConnectionId;
use reqwest::Method;
use tokio_util::sync::CancellationToken;

use super::health_view::HealthView;
use super::operations::{COLLECTION, NOT_FOUND};
use super::view::ConnectionView;
use crate::cli::backend::Backend;
use crate::cli::error_messages::to_message;
use crate::cli::uploads::Stopped;
use crate::cli::{BoxError, output};
use crate::client::{Call, ClientError};

/// How often a check that is refused for now is requested.
const ATTEMPTS: u32 = 10;
/// The longest wait between two of them.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Why a connection was not checked.
#[derive(Debug)]
pub(super) enum CheckError {
    /// It was deleted.
    Gone,
    /// Checks are limited, or the service is overloaded. It may be requested again after this time.
    Later(Duration, BoxError),
    /// This connection cannot be checked; others can.
    OfConnection(BoxError),
    /// Other connections cannot be checked either.
    Fatal(BoxError),
}

impl CheckError {
    fn of_app(error: app::Error) -> Self {
        match error {
            app::Error::ConnectionNotFound => Self::Gone,
            app::Error::CheckedRecently { retry_after_seconds } => {
                Self::Later(Duration::from_secs(retry_after_seconds), to_message(error))
            }
            // Its secrets do not decrypt.
            app::Error::Internal(_) => Self::OfConnection(to_message(error)),
            _ => Self::Fatal(to_message(error)),
        }
    }

    fn of_client(error: ClientError) -> Self {
        let ClientError::Refused(refusal) = &error else { return Self::Fatal(error.into()) };
        match (refusal.status, refusal.retry_after_seconds) {
            _ if refusal.code == NOT_FOUND => Self::Gone,
            (429 | 503, Some(seconds)) => Self::Later(Duration::from_secs(seconds), error.into()),
            (500, _) => Self::OfConnection(error.into()),
            _ => Self::Fatal(error.into()),
        }
    }
}

impl From<CheckError> for BoxError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Gone => to_message(app::Error::ConnectionNotFound),
            CheckError::Later(_, error) | CheckError::OfConnection(error) | CheckError::Fatal(error) => error,
        }
    }
}

impl Backend<'_> {
    /// The health of a connection as the last check found it.
    pub(super) async fn find_health(&self, connection: &ConnectionView) -> Result<HealthView, BoxError> {
        match self {
            Self::Database { app, caller, .. } => {
                let id = ConnectionId::from_stored(connection.id().to_owned());
                let report = app.find_connection_health(caller, &id).await.map_err(to_message)?;
                Ok(HealthView::of(&report)?)
            }
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[connection.id(), "health"]].concat();
                Ok(HealthView::parse(client.send(Call::get(&path)).await?.json()?)?)
            }
        }
    }

    /// Has Vimeo check a connection. Waits while checks are limited, until `stopping` is cancelled.
    pub(super) async fn verify_connection(
        &self,
        connection: &ConnectionView,
        stopping: &CancellationToken,
    ) -> Result<HealthView, CheckError> {
        for _ in 1..ATTEMPTS {
            let wait = match self.try_verify(connection).await {
                Err(CheckError::Later(wait, _)) => wait.min(WAIT_MAX),
                result => return result,
            };
            let seconds = wait.as_secs();
            output::status(&format!("{} is checked in {seconds} s: checks are limited.", connection.label()));
            if stopping.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Err(CheckError::Fatal(Stopped.into()));
            }
        }
        self.try_verify(connection).await
    }

    async fn try_verify(&self, connection: &ConnectionView) -> Result<HealthView, CheckError> {
        let unreadable = |error: serde_json::Error| CheckError::Fatal(error.into());
        match self {
            Self::Database { app, caller, .. } => {
                let report = app.verify_connection(caller, connection.id()).await;
                HealthView::of(&report.map_err(CheckError::of_app)?).map_err(unreadable)
            }
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[connection.id(), "verify"]].concat();
                let sent = client.send(Call::new(Method::POST, &path)).await;
                let json = sent.and_then(|answer| answer.json()).map_err(CheckError::of_client)?;
                HealthView::parse(json).map_err(unreadable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Refusal;

    fn meaning(code: &str, status: u16, retry_after_seconds: Option<u64>) -> &'static str {
        let refusal = Refusal {
            code: code.to_owned(),
            message: String::new(),
            fields: Vec::new(),
            status,
            request_id: None,
            retry_after_seconds,
            body: String::new(),
        };
        match CheckError::of_client(ClientError::Refused(Box::new(refusal))) {
            CheckError::Gone => "gone",
            CheckError::Later(..) => "later",
            CheckError::OfConnection(_) => "of this connection",
            CheckError::Fatal(_) => "fatal",
        }
    }

    #[test]
    fn the_answer_of_a_service_decides_what_happens_next() {
        for (code, status, retry, expected) in [
            ("CONNECTION_NOT_FOUND", 404, None, "gone"),
            ("NOT_FOUND", 404, None, "fatal"),
            ("RATE_LIMITED", 429, Some(3), "later"),
            ("OVERLOADED", 503, Some(1), "later"),
            ("INTERNAL_ERROR", 500, None, "of this connection"),
            ("UNAUTHORIZED", 401, None, "fatal"),
            ("FORBIDDEN", 403, None, "fatal"),
        ] {
            assert_eq!(meaning(code, status, retry), expected, "{code}");
        }
    }
}
