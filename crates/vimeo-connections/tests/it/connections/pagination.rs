//! Pages of the list during concurrent creates and deletes; page keys, limits and names in the query.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use tokio::task::JoinSet;

use crate::support::harness::{ACCOUNT, COLLECTION, Response, TestEnv};
use crate::support::tools::print_numbers;

const EMPTY: &str = r#"{"Items":[]}"#;
/// The page key in the sample of the documentation.
const SAMPLE_PAGE_KEY: &str = "eyJsYXN0RXZhbHVhdGVkS2V5Ijp7fX0=";

/// Inserts connections, older than all others, directly into the database. How they got there makes no difference to a
/// list, and their secrets are never decrypted. Their identifiers, oldest first.
fn fill(env: &TestEnv, account: &str, count: usize) -> Vec<String> {
    let database = env.database();
    let query = "SELECT account_id FROM accounts WHERE name = ?1";
    let account: String = database.query_row(query, [account], |row| row.get(0)).unwrap();
    let first = "INSERT INTO sealing_keys (wrapped_key) VALUES (zeroblob(60)) RETURNING sealing_key_id";
    let key: i64 = database.query_row(first, [], |row| row.get(0)).unwrap();
    let filling = "
        WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)
        INSERT INTO connections
            (account_id, connection_id, name, unique_name, is_enabled, client_identifier,
             created_at, updated_at, version, sealed_version, sealing_key_id, envelope)
        SELECT ?1, '20260131090500042' || printf('%015d', n), 'old ' || n, 'old ' || n, 1, 'client',
            1769850300042000, 1769850300042000, 1, 1, ?3, x'00'
        FROM numbers";
    assert_eq!(database.execute(filling, (account, count, key)).unwrap(), count);
    (0..count).map(|number| format!("20260131090500042{number:0>15}")).collect()
}

fn ids(answer: &Response) -> Vec<String> {
    let text = |item: &serde_json::Value| item["connectionId"].as_str().unwrap().to_owned();
    answer.json()["Items"].as_array().unwrap().iter().map(text).collect()
}

fn page_key(answer: &Response) -> Option<String> {
    answer.json().get("nextPageKey").map(|key| key.as_str().unwrap().to_owned())
}

