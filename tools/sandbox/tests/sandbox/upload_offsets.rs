//! Random requests to one link, compared with a simple model: the received bytes.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sandbox::Options;
use serde_json::Value;

use crate::support::test_sandbox::{Reply, TestSandbox, exchange};
use crate::support::uploads::{chunked, pattern, receive_event, sha256};

const SIZE: u64 = 100;

#[derive(Clone, Debug)]
enum Step {
    Head,
    /// At an offset that differs from the right one by this.
    Patch {
        off_by: i64,
        bytes: usize,
    },
    Chunked {
        bytes: usize,
        sizes: Vec<usize>,
    },
    /// Announces more than it sends, and disconnects.
    Broken {
        bytes: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![4 => 0_usize..30, 1 => 0_usize..150];
    let step = prop_oneof![
        2 => Just(Step::Head),
        5 => (prop_oneof![6 => Just(0_i64), 1 => -50_i64..50], bytes.clone())
            .prop_map(|(off_by, bytes)| Step::Patch { off_by, bytes }),
        2 => (bytes, prop::collection::vec(1_usize..40, 0..4))
            .prop_map(|(bytes, sizes)| Step::Chunked { bytes, sizes }),
        1 => (0_usize..20).prop_map(|bytes| Step::Broken { bytes }),
    ];
    prop::collection::vec(step, 1..14)
}

async fn run(sandbox: &TestSandbox, steps: &[Step]) {
    let made = sandbox.make_tus(SIZE).await;
    let all = pattern(400);
    let mut taken: Vec<u8> = Vec::new();
    for (turn, step) in steps.iter().enumerate() {
        let offset = taken.len() as u64;
        let fresh = &all[turn * 7..];
        let (status, kept) = match step {
            Step::Head => (sandbox.head(&made.path).await.status, 0),
            Step::Patch { off_by, bytes } => {
                let asked = offset.saturating_add_signed(*off_by);
                let reply = sandbox.patch(&made.path, asked, &fresh[..*bytes]).await;
                let fits = offset + *bytes as u64 <= SIZE;
                let expected = if asked != offset {
                    409
                } else if fits {
                    204
                } else {
                    413
                };
                assert_eq!(reply.status, expected);
                (reply.status, if expected == 204 { *bytes } else { 0 })
            }
            Step::Chunked { bytes, sizes } => {
                let head = format!(
                    "PATCH {} HTTP/1.1\r\nHost: s\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n\
                     Upload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n",
                    made.path
                );
                let sent = [head.as_bytes(), &chunked(&fresh[..*bytes], sizes)].concat();
                let reply = Reply::read(&exchange(sandbox.running.addr, &sent).await.unwrap());
                let remaining = usize::try_from(SIZE).unwrap() - taken.len();
                assert_eq!(reply.status, if *bytes <= remaining { 204 } else { 413 });
                (reply.status, remaining.min(*bytes))
            }
            Step::Broken { bytes } => {
                let remaining = SIZE - offset;
                let bytes = (*bytes).min(usize::try_from(remaining).unwrap());
                if bytes as u64 == remaining {
                    continue;
                }
                let mut stream = sandbox.stalled(&made.path, offset, remaining, &fresh[..bytes]).await;
                sandbox.until_offset(&made.path, offset + bytes as u64).await;
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
                let mut rest = Vec::new();
                // A response is optional, but the connection must be closed.
                let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
                (0, bytes)
            }
        };
        assert!(status < 500, "{step:?}");
        taken.extend(&fresh[..kept]);
        assert_eq!(sandbox.offset(&made.path).await, taken.len() as u64, "{step:?}");
        let version = sandbox.version(made.number).await;
        assert!(taken.len() as u64 <= SIZE);
        assert_eq!(version["sha256"], sha256(&taken), "{step:?}");
        let kept = sandbox.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
        assert!(kept.body == taken, "{step:?}");
        assert_eq!(version["stage"] == "uploading", taken.len() as u64 != SIZE);
    }
}

#[test]
fn offsets_never_decrease_and_the_hash_is_that_of_the_received_bytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let sandbox = runtime.block_on(TestSandbox::with(options));
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(run(&sandbox, &steps));
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_patches_store_each_byte_once() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(SIZE).await;
    let bytes = pattern(100);
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(sandbox.stalled(&made.path, 0, SIZE, &bytes).await);
    }
    let mut statuses = Vec::new();
    for stream in streams {
        statuses.push(receive_event(stream).await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 409, 423].contains(status)), "{statuses:?}");
    assert_eq!(sandbox.version(made.number).await["sha256"], sha256(&bytes));
}
