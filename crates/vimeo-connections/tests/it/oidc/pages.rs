//! Signing in at a real provider in a real browser: `tests/browser/sign-in.js`.

use super::provider::RealProvider;
use super::service_at_its_address;
use crate::dashboard::browser::{Browser, PACKAGES};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_confirm_who_they_are_with_scripts_and_without() {
    let Some(browser) = Browser::installed(&[PACKAGES]) else { return };
    let Some(mut provider) = RealProvider::start() else { return };
    let env = service_at_its_address(&provider.issuer, "oidc.account = \"acme\"\n").await;
    // Each has to know the address of the other.
    provider.restart_for(&env.url("/dashboard/sign-in/oidc/callback"));
    browser.run("sign-in.js", &env, &[("ISSUER", &provider.issuer)]);
}
