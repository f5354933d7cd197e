//! An example of each error.

use domain::limits::Limit;
use serde_json::json;

use super::Code;

impl Code {
    /// An example body.
    pub(crate) fn example(self) -> serde_json::Value {
        let fields = |name: &str, errors: &str| Some(json!([{ "name": name, "errors": errors }]));
        let fields = match self {
            Self::InvalidRequestBody => fields("clientSecret", "is required"),
            Self::InvalidQuery => fields("limit", "must be a whole number from 1 to 1000"),
            Self::InvalidPageKey => fields(
                "nextPageKey",
                "must be the `nextPageKey` of an earlier page of this account, unchanged",
            ),
            Self::InvalidRequestHeader => {
                fields("Idempotency-Key", "must be 1 to 255 visible ASCII characters, without spaces")
            }
            Self::InvalidVimeoCredentials => fields(
                "accessToken",
                "is unknown to Vimeo, expired or revoked; generate a new one on the app's page",
            ),
            _ => None,
        };
        let names_first =
            matches!(self, Self::InvalidRequestBody | Self::InvalidQuery | Self::InvalidRequestHeader);
        let first = fields.as_ref().and_then(|fields| fields.get(0)).filter(|_| names_first);
        let message = first.map_or_else(
            || self.message().to_owned(),
            |first| {
                let text = |key: &str| first.get(key).and_then(|text| text.as_str()).unwrap_or_default();
                format!("{}: {} {}.", self.message().trim_end_matches('.'), text("name"), text("errors"))
            },
        );
        let mut example = json!({ "code": self.name(), "message": message });
        if let Some(object) = example.as_object_mut() {
            if let Some(fields) = fields {
                object.insert("fields".to_owned(), fields);
            }
            if self == Self::VersionConflict {
                object.insert("currentVersion".to_owned(), json!(2));
            }
            if self == Self::JobAlreadyRetried {
                object.insert("jobId".to_owned(), json!("019c1234-5678-7abc-8def-0123456789ab"));
            }
            if self == Self::ConnectionUnhealthy {
                let problem = "The access token is unknown to Vimeo, expired or revoked; generate a new one on the app's page.";
                object.insert("message".to_owned(), json!(format!("The connection is unhealthy. {problem}")));
                object.insert("problem".to_owned(), json!({ "code": "TOKEN_REJECTED", "message": problem }));
            }
            if self == Self::LimitReached {
                let message = limit_message(Limit::Connections, 1_000_000);
                object.insert("message".to_owned(), json!(message));
                object.insert("limit".to_owned(), json!(Limit::Connections.as_str()));
                object.insert("value".to_owned(), json!(1_000_000));
            }
            if self == Self::NotReady {
                let message = "The service is not ready: database: cannot be written.";
                object.insert("message".to_owned(), json!(message));
                let failed = json!({ "name": "database", "result": "fail", "message": "cannot be written" });
                object.insert("checks".to_owned(), json!([failed, { "name": "disk", "result": "pass" }]));
            }
            if self == Self::InternalError {
                object.insert("requestId".to_owned(), json!("req_00000000000000000000000000000000"));
            }
        }
        example
    }
}

/// The message for a limit that is reached.
pub(super) fn limit_message(limit: Limit, value: u64) -> String {
    let things = match limit {
        Limit::Connections => "connections",
        Limit::JobsInProgress => "jobs in progress",
        Limit::IdempotencyRecords => "idempotency keys within 24 hours",
        Limit::EventStreams => "open event streams",
        Limit::WebhookEndpoints => "webhook endpoints",
        Limit::OpenAuthorizations => "authorizations that have not ended",
        Limit::RequestsPerMinute | Limit::KeyRequestsPerMinute => "requests per minute",
    };
    format!("The account has reached its limit of {value} {things}.")
}
