use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::process::{KilledOnDrop, SandboxProcess};
use crate::support::test_sandbox::{Reply, exchange, request};

/// The output and exit status of a run that ends without a signal.
fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = KilledOnDrop::new(arguments.iter().copied());
    let (mut said, mut complained) = (String::new(), String::new());
    program.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    program.stderr.take().unwrap().read_to_string(&mut complained).unwrap();
    assert_eq!(said, "");
    (program.wait().unwrap().code(), complained)
}

#[cfg(unix)]
#[tokio::test]
async fn it_prints_one_line_of_json_and_stops_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let mut program = KilledOnDrop::new(["--listen", "127.0.0.1:0", "--json"]);
        let said: Value = serde_json::from_str(&program.read_line()).unwrap();
        let members: Vec<&String> = said.as_object().unwrap().keys().collect();
        assert_eq!(members, ["base_url", "client_id", "client_secret", "access_token"]);
        let addr: SocketAddr =
            said["base_url"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        let authorization = format!("bearer {}", said["access_token"].as_str().unwrap());
        let asked = request("GET", "/oauth/verify", &[("Authorization", &authorization)], b"");
        assert_eq!(Reply::read(&exchange(addr, &asked).await.unwrap()).status, 200);

        let (id, mut rest) = (program.id().to_string(), String::new());
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(program.wait().unwrap().code(), Some(0));
        program.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn the_banner_shows_the_credentials_and_the_controls() {
    let mut program = KilledOnDrop::new(["--listen", "127.0.0.1:0", "--open"]);
    let mut greeting = String::new();
    let mut lines = BufReader::new(program.stdout.take().unwrap());
    while !greeting.contains("Ctrl-C") {
        assert_ne!(lines.read_line(&mut greeting).unwrap(), 0, "{greeting}");
    }
    for part in [
        "http://127.0.0.1:",
        "client id",
        "client secret",
        "access token",
        "/_sandbox/faults",
        "Open mode is on",
    ] {
        assert!(greeting.contains(part), "{part}");
    }
}

#[test]
fn it_rejects_addresses_that_are_not_loopback() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9300"] {
        let (code, sentence) = refusal(&["--listen", listen]);
        assert_eq!(code, Some(1));
        assert!(sentence.contains("is not a loopback address"), "{sentence}");
    }
}

#[test]
fn it_reports_a_port_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, sentence) = refusal(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(code, Some(1));
    assert!(sentence.contains("is already in use"), "{sentence}");
}

#[test]
fn it_rejects_an_unknown_plan() {
    let (code, sentence) = refusal(&["--plan", "gold"]);
    assert_eq!(code, Some(2));
    assert!(
        sentence.contains("expected one of free, starter, standard, advanced, studio, enterprise, basic"),
        "{sentence}"
    );
}

#[test]
fn it_lists_the_values_of_an_option() {
    for (arguments, part) in [
        (["--transcoding", "soon"], "or by-hand"),
        (["--transcoding", "-1"], "or by-hand"),
        (["--transcoding", "NaN"], "or by-hand"),
        (["--link-lifetime", "a day"], "a number of seconds"),
        (["--pull", "elsewhere"], "one of nowhere, loopback, anywhere"),
        (["--unlisted-uris", "both"], "plain or hash"),
        (["--upload-lag", "a while"], "a number of seconds"),
    ] {
        let (code, sentence) = refusal(&[&format!("{}={}", arguments[0], arguments[1])]);
        assert_eq!(code, Some(2));
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[tokio::test]
async fn a_stopped_or_dropped_sandbox_frees_its_port() {
    let running = sandbox::start(sandbox::Options::default()).await.unwrap();
    let listen = running.addr;
    running.stop().await;
    // A child that another test is starting holds a copy of every socket until it executes its program, so the port may
    // stay in use slightly longer than the sandbox keeps it.
    let again = loop {
        match sandbox::start(sandbox::Options { listen, ..sandbox::Options::default() }).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
            started => break started.unwrap(),
        }
    };
    drop(again);
    // The port is released once the runtime has dropped the task.
    while exchange(listen, b"").await.is_ok() {}
}

#[tokio::test]
async fn the_library_rejects_addresses_that_are_not_loopback() {
    let options = sandbox::Options { listen: "0.0.0.0:0".parse().unwrap(), ..sandbox::Options::default() };
    assert_eq!(sandbox::start(options).await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn it_redirects_to_the_configured_uris() {
    let uris = ["http://localhost:5000/cb", "myapp://back"];
    let process =
        SandboxProcess::start("127.0.0.1:0", &["--redirect-uri", uris[0], "--redirect-uri", uris[1]])
            .ok()
            .unwrap();
    assert_eq!(process.show("apps").await["apps"][0]["redirect_uris"], json!(uris));
}

#[test]
fn it_rejects_invalid_redirect_uris() {
    for uri in ["callback", "javascript:alert(1)", "http://a/#b"] {
        let (code, sentence) = refusal(&["--listen", "127.0.0.1:0", "--redirect-uri", uri]);
        assert_eq!(code, Some(1));
        assert!(sentence.contains(&format!("The redirect URI `{uri}`")), "{sentence}");
    }
}
