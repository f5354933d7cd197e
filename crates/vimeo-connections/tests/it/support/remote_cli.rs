//! The command line as a client developer uses it: in a directory without configuration, against a service over HTTP.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::harness::{TestEnv, binary, printed};

/// A user of a remote service, with a profile `test`.
pub(crate) struct RemoteUser {
    pub(crate) home: tempfile::TempDir,
}

impl RemoteUser {
    /// A profile for the service and the key of this environment.
    pub(crate) fn of(env: &TestEnv) -> Self {
        Self::with(&env.url(""), &env.api_key)
    }

    pub(crate) fn with(url: &str, key: &str) -> Self {
        let user = Self { home: tempfile::tempdir().unwrap() };
        user.write_profiles(&format!("[profiles.test]\nurl = \"{url}\"\napi_key = \"{key}\"\n"), 0o600);
        user
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn profiles(&self) -> PathBuf {
        self.path().join(".config/vimeo-connections/profiles.toml")
    }

    pub(crate) fn write_profiles(&self, text: &str, mode: u32) {
        fs::create_dir_all(self.profiles().parent().unwrap()).unwrap();
        fs::write(self.profiles(), text).unwrap();
        fs::set_permissions(self.profiles(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The binary with these arguments, and `HOME` as its only variable.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(self.path());
        command.env("HOME", self.path()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command with the profile.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        finish(self.command(&[arguments, &["--profile", "test"]].concat()), input)
    }

    /// Starts a command with the profile.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(&[arguments, &["--profile", "test"]].concat()).spawn().unwrap()
    }

    /// Runs a command with the profile, which must succeed; its JSON output.
    pub(crate) fn json(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat(), input);
        assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a command with the profile, which must fail; its exit status and error.
    pub(crate) fn error(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        let output = self.run(arguments, input);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {}", printed(&output));
        (output.status.code(), printed(&output))
    }
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}
