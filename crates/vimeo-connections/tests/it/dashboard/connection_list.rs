//! The list of connections: filters, pages, and the size of a page with many connections.

use reqwest::StatusCode;
use serde_json::json;

use super::session::{Browser, attribute};
use crate::support::harness::TestEnv;

const LIST: &str = "/dashboard/connections";
const MANY: u32 = 10_000;
/// The longest character of a name: four bytes, and no escape makes it longer.
const LONGEST: &str = "\u{20000}";

/// Copies the only connection until there are this many, in the same order: `name` and its number.
fn copy_connection(env: &TestEnv, many: u32, name: &str, details: &str) {
    let database = env.database();
    let copies = "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)";
    let id = "printf('20991231235959999%015d', n)";
    database
        .execute(
            &format!(
                "{copies} INSERT INTO connections
                SELECT account_id, {id}, ?2 || n, ?2 || n, description, n % 2, 'app-' || n, created_at, updated_at,
                    version, sealed_version, sealing_key_id, envelope
                FROM connections, numbers"
            ),
            rusqlite::params![many, name],
        )
        .unwrap();
    database
        .execute(
            &format!(
                "{copies} INSERT INTO connection_health (account_id, connection_id, status, since, checked_at,
                    unanswered, revision, details)
                SELECT account_id, {id}, 'unhealthy', since, since, 0, 1, ?2
                FROM connection_health, numbers"
            ),
            rusqlite::params![many, details],
        )
        .unwrap();
}

/// The names of the rows.
fn names(page: &str) -> Vec<&str> {
    let rows = page.split("<th scope=\"row\"").skip(1);
    rows.map(|row| row.split("\">").nth(2).unwrap().split("</a>").next().unwrap()).collect()
}

fn next_page(page: &str) -> Option<String> {
    Some(attribute(page.split("rel=\"next\"").nth(1)?, "href").replace("&#38;", "&"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_visit_shows_what_to_do() {
    let env = TestEnv::without_verification("").await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    for path in [LIST.to_owned(), format!("{LIST}?search=x")] {
        let page = browser.page(&path).await;
        assert!(
            page.contains("No connections yet") && page.contains("Where to find the credentials"),
            "{page}"
        );
    }
    let reader = env.make_key("acme", &["--scopes", "connections:read"]);
    let page = Browser::signed_in(&env, &reader).await.page(LIST).await;
    assert!(page.contains("No connections yet") && !page.contains("Paste credentials"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_are_combined_and_kept_by_the_next_page() {
    let env = TestEnv::without_verification("").await;
    env.connect("First Film").await;
    copy_connection(&env, 120, "Café ", "{}");
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let page = browser.page(LIST).await;
    assert!(page.contains("120 connections"), "{page}");
    assert_eq!((names(&page).len(), names(&page)[0]), (50, "First Film"));
    for (query, expected) in [
        ("search=CAF%C3%89+77", vec!["Café 77"]),
        ("search=cafe%CC%81+77", vec!["Café 77"]),
        ("search=APP-101", vec!["Café 101"]),
        ("search=000000000000042", vec!["Café 42"]),
        ("search=film&health=unverified&enabled=true", vec!["First Film"]),
        ("search=film&health=unhealthy", vec![]),
        ("search=caf%C3%A9+77&enabled=false", vec![]),
        ("search=%25", vec![]),
        ("health=unverified", vec!["First Film"]),
    ] {
        let page = browser.page(&format!("{LIST}?{query}")).await;
        assert_eq!(names(&page), expected, "{query}");
        let count = format!("{} on this page, of 120 connections", expected.len());
        assert!(page.contains(&count), "{page}");
        assert!(!expected.is_empty() || page.contains("No connection matches"), "{page}");
    }
    let mut path = Some(format!("{LIST}?health=unhealthy&enabled=false"));
    let mut found = Vec::new();
    while let Some(next) = path {
        let page = browser.page(&next).await;
        assert!(page.contains("<option value=\"unhealthy\" selected>"), "{page}");
        found.extend(names(&page).into_iter().map(str::to_owned));
        path = next_page(&page);
    }
    let even: Vec<_> = (2..=120).step_by(2).map(|number| format!("Café {number}")).collect();
    assert_eq!(found, even);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_key_of_another_account_is_refused() {
    let env = TestEnv::without_verification("").await;
    env.connect("a").await;
    copy_connection(&env, 60, "b", "{}");
    let page = Browser::signed_in(&env, &env.api_key).await.page(LIST).await;
    let next = next_page(&page).unwrap();
    let mut stranger = Browser::signed_in(&env, &env.make_key("other", &[])).await;
    for path in [&*next, &format!("{LIST}?page=x"), &format!("{LIST}?page=%FF")] {
        assert_eq!(stranger.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_many_connections_stays_small_and_a_search_ends() {
    let env = TestEnv::without_verification("").await;
    env.connect("a").await;
    let problem = json!({"code": "CLIENT_CREDENTIALS_REJECTED", "message": LONGEST.repeat(100)});
    let user = json!({"name": LONGEST.repeat(100), "uri": "/users/240002"});
    let details = json!({"problem": problem, "user": user}).to_string();
    copy_connection(&env, MANY, &LONGEST.repeat(95), &details);
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let first = browser.page(LIST).await;
    assert!(first.contains("More than 1,000 connections"), "{first}");
    let second = browser.page(&next_page(&first).unwrap()).await;
    for page in [&first, &second] {
        assert_eq!(names(page).len(), 50);
        assert!(page.len() <= 100 * 1_024, "{} bytes", page.len());
    }
    let last = browser.page(&format!("{LIST}?search=app-{MANY}")).await;
    assert_eq!(names(&last).len(), 1);
    assert!(!last.contains("One search covers"), "all were searched");

    copy_more(&env);
    let stopped = browser.page(&format!("{LIST}?search=the-last")).await;
    assert!(stopped.contains("One search covers 10,000 connections") && names(&stopped).is_empty());
    let found = browser.page(&next_page(&stopped).unwrap()).await;
    assert_eq!(names(&found), ["the-last"]);
}

/// One more connection, after all others.
fn copy_more(env: &TestEnv) {
    let copy = "INSERT INTO connections
        SELECT account_id, '20991231235959999zzzzzzzzzzzzzzz', 'the-last', 'the-last', description, 1, 'app', created_at,
            updated_at, version, sealed_version, sealing_key_id, envelope
        FROM connections LIMIT 1";
    assert_eq!(env.database().execute(copy, []).unwrap(), 1);
}
