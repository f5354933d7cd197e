//! F: how often this disk appends and syncs 4 KiB, in sequence.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::per_second;
use crate::error::{BenchError, Context as _};

const BLOCK: [u8; 4096] = [0x5A; 4096];

/// Appends and syncs for this long. Returns the rate per second.
pub(crate) fn run(directory: &Path, long: Duration) -> Result<f64, BenchError> {
    let path = directory.join("appended");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .context(format!("{} cannot be written", path.display()))?;
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < long {
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(per_second(count, started.elapsed()))
}
