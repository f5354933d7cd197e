use domain::health::{HealthProblem, ProblemCode};
use domain::job::{Failure, FailureCode};
use domain::scope::Scope;

use super::*;

#[test]
fn every_code_is_unique() {
    let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.spec().code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Code::ALL.len());
}

#[test]
fn a_message_names_the_first_error() {
    let error = |name: &str, errors: &str| FieldError { name: name.to_owned(), errors: errors.to_owned() };
    for (errors, message) in [
        (vec![], "The request body is not valid."),
        (
            vec![error("clientSecret", "is required")],
            "The request body is not valid: clientSecret is required.",
        ),
        (
            vec![error("nmae", "is not a known field; did you mean name?"), error("a", "x"), error("b", "x")],
            "The request body is not valid: nmae is not a known field; did you mean name? 2 more in `fields`.",
        ),
        (
            vec![error("?", "is not a known field"), error("a", "x")],
            "The request body is not valid: a name is not a known field. 1 more in `fields`.",
        ),
    ] {
        assert_eq!(message_with_first_error(Code::InvalidRequestBody, &errors), message);
    }
    assert_eq!(
        Problem::invalid_header("If-Match", "is wrong").message.unwrap(),
        "A request header is not valid: If-Match is wrong."
    );
}

#[test]
fn a_rejected_request_is_audited_with_the_code_the_client_sees() {
    let errors = [
        Error::Forbidden { missing: Scope::AuditRead },
        Error::ApiKeyNotFound,
        Error::ApiKeyNotActive,
        Error::LastManagingKey,
        Error::ConnectionNameExists,
        Error::ConnectionNotFound,
        Error::VersionConflict { current: 2 },
        Error::IdempotencyKeyInUse,
        Error::IdempotencyKeyReused,
        Error::ConnectionDisabled,
        Error::ConnectionUnhealthy(HealthProblem {
            code: ProblemCode::TokenRejected,
            message: "It is rejected.".to_owned(),
        }),
        Error::WebhookSecretMissing,
        Error::JobNotFound,
        Error::AuthorizationNotFound,
        Error::PublicUrlMissing,
        Error::WebhookEndpointNotFound,
        Error::WebhookEndpointDisabled,
        Error::WebhookDeliveryNotFound,
        Error::WebhookNotRedeliverable,
        Error::JobNotRetryable(NotRetryable::NotFailed),
        Error::JobNotRetryable(NotRetryable::ClientUpload),
        Error::JobNotRetryable(NotRetryable::NotKept),
        Error::JobAlreadyRetried { job_id: JobId::from_stored(String::new()) },
        Error::UploadRefused(Failure { code: FailureCode::VimeoRefused, message: String::new() }),
        Error::UploadOver { job_id: JobId::from_stored(String::new()) },
        Error::LimitReached { limit: Limit::Connections, value: 1 },
        Error::CredentialsRejected(vec![]),
    ];
    for error in errors {
        let audited = error.audit_code();
        assert_eq!(audited, Some(Problem::from(error).code.spec().code));
    }
}
