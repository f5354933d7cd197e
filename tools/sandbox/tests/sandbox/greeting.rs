//! The lines that the greeting has ready for each client, pasted as they stand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;

use serde_json::json;

use crate::harness::{Reply, exchange, request};
use crate::program::{Spawned, make_video};
use crate::tools::{Program, find_tool, program};

struct Greeted {
    _program: Spawned,
    greeting: String,
}

impl Greeted {
    fn start() -> Self {
        let mut program = Spawned::new(["--listen", "127.0.0.1:0"]);
        let mut greeting = String::new();
        let mut lines = BufReader::new(program.stdout.take().unwrap());
        while !greeting.contains("Ctrl-C") {
            assert_ne!(lines.read_line(&mut greeting).unwrap(), 0, "{greeting}");
        }
        Self { _program: program, greeting }
    }

    /// What stands below a client's name, and one more line.
    fn script(&self, client: &str, last: &str) -> tempfile::NamedTempFile {
        let lines = self.greeting.lines().skip_while(|line| !line.starts_with(client)).skip(1);
        let ready = lines.map_while(|line| line.strip_prefix("  "));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in ready.chain([last]) {
            writeln!(file, "{line}").unwrap();
        }
        file
    }
}

/// A link for five bytes, and what the sandbox shows of the video that it is of.
struct Waiting {
    addr: SocketAddr,
    link: String,
    number: String,
}

impl Waiting {
    async fn at(sandbox: &Greeted) -> Self {
        let told = |before: &str| {
            let (_, rest) = sandbox.greeting.split_once(before).unwrap();
            rest.split_whitespace().next().unwrap().to_owned()
        };
        let addr = told("http://").parse().unwrap();
        let made = make_video(addr, &told("access token"), json!({"approach": "tus", "size": 5})).await;
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
fn the_line_for_curl_can_be_pasted() {
    let sandbox = Greeted::start();
    let mut command = program("bash");
    let script = sandbox.script("curl", "");
    command.arg(script.path());
    assert!(Program::start(command).finish().contains("Owner of Sandbox App"));
}

#[test]
fn the_lines_for_pyvimeo_can_be_pasted() {
    let Some(python) = find_tool("sandbox-python/bin/python") else { return };
    let sandbox = Greeted::start();
    let mut command = program(python);
    let script = sandbox.script("PyVimeo", "print(client.get('/me').json()['name'])");
    command.arg(script.path());
    assert_eq!(Program::start(command).finish(), "Owner of Sandbox App\n");
}

#[test]
fn the_lines_for_vimeos_client_for_node_can_be_pasted() {
    let Some(packages) = find_tool("sandbox-javascript/node_modules") else { return };
    let sandbox = Greeted::start();
    let last = "client.request('/me').then(({ body }) => console.log(body.name))";
    let mut command = program("node");
    let script = sandbox.script("@vimeo/vimeo", last);
    command.env("NODE_PATH", packages).arg(script.path());
    assert_eq!(Program::start(command).finish(), "Owner of Sandbox App\n");
}

#[tokio::test]
async fn the_lines_for_tuspy_can_be_pasted() {
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
async fn the_lines_for_tus_js_client_can_be_pasted() {
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
