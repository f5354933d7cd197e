//! Random requests to one link, against the simplest model of it: the bytes that were taken.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sandbox::Options;
use serde_json::Value;

use crate::harness::{Desk, Reply, exchange};
use crate::sending::{chunked, hear, pattern, sha256};

const SIZE: u64 = 100;

#[derive(Clone, Debug)]
enum Step {
    Head,
    /// At an offset so far from the right one.
    Patch {
        off_by: i64,
        bytes: usize,
    },
    Chunked {
        bytes: usize,
        sizes: Vec<usize>,
    },
    /// Announces more than it sends, and goes.
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

async fn run(desk: &Desk, steps: &[Step]) {
    let made = desk.make_tus(SIZE).await;
    let all = pattern(400);
    let mut taken: Vec<u8> = Vec::new();
    for (turn, step) in steps.iter().enumerate() {
        let offset = taken.len() as u64;
        let fresh = &all[turn * 7..];
        let (status, kept) = match step {
            Step::Head => (desk.head(&made.path).await.status, 0),
            Step::Patch { off_by, bytes } => {
                let asked = offset.saturating_add_signed(*off_by);
                let reply = desk.patch(&made.path, asked, &fresh[..*bytes]).await;
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
                let reply = Reply::read(&exchange(desk.running.addr, &sent).await.unwrap());
                let room = usize::try_from(SIZE).unwrap() - taken.len();
                assert_eq!(reply.status, if *bytes <= room { 204 } else { 413 });
                (reply.status, room.min(*bytes))
            }
            Step::Broken { bytes } => {
                let room = SIZE - offset;
                let bytes = (*bytes).min(usize::try_from(room).unwrap());
                if bytes as u64 == room {
                    continue;
                }
                let mut stream = desk.stalled(&made.path, offset, room, &fresh[..bytes]).await;
                desk.until_offset(&made.path, offset + bytes as u64).await;
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
                let mut rest = Vec::new();
                // Whether it still says something is its own affair, but it hangs up.
                let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
                (0, bytes)
            }
        };
        assert!(status < 500, "{step:?}");
        taken.extend(&fresh[..kept]);
        assert_eq!(desk.offset(&made.path).await, taken.len() as u64, "{step:?}");
        let version = desk.version(made.number).await;
        assert!(taken.len() as u64 <= SIZE);
        assert_eq!(version["sha256"], sha256(&taken), "{step:?}");
        let kept = desk.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
        assert!(kept.body == taken, "{step:?}");
        assert_eq!(version["stage"] == "uploading", taken.len() as u64 != SIZE);
    }
}

#[test]
fn an_offset_never_goes_back_and_the_hash_is_that_of_what_was_taken() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let desk = runtime.block_on(Desk::with(options));
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(run(&desk, &steps));
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_patches_at_once_each_byte_is_taken_once() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(SIZE).await;
    let bytes = pattern(100);
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(desk.stalled(&made.path, 0, SIZE, &bytes).await);
    }
    let mut statuses = Vec::new();
    for stream in streams {
        statuses.push(hear(stream).await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 409, 423].contains(status)), "{statuses:?}");
    assert_eq!(desk.version(made.number).await["sha256"], sha256(&bytes));
}
