use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Reply, exchange, request};
use crate::program::{Serving, Spawned};

/// What it says and how it ends, for one that ends by itself.
fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Spawned::new(arguments.iter().copied());
    let (mut said, mut complained) = (String::new(), String::new());
    program.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    program.stderr.take().unwrap().read_to_string(&mut complained).unwrap();
    assert_eq!(said, "");
    (program.wait().unwrap().code(), complained)
}

#[cfg(unix)]
#[tokio::test]
async fn it_says_one_line_of_json_serves_and_stops_when_told() {
    for signal in ["-TERM", "-INT"] {
        let mut program = Spawned::new(["--listen", "127.0.0.1:0", "--json"]);
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
fn its_greeting_shows_the_credentials_and_the_controls() {
    let mut program = Spawned::new(["--listen", "127.0.0.1:0", "--open"]);
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
        "door is open",
    ] {
        assert!(greeting.contains(part), "{part}");
    }
}

#[test]
fn it_refuses_addresses_that_neighbours_can_reach() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9300"] {
        let (code, sentence) = refusal(&["--listen", listen]);
        assert_eq!(code, Some(1));
        assert!(sentence.contains("is not a loopback address"), "{sentence}");
    }
}

#[test]
fn it_says_that_a_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, sentence) = refusal(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(code, Some(1));
    assert!(sentence.contains("is taken already"), "{sentence}");
}

#[test]
fn it_refuses_a_plan_that_vimeo_does_not_have() {
    let (code, sentence) = refusal(&["--plan", "gold"]);
    assert_eq!(code, Some(2));
    assert!(
        sentence.contains("expected one of free, starter, standard, advanced, studio, enterprise, basic"),
        "{sentence}"
    );
}

#[test]
fn it_says_what_an_option_takes() {
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
    // A child that another test is just starting holds a copy of every socket until it runs its own program, so the
    // port may stay taken a moment longer than the sandbox keeps it.
    let again = loop {
        match sandbox::start(sandbox::Options { listen, ..sandbox::Options::default() }).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
            started => break started.unwrap(),
        }
    };
    drop(again);
    // The port is free as soon as the runtime has run the end of the task.
    while exchange(listen, b"").await.is_ok() {}
}

#[tokio::test]
async fn a_library_call_refuses_addresses_that_neighbours_can_reach() {
    let options = sandbox::Options { listen: "0.0.0.0:0".parse().unwrap(), ..sandbox::Options::default() };
    assert_eq!(sandbox::start(options).await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn it_sends_users_back_to_the_redirect_uris_that_it_was_told() {
    let uris = ["http://localhost:5000/cb", "myapp://back"];
    let serving =
        Serving::start("127.0.0.1:0", &["--redirect-uri", uris[0], "--redirect-uri", uris[1]]).ok().unwrap();
    assert_eq!(serving.show("apps").await["apps"][0]["redirect_uris"], json!(uris));
}

#[test]
fn it_refuses_redirect_uris_that_lead_nowhere() {
    for uri in ["callback", "javascript:alert(1)", "http://a/#b"] {
        let (code, sentence) = refusal(&["--listen", "127.0.0.1:0", "--redirect-uri", uri]);
        assert_eq!(code, Some(1));
        assert!(sentence.contains(&format!("The redirect URI `{uri}`")), "{sentence}");
    }
}
