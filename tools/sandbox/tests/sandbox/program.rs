//! The sandbox as people run it: a program with options, which is ended with the test.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Reply, exchange, request};

/// The program, whatever it says.
pub(crate) struct Spawned(Child);

impl Spawned {
    pub(crate) fn new<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vimeo-sandbox"));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The first line that it says; empty if it says nothing and ends.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    }
}

impl Deref for Spawned {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Spawned {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // What has ended already cannot be killed, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes a video, and gives what is said of it.
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

/// The program once it serves, with what it said in JSON.
pub(crate) struct Serving {
    pub(crate) program: Spawned,
    pub(crate) said: Value,
    pub(crate) addr: SocketAddr,
}

impl Serving {
    /// # Errors
    /// The program, if it ends instead of serving.
    pub(crate) fn start<'a>(listen: &'a str, more: &[&'a str]) -> Result<Self, Spawned> {
        let mut program = Spawned::new(["--listen", listen, "--json"].iter().chain(more).copied());
        let line = program.read_line();
        if line.is_empty() {
            return Err(program);
        }
        let said: Value = serde_json::from_str(&line).unwrap();
        let addr = said["base_url"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Ok(Self { program, said, addr })
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        Reply::read(&exchange(self.addr, &request(method, path, headers, body)).await.unwrap())
    }

    /// What a control shows.
    pub(crate) async fn show(&self, control: &str) -> Value {
        self.ask("GET", &format!("/_sandbox/{control}"), &[], b"").await.json()
    }
}
