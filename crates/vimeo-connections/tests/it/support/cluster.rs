//! Several nodes on one PostgreSQL database, with one keyring and one configuration.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use reqwest::Method;

use crate::support::harness::{EnvOptions, Response, Service, TestEnv, binary};

/// Another node, in its own directory.
pub(crate) struct Node {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) service: Service,
}

/// An environment on a PostgreSQL database, without verification.
pub(crate) async fn env_on_database(url: &str, config: &str) -> TestEnv {
    let (database_url, config) = (Some(url.to_owned()), config.to_owned());
    TestEnv::with(EnvOptions { config, verification_off: true, database_url, ..EnvOptions::default() }).await
}

/// A new directory with the keyring and the configuration of another.
pub(crate) fn copy_installation(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["vimeo-connections.toml", "vimeo-connections.keyring"] {
        fs::copy(directory.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

impl Node {
    pub(crate) fn beside(env: &TestEnv) -> Self {
        let directory = copy_installation(env.path());
        let service = Service::start(directory.path());
        Self { directory, service }
    }

    /// Kills the node with SIGKILL and starts it again.
    pub(crate) fn kill_and_restart(&mut self) -> SocketAddr {
        self.service.kill();
        self.service = Service::start(self.directory.path());
        self.service.address
    }
}

/// Starts the service in all directories concurrently: each service, or its error.
pub(crate) fn start_concurrently(directories: &[&Path]) -> Vec<Result<Service, String>> {
    std::thread::scope(|scope| {
        let start = |directory| scope.spawn(move || Service::try_start(binary(directory), directory));
        let starting: Vec<_> = directories.iter().copied().map(start).collect();
        starting.into_iter().map(|started| started.join().unwrap()).collect()
    })
}

/// A request to one node, with the key of the environment unless the headers have another.
pub(crate) async fn send_to(
    env: &TestEnv,
    node: SocketAddr,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = env.http.request(method, format!("http://{node}{path}")).body(body.to_owned());
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.header("authorization", &env.api_key);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Response { status, headers, text: response.text().await.unwrap() }
}
