//! The banner's lines for each client, pasted unchanged.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;

use serde_json::json;

use crate::support::process::{KilledOnDrop, make_video};
use crate::support::test_sandbox::{Reply, exchange, request};
use crate::support::tools::{Program, find_tool, program};

struct Greeted {
    _program: KilledOnDrop,
    greeting: String,
}

impl Greeted {
    fn start() -> Self {
        let mut program = KilledOnDrop::new(["--listen", "127.0.0.1:0"]);
        let mut greeting = String::new();
        let mut lines = BufReader::new(program.stdout.take().unwrap());
        while !greeting.contains("Ctrl-C") {
            assert_ne!(lines.read_line(&mut greeting).unwrap(), 0, "{greeting}");
        }
        Self { _program: program, greeting }
    }

    /// The lines below a client's name, and one more line.
    fn script(&self, client: &str, last: &str) -> tempfile::NamedTempFile {
        let lines = self.greeting.lines().skip_while(|connection| !connection.starts_with(client)).skip(1);
        let ready = lines.map_while(|connection| connection.strip_prefix("  "));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for connection in ready.chain([last]) {
            writeln!(file, "{connection}").unwrap();
        }
        file
    }
}

/// An upload link for five bytes, and the sandbox's record of its video.
struct Waiting {
    addr: SocketAddr,
    link: String,
    number: String,
}

impl Waiting {
    async fn at(sandbox: &Greeted) -> Self {
        let shown_after = |before: &str| {
            let (_, rest) = sandbox.greeting.split_once(before).unwrap();
            rest.split_whitespace().next().unwrap().to_owned()
        };
        let addr = shown_after("http://").parse().unwrap();
        let made =
            make_video(addr, &shown_after("access token"), json!({"approach": "tus", "size": 5})).await;
        let number = made["uri"].as_str().unwrap().strip_prefix("/videos/").unwrap().to_owned();
        Self { addr, link: made["upload"]["upload_link"].as_str().unwrap().to_owned(), number }
    }

    async fn is_whole(&self) -> bool {
        let asked = request("GET", &format!("/_sandbox/videos/{}", self.number), &[], b"");
        let shown = Reply::read(&exchange(self.addr, &asked).await.unwrap()).json();
        shown["versions"][0]["received"] == 5
    }
}

#[test]
fn the_curl_command_works_when_pasted() {
    let sandbox = Greeted::start();
    let mut command = program("bash");
    let script = sandbox.script("curl", "");
    command.arg(script.path());
    assert!(Program::start(command).finish().contains("Owner of Sandbox App"));
}

#[test]
fn the_pyvimeo_lines_work_when_pasted() {
    let Some(python) = find_tool("sandbox-python/bin/python") else { return };
    let sandbox = Greeted::start();
    let mut command = program(python);
    let script = sandbox.script("PyVimeo", "print(client.get('/me').json()['name'])");
    command.arg(script.path());
    assert_eq!(Program::start(command).finish(), "Owner of Sandbox App\n");
}

#[test]
fn the_vimeo_node_lines_work_when_pasted() {
    let Some(packages) = find_tool("sandbox-javascript/node_modules") else { return };
    let sandbox = Greeted::start();
    let last = "client.request('/me').then(({ body }) => console.log(body.name))";
    let mut command = program("node");
    let script = sandbox.script("@vimeo/vimeo", last);
    command.env("NODE_PATH", packages).arg(script.path());
    assert_eq!(Program::start(command).finish(), "Owner of Sandbox App\n");
}

#[tokio::test]
async fn the_tuspy_lines_work_when_pasted() {
    let Some(python) = find_tool("sandbox-python/bin/python") else { return };
    let sandbox = Greeted::start();
    let waiting = Waiting::at(&sandbox).await;
    let mut film = tempfile::NamedTempFile::new().unwrap();
    film.write_all(b"hello").unwrap();
    let last = format!("send('{}', '{}')", film.path().display(), waiting.link);
    let script = sandbox.script("tuspy", &last);
    let mut command = program(python);
    command.arg(script.path());
    assert_eq!(Program::start(command).finish(), "");
    assert!(waiting.is_whole().await);
}

#[tokio::test]
async fn the_tus_js_client_lines_work_when_pasted() {
    let Some(packages) = find_tool("sandbox-javascript/node_modules") else { return };
    let sandbox = Greeted::start();
    let waiting = Waiting::at(&sandbox).await;
    let mut film = tempfile::NamedTempFile::new().unwrap();
    film.write_all(b"hello").unwrap();
    let last = format!("send('{}', '{}', () => console.log('sent'))", film.path().display(), waiting.link);
    let script = sandbox.script("tus-js-client", &last);
    let mut command = program("node");
    command.env("NODE_PATH", packages).arg(script.path());
    assert_eq!(Program::start(command).finish(), "sent\n");
    assert!(waiting.is_whole().await);
}
