//! Holders of the keyring's keys: real programs, as installed by `scripts/servers`.

#[cfg(feature = "kms")]
pub(crate) mod moto;
pub(crate) mod openbao;
#[cfg(feature = "pkcs11")]
pub(crate) mod softhsm;

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::harness::{cli, printed};

/// `config check` in a directory whose service may be running, with these variables; its exit status and error.
pub(crate) fn check(directory: &Path) -> (Option<i32>, String) {
    let output = cli(directory, &["config", "check", "--beside-running"], "");
    (output.status.code(), error_of(&output))
}

/// What a command reported as its error, without what it printed before.
pub(crate) fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command succeeded.
pub(crate) fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", printed(output));
}

/// The attempts of a waiting service in its log.
pub(crate) fn waits(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let waiting = lines.filter(|line| {
        line["message"].as_str().is_some_and(|message| message.starts_with("waiting for the holder"))
    });
    waiting.map(|line| line["error"].as_str().unwrap_or_default().to_owned()).collect()
}

/// A service in a directory whose holder needs variables of the environment. Not started until [`Instance::start`].
#[cfg(any(feature = "kms", feature = "pkcs11"))]
pub(crate) struct Instance {
    pub(crate) directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
    api_key: String,
    http: reqwest::Client,
}

#[cfg(any(feature = "kms", feature = "pkcs11"))]
impl Instance {
    /// A keyring, created through the holder, and an account with a key.
    pub(crate) fn new(config: &str, environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut instance = Self {
            directory: tempfile::tempdir().unwrap(),
            environment: environment.collect(),
            api_key: String::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        instance.configure(config);
        succeeded(&instance.run(&["init"]));
        succeeded(&instance.run(&["accounts", "create", "acme"]));
        let made = instance.run(&["keys", "create", "--json", "--account", "acme"]);
        succeeded(&made);
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        made["key"].as_str().unwrap().clone_into(&mut instance.api_key);
        instance
    }

    pub(crate) fn configure(&self, config: &str) {
        let config = format!(
            "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nlog.repeat_seconds = 0\nvimeo.verification = \"off\"\n\
             health.check_interval_seconds = 0\n{config}"
        );
        std::fs::write(self.path().join("vimeo-connections.toml"), config).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn keyring(&self) -> std::path::PathBuf {
        self.path().join("vimeo-connections.keyring")
    }

    pub(crate) fn waits(&self) -> Vec<String> {
        waits(&std::fs::read_to_string(self.path().join("service.log")).unwrap_or_default())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(&self.environment, arguments)
    }

    pub(crate) fn run_with(&self, environment: &[(String, String)], arguments: &[&str]) -> Output {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        crate::support::harness::run(self.path(), &environment, arguments)
    }

    /// Asserts the exit status of `config check`, and a part of its error.
    pub(crate) fn assert_state(&self, state: &str, expected: (i32, &str)) {
        let output = self.run(&["config", "check"]);
        let error = error_of(&output);
        assert!(
            output.status.code() == Some(expected.0) && error.contains(expected.1),
            "{state}: {:?} {error}",
            output.status
        );
    }

    /// Starts the service. It may wait, so this does not block the test.
    pub(crate) fn start(&self) -> tokio::task::JoinHandle<crate::support::harness::Service> {
        let (path, environment) = (self.path().to_owned(), self.environment.clone());
        tokio::task::spawn_blocking(move || {
            let environment: Vec<_> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
            crate::support::harness::Service::start_with(&path, &environment)
        })
    }

    /// Creates a connection, which seals its secrets under keys of the keyring.
    pub(crate) async fn create(&self, service: &crate::support::harness::Service, name: &str) {
        let body = serde_json::json!({
            "name": name,
            "enabled": true,
            "clientIdentifier": "0123456789abcdef0123456789abcdef01234567",
            "clientSecret": "a-client-secret-of-this-test-0123456789",
            "accessToken": "0123456789abcdef0123456789abcdef",
        });
        let url = format!("http://{}{}", service.address, crate::support::harness::COLLECTION);
        let request = self.http.post(url).header("authorization", &self.api_key);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.unwrap();
        let status = response.status();
        assert_eq!(status, 201, "{}", response.text().await.unwrap());
    }
}
