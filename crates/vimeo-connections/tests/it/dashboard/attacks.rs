//! What other sites, other people and other accounts try.

use reqwest::{Method, StatusCode};

use super::session::{Browser, csrf};
use super::sign_in::{SIGN_IN, link, with_link};
use crate::support::harness::{ACCOUNT, Response, TestEnv};

const KEYS: &str = "/dashboard/keys";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn post(
    env: &TestEnv,
    path: &str,
    browser: &Browser,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let cookies = browser.cookies();
    let all: Vec<_> = [FORM, ("cookie", &*cookies)].into_iter().chain(headers.iter().copied()).collect();
    env.send(Method::POST, path, &all, body.as_bytes().to_vec()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_browser_opens_it_gets_a_page() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "owner").await;
    for (path, status) in [
        ("/connect", 404),
        ("/connect/", 404),
        ("/connect/a/", 404),
        ("/connect/a/b/c", 404),
        ("/connect/%ff", 404),
        ("/connect/x/start", 405),
        ("/dashboard/sign-in/link/%ff", 404),
        ("/dashboard/keys/%ff", 404),
        ("/dashboard/connections/%ff", 404),
        ("/dashboard/settings/invitations", 405),
        ("/dashboard/nowhere/at/all", 404),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        let is_hosted = path.starts_with("/connect");
        assert_eq!(answer.text.contains("href=\"/dashboard\""), !is_hosted, "{path}: {}", answer.text);
    }
    let unknown = browser.post("/dashboard/nowhere", &[("a", "b")]).await;
    assert_eq!(unknown.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(unknown.text.contains("<h1>"), "{}", unknown.text);
    // A form of another site comes without the cookie, and must not remove it.
    for path in ["/dashboard/nowhere", KEYS, "/dashboard/settings"] {
        let answer = Browser::new(&env).post(path, &[("a", "b")]).await;
        assert_eq!(answer.header("set-cookie"), "", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_another_site_changes_nothing() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "owner").await;
    let token = csrf(&browser.page(KEYS).await);
    let mut other = with_link(&env, "owner").await;
    let foreign = csrf(&other.page(KEYS).await);
    let fields = format!("name=x&scopes=uploads%3Aread&requestId={}", "7".repeat(64));
    let with = |token: &str| format!("csrf={token}&{fields}");
    let own = format!("http://{}", env.url("").trim_start_matches("http://"));
    for (headers, body) in [
        // Without a token, or with that of another session.
        (vec![], fields.clone()),
        (vec![], with("")),
        (vec![], with(&foreign)),
        (vec![], with(&token[1..])),
        // With the right one, but the browser says that it comes from elsewhere.
        (vec![("origin", "https://evil.example")], with(&token)),
        (vec![("origin", "null")], with(&token)),
        (vec![("sec-fetch-site", "cross-site")], with(&token)),
        (vec![("sec-fetch-site", "same-site"), ("origin", &*own)], with(&token)),
    ] {
        let answer = post(&env, KEYS, &browser, &headers, &body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?} {body}");
        assert!(answer.text.contains("This form has expired"), "{}", answer.text);
    }
    let keys = env.get("/pictoryapis/v1/api-keys").await.json();
    assert_eq!(keys["items"].as_array().unwrap().len(), 1);
    let good = [("sec-fetch-site", "same-origin"), ("origin", &*own)];
    assert_eq!(post(&env, KEYS, &browser, &good, &with(&token)).await.status, StatusCode::OK);
    // Other media types could be sent without a preflight, or are no forms.
    for media_type in ["text/plain", "multipart/form-data; boundary=x", "application/json"] {
        let headers = [("cookie", &*browser.cookies()), ("content-type", media_type)];
        let answer = env.send(Method::POST, KEYS, &headers, with(&token).into_bytes()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{media_type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_form_signs_no_one_in() {
    let env = TestEnv::without_verification("").await;
    let guest = Browser::new(&env);
    let body = format!("key={}", env.api_key);
    assert_eq!(post(&env, SIGN_IN, &guest, &[], &body).await.status, StatusCode::FORBIDDEN);
    let mut attacker = Browser::new(&env);
    let token = csrf(&attacker.page(SIGN_IN).await);
    // The attacker's token does not belong to the cookie of the victim's browser.
    let mut victim = Browser::new(&env);
    victim.page(SIGN_IN).await;
    let body = format!("csrf={token}&key={}", env.api_key);
    assert_eq!(post(&env, SIGN_IN, &victim, &[], &body).await.status, StatusCode::FORBIDDEN);
    let path = link(&env, "owner");
    assert_eq!(post(&env, &path, &victim, &[], &format!("csrf={token}")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(victim.get(&path).await.status, StatusCode::OK, "the link was not used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_not_fixed_by_a_cookie_that_was_there_before() {
    let env = TestEnv::without_verification("").await;
    let planted = with_link(&env, "read-only").await.cookies();
    let mut victim = Browser::new(&env);
    victim.set_cookies(&planted);
    let answer = victim.submit(SIGN_IN, SIGN_IN, &[("key", &env.api_key)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_ne!(victim.cookies(), planted);
    let mut attacker = Browser::new(&env);
    attacker.set_cookies(&planted);
    let answer = attacker.get("/dashboard/settings").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "the attacker's own session has ended");
    // Two cookies of the same name are none.
    let twice = [("cookie", &*format!("{}; {planted}", victim.cookies()))];
    let answer = env.send(Method::GET, "/dashboard/settings", &twice, Vec::new()).await;
    assert!(answer.text.contains("action=\"/dashboard/sign-in\""), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_forbids_frames_inline_scripts_and_other_origins() {
    let env = TestEnv::without_verification("").await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let pages = [
        SIGN_IN,
        "/dashboard/connections",
        KEYS,
        "/dashboard/audit",
        "/dashboard/settings",
        "/dashboard/webhooks",
        "/dashboard/confirm",
        "/dashboard/nonsense",
        "/dashboard/keys/nonsense",
    ];
    for path in pages {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self';",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(
            (answer.header("x-frame-options"), answer.header("cache-control")),
            ("DENY", "no-store"),
            "{path}"
        );
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        for inline in
            ["<script>", "style=\"", " onclick", " onload", "javascript:", "http://", "https://fonts"]
        {
            assert!(!answer.text.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_leads_to_pages_of_the_dashboard_alone() {
    let env = TestEnv::without_verification("").await;
    for next in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/dashboard/../../evil",
        "/dashboard//evil.example",
        "javascript:alert(1)",
        "/dashboard\r\nset-cookie: a=b",
        "/pictoryapis/v1",
    ] {
        let mut browser = Browser::new(&env);
        let answer = browser.submit(SIGN_IN, SIGN_IN, &[("key", &env.api_key), ("next", next)]).await;
        let location = answer.header("location").to_owned();
        assert!(location.starts_with("/dashboard"), "{next} led to {location}");
        assert!(!location.contains("evil.example"), "{next} led to {location}");
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2, "{next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_another_account_are_not_found() {
    let env = TestEnv::without_verification("").await;
    env.cli(&["accounts", "create", "other"], "");
    let mut stranger = Browser::signed_in(&env, &env.make_key("other", &[])).await;
    let victim = with_link(&env, "owner").await;
    let id: String = victim.cookies().split('.').find(|part| part.starts_with("ses_")).unwrap().to_owned();
    let token = csrf(&stranger.page("/dashboard/settings").await);
    for kind in ["sessions", "invitations"] {
        let path = format!("/dashboard/settings/{kind}/{id}/revoke");
        assert_eq!(stranger.post(&path, &[("csrf", &token)]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // With the account of the stranger in it, the token of the victim is worth nothing.
    let own_account: String =
        stranger.cookies().split(['=', '.']).find(|part| part.starts_with("acc_")).unwrap().to_owned();
    let victims_account: String =
        victim.cookies().split(['=', '.']).find(|part| part.starts_with("acc_")).unwrap().to_owned();
    let mut mixed = Browser::new(&env);
    mixed.set_cookies(&victim.cookies().replace(&victims_account, &own_account));
    assert_eq!(mixed.get("/dashboard/settings").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_and_keys_cannot_be_guessed_by_trying() {
    let env = TestEnv::without_verification("limits.failed_keys_per_minute = 5\n").await;
    let path = link(&env, "owner");
    let (start, _) = path.rsplit_once('.').unwrap();
    let mut browser = Browser::new(&env);
    let mut statuses = Vec::new();
    for number in 0..12 {
        statuses.push(browser.get(&format!("{start}.{number:064x}")).await.status.as_u16());
    }
    assert!(statuses.starts_with(&[404, 404, 404]) && statuses.ends_with(&[429, 429, 429]), "{statuses:?}");
    let answer = browser.get(&path).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "even the right one, from this address");
    assert!(answer.text.contains("Too many requests"), "{}", answer.text);
    let refused = browser.submit(SIGN_IN, SIGN_IN, &[("key", "pictai_0123456789")]).await;
    assert!(refused.text.contains("too many attempts from your address"), "{}", refused.text);
    let _ = ACCOUNT;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_row_is_not_accepted() {
    let env = TestEnv::without_verification("").await;
    let mut reader = with_link(&env, "read-only").await;
    let changes = [
        "scopes = (SELECT scopes FROM api_keys LIMIT 1)",
        "expires_at = expires_at + 1",
        "person = 'Owner'",
        "role = 'owner'",
    ];
    for change in changes {
        let database = env.database();
        let column = change.split(' ').next().unwrap();
        let before: rusqlite::types::Value = database
            .query_row(
                &format!("SELECT {column} FROM dashboard_sessions WHERE state = 'active'"),
                [],
                |row| row.get(0),
            )
            .unwrap();
        database.execute(&format!("UPDATE dashboard_sessions SET {change}"), []).unwrap();
        let answer = reader.get_keeping_cookies("/dashboard/settings").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{change}");
        database.execute(&format!("UPDATE dashboard_sessions SET {column} = ?1"), [before]).unwrap();
        assert_eq!(
            reader.get_keeping_cookies("/dashboard/settings").await.status,
            StatusCode::OK,
            "{change}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_supply_is_shown_as_text() {
    let evil = "<img src=x onerror=alert(1)>";
    let env = TestEnv::without_verification("").await;
    env.cli(&["keys", "create", "--account", ACCOUNT, "--name", evil], "");
    let mut browser = Browser::signed_in(&env, &env.make_key(ACCOUNT, &["--name", evil])).await;
    for path in [KEYS, "/dashboard/settings", "/dashboard/audit", "/dashboard/connections"] {
        let page = browser.page(path).await;
        assert!(!page.contains("<img"), "{path}");
        assert!(page.contains("&#60;img src=x onerror=alert(1)&#62;"), "{path}: {page}");
    }
    let query = "/dashboard/audit?subject=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&actor=key_%22%3E%3Cb%3E";
    let page = browser.page(query).await;
    assert!(!page.contains("<script>alert") && !page.contains("<b>"), "{page}");
}
