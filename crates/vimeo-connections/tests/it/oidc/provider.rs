//! The npm package `oidc-provider` as a process: `tests/clients/javascript/identity-provider.js`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use super::browser::Browser;
use super::{CALLBACK, PUBLIC_URL};
use crate::support::harness::TestEnv;
use crate::support::tools::{find_tool, program, tests_folder};

pub(super) struct RealProvider {
    child: Child,
    pub(super) issuer: String,
}

/// What a person does at the provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Consent,
    Decline,
}

impl RealProvider {
    /// `None` if the package is not installed.
    pub(super) fn start() -> Option<Self> {
        Self::start_at("0", CALLBACK)
    }

    fn start_at(port: &str, callback: &str) -> Option<Self> {
        let packages = find_tool("javascript/node_modules")?;
        let mut command = program("node");
        command.env("NODE_PATH", packages);
        command.arg(tests_folder().join("clients/javascript/identity-provider.js")).args([port, callback]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Its warnings are on the same output.
        let issuer = lines.find_map(|line| line.ok().filter(|line| line.starts_with("http://"))).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, issuer })
    }

    pub(super) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again at the same address, with other keys and without its sessions.
    pub(super) fn restart(&mut self) {
        self.restart_for(CALLBACK);
    }

    /// The same, with another callback of its client.
    pub(super) fn restart_for(&mut self, callback: &str) {
        self.stop();
        let port = self.issuer.rsplit_once(':').unwrap().1.to_owned();
        *self = Self::start_at(&port, callback).unwrap();
    }
}

impl Drop for RealProvider {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Browser {
    /// Does at the provider what it asks for, until it sends the browser back; the URL of the callback at the service.
    pub(super) async fn at_provider(
        &mut self,
        env: &TestEnv,
        start: &str,
        (login, decision): (&str, Decision),
    ) -> String {
        let mut url = start.to_owned();
        for _ in 0..20 {
            if let Some(path) = url.strip_prefix(PUBLIC_URL) {
                return env.url(path);
            }
            let page = self.get(&url).await;
            if !page.location.is_empty() {
                url = page.location;
            } else if decision == Decision::Decline {
                url = format!("{url}/abort");
            } else if page.text.contains("name=\"login\"") {
                let form = [("prompt", "login"), ("login", login), ("password", "any")];
                url = self.post(&url, &form).await.location;
            } else {
                url = self.post(&url, &[("prompt", "consent")]).await.location;
            }
            assert!(!url.is_empty(), "{}", page.text);
        }
        panic!("the provider does not send the browser back: {url}");
    }
}
