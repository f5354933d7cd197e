//! Two curl processes and a pipe, the simplest relay.

use std::time::Duration;

use super::{TestBed, Transfer};
use crate::error::BenchError;
use crate::process::Process;
use crate::rounds::subdirectory;

const TIMEOUT: Duration = Duration::from_mins(30);
const PIPE: &str = "curl -s --noproxy '*' \"$1\" | curl -s --noproxy '*' -o /dev/null -w '%{http_code}\\n' -X PATCH -T - \
    -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' -H 'Content-Type: application/offset+octet-stream' \"$2\"";

impl TestBed<'_> {
    pub(super) fn by_curl(&self, bytes: u64) -> Result<Transfer, BenchError> {
        let placeholder = self.vimeo.create_placeholder(bytes)?;
        let directory = subdirectory(&self.work, "relay-curl")?;
        let url = self.source.url(bytes);
        let arguments = ["-c", PIPE, "sh", url.as_str(), placeholder.link.as_str()];
        let mut process = Process::start("sh".as_ref(), &arguments, &directory)?;
        process.wait(TIMEOUT)?;
        drop(process);
        let said = std::fs::read_to_string(directory.join("sh.out"))?;
        if said.trim() != "204" {
            return Err(format!("curl was answered {said:?}").into());
        }
        let received = self.vimeo.received(&placeholder.uri, bytes)?;
        let seconds = received.at.seconds_since(self.source.started_at()?);
        self.source.forget();
        self.vimeo.forget(&placeholder.uri)?;
        Ok(Transfer::new(bytes, seconds, &received, None))
    }
}
