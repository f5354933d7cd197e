//! The time of day, as all servers of this machine tell it, and what is seen of a process while it works.

use std::fs;

use serde::Serialize;

use crate::process::Memory;
use crate::trouble::{Trouble, While as _};

/// The memory of a process over a time, in bytes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Seen {
    pub(super) rss: Vec<u64>,
    pub(super) rss_anon: Vec<u64>,
}

impl Seen {
    pub(super) fn look(&mut self, pid: u32) -> Result<(), Trouble> {
        let Memory { rss, rss_anon } = Memory::of(pid)?;
        self.rss.push(rss);
        self.rss_anon.push(rss_anon);
        Ok(())
    }

    /// The least, the middle and the most that was resident.
    pub(super) fn bounds(&self) -> [u64; 3] {
        let mut sorted = self.rss.clone();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0);
        [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
    }

    /// Every so many samples one, so that no more than `most` are left.
    pub(super) fn series(&self, most: usize) -> Vec<u64> {
        self.rss.iter().copied().step_by(self.rss.len().div_ceil(most).max(1)).collect()
    }
}

/// What a process has had written to disks so far, in bytes.
pub(super) fn written(pid: u32) -> Result<u64, Trouble> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))
        .while_doing(format!("what process {pid} writes is not known"))?;
    let found = text.lines().find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse().ok());
    Ok(found.ok_or("the kernel does not say what a process writes")?)
}

/// Files that a process has open and that have no name, in bytes: what a spool is made of.
pub(super) fn nameless_bytes(pid: u32) -> Result<u64, Trouble> {
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
        let seen = Seen { rss: (1..=100).collect(), rss_anon: Vec::new() };
        assert_eq!(seen.bounds(), [1, 51, 100]);
        assert_eq!(seen.series(20).len(), 20);
        assert_eq!(Seen::default().bounds(), [0, 0, 0]);
    }

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        let file = tempfile::tempfile().unwrap();
        file.set_len(12_345).unwrap();
        assert!(nameless_bytes(pid).unwrap() >= 12_345);
        written(pid).unwrap();
    }
}
