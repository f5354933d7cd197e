//! Sends the bytes of a file to an upload link of Vimeo.

use std::sync::Arc;
use std::time::Duration;

use app::LocalFile as _;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vimeo::{BaseUrl, Chunk, ClientOptions, LinkFailure, UploadError, UploadHost, UploadLink};

use super::file::SendingFile;
use super::{RERUN, Stopped};
use crate::cli::BoxError;
use crate::client::ServiceUrl;
use crate::config;
use crate::wiring::USER_AGENT;

/// The API whose upload links are accepted.
const VIMEO: &str = "https://api.vimeo.com";
/// Also accepts links on this machine, as a sandbox has.
const LOOPBACK: &str = "http://127.0.0.1";
/// How many bytes one request sends.
const CHUNK_BYTES: u64 = 256 * 1024 * 1024;
/// The limit for finding the offset.
const OFFSET_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nothing may be sent.
const STALL: Duration = Duration::from_mins(1);
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// How long the upload may make no progress.
const NO_PROGRESS_MAX: Duration = Duration::from_mins(10);

/// How sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Vimeo has all bytes.
    Whole,
    /// The link is no longer valid: the upload has ended, or its link has expired.
    LinkGone,
}

/// What follows from a failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Retry,
    LinkGone,
    Fail,
}

/// Sends what Vimeo does not have yet. A [`ReadFault`](super::file::ReadFault) if the file cannot be read.
pub(super) async fn send_file(
    service: &ServiceUrl,
    link: &str,
    size: u64,
    file: &Arc<SendingFile>,
    stopping: &CancellationToken,
) -> Result<Sent, BoxError> {
    let client = client(service)?;
    let link = UploadLink::parse(link, client.link_rules())
        .map_err(|error| format!("the service returned an upload link that is not Vimeo's: {error}"))?;
    let sending = send(&client, &link, size, file);
    stopping.run_until_cancelled(sending).await.unwrap_or_else(|| Err(Stopped.into()))
}

async fn send(
    client: &vimeo::Client,
    link: &UploadLink,
    size: u64,
    file: &Arc<SendingFile>,
) -> Result<Sent, BoxError> {
    let (mut reached, mut progressed_at) = (0, Instant::now());
    loop {
        let failure = match client.offset(link, OFFSET_TIMEOUT).await {
            Ok(found) if found.offset >= size => return Ok(Sent::Whole),
            Ok(found) => {
                if found.offset > reached {
                    (reached, progressed_at) = (found.offset, Instant::now());
                }
                let length = CHUNK_BYTES.min(size - found.offset);
                let chunk = Chunk { offset: found.offset, length };
                match client.send_chunk(link, chunk, file.read(found.offset), STALL).await {
                    Ok(_) => continue,
                    Err(UploadError::Link(failure)) => failure,
                    Err(
                        UploadError::Source(_) | UploadError::SourceTruncated | UploadError::SourceStalled,
                    ) => {
                        return Err(match file.take_fault() {
                            Some(fault) => fault.into(),
                            None => format!("the file could not be read. {RERUN}").into(),
                        });
                    }
                }
            }
            Err(failure) => failure,
        };
        match next(&failure) {
            Next::Retry if progressed_at.elapsed() < NO_PROGRESS_MAX => sleep(RETRY_PAUSE).await,
            Next::LinkGone => return Ok(Sent::LinkGone),
            Next::Retry | Next::Fail => {
                return Err(format!("the bytes cannot be sent: {failure}. {RERUN}").into());
            }
        }
    }
}

fn next(failure: &LinkFailure) -> Next {
    match failure {
        LinkFailure::Gone => Next::LinkGone,
        LinkFailure::Locked
        | LinkFailure::Conflict
        | LinkFailure::RetryLater(_)
        | LinkFailure::Incoherent => Next::Retry,
        LinkFailure::TooLarge | LinkFailure::ProtocolRefused(_) => Next::Fail,
    }
}

/// A client that sends only to Vimeo's upload hosts, or to this machine if the service is on it. The bytes carry no
/// credentials.
fn client(service: &ServiceUrl) -> Result<vimeo::Client, BoxError> {
    let base_url = if service.is_loopback() { LOOPBACK } else { VIMEO };
    Ok(vimeo::Client::new(ClientOptions {
        base_url: BaseUrl::parse(base_url)?,
        user_agent: USER_AGENT,
        proxy: None,
        upload_hosts: vec![UploadHost::vimeo()],
        tls: config::client_tls(None)?,
        // Only for rate limits of the API, which is not used here.
        clock: vimeo::Clock::new(|| domain::time::Timestamp::from_micros(0)),
        tasks: TaskTracker::new(),
    })?)
}

#[cfg(test)]
mod tests {
    use vimeo::TransportError;

    use super::*;

    #[test]
    fn only_what_may_pass_is_retried() {
        for (failure, expected) in [
            (LinkFailure::Gone, Next::LinkGone),
            (LinkFailure::Locked, Next::Retry),
            (LinkFailure::Conflict, Next::Retry),
            (LinkFailure::RetryLater(TransportError::Timeout), Next::Retry),
            (LinkFailure::Incoherent, Next::Retry),
            (LinkFailure::TooLarge, Next::Fail),
            (LinkFailure::ProtocolRefused(415), Next::Fail),
        ] {
            assert_eq!(next(&failure), expected);
        }
    }
}
