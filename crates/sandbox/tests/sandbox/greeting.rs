//! The lines that the greeting has ready for each client, pasted as they stand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use crate::tools::{Program, find_tool, program};

struct Greeted {
    child: Child,
    greeting: String,
}

impl Greeted {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vimeo-sandbox"));
        let mut child = command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut greeting = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !greeting.contains("Ctrl-C") {
            assert_ne!(lines.read_line(&mut greeting).unwrap(), 0, "{greeting}");
        }
        Self { child, greeting }
    }

    /// What stands below a client's name, and one more line.
    fn script(&self, client: &str, last: &str) -> tempfile::NamedTempFile {
        let lines = self.greeting.lines().skip_while(|line| *line != client).skip(1);
        let ready = lines.map_while(|line| line.strip_prefix("  "));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in ready.chain([last]) {
            writeln!(file, "{line}").unwrap();
        }
        file
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
