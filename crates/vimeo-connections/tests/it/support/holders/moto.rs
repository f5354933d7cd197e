//! AWS KMS: moto, an emulator, behind a proxy; and fixed answers, for states that moto does not have.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::harness::until;
use crate::support::ports::Port;
use crate::support::postgres::Proxy;
use crate::support::processes::{signalled_at_end, spawn_for_life, wait};
use crate::support::tools::{find_tool, program};

/// The variables of the service. Without the last one, the SDK looks for the role of this machine.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST"),
    ("AWS_SECRET_ACCESS_KEY", "a-secret-of-these-tests"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

pub(crate) struct Moto {
    process: std::process::Child,
    pub(crate) proxy: Proxy,
    pub(crate) key: String,
    port: Port,
}

impl Moto {
    /// A new server with one key. `None`, and reported, if it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let mut command = program(find_tool("servers-s3/bin/python")?);
        let port = Port::reserve();
        let number = port.number().to_string();
        command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &number]);
        let mut command = signalled_at_end("KILL", &command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = spawn_for_life(command);
        let proxy = Proxy::before(&format!("http://x@{}/", port.address())).await;
        let mut moto = Self { process, proxy, key: String::new(), port };
        until("moto answers", async || moto.try_api("ListKeys", json!({})).await.is_some()).await;
        let made = moto.try_api("CreateKey", json!({})).await.unwrap();
        made["KeyMetadata"]["KeyId"].as_str().unwrap().clone_into(&mut moto.key);
        Some(moto)
    }

    pub(crate) fn endpoint(&self) -> String {
        self.proxy.url().replace("x@", "")
    }

    async fn try_api(&self, action: &str, body: Value) -> Option<Value> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(format!("http://{}/", self.port.address()));
        let scope = "AWS4-HMAC-SHA256 Credential=AKIATESTTESTTESTTEST/20261201/eu-west-1/kms/aws4_request, \
                     SignedHeaders=host, Signature=0";
        let request = request.header("x-amz-target", format!("TrentService.{action}"));
        let request =
            request.header("content-type", "application/x-amz-json-1.1").header("authorization", scope);
        let response = request.body(body.to_string()).send().await.ok()?;
        serde_json::from_str(&response.text().await.ok()?).ok()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        wait(&mut self.process);
    }
}

/// Lines of configuration for a service that uses this key.
pub(crate) fn config(endpoint: &str, key: &str) -> String {
    format!(
        "keyring.holder = \"kms\"\nkeyring.timeout_seconds = 3\nkeyring.kms.key = \"{key}\"\n\
         keyring.kms.region = \"eu-west-1\"\nkeyring.kms.endpoint = \"{endpoint}\"\n"
    )
}

/// A server that answers each request with this status and error code, as KMS writes them, until the test ends.
pub(crate) fn answering(status: u16, code: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(stream.unwrap(), status, code);
        }
    });
    address
}

fn answer(mut stream: TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    // The body is one JSON object.
    while !request.ends_with(b"}") {
        let length = stream.read(&mut part)?;
        if length == 0 {
            break;
        }
        request.extend_from_slice(&part[..length]);
    }
    let body = json!({"__type": code, "message": "a text for people"}).to_string();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
