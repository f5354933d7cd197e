//! Audit events as pages show them.

use domain::audit::{Action, ActorKind, AuditRecord};
use domain::id::{ApiKeyId, AuthorizationId, ConnectionId, EndpointId, SessionId};
use domain::job::JobId;

use super::messages as m;
use super::respond::when;
use super::views::parts::{AuditRow, Badge, Tone};

/// A row of the audit log. Names that a newer version wrote are shown as they are.
pub(super) fn audit_row(record: &AuditRecord) -> AuditRow {
    let kind = ActorKind::ALL.into_iter().find(|kind| kind.as_str() == record.actor_kind());
    let kind_text =
        kind.map_or_else(|| record.actor_kind().to_owned(), |kind| m::actor_kind(kind).to_owned());
    let name = record.actor_name.clone().or_else(|| record.api_key_id.clone());
    let subject = record.subject.clone().unwrap_or_default();
    let (kind_of_subject, subject_href) = describe(&subject);
    AuditRow {
        at: when(record.at),
        action: Action::parse(&record.action)
            .map_or_else(|| record.action.clone(), |action| m::action(action).to_owned()),
        code: record.action.clone(),
        actor_kind: if name.is_some() { kind_text.clone() } else { String::new() },
        actor: name.unwrap_or(kind_text),
        subject_kind: kind_of_subject.to_owned(),
        subject_href,
        subject,
        address: record.address().unwrap_or_default().to_owned(),
        result: record.refusal.as_deref().map(|code| result(&record.action, code)),
        refusal: record.refusal.clone().unwrap_or_default(),
    }
}

/// What an error code means for an action: an upload ends with one, anything else is refused.
fn result(action: &str, code: &str) -> Badge {
    let (tone, text) = match (Action::parse(action), code) {
        (Some(Action::EndUpload), "CANCELLED") => (Tone::Muted, m::PHASE_CANCELLED),
        (Some(Action::EndUpload), _) => (Tone::Bad, m::PHASE_FAILED),
        _ => (Tone::Bad, m::AUDIT_REFUSED),
    };
    Badge { tone, text: text.to_owned() }
}

/// What a record is and where its page is, by the form of its ID.
fn describe(id: &str) -> (&'static str, Option<String>) {
    let page = |path| Some(format!("/dashboard/{path}/{id}"));
    if ConnectionId::parse(id).is_some() {
        (m::CONNECTION, page("connections"))
    } else if JobId::parse(id).is_some() {
        (m::UPLOAD, page("uploads"))
    } else if ApiKeyId::parse(id).is_some() {
        (m::API_KEY, page("keys"))
    } else if EndpointId::parse(id).is_some() {
        (m::WEBHOOK_ENDPOINT, page("webhooks"))
    } else if AuthorizationId::parse(id).is_some() {
        (m::APPROVAL, page("connect"))
    } else if SessionId::parse(id).is_some() {
        (m::SESSION, None)
    } else {
        ("", None)
    }
}

#[cfg(test)]
mod tests {
    use domain::id::{AccountId, AuditEventId};
    use domain::time::Timestamp;

    use super::*;

    fn record(kind: &str, name: Option<&str>, action: &str) -> AuditRecord {
        AuditRecord {
            id: AuditEventId::from_stored("20260131090500042abcdefghijklmno".to_owned()),
            account_id: AccountId::from_random([1; 16]),
            at: Timestamp::from_millis(1_769_850_300_042),
            actor_kind: Some(kind.to_owned()),
            api_key_id: None,
            actor_name: name.map(str::to_owned),
            remote: None,
            action: action.to_owned(),
            subject: None,
            refusal: None,
        }
    }

    #[test]
    fn an_event_names_who_did_what() {
        let shown = audit_row(&record("session", Some("Anna"), "create_connection"));
        assert_eq!(
            (&*shown.actor, &*shown.actor_kind, &*shown.action),
            ("Anna", "Person", "Connection created")
        );
        let shown = audit_row(&record("operator", None, "sign_in"));
        assert_eq!((&*shown.actor, &*shown.actor_kind, &*shown.action), ("Operator", "", "Signed in"));
        let shown = audit_row(&record("robot", None, "fly"));
        assert_eq!(
            (&*shown.actor, &*shown.action, &*shown.code),
            ("robot", "fly", "fly"),
            "of a newer version"
        );
    }

    #[test]
    fn an_error_code_is_a_refusal_except_where_an_upload_ends() {
        for (action, code, text) in [
            ("create_upload", "FORBIDDEN", "Refused"),
            ("end_upload", "SOURCE_REFUSED", "Failed"),
            ("end_upload", "CANCELLED", "Cancelled"),
            ("fly", "CANCELLED", "Refused"),
        ] {
            let refused = AuditRecord { refusal: Some(code.to_owned()), ..record("service", None, action) };
            assert_eq!(audit_row(&refused).result.unwrap().text, text, "{action} {code}");
        }
        assert!(audit_row(&record("service", None, "end_upload")).result.is_none());
    }

    #[test]
    fn a_subject_is_named_and_leads_to_its_page_by_the_form_of_its_id() {
        for (id, kind, path) in [
            ("20260131090500042abcdefghijklmno", "Connection", Some("connections")),
            ("01946e3a-5b00-7000-8000-0123456789ab", "Upload", Some("uploads")),
            ("key_7t1b8z4d0c6q2v9x1k3m", "API key", Some("keys")),
            ("auth_20260131090500042k3v9x0q2m7t1b8z", "Approval", Some("connect")),
            ("ses_7t1b8z4d0c6q2v9x1k3m", "Session", None),
            ("\"><script>", "", None),
            ("", "", None),
        ] {
            let href = path.map(|path| format!("/dashboard/{path}/{id}"));
            assert_eq!(describe(id), (kind, href), "{id}");
        }
    }
}