async fn list(env: &TestEnv, query: &str) -> Response {
    let answer = env.get(&format!("{COLLECTION}{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer
}

/// All identifiers from the first page to the last, in the order received, and the number of pages.
async fn read_all_pages(env: &TestEnv, limit: usize) -> (Vec<String>, usize) {
    let (mut seen, mut pages) = (Vec::new(), 0);
    let mut next = String::new();
    loop {
        let page = list(env, &format!("?limit={limit}{next}")).await;
        let found = ids(&page);
        pages += 1;
        assert!(found.len() <= limit);
        seen.extend_from_slice(&found);
        let Some(key) = page_key(&page) else { return (seen, pages) };
        assert_eq!(found.len(), limit, "only the last page is short");
        next = format!("&nextPageKey={key}");
    }
}

/// The content of the account, as its clients know it.
#[derive(Default)]
struct Known {
    /// Acknowledged.
    created: BTreeSet<String>,
    /// A delete was sent, and may not have been answered.
    deleting: HashSet<String>,
    /// The delete was acknowledged.
    deleted: HashSet<String>,
}

/// Clients that create, and clients that delete old connections, until they are stopped.
struct Others {
    clients: JoinSet<()>,
    known: Arc<Mutex<Known>>,
    stopping: Arc<AtomicBool>,
}

impl Others {
    fn start(env: &TestEnv, old: &[String]) -> Self {
        let known = Known { created: old.iter().cloned().collect(), ..Known::default() };
        let mut others =
            Self { clients: JoinSet::new(), known: Arc::new(Mutex::new(known)), stopping: Arc::default() };
        for client in 0..2 {
            others.create(env, client);
            // From all over the list, in no order, and no two clients the same.
            let count = old.len();
            let deleted_connection =
                (0..count).map(|n| n * 7_919 % count).filter(|n| n % 4 == client).map(|n| old[n].clone());
            others.delete(env, deleted_connection.collect());
        }
        others
    }

    fn create(&mut self, env: &TestEnv, client: usize) {
        let (http, url, key) = (env.http.clone(), env.url(COLLECTION), env.api_key.clone());
        let (known, stopping) = (self.known.clone(), self.stopping.clone());
        let mut body = env.valid_body("x");
        self.clients.spawn(async move {
            for n in 0.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                body["name"] = json!(format!("new {client} {n}"));
                let sent = http.post(&url).header("authorization", &key).body(body.to_string());
                let response = sent.send().await.unwrap();
                assert_eq!(response.status(), 201);
                let made: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
                known.lock().unwrap().created.insert(made["connectionId"].as_str().unwrap().to_owned());
            }
        });
    }

    fn delete(&mut self, env: &TestEnv, deleted_connection: Vec<String>) {
        let (http, url, key) = (env.http.clone(), env.url(COLLECTION), env.api_key.clone());
        let (known, stopping) = (self.known.clone(), self.stopping.clone());
        self.clients.spawn(async move {
            for id in deleted_connection {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                known.lock().unwrap().deleting.insert(id.clone());
                let sent = http.delete(format!("{url}/{id}")).header("authorization", &key);
                assert_eq!(sent.send().await.unwrap().status(), 204);
                known.lock().unwrap().deleted.insert(id);
            }
        });
    }

    async fn finish(mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paging_returns_each_lasting_item_once_under_concurrent_writes() {
    let env = TestEnv::without_verification("").await;
    let old = fill(&env, ACCOUNT, 10_000);
    let (quiet, pages) = read_all_pages(&env, 50).await;
    assert_eq!((quiet.len(), pages), (10_000, 200));
    assert_eq!(quiet, old);

    let others = Others::start(&env, &old);
    for limit in [50, 37, 333, 999, 1_000] {
        let (before, gone) = {
            let known = others.known.lock().unwrap();
            (known.created.clone(), known.deleted.clone())
        };
        let (seen, pages) = read_all_pages(&env, limit).await;
        assert!(pages > 1);
        assert!(seen.is_sorted_by(|one, next| one < next), "ascending, without duplicates, limit {limit}");
        let seen: HashSet<_> = seen.into_iter().collect();
        let known = others.known.lock().unwrap();
        let unchanged: Vec<_> = before.iter().filter(|id| !known.deleting.contains(*id)).collect();
        print_numbers(&format!(
            "limit {limit}: {pages} pages, {} seen, {} unchanged, {} deleted and {} created so far",
            seen.len(),
            unchanged.len(),
            known.deleted.len(),
            known.created.len() - old.len()
        ));
        let missed: Vec<_> = unchanged.into_iter().filter(|id| !seen.contains(*id)).collect();
        assert!(missed.is_empty(), "not seen with limit {limit}: {missed:?}");
        let risen: Vec<_> = seen.intersection(&gone).collect();
        assert!(risen.is_empty(), "seen with limit {limit}, and deleted before: {risen:?}");
    }
    others.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_has_limit_items_or_a_thousand_by_default() {
    let env = TestEnv::without_verification("").await;
    assert_eq!(list(&env, "").await.text, EMPTY);
    for query in ["?limit=1", "?limit=1000", "?nextPageKey=", "?name=x", "?name=", "?anything=at&all"] {
        assert_eq!(list(&env, query).await.text, EMPTY, "{query}");
    }
    let old = fill(&env, ACCOUNT, 1_001);
    for (query, length) in
        [("", 1_000), ("?limit=1000", 1_000), ("?limit=1", 1), ("?unknown=5&limit=7&Limit=9", 7)]
    {
        let page = list(&env, query).await;
        assert_eq!(ids(&page), old[..length], "{query}");
        assert!(page_key(&page).is_some(), "{query}");
    }
    for exact in [7, 11, 13, 77, 91, 143] {
        let (seen, pages) = read_all_pages(&env, exact).await;
        assert_eq!((seen.len(), pages), (1_001, 1_001 / exact), "no empty page at the end");
    }
    assert_eq!(read_all_pages(&env, 1_000).await.1, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_query_parameter_is_named() {
    let env = TestEnv::without_verification("").await;
    fill(&env, ACCOUNT, 3);
    let limits =
        ["0", "1001", "-1", "05", "", "x", "%2B5", "5.0", "1e2", "%205", "18446744073709551617", "%D9%A3"];
    let mut cases: Vec<_> = limits.iter().map(|limit| (format!("limit={limit}"), vec!["limit"])).collect();
    cases.extend([
        ("limit".to_owned(), vec!["limit"]),
        ("limit=5&limit=5".to_owned(), vec!["limit"]),
        ("nextPageKey=&nextPageKey=".to_owned(), vec!["nextPageKey"]),
        ("name=a&name=b".to_owned(), vec!["name"]),
        ("name=a&limit=0&name=b".to_owned(), vec!["limit", "name"]),
        // The query is validated before the page key in it.
        ("limit=0&nextPageKey=nonsense".to_owned(), vec!["limit"]),
    ]);
    for (query, named) in cases {
        let answer = env.get(&format!("{COLLECTION}?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "INVALID_QUERY"), "{query}");
        let fields: Vec<_> = answer.fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(fields, named, "{query}");
    }
}

async fn assert_no_page_key(env: &TestEnv, key: &str) {
    let answer = env.get(&format!("{COLLECTION}?limit=2&nextPageKey={key}")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "INVALID_PAGE_KEY"), "{key}");
    let fields: Vec<_> = answer.fields().into_iter().map(|(name, _)| name).collect();
    assert_eq!(fields, ["nextPageKey"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_key_is_valid_only_unaltered_and_for_its_account() {
    let env = TestEnv::without_verification("").await;
    let old = fill(&env, ACCOUNT, 5);
    let stranger = env.make_key("another", &[]);
    fill(&env, "another", 5);
    let key = page_key(&list(&env, "?limit=2").await).unwrap();
    let bare = key.trim_end_matches('=');
    assert!(bare.len() < key.len(), "{key} must be padded for this test");
    assert!(bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{key}");
    for good in [&*key, bare, &key.replace('=', "%3D")] {
        let page = list(&env, &format!("?nextPageKey={good}&limit=2")).await;
        assert_eq!(ids(&page), old[2..4], "{good}");
        let last = list(&env, &format!("?nextPageKey={}", page_key(&page).unwrap())).await;
        assert_eq!((ids(&last), page_key(&last)), (old[4..].to_vec(), None));
    }
    for first in ["", SAMPLE_PAGE_KEY, SAMPLE_PAGE_KEY.trim_end_matches('=')] {
        assert_eq!(ids(&list(&env, &format!("?limit=2&nextPageKey={first}")).await), old[..2], "{first:?}");
    }
    for at in 0..key.len() {
        for other in ["A", "B", "_"].into_iter().filter(|other| *other != &key[at..=at]) {
            assert_no_page_key(&env, &[&key[..at], other, &key[at + 1..]].concat()).await;
        }
    }
    for length in 1..bare.len() {
        assert_no_page_key(&env, &key[..length]).await;
    }
    let doubled = [bare, bare].concat();
    let longer = format!("{bare}AAAA");
    let swapped: String = key.chars().rev().collect();
    for nonsense in ["%00", "null", "x", "%20", "e30=", "eyJsYXN0RXZhbHVhdGVkS2V5IjpudWxsfQ==", "caf%C3%A9"] {
        assert_no_page_key(&env, nonsense).await;
    }
    for altered in [doubled, longer, swapped, format!("%20{key}"), format!("{key}="), key.to_lowercase()] {
        assert_no_page_key(&env, &altered).await;
    }
    let headers = [("authorization", stranger.as_str())];
    let path = format!("{COLLECTION}?nextPageKey={key}");
    let refused = env.send(Method::GET, &path, &headers, Vec::new()).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "INVALID_PAGE_KEY"));
    // Another key of the same account can continue, also after a restart, and even if the connection in the page key
    // was deleted.
    let colleague = env.make_key(ACCOUNT, &[]);
    let deleted = env.send(Method::DELETE, &format!("{COLLECTION}/{}", old[1]), &[], Vec::new()).await;
    assert_eq!(deleted.status, 204);
    let mut env = env;
    env.kill_and_restart();
    let headers = [("authorization", colleague.as_str())];
    let page = env.send(Method::GET, &path, &headers, Vec::new()).await;
    assert_eq!(ids(&page), old[2..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_filter_matches_exactly_up_to_outer_spaces() {
    let env = TestEnv::without_verification("").await;
    let stranger = env.make_key("another", &[]);
    for name in ["Plain", " spaced out ", "caf\u{e9}", "plain2"] {
        assert_eq!(env.post(&env.valid_body(name)).await.status, 201, "{name}");
    }
    fill(&env, "another", 1);
    for (query, name) in [
        ("name=Plain", "Plain"),
        ("name=%20Plain++", "Plain"),
        ("name=spaced%20out", " spaced out "),
        ("name=+spaced+out", " spaced out "),
        ("name=caf%C3%A9", "caf\u{e9}"),
        ("name=cafe%CC%81", "caf\u{e9}"),
        ("other=x&name=Plain&limit=1", "Plain"),
    ] {
        let found = list(&env, &format!("?{query}")).await;
        let whole = found.json();
        assert_eq!(whole["Items"].as_array().unwrap().len(), 1, "{query}: {whole}");
        assert_eq!(whole["Items"][0]["name"], name, "{query}");
        assert_eq!(page_key(&found), None, "{query}");
        // The same item as in the list.
        let listed = list(&env, "").await.json();
        assert!(listed["Items"].as_array().unwrap().contains(&whole["Items"][0]), "{query}");
    }
    for query in [
        "name=",
        "name=plain",
        "name=PLAIN",
        "name=Plai",
        "name=Plain2",
        "name=spaced++out",
        "name=cafe",
        "name=%25",
        "name=Pl%00in",
        "name=%FF",
        "name=old+0",
        "name=Plain%09",
        "name=%20",
    ] {
        assert_eq!(list(&env, &format!("?{query}")).await.text, EMPTY, "{query}");
    }
    let headers = [("authorization", stranger.as_str())];
    let theirs = env.send(Method::GET, &format!("{COLLECTION}?name=Plain"), &headers, Vec::new()).await;
    assert_eq!((theirs.status.as_u16(), theirs.text.as_str()), (200, EMPTY));
}
