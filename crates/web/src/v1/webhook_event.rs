//! The JSON of webhooks: an event in the envelope of the Standard Webhooks specification, with what it is about.

use app::{EventData, PresentedEvent, Presenter};
use domain::account::Account;
use serde::Serialize;

use super::connection::ConnectionOut;
use super::connection_health::HealthProblemOut;
use super::job::{JobOut, job_object};

/// Renders the webhooks of the service.
pub const PRESENTER: Presenter = Presenter { job_webhook: job_object, event: event_object };

#[derive(Serialize)]
struct EventOut<'a> {
    #[serde(rename = "type")]
    event_type: &'static str,
    timestamp: String,
    data: DataOut<'a>,
    /// For the operator alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountOut<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DataOut<'a> {
    Job(Box<JobOut<'a>>),
    Connection(ConnectionOut<'a>),
    #[serde(rename_all = "camelCase")]
    Health {
        connection_id: &'a str,
        name: &'a str,
        status: &'static str,
        previous_status: &'static str,
        since: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<HealthProblemOut<'a>>,
    },
    #[serde(rename_all = "camelCase")]
    DisabledEndpoint {
        endpoint_id: &'a str,
        reason: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    Test {
        endpoint_id: &'a str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountOut<'a> {
    account_id: &'a str,
    name: &'a str,
}

fn event_object(event: &PresentedEvent<'_>) -> String {
    let data = match event.data {
        EventData::Job(job) => DataOut::Job(Box::new(JobOut::from(job))),
        EventData::Connection(connection) => DataOut::Connection(ConnectionOut::from(connection)),
        EventData::Health { connection, health, before } => DataOut::Health {
            connection_id: connection.id.as_str(),
            name: connection.name.as_str(),
            status: health.status.as_str(),
            previous_status: before.as_str(),
            since: health.since.floor_to_millis().to_string(),
            problem: health.problem.as_ref().map(Into::into),
        },
        EventData::DisabledEndpoint { id, reason } => {
            DataOut::DisabledEndpoint { endpoint_id: id.as_str(), reason: reason.as_str() }
        }
        EventData::Test { id } => DataOut::Test { endpoint_id: id.as_str() },
    };
    let account = event
        .account
        .map(|Account { id, name, .. }| AccountOut { account_id: id.as_str(), name: name.as_str() });
    let event_type = event.event_type.as_str();
    // Serialising strings, numbers and booleans does not fail.
    serde_json::to_string(&EventOut { event_type, timestamp: event.at.to_string(), data, account })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use domain::account::{AccountKeys, Label};
    use domain::id::{AccountId, EndpointId};
    use domain::job::{JobState, Queued};
    use domain::secret::{KeyringKeyId, KeyringWrapped, WrappedKey};
    use domain::time::Timestamp;
    use domain::webhook::{DisabledReason, EventType};

    use super::*;

    fn render(event_type: EventType, data: EventData<'_>, account: Option<&Account>) -> String {
        event_object(&PresentedEvent { event_type, at: Timestamp::from_millis(42), data, account })
    }

    #[test]
    fn an_event_of_a_job_has_the_object_of_the_api() {
        let job = crate::v1::job::tests::job(JobState::Queued(Queued::default()));
        let object = String::from_utf8(job_object(&job, None)).unwrap();
        let expected =
            format!(r#"{{"type":"upload.failed","timestamp":"1970-01-01T00:00:00.042Z","data":{object}}}"#);
        assert_eq!(render(EventType::UploadFailed, EventData::Job(&job), None), expected);
    }

    #[test]
    fn an_event_of_an_endpoint_names_it_and_the_operator_learns_the_account() {
        let id = EndpointId::from_stored("whe_1".to_owned());
        let account = Account {
            id: AccountId::from_stored("acc_1".to_owned()),
            name: Label::parse("Acme").unwrap(),
            created_at: Timestamp::from_millis(0),
            keys: AccountKeys::of(KeyringWrapped {
                keyring_key: KeyringKeyId("k".into()),
                wrapped: WrappedKey([0; 60]),
            }),
        };
        let data = EventData::DisabledEndpoint { id: &id, reason: DisabledReason::Gone };
        assert_eq!(
            render(EventType::EndpointDisabled, data, Some(&account)),
            r#"{"type":"webhook_endpoint.disabled","timestamp":"1970-01-01T00:00:00.042Z","data":{"endpointId":"whe_1","reason":"gone"},"account":{"accountId":"acc_1","name":"Acme"}}"#
        );
        let test = render(EventType::Test, EventData::Test { id: &id }, None);
        assert!(test.ends_with(r#""data":{"endpointId":"whe_1"}}"#), "{test}");
    }
}
