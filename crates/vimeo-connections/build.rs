//! Puts the commit that is built into the binary: that of the repository, or what `SOURCE_COMMIT` says where there is none.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_COMMIT");
    let named = env::var("SOURCE_COMMIT").ok().filter(|commit| !commit.is_empty());
    // Builds for development would be repeated at every commit.
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = named.or_else(|| is_release.then(read_commit).flatten());
    println!("cargo::rustc-env=SOURCE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

fn read_commit() -> Option<String> {
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
