//! The pages in a real browser: each of them in every look, and what people do there, with scripts, without scripts, and
//! with the keyboard only. The scripts are in `tests/browser`.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use sandbox::Pace;

use super::sign_in::link;
use crate::support::harness::{self, EnvOptions, TestEnv};
use crate::support::tools::{find_tool, is_all, print_numbers, program, skip, tests_folder};
use crate::support::uploads::CONFIG;

const CHROMIUM: &str = "/usr/bin/chromium";
pub(crate) const PACKAGES: &str = "sandbox-browser/node_modules";
/// Where the scripts keep what they saw.
const SCREENSHOTS: &str = "dashboard-pages";
/// The maximum run time of a script.
const WAIT_LIMIT: Duration = Duration::from_mins(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_accessible_and_fits_in_every_look() {
    see("pages.js", &[PACKAGES]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_connect_renew_and_make_keys_with_scripts_and_without() {
    see("flows.js", &[PACKAGES]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sent_from_the_page_and_uploads_are_watched() {
    see("upload.js", &[PACKAGES]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_main_flows_work_with_the_keyboard_only() {
    see("keyboard.js", &[PACKAGES]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lighthouse_scores_the_main_pages_highly() {
    if is_all() {
        see("lighthouse.js", &[PACKAGES, "lighthouse/node_modules"]).await;
    }
}

/// Runs a script with a service of its own. The script checks the pages, and prints what it has done.
async fn see(script: &str, packages: &[&str]) {
    let Some(browser) = Browser::installed(packages) else { return };
    let sandbox = sandbox::Options { pace: Pace::ByHand, ..sandbox::Options::default() };
    let options = EnvOptions { config: CONFIG.to_owned(), sandbox: Some(sandbox), ..EnvOptions::default() };
    browser.run(script, &TestEnv::with(options).await, &[]);
}

/// Node's packages for the scripts.
pub(crate) struct Browser(OsString);

impl Browser {
    /// `None`, and reported, if the browser or a package is missing: the test is skipped.
    pub(crate) fn installed(packages: &[&str]) -> Option<Self> {
        let packages: Vec<_> = packages.iter().map(|path| find_tool(path)).collect::<Option<_>>()?;
        if !Path::new(CHROMIUM).exists() {
            skip(&format!("{CHROMIUM} is missing; run ./test once, it installs it"));
            return None;
        }
        Some(Self(std::env::join_paths(packages).unwrap()))
    }

    /// Runs a script, which must succeed, with these variables besides the usual ones.
    pub(crate) fn run(&self, script: &str, env: &TestEnv, more: &[(&str, &str)]) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program("node");
        command
            .arg(tests_folder().join("browser").join(script))
            .env("NODE_PATH", &self.0)
            // Its calls, to see at which one a script has failed or was still waiting.
            .env("DEBUG", "pw:api")
            .env("CHROMIUM", CHROMIUM)
            .env("BASE_URL", env.url(""))
            .env("SANDBOX_URL", &env.sandbox.base_url)
            .env("API_KEY", &env.api_key)
            .env("OTHER_KEY", env.make_key("other", &[]))
            .env("OWNER_LINK", link(env, "owner"))
            .env("READER_LINK", link(env, "read-only"))
            .env("CLIENT_ID", &env.sandbox.client_id)
            .env("CLIENT_SECRET", &env.sandbox.client_secret)
            .env("ACCESS_TOKEN", &env.sandbox.access_token)
            .env("SCREENSHOTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join(SCREENSHOTS))
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .envs(more.iter().copied());
        let output = harness::finish(command, WAIT_LIMIT);
        assert!(output.status.success(), "{}\n{}", harness::printed(&output), env.log());
        print_numbers(&String::from_utf8_lossy(&output.stdout));
    }
}
