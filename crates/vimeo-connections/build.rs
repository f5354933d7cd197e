//! Embeds the commit in the binary: `SOURCE_COMMIT` if set, else the commit of the repository.
#![expect(clippy::disallowed_methods, reason = "cargo passes parameters to build scripts in the environment")]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_COMMIT");
    let named = env::var("SOURCE_COMMIT").ok().filter(|commit| !commit.is_empty());
    // Development builds would be rebuilt after every commit.
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
