//! Shell completions and manual pages: the shells and `man` accept them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{cli, printed};
use crate::support::tools::skip_everywhere;

/// Whether a program can be started.
fn exists(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skip_everywhere(&format!("{program} is not installed"));
    }
    found
}

fn completions(directory: &Path, shell: &str) -> String {
    let output = cli(directory, &["completions", shell], "");
    assert!(output.status.success(), "{}", printed(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_completion_script_of_each_shell_has_valid_syntax_and_every_command() {
    let directory = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = completions(directory.path(), shell);
        for word in ["connections", "upload", "credentials", "completions"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        if exists(shell) {
            fs::write(directory.path().join("script"), script).unwrap();
            let read = Command::new(shell).arg(check).arg(directory.path().join("script")).output().unwrap();
            assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {}", printed(&read));
        }
    }
    let other = cli(directory.path(), &["completions", "tcsh"], "");
    assert_eq!(other.status.code(), Some(2), "{}", printed(&other));
}

#[test]
fn bash_completes_commands_and_options() {
    if !exists("bash") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("script"), completions(directory.path(), "bash")).unwrap();
    let complete = |words: &str, last: usize| {
        let script = format!(
            "source ./script; COMP_WORDS=({words}); COMP_CWORD={last}; \
             _vimeo__connections vimeo-connections \"${{COMP_WORDS[{last}]}}\" ''; echo \"${{COMPREPLY[*]}}\""
        );
        let output =
            Command::new("bash").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        printed(&output).trim().to_owned()
    };
    assert_eq!(complete("vimeo-connections comp", 1), "completions");
    assert_eq!(complete("vimeo-connections connections up", 2), "update");
    assert_eq!(complete("vimeo-connections connections show --acc", 3), "--account");
}

#[test]
fn there_is_a_manual_page_for_every_command_that_man_accepts() {
    let directory = tempfile::tempdir().unwrap();
    let output = cli(directory.path(), &["man-pages", "."], "");
    assert!(output.status.success(), "{}", printed(&output));
    let mut pages: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().map(|name| name.to_str().unwrap()).collect();
    for name in
        ["vimeo-connections.1", "vimeo-connections-connections-create.1", "vimeo-connections-upload.1"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("docs")), "{names:?}");
    for name in &names {
        let text = fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains("Examples:"), "{name}");
    }
    if exists("groff") {
        for name in names {
            let read = Command::new("groff")
                .args(["-k", "-Kutf8", "-man", "-Tutf8", "-ww"])
                .arg(directory.path().join(name))
                .output()
                .unwrap();
            assert!(read.status.success() && read.stderr.is_empty(), "{name}: {}", printed(&read));
        }
    }
}
