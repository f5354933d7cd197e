//! The operations on jobs, in the database or at a remote service.

use app::JobFilter;
use domain::id::ConnectionId;
use domain::job::{JobId, JobPhase, JobStatus};
use domain::page::PageLimit;
use domain::time::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::view::JobView;
use crate::cli::BoxError;
use crate::cli::backend::Backend;
use crate::cli::error_messages::to_message;
use crate::client::Call;

const COLLECTION: [&str; 2] = ["v1", "jobs"];
/// The largest page.
const PAGE: usize = 1_000;

/// Which jobs are listed.
#[derive(Debug, Clone, Default)]
pub(super) struct Only {
    pub(super) connection_id: Option<String>,
    pub(super) status: Option<JobStatus>,
    pub(super) phase: Option<JobPhase>,
    pub(super) created_from: Option<Timestamp>,
    pub(super) created_until: Option<Timestamp>,
}

/// The response to a retry.
#[derive(Deserialize)]
struct RetriedIn {
    data: RetriedJobIn,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetriedJobIn {
    job_id: String,
}

impl Backend<'_> {
    /// The newest jobs, at most `count`.
    pub(super) async fn list_jobs(&self, only: &Only, count: usize) -> Result<Vec<JobView>, BoxError> {
        let mut all = Vec::new();
        match self {
            Self::Database { app, caller, .. } => {
                let mut filter = JobFilter {
                    connection_id: only.connection_id.clone().map(ConnectionId::from_stored),
                    status: only.status,
                    phase: only.phase,
                    created_from: only.created_from,
                    created_until: only.created_until,
                    before: None,
                };
                while all.len() < count {
                    let limit = PageLimit::parse(&PAGE.min(count - all.len()).to_string())?;
                    let page = app.list_jobs(caller, &filter, limit).await.map_err(to_message)?;
                    filter.before = page.items.last().map(|last| last.id.clone());
                    for job in &page.items {
                        all.push(JobView::of(job)?);
                    }
                    if page.next.is_none() {
                        break;
                    }
                }
            }
            Self::Service(client) => {
                let call = Call::get(&COLLECTION)
                    .query("connectionId", only.connection_id.clone())
                    .query("status", only.status.map(|status| status.as_str().to_owned()))
                    .query("phase", only.phase.map(|phase| phase.as_str().to_owned()))
                    .query("createdAfter", only.created_from.map(|at| at.to_string()))
                    .query("createdBefore", only.created_until.map(|at| at.to_string()));
                for item in client.list(&call, Some(count)).await? {
                    all.push(JobView::parse(item)?);
                }
            }
        }
        Ok(all)
    }

    pub(in crate::cli) async fn find_job(&self, id: &JobId) -> Result<JobView, BoxError> {
        match self {
            Self::Database { app, caller, .. } => {
                Ok(JobView::of(&app.find_job(caller, id).await.map_err(to_message)?)?)
            }
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[id.as_str()]].concat();
                Ok(JobView::parse(client.send(Call::get(&path)).await?.json()?)?)
            }
        }
    }

    /// Queues a failed job again, as a new job: its ID.
    pub(in crate::cli) async fn retry_job(&self, id: &JobId) -> Result<JobId, BoxError> {
        match self {
            Self::Database { app, caller, .. } => app.retry_upload(caller, id).await.map_err(to_message),
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[id.as_str(), "retry"]].concat();
                let RetriedIn { data } = client.send(Call::new(Method::POST, &path)).await?.json()?;
                JobId::parse(&data.job_id).ok_or_else(|| "the service returned no valid job ID".into())
            }
        }
    }

    /// Changes when the video of a job is opened; `None`: as soon as possible.
    pub(in crate::cli) async fn reschedule_job(
        &self,
        id: &JobId,
        publish_at: Option<Timestamp>,
    ) -> Result<JobView, BoxError> {
        match self {
            Self::Database { app, caller, .. } => {
                let changed = app.reschedule_upload(caller, id.as_str(), publish_at).await;
                Ok(JobView::of(&changed.map_err(to_message)?)?)
            }
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[id.as_str()]].concat();
                let body = json!({ "publishAt": publish_at.map(|at| at.to_string()) });
                let call = Call::new(Method::PATCH, &path).body(serde_json::to_vec(&body)?.into());
                Ok(JobView::parse(client.send(call).await?.json()?)?)
            }
        }
    }

    /// Cancels a job, unless it has ended.
    pub(in crate::cli) async fn cancel_job(&self, id: &JobId) -> Result<(), BoxError> {
        match self {
            Self::Database { app, caller, .. } => {
                app.cancel_upload(caller, id.as_str()).await.map_err(to_message)
            }
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[id.as_str()]].concat();
                client.send(Call::new(Method::DELETE, &path)).await?;
                Ok(())
            }
        }
    }
}
