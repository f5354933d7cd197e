//! Memory, disk writes and unnamed files of a process.

use std::fs;

use serde::Serialize;

use crate::error::{BenchError, Context as _};
use crate::process::Memory;

/// The memory of a process over time, in bytes.
#[derive(Debug, Default, Serialize)]
pub(super) struct MemorySamples {
    pub(super) rss: Vec<u64>,
    pub(super) rss_anon: Vec<u64>,
}

impl MemorySamples {
    pub(super) fn look(&mut self, pid: u32) -> Result<(), BenchError> {
        let Memory { rss, rss_anon } = Memory::of(pid)?;
        self.rss.push(rss);
        self.rss_anon.push(rss_anon);
        Ok(())
    }

    /// The minimum, median and maximum of resident memory.
    pub(super) fn bounds(&self) -> [u64; 3] {
        let mut sorted = self.rss.clone();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0);
        [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
    }

    /// Every n-th sample, so that at most `most` remain.
    pub(super) fn series(&self, most: usize) -> Vec<u64> {
        self.rss.iter().copied().step_by(self.rss.len().div_ceil(most).max(1)).collect()
    }
}

/// What a process has written to disks so far, in bytes.
pub(super) fn written(pid: u32) -> Result<u64, BenchError> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))
        .context(format!("what process {pid} writes is not known"))?;
    let found = text.lines().find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse().ok());
    Ok(found.ok_or("the kernel does not say what a process writes")?)
}

/// The size of the unnamed files that a process has open, such as a spool, in bytes.
pub(super) fn nameless_bytes(pid: u32) -> Result<u64, BenchError> {
    let mut bytes = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        if target.starts_with('/') && target.ends_with(" (deleted)") {
            bytes += fs::metadata(entry.path()).map_or(0, |known| known.len());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_thinned_to_a_series() {
        let seen = MemorySamples { rss: (1..=100).collect(), rss_anon: Vec::new() };
        assert_eq!(seen.bounds(), [1, 51, 100]);
        assert_eq!(seen.series(20).len(), 20);
        assert_eq!(MemorySamples::default().bounds(), [0, 0, 0]);
    }

    #[test]
    fn this_process_is_sampled() {
        let pid = std::process::id();
        let file = tempfile::tempfile().unwrap();
        file.set_len(12_345).unwrap();
        assert!(nameless_bytes(pid).unwrap() >= 12_345);
        written(pid).unwrap();
    }
}
