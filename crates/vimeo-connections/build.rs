//! Embeds the commit and its date: `SOURCE_COMMIT` and `SOURCE_COMMIT_DATE` if set, else those of the repository. The time
//! of the build is not embedded: the same source gives the same binary. `tools/sandbox` uses this script too.
#![expect(clippy::disallowed_methods, reason = "cargo passes parameters to build scripts in the environment")]

use std::env;
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    let named = ["SOURCE_COMMIT", "SOURCE_COMMIT_DATE"].map(|name| {
        println!("cargo::rerun-if-env-changed={name}");
        env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    });
    let [commit, date] = named;
    // Development builds would be rebuilt after every commit.
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = commit.or_else(|| is_release.then(read_commit).flatten());
    let date = date.or_else(|| is_release.then(|| read_date(commit.as_deref()?)).flatten());
    let revision = [commit.as_deref(), date.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let revision = if commit.is_some() { revision.as_str() } else { UNKNOWN };
    println!("cargo::rustc-env=SOURCE_COMMIT={}", commit.as_deref().unwrap_or(UNKNOWN));
    println!("cargo::rustc-env=SOURCE_COMMIT_DATE={}", date.as_deref().unwrap_or(UNKNOWN));
    println!("cargo::rustc-env=SOURCE_REVISION={revision}");
}

fn read_commit() -> Option<String> {
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// The day of a commit, in the time zone in which it was made: the same on every machine.
fn read_date(commit: &str) -> Option<String> {
    git(&["show", "--no-patch", "--format=%cs", commit, "--"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}
