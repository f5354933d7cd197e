//! The environment of the process: variables of libraries have no effect, and `config check` and `serve` reject an
//! unusable proxy alike.

use std::fs;

use serde_json::json;

use crate::support::harness::{Service, TestEnv, binary, printed, run};
use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{CONFIG, UploadEnv, assert_whole, fast_sandbox};

/// Variables that libraries read, all with unusable values.
const NONSENSE: [(&str, &str); 9] = [
    ("SSL_CERT_FILE", "/nonexistent/roots.pem"),
    ("SSL_CERT_DIR", "/nonexistent"),
    ("TMPDIR", "/nonexistent/tmp"),
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("HTTPS_PROXY", "http://127.0.0.1:1"),
    ("ALL_PROXY", "http://127.0.0.1:1"),
    ("http_proxy", "http://127.0.0.1:1"),
    ("PGHOST", "192.0.2.1"),
    ("HOME", "/nonexistent"),
];

fn start_in_nonsense(env: &mut TestEnv) {
    assert_eq!(env.service.terminate(), Some(0));
    let checked = run(env.path(), &NONSENSE, &["config", "check"]);
    assert!(checked.status.success(), "{}", printed(&checked));
    let before = NONSENSE.map(|(name, _)| name);
    assert!(before.iter().all(|name| !printed(&checked).contains(name)), "{}", printed(&checked));
    env.service = Service::start_with(env.path(), &NONSENSE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environment_variables_of_libraries_have_no_effect() {
    let mut uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    start_in_nonsense(&mut uploads.env);
    let env = &uploads.env;
    assert_eq!(env.get("/health/ready").await.status, 200);
    // A request to Vimeo.
    let created = env.post(&env.valid_body("another")).await;
    assert_eq!(created.status, 201, "{}", created.text);
    // A source without a length, which is buffered on disk.
    let source = Source::start(Behaviour::WithoutLength).await;
    let url = source.url("film.mp4", 300_000);
    let id = uploads.submit_with(json!({"source": {"url": url}})).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{job}\n{}", env.log());
    assert_whole(&job, &uploads.videos().await[0], 300_000);
}

#[test]
fn both_reject_an_unusable_proxy() {
    let directory = tempfile::tempdir().unwrap();
    assert!(run(directory.path(), &[], &["init"]).status.success());
    for (proxy, expected) in [
        ("nonsense", "must be a proxy URL"),
        ("proxy.example:3128", "must be a proxy URL"),
        ("socks5://proxy.example:1080", "must be a proxy URL"),
        ("http://", "must be a proxy URL"),
        ("http://user:canary-password@[::1", "must be a proxy URL"),
    ] {
        let config = format!("listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nvimeo.proxy = {proxy:?}\n");
        fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
        let checked = run(directory.path(), &[], &["config", "check"]);
        assert_eq!(checked.status.code(), Some(78), "{proxy}: {}", printed(&checked));
        let refused = Service::try_start(binary(directory.path()), directory.path()).err().unwrap();
        for text in [printed(&checked), refused] {
            assert!(text.contains("vimeo.proxy") && text.contains(expected), "{proxy}: {text}");
            assert!(!text.contains("canary"), "{proxy}: {text}");
        }
    }
    let served = run(directory.path(), &[], &["serve"]);
    assert_eq!(served.status.code(), Some(78), "{}", printed(&served));
}
