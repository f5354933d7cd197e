//! Signing in to the dashboard at an identity provider.

mod browser;
mod configuration;
mod fake_provider;
mod pages;
mod provider;
mod sign_in;
mod tokens;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::StatusCode;

use crate::support::harness::{EnvOptions, TestEnv};
use browser::{Browser, Page};

/// What the service believes that browsers reach it at. The test's browsers reach it elsewhere.
const PUBLIC_URL: &str = "http://127.0.0.1:1";
const CALLBACK: &str = "http://127.0.0.1:1/dashboard/sign-in/oidc/callback";
const CLIENT_ID: &str = "vimeo-connections";
const CLIENT_SECRET: &str = "a-secret-of-the-test";
const SIGN_IN: &str = "/dashboard/sign-in/oidc?next=%2Fdashboard%2Fsettings";
const ROLES: &str = "oidc.role_claim = \"groups\"\noidc.role_map = [\"admins=owner\", \"editors=member\", \"staff=read-only\"]\n";

/// A service whose people sign in at this issuer, with these lines of configuration.
async fn service(issuer: &str, config: &str) -> TestEnv {
    service_at_its_address(issuer, &format!("public_url = \"{PUBLIC_URL}\"\n{config}")).await
}

/// The same, for browsers that reach it where it listens.
async fn service_at_its_address(issuer: &str, config: &str) -> TestEnv {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(secret.path(), format!("{CLIENT_SECRET}\n")).unwrap();
    let config = format!(
        "oidc.issuer = \"{issuer}\"\noidc.client_id = \"{CLIENT_ID}\"\n\
         oidc.client_secret_file = \"{}\"\noidc.scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\
         oidc.name = \"Example ID\"\n{ROLES}{config}",
        secret.path().display()
    );
    // The secret is read at the start.
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

/// A session as it is stored.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    id: String,
    method: String,
    role: String,
    person: String,
    subject: String,
    authenticated_at: i64,
}

/// The sessions of people, in the order of their sign-ins.
fn sessions(env: &TestEnv) -> Vec<Stored> {
    let database = env.database();
    let mut statement = database
        .prepare(
            "SELECT session_id, method, coalesce(role, ''), person, coalesce(subject, ''), authenticated_at
             FROM dashboard_sessions ORDER BY created_at",
        )
        .unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Stored {
            id: row.get(0)?,
            method: row.get(1)?,
            role: row.get(2)?,
            person: row.get(3)?,
            subject: row.get(4)?,
            authenticated_at: row.get(5)?,
        })
    };
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

/// How often an action was audited.
fn audited(env: &TestEnv, action: &str) -> u32 {
    let count = "SELECT count(*) FROM audit_events WHERE action = ?1 AND actor_kind = 'session'";
    env.database().query_row(count, [action], |row| row.get(0)).unwrap()
}

/// Asserts that a page says this, and that the browser has no session.
fn assert_refused(page: &Page, status: StatusCode, title: &str, browser: &Browser, env: &TestEnv) {
    assert_eq!(page.status, status, "{}", page.text);
    assert!(page.text.contains(title), "{title}: {}", page.text);
    assert_eq!(browser.cookie(&env.url(""), "__Host-session"), None);
}
