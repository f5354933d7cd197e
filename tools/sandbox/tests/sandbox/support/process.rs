//! The sandbox as a process with options, killed at the end of the test.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::test_sandbox::{Reply, exchange, request};

/// Starts the program.
pub(crate) struct KilledOnDrop(Child);

impl KilledOnDrop {
    pub(crate) fn new<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vimeo-sandbox"));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The first line of its output; empty if it ends without output.
    pub(crate) fn read_line(&mut self) -> String {
        let mut connection = String::new();
        BufReader::new(self.stdout.as_mut().unwrap()).read_line(&mut connection).unwrap();
        connection
    }
}

impl Deref for KilledOnDrop {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for KilledOnDrop {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Fails only if it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Creates a video. Returns the response.
pub(crate) async fn make_video(addr: SocketAddr, token: &str, upload: Value) -> Value {
    let authorization = format!("bearer {token}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("Content-Type", "application/json"),
    ];
    let body = json!({"upload": upload}).to_string();
    let asked = request("POST", "/me/videos", &headers, body.as_bytes());
    Reply::read(&exchange(addr, &asked).await.unwrap()).json()
}

/// A sandbox that serves requests, with its JSON output.
pub(crate) struct SandboxProcess {
    pub(crate) program: KilledOnDrop,
    pub(crate) said: Value,
    pub(crate) addr: SocketAddr,
}

impl SandboxProcess {
    /// # Errors
    /// The program, if it ends instead of serving.
    pub(crate) fn start<'a>(listen: &'a str, more: &[&'a str]) -> Result<Self, KilledOnDrop> {
        let mut program = KilledOnDrop::new(["--listen", listen, "--json"].iter().chain(more).copied());
        let connection = program.read_line();
        if connection.is_empty() {
            return Err(program);
        }
        let said: Value = serde_json::from_str(&connection).unwrap();
        let addr = said["base_url"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Ok(Self { program, said, addr })
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        Reply::read(&exchange(self.addr, &request(method, path, headers, body)).await.unwrap())
    }

    /// The JSON of a control.
    pub(crate) async fn show(&self, control: &str) -> Value {
        self.request("GET", &format!("/_sandbox/{control}"), &[], b"").await.json()
    }
}
