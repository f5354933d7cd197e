//! A job as the API presents it, from the database or from a remote service.

use domain::job::{Job, JobPhase, JobStatus};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::output::on_one_line;

/// A job, with every field that was sent.
#[derive(Debug, Clone)]
pub(in crate::cli) struct JobView {
    /// As it is printed.
    pub(in crate::cli) json: Value,
    id: String,
    data: Data,
}

#[derive(Deserialize)]
struct JobIn {
    job_id: String,
    data: Data,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    status: String,
    phase: String,
    progress: u8,
    bytes_sent: Option<u64>,
    bytes_total: Option<u64>,
    vimeo_uri: Option<String>,
    vimeo_url: Option<String>,
    waiting_for: Option<String>,
    publish_at: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(rename = "error_code")]
    error_code: Option<String>,
    #[serde(rename = "error_message")]
    error_message: Option<String>,
    connection_id: String,
    created_date: String,
    updated_date: String,
}

impl JobView {
    pub(in crate::cli) fn of(job: &Job) -> Result<Self, serde_json::Error> {
        Self::parse(serde_json::from_slice(&web::job_object(job, None))?)
    }

    pub(in crate::cli) fn parse(json: Value) -> Result<Self, serde_json::Error> {
        let JobIn { job_id, data } = JobIn::deserialize(&json)?;
        Ok(Self { json, id: job_id, data })
    }

    pub(in crate::cli) fn id(&self) -> &str {
        &self.id
    }

    /// `None`: a status that this version does not know.
    pub(in crate::cli) fn status(&self) -> Option<JobStatus> {
        JobStatus::parse(&self.data.status).ok()
    }

    /// `None`: a phase that this version does not know.
    pub(in crate::cli) fn phase(&self) -> Option<JobPhase> {
        JobPhase::parse(&self.data.phase).ok()
    }

    /// The phase as it was sent.
    pub(in crate::cli) fn phase_text(&self) -> String {
        on_one_line(&self.data.phase)
    }

    /// Whether it will never change again.
    pub(in crate::cli) fn has_ended(&self) -> bool {
        matches!(self.phase(), Some(JobPhase::Completed | JobPhase::Failed | JobPhase::Cancelled))
    }

    /// Whether it waits only for its time of publication.
    pub(in crate::cli) fn is_scheduled(&self) -> bool {
        self.phase() == Some(JobPhase::Scheduled)
    }

    /// When its video is opened to its viewers.
    pub(in crate::cli) fn publish_at(&self) -> String {
        on_one_line(self.data.publish_at.as_deref().unwrap_or_default())
    }

    /// Bytes that Vimeo has acknowledged, and all, once known.
    pub(in crate::cli) fn bytes(&self) -> Option<(u64, u64)> {
        Some((self.data.bytes_sent?, self.data.bytes_total?))
    }

    /// Whether it waits until Vimeo can be reached again.
    pub(in crate::cli) fn is_waiting_for_vimeo(&self) -> bool {
        self.data.waiting_for.as_deref() == Some(domain::job::WaitingFor::Vimeo.as_str())
    }

    /// Where the video is: its page, else its URI.
    pub(in crate::cli) fn place(&self) -> String {
        let place = self.data.vimeo_url.as_ref().or(self.data.vimeo_uri.as_ref());
        on_one_line(place.map_or("", String::as_str))
    }

    pub(in crate::cli) fn warnings(&self) -> impl Iterator<Item = String> {
        self.data.warnings.iter().map(|warning| on_one_line(warning))
    }

    /// Why it failed: for people and for programs.
    pub(in crate::cli) fn failure(&self) -> (String, String) {
        let text = |text: &Option<String>| on_one_line(text.as_deref().unwrap_or_default());
        (text(&self.data.error_message), text(&self.data.error_code))
    }

    /// A row of the table.
    pub(super) fn row(&self) -> Vec<String> {
        let data = &self.data;
        let progress = format!("{} %", data.progress);
        let place = self.place();
        let cells =
            [&self.id, &data.connection_id, &data.status, &data.phase, &progress, &place, &data.created_date];
        cells.iter().map(|cell| on_one_line(cell)).collect()
    }

    /// Its fields, each with its title.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let data = &self.data;
        let mut lines = vec![
            ("job", self.id.clone()),
            ("connection", data.connection_id.clone()),
            ("status", data.status.clone()),
            ("phase", data.phase.clone()),
            ("progress", format!("{} %", data.progress)),
        ];
        if let Some((sent, total)) = self.bytes() {
            lines.push(("bytes sent", format!("{sent} of {total}")));
        }
        lines.extend(data.waiting_for.iter().map(|reason| ("waiting for", reason.clone())));
        lines.extend(data.publish_at.iter().map(|at| ("publish at", at.clone())));
        lines.extend(data.vimeo_uri.iter().map(|uri| ("video", uri.clone())));
        lines.extend(data.vimeo_url.iter().map(|url| ("page", url.clone())));
        lines.extend(data.warnings.iter().map(|warning| ("warning", warning.clone())));
        if data.error_code.is_some() {
            let (message, code) = self.failure();
            lines.push(("error", format!("{message} ({code})")));
        }
        lines.extend([("created", data.created_date.clone()), ("updated", data.updated_date.clone())]);
        lines
    }
}
