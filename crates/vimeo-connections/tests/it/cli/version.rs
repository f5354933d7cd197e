//! `--version` names the commit that was built and its date, from the environment of the build or from git.

use std::path::Path;
use std::process::Command;

use crate::architecture::root;
use crate::support::harness::printed;

/// The build script as a program.
fn build_script(directory: &Path) -> std::path::PathBuf {
    let program = directory.join("build-script");
    let source = root().join("crates/vimeo-connections/build.rs");
    let made =
        Command::new("rustc").args(["--edition", "2024", "-o"]).arg(&program).arg(source).output().unwrap();
    assert!(made.status.success(), "{}", printed(&made));
    program
}

/// A repository with one commit, made late in the evening of the first of March, west of Greenwich.
fn repository(directory: &Path) -> String {
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .current_dir(directory)
            .args(["-c", "user.name=it", "-c", "user.email=it@example.com"])
            .args(arguments)
            .envs([("GIT_COMMITTER_DATE", "2026-03-01T23:30:00-1100"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", printed(&done));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
    git(&["rev-parse", "--short=12", "HEAD"])
}

#[test]
fn the_build_takes_commit_and_date_from_the_environment_or_from_git() {
    let files = tempfile::tempdir().unwrap();
    let program = build_script(files.path());
    let checkout = files.path().join("checkout");
    std::fs::create_dir(&checkout).unwrap();
    let commit = repository(&checkout);
    let revision = |profile: &str, directory: &Path, variables: &[(&str, &str)]| {
        let mut script = Command::new(&program);
        script.current_dir(directory).env_remove("SOURCE_COMMIT").env_remove("SOURCE_COMMIT_DATE");
        // A repository around the directory of the tests is not the one that is built.
        script.env("GIT_CEILING_DIRECTORIES", files.path()).env("TZ", "Asia/Tokyo");
        let output = script.env("PROFILE", profile).envs(variables.iter().copied()).output().unwrap();
        let printed = printed(&output);
        let value = |name: &str| {
            let start = format!("cargo::rustc-env={name}=");
            printed.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
        };
        let (named, date, shown) =
            (value("SOURCE_COMMIT"), value("SOURCE_COMMIT_DATE"), value("SOURCE_REVISION"));
        format!("{named} {date}: {shown}")
    };
    let given = [("SOURCE_COMMIT", "0123456789ab"), ("SOURCE_COMMIT_DATE", "2026-12-01")];
    for profile in ["debug", "release"] {
        let expected = "0123456789ab 2026-12-01: 0123456789ab 2026-12-01";
        assert_eq!(revision(profile, &checkout, &given), expected);
        assert_eq!(revision(profile, files.path(), &given[..1]), "0123456789ab unknown: 0123456789ab");
        assert_eq!(revision(profile, files.path(), &[]), "unknown unknown: unknown");
    }
    assert_eq!(revision("release", &checkout, &[]), format!("{commit} 2026-03-01: {commit} 2026-03-01"));
    assert_eq!(
        revision("release", &checkout, &[("SOURCE_COMMIT", " ")]),
        revision("release", &checkout, &[])
    );
    // A development build is not built again after every commit.
    assert_eq!(revision("debug", &checkout, &[]), "unknown unknown: unknown");
}
