//! What happened to a connection: its newest uploads, as its page shows them.

use domain::job::{Job, JobPhase};

use super::super::messages as m;
use super::super::respond::when;
use super::super::views::parts::{Badge, Tone};
use super::super::views::uploads::UploadRow;

/// An upload of the connection, as far as its page shows it.
pub(super) fn upload_row(job: &Job, name: String) -> UploadRow {
    UploadRow {
        id: job.id.to_string(),
        href: format!("/dashboard/uploads/{}", job.id),
        name,
        connection: String::new(),
        connection_href: None,
        is_connection_deleted: false,
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
