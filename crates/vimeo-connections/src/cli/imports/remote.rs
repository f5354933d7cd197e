//! Importing into a remote service. It cannot be asked whether stored secrets are the same: a connection with the same
//! name and client identifier counts as imported before.

use domain::connection::ConnectionDraft;
use reqwest::Method;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Importer, RowOutcome, wait};
use crate::cli::BoxError;
use crate::cli::connections::COLLECTION;
use crate::client::{ApiClient, Call, ClientError};

/// How long to wait if the service does not say.
const RETRY_SECONDS: u64 = 5;

/// A new connection.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedIn {
    connection_id: String,
}

/// What an error means for the line that it answers.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// Only this line is refused, for this reason.
    Refused(String),
    NameTaken,
    /// It may be repeated after these seconds.
    Temporary(u64),
    /// Further lines would fail as well.
    Fatal,
}

impl Importer<'_> {
    /// The result for a draft. An error means that further lines would fail as well.
    pub(super) async fn send(
        &self,
        client: &ApiClient,
        line: u64,
        draft: &ConnectionDraft,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<RowOutcome, BoxError> {
        if let Some(stored) = self.backend.find_connection_by_name(&draft.name).await? {
            if stored.client_identifier() != draft.credentials.client_identifier.as_str() {
                return Ok(self.name_taken(draft));
            }
            let remark = match self.names.get(draft.name.unique_part()) {
                Some(line) => format!("as in line {line}"),
                None => "with the same client identifier; the secrets cannot be compared".to_owned(),
            };
            return Ok(RowOutcome::AlreadyExists(stored.id().to_owned(), Some(remark)));
        }
        let mut is_repeated = false;
        loop {
            let sent = client.send(Call::new(Method::POST, &COLLECTION).body(body.clone())).await;
            let error = match sent {
                Ok(answer) => {
                    let CreatedIn { connection_id } = answer.json()?;
                    return Ok(RowOutcome::Imported(connection_id));
                }
                Err(error) => error,
            };
            match meaning(&error) {
                Meaning::Refused(reason) => return Ok(RowOutcome::Rejected(reason)),
                Meaning::NameTaken => return Ok(self.name_taken(draft)),
                Meaning::Temporary(seconds) if !is_repeated => {
                    wait("The service or Vimeo could not be reached", line, seconds).await;
                    is_repeated = true;
                }
                Meaning::Temporary(_) | Meaning::Fatal => return Err(error.into()),
            }
        }
    }
}

fn meaning(error: &ClientError) -> Meaning {
    let ClientError::Refused(refusal) = error else { return Meaning::Fatal };
    match refusal.code.as_str() {
        "INVALID_VIMEO_CREDENTIALS" => {
            Meaning::Refused(format!("Vimeo refused the credentials: {}", refusal.fields_text()))
        }
        "INVALID_REQUEST_BODY" => Meaning::Refused(refusal.fields_text()),
        "CONNECTION_NAME_EXISTS" => Meaning::NameTaken,
        // Nothing was stored.
        "VIMEO_UNAVAILABLE" | "STORE_UNAVAILABLE" | "OVERLOADED" | "RATE_LIMITED" => {
            Meaning::Temporary(refusal.retry_after_seconds.unwrap_or(RETRY_SECONDS))
        }
        _ => Meaning::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{FieldError, Refusal};

    fn refused(code: &str, status: u16) -> ClientError {
        let fields = vec![FieldError { name: "accessToken".to_owned(), errors: "is unknown".to_owned() }];
        ClientError::Refused(Box::new(Refusal {
            code: code.to_owned(),
            message: String::new(),
            fields,
            status,
            request_id: None,
            retry_after_seconds: (status == 429).then_some(7),
            body: String::new(),
        }))
    }

    #[test]
    fn the_code_decides_whether_only_this_line_fails() {
        let reason = || "accessToken is unknown".to_owned();
        for (code, status, expected) in [
            (
                "INVALID_VIMEO_CREDENTIALS",
                422,
                Meaning::Refused(format!("Vimeo refused the credentials: {}", reason())),
            ),
            ("INVALID_REQUEST_BODY", 400, Meaning::Refused(reason())),
            ("CONNECTION_NAME_EXISTS", 409, Meaning::NameTaken),
            ("VIMEO_UNAVAILABLE", 503, Meaning::Temporary(RETRY_SECONDS)),
            ("RATE_LIMITED", 429, Meaning::Temporary(7)),
            // It may have been stored.
            ("OUTCOME_UNKNOWN", 503, Meaning::Fatal),
            ("UNAUTHORIZED", 401, Meaning::Fatal),
            ("LIMIT_REACHED", 422, Meaning::Fatal),
        ] {
            assert_eq!(meaning(&refused(code, status)), expected, "{code}");
        }
    }
}
