//! One long upload: the service's memory, sampled every second, and what it writes to disks.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::process_stats::{MemorySamples, nameless_bytes, written};
use super::service_upload::is_completed;
use super::{TestBed, Transfer};
use crate::error::BenchError;
use crate::process::{Memory, cpu_us};
use crate::sandbox::text_at;

const STEP: Duration = Duration::from_secs(1);

/// The result of a long upload.
#[derive(Debug, Serialize)]
pub(crate) struct Long {
    pub(super) bytes: u64,
    pub(super) passage: Transfer,
    pub(super) idle: Memory,
    /// Sampled every second, from the request until the upload was completed.
    pub(super) memory: MemorySamples,
    /// What the service wrote to disks meanwhile, including the database's log and its own log.
    pub(super) written_bytes: u64,
    /// The growth of its directory: the database, its log, and the service's own log.
    pub(super) directory_grew_bytes: u64,
    /// New files in its directory.
    pub(super) foreign_files: Vec<String>,
    /// The most that it held in unnamed files, such as a spool.
    pub(super) nameless_bytes: u64,
}

impl TestBed<'_> {
    pub(super) fn long(&self, bytes: u64, progress: impl Fn(&str)) -> Result<Long, BenchError> {
        let service = &self.ours.service;
        let (pid, directory) = (service.id(), self.work.join("relay-ours"));
        let before = Files::of(&directory)?;
        let (idle, cpu, wrote) = (service.memory()?, cpu_us(pid)?, written(pid)?);
        let accepted = self.ours.start_upload(self.runtime, &self.source.url(bytes))?;
        let (mut memory, mut nameless) = (MemorySamples::default(), 0);
        let data = loop {
            let data = self.ours.job(self.runtime, &accepted)?;
            memory.look(pid)?;
            nameless = nameless_bytes(pid)?.max(nameless);
            if is_completed(&data) {
                break data;
            }
            if memory.rss.len() % 10 == 0 {
                progress(&format!("{} % sent", data.get("progress").and_then(Value::as_u64).unwrap_or(0)));
            }
            sleep(STEP);
        };
        let cpu = Duration::from_micros(cpu_us(pid)?.saturating_sub(cpu)).as_secs_f64();
        let written_bytes = written(pid)?.saturating_sub(wrote);
        let after = Files::of(&directory)?;
        let uri = text_at(&data, "/vimeoUri")?;
        let received = self.vimeo.received(&uri, bytes)?;
        let seconds = received.at.seconds_since(self.source.started_at()?);
        Ok(Long {
            bytes,
            passage: Transfer::new(bytes, seconds, &received, Some(cpu)),
            idle,
            memory,
            written_bytes,
            directory_grew_bytes: after.bytes.saturating_sub(before.bytes),
            foreign_files: after.names.into_iter().filter(|name| !before.names.contains(name)).collect(),
            nameless_bytes: nameless,
        })
    }
}

/// The files below a directory.
#[derive(Default)]
struct Files {
    names: Vec<String>,
    bytes: u64,
}

impl Files {
    fn of(directory: &Path) -> Result<Self, BenchError> {
        let mut files = Self::default();
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let known = entry.metadata()?;
                if known.is_dir() {
                    left.push(entry.path());
                } else {
                    files.names.push(entry.path().display().to_string());
                    files.bytes += known.len();
                }
            }
        }
        Ok(files)
    }
}
