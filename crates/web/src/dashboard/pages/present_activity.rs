//! What happened to a connection: its newest uploads and events, as its page shows them.

use domain::audit::AuditRecord;
use domain::job::{Job, JobPhase};

use super::super::messages as m;
use super::super::respond::when;
use super::super::views::parts::{AuditRow, Badge, Tone};
use super::super::views::uploads::UploadRow;
use super::present_connections::in_words;

/// An upload of the connection, as far as its page shows it.
pub(super) fn upload_row(job: &Job) -> UploadRow {
    UploadRow {
        id: job.id.to_string(),
        href: format!("/dashboard/uploads/{}", job.id),
        name: job.id.to_string(),
        connection: String::new(),
        connection_href: None,
        phase: phase(job.state.phase()),
        progress: 0,
        is_in_progress: false,
        amount: String::new(),
        rate: String::new(),
        left: String::new(),
        note: String::new(),
        created: when(job.created_at),
        can_cancel: false,
    }
}

fn phase(phase: JobPhase) -> Badge {
    let (tone, text) = match phase {
        JobPhase::Queued => (Tone::Muted, m::PHASE_QUEUED),
        JobPhase::Creating => (Tone::Busy, m::PHASE_CREATING),
        JobPhase::Uploading => (Tone::Busy, m::PHASE_UPLOADING),
        JobPhase::Configuring => (Tone::Busy, m::PHASE_CONFIGURING),
        JobPhase::Transcoding => (Tone::Busy, m::PHASE_TRANSCODING),
        JobPhase::Publishing => (Tone::Busy, m::PHASE_PUBLISHING),
        JobPhase::CleaningUp => (Tone::Busy, m::PHASE_CLEANING_UP),
        JobPhase::Completed => (Tone::Good, m::PHASE_COMPLETED),
        JobPhase::Failed => (Tone::Bad, m::PHASE_FAILED),
        JobPhase::Cancelled => (Tone::Muted, m::PHASE_CANCELLED),
    };
    Badge { tone, text: text.to_owned() }
}

/// An event in the history of the connection. Its subject is the connection.
pub(super) fn audit_row(record: &AuditRecord) -> AuditRow {
    AuditRow {
        at: when(record.at),
        action: in_words(&record.action),
        code: record.action.clone(),
        actor: record.actor_name.clone().unwrap_or_else(|| in_words(record.actor_kind())),
        actor_kind: record.actor_name.as_ref().map_or_else(String::new, |_| in_words(record.actor_kind())),
        subject: record.subject.clone().unwrap_or_default(),
        subject_href: None,
        address: record.address().unwrap_or_default().to_owned(),
        refusal: record.refusal.clone().unwrap_or_default(),
    }
}
