//! OpenBao on raft storage, so that it has its keys after a restart.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::harness::until;
use crate::support::ports::Port;
use crate::support::processes::{signal, signalled_at_end, spawn_for_life, wait};
use crate::support::tools::{find_tool, program};

/// The name of the key, and of the policy that lets the service use it.
pub(crate) const KEY: &str = "keyring";
const POLICY: &str = "vimeo-connections";

pub(crate) struct OpenBao {
    program: PathBuf,
    directory: tempfile::TempDir,
    port: Port,
    cluster: Port,
    process: Option<Child>,
    http: Client,
    unseal_key: String,
    root: String,
}

impl OpenBao {
    /// A new server, unsealed, with the engine, the key and the policy. `None`, and reported, if it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let program = find_tool("holders/bin/bao-itself")?;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        let mut bao = Self {
            program,
            directory: tempfile::tempdir().unwrap(),
            port: Port::reserve(),
            cluster: Port::reserve(),
            process: None,
            http,
            unseal_key: String::new(),
            root: String::new(),
        };
        fs::create_dir(bao.directory.path().join("raft")).unwrap();
        bao.run().await;
        let made = bao.api(Method::PUT, "sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await;
        bao.unseal_key = made["keys"][0].as_str().unwrap().to_owned();
        bao.root = made["root_token"].as_str().unwrap().to_owned();
        bao.unseal().await;
        bao.api(Method::POST, "sys/mounts/transit", json!({"type": "transit"})).await;
        until("the engine is mounted", async || {
            let path = format!("transit/keys/{KEY}");
            bao.try_api(Method::POST, &path, json!({"type": "aes256-gcm96"})).await.0 == 200
        })
        .await;
        bao.allow(&["encrypt", "decrypt"]).await;
        let made = bao.api(Method::POST, "auth/token/create", json!({"policies": [POLICY]})).await;
        bao.write_token(made["auth"]["client_token"].as_str().unwrap());
        Some(bao)
    }

    /// Lets the token of the service do only this with the key, and read its state.
    pub(crate) async fn allow(&self, operations: &[&str]) {
        let path =
            |path: String, what: &str| format!("path \"transit/{path}\" {{ capabilities = [\"{what}\"] }}\n");
        let mut policy = path(format!("keys/{KEY}"), "read");
        for operation in operations {
            policy.push_str(&path(format!("{operation}/{KEY}"), "update"));
        }
        self.api(Method::PUT, &format!("sys/policies/acl/{POLICY}"), json!({"policy": policy})).await;
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    pub(crate) fn write_token(&self, token: &str) {
        fs::write(self.token_file(), format!("{token}\n")).unwrap();
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.token_file()).unwrap().trim().to_owned()
    }

    pub(crate) fn root_token(&self) -> String {
        self.root.clone()
    }

    /// Lines of configuration for a service that uses it.
    pub(crate) fn config(&self) -> String {
        format!(
            "keyring.holder = \"transit\"\nkeyring.timeout_seconds = 3\nkeyring.transit.address = \"http://{}\"\n\
             keyring.transit.key = \"{KEY}\"\nkeyring.transit.token_file = \"{}\"\n",
            self.port.address(),
            self.token_file().display()
        )
    }

    /// Starts the program, sealed.
    pub(crate) async fn run(&mut self) {
        let directory = self.directory.path();
        let config = format!(
            "storage \"raft\" {{\n path = \"{}\"\n node_id = \"one\"\n}}\n\
             listener \"tcp\" {{\n address = \"{}\"\n tls_disable = true\n}}\n\
             api_addr = \"http://{}\"\ncluster_addr = \"http://{}\"\nlog_level = \"warn\"\n",
            directory.join("raft").display(),
            self.port.address(),
            self.port.address(),
            self.cluster.address()
        );
        fs::write(directory.join("config.hcl"), config).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
        let mut command = program(&self.program);
        command.arg("server").arg("-config").arg(directory.join("config.hcl"));
        let mut command = signalled_at_end("KILL", &command);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).current_dir(directory);
        self.process = Some(spawn_for_life(command));
        let url = self.url("sys/seal-status");
        until("it responds", async || self.http.get(&url).send().await.is_ok()).await;
    }

    pub(crate) async fn unseal(&self) {
        let key = json!({"key": self.unseal_key});
        until("it is unsealed", async || {
            self.try_api(Method::PUT, "sys/unseal", key.clone()).await;
            // 200: unsealed and active.
            self.try_api(Method::GET, "sys/health", Value::Null).await.0 == 200
        })
        .await;
    }

    /// Ends the program. Its port refuses connections.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            wait(&mut process);
        }
    }

    /// Stops it from answering, or continues it.
    pub(crate) fn freeze(&self, what: Signal) {
        signal(self.process.as_ref().unwrap().id(), what).unwrap();
    }

    /// A request of the administrator, which must succeed.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.try_api(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    async fn try_api(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = self.http.request(method, self.url(path)).header("x-vault-token", &self.root);
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v1/{path}", self.port.address())
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.stop();
    }
}
