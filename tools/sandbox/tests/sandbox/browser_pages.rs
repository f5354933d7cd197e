//! The pages in a real browser, used with the keyboard only and checked for accessibility.

use std::path::{Path, PathBuf};

use sandbox::{Options, Pace};

use crate::support::test_sandbox::TestSandbox;
use crate::support::tools::{Program, find_tool, program, skip};

const CHROMIUM: &str = "/usr/bin/chromium";

#[tokio::test(flavor = "multi_thread")]
async fn the_consent_page_works_with_the_keyboard_only() {
    see("consent.js", &["light", "dark", "light-narrow", "dark-narrow"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_light_dashboard_works_with_the_keyboard_only() {
    see("dashboard.js", &["light"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dark_dashboard_works_with_the_keyboard_only() {
    see("dashboard.js", &["dark"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_light_dashboard_works_on_a_narrow_screen() {
    see("dashboard.js", &["light-narrow"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dark_dashboard_works_on_a_narrow_screen() {
    see("dashboard.js", &["dark-narrow"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_survives_load_and_lost_connections() {
    see("dashboard.js", &["strain", "haste", "rejoin"]).await;
}

/// Runs steps of a script with a sandbox of its own. The script checks the pages and reports each step.
async fn see(script: &str, steps: &[&str]) {
    let Some(packages) = find_tool("sandbox-browser/node_modules") else { return };
    if !Path::new(CHROMIUM).exists() {
        skip(&format!("{CHROMIUM} is missing; run ./test once, it installs it"));
        return;
    }
    let sandbox = TestSandbox::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = program("node");
    command
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(script))
        .args(steps)
        .env("NODE_PATH", packages)
        .env("CHROMIUM", CHROMIUM)
        .env("SANDBOX", env!("CARGO_BIN_EXE_vimeo-sandbox"))
        .env("BASE_URL", &sandbox.running.base_url)
        .env("CLIENT_ID", &sandbox.running.client_id)
        .env("ACCESS_TOKEN", &sandbox.running.access_token)
        .env("SCREENSHOTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("sandbox-pages"))
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path());
    assert_eq!(Program::start(command).finish().lines().collect::<Vec<_>>(), steps);
}
