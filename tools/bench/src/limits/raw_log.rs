//! R: an upper bound for a database. Records of concurrent submitters are appended together, with one sync, and found
//! by an index in memory.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{SUBMITTERS, per_second};
use crate::error::{BenchError, Context as _};

/// About the size of a creation: 670 bytes of the connection and its sealed secrets, 180 of its audit event.
pub(crate) const RECORD_BYTES: usize = 850;
/// The batch size of the service's writer.
const BATCH: usize = 256;

struct Submitted {
    id: u64,
    record: Vec<u8>,
    done: oneshot::Sender<()>,
}

/// Writes for this long. Returns the acknowledged records per second.
pub(crate) fn run(runtime: &Runtime, directory: &Path, long: Duration) -> Result<f64, BenchError> {
    let path = directory.join("raw.log");
    let (queue, waiting) = mpsc::channel(4 * SUBMITTERS);
    let writer = thread::spawn({
        let path = path.clone();
        move || write(&path, waiting)
    });
    let started = Instant::now();
    let count = runtime.block_on(submit_all(queue, started, long));
    let took = started.elapsed();
    let written = writer.join().map_err(|_| "the writer of the raw log panicked")?;
    let indexed = written.context(format!("{} cannot be written", path.display()))?;
    if indexed as u64 != count {
        return Err(format!("the raw log has {indexed} records, and {count} were acknowledged").into());
    }
    Ok(per_second(count, took))
}

async fn submit_all(queue: mpsc::Sender<Submitted>, started: Instant, long: Duration) -> u64 {
    let next_id = Arc::new(AtomicU64::new(0));
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        let (queue, next_id) = (queue.clone(), Arc::clone(&next_id));
        submitters.spawn(async move {
            let mut count = 0_u64;
            while started.elapsed() < long {
                let id = next_id.fetch_add(1, Ordering::Relaxed);
                let (done, answer) = oneshot::channel();
                let submitted = Submitted { id, record: vec![0x5A; RECORD_BYTES], done };
                if queue.send(submitted).await.is_err() || answer.await.is_err() {
                    break;
                }
                count += 1;
            }
            count
        });
    }
    drop(queue);
    submitters.join_all().await.iter().sum()
}

/// Writes batches until there are no more submitters. Returns the size of the index.
fn write(path: &Path, mut waiting: mpsc::Receiver<Submitted>) -> std::io::Result<usize> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut index = HashMap::new();
    let (mut batch, mut bytes, mut length) = (Vec::new(), Vec::new(), file.metadata()?.len());
    while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
        bytes.clear();
        for submitted in &batch {
            index.insert(submitted.id, length + bytes.len() as u64);
            bytes.extend_from_slice(&submitted.id.to_le_bytes());
            bytes.extend_from_slice(&submitted.record);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        length += bytes.len() as u64;
        for submitted in batch.drain(..) {
            // A submitter that has stopped waiting does not count it.
            let _ = submitted.done.send(());
        }
    }
    Ok(index.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_records_are_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let rate = run(&runtime, directory.path(), Duration::from_millis(50)).unwrap();
        assert!(rate > 0.0);
        let length = std::fs::metadata(directory.path().join("raw.log")).unwrap().len();
        assert_eq!(length % (RECORD_BYTES as u64 + 8), 0);
        assert!(length > 0);
    }
}
