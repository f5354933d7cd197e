//! `GET /metrics` on its own listener.

use std::collections::BTreeSet;
use std::net::TcpListener;

use reqwest::Method;
use serde_json::json;

use crate::architecture::root;
use crate::support::cluster::env_on_database;
use crate::support::harness::{COLLECTION, ClosedPort, EnvOptions, Service, TestEnv, printed, until};
use crate::support::installation::{check, installation, serve, tls};
use crate::support::monitoring::{
    METRICS, Metrics, metrics_url, metrics_url_in, promtool, read, scrape, with_input,
};
use crate::support::postgres::{Fault, Proxy, SharedPostgres, Version};
use crate::support::tools::print_numbers;
use crate::support::uploads::{CONFIG, UploadEnv};

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upload_is_visible_in_the_metrics() {
    let uploads = UploadEnv::with(&format!("{CONFIG}{METRICS}"), sandbox::Options::default()).await;
    let url = metrics_url(&uploads.env);
    let before = scrape(&uploads.env, &url).await;
    assert_eq!(before.count("jobs_ended_total{failure_code=\"\",state=\"completed\"}"), 0);
    let receiver = ClosedPort::bind();
    let secret = uploads.env.send(Method::POST, "/pictoryapis/v1/webhook-secret", &[], Vec::new()).await;
    assert_eq!(secret.status, 201, "{}", secret.text);
    let source = json!({"url": uploads.source.url("film.mp4", 5 * MIB)});
    let webhook = format!("http://{}/hook", receiver.address());
    let id = uploads.submit_with(json!({"source": source, "webhook": webhook})).await;
    uploads.wait_for_end(&id).await;
    let delivery = "webhook_deliveries_total{outcome=\"retried\"}";
    until("the webhook has been tried", async || scrape(&uploads.env, &url).await.count(delivery) > 0).await;
    // Readings of the database are used for ten seconds.
    until("the webhook is pending", async || {
        scrape(&uploads.env, &url).await.find_count("webhooks_pending") == Some(1)
    })
    .await;
    let after = scrape(&uploads.env, &url).await;
    for (series, expected) in [
        ("jobs_ended_total{failure_code=\"\",state=\"completed\"}", 1),
        ("upload_relayed_bytes_total", 5 * MIB),
        (
            "http_requests_total{method=\"POST\",route=\"/pictoryapis/v1/vimeo-connections\",status=\"201\"}",
            1,
        ),
        (
            "http_requests_total{method=\"POST\",\
             route=\"/pictoryapis/v1/vimeo-connections/{connectionId}/uploads\",status=\"202\"}",
            1,
        ),
        ("store_up", 1),
        ("store_write_queue_capacity", 4_096),
        ("store_rejected_writes_total", 0),
        ("jobs_oldest_created_timestamp_seconds", 0),
    ] {
        assert_eq!(after.find_count(series).unwrap_or_default(), expected, "{series}: {}", after.0);
    }
    let since = |series: &str| after.count(series) - before.count(series);
    assert!(since("vimeo_requests_total{endpoint=\"api\",outcome=\"success\"}") >= 6, "{}", after.0);
    assert!(since("vimeo_requests_total{endpoint=\"upload_link\",outcome=\"success\"}") >= 1);
    assert!(since("vimeo_request_duration_seconds_count") >= 6);
    assert!(since("vimeo_rate_limit_remaining_ratio_count") >= 1, "{}", after.0);
    assert!(since("store_commit_duration_seconds_count") >= 5);
    let (batches, writes) =
        (after.count("store_write_batch_size_count"), after.count("store_write_batch_size_sum"));
    assert!(batches > 0 && writes >= batches, "{}", after.0);
    let requests = after.sum("http_requests_total");
    assert_eq!(after.sum("http_request_duration_seconds_count"), requests, "{}", after.0);
    let known: BTreeSet<_> = metrics::DEFINITIONS.iter().map(|metric| metric.name).collect();
    assert!(after.names().is_subset(&known), "{:?}", after.names());
    let shown = after.0.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    print_numbers(&format!("the metrics of one upload:\n{}", shown.collect::<Vec<_>>().join("\n")));
    if let Some(check) = promtool(&["check", "metrics"]) {
        let checked = with_input(check, &after.0);
        assert!(checked.status.success() && printed(&checked).is_empty(), "{}", printed(&checked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_have_no_values_of_requests() {
    let env = TestEnv::without_verification(METRICS).await;
    let created = env.post(&env.valid_body("canary-name")).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let id = created.json()["connectionId"].as_str().unwrap().to_owned();
    assert_eq!(env.get(&format!("{COLLECTION}/{id}")).await.status, 200);
    assert_eq!(env.get("/canary-path?canary-query").await.status, 404);
    let method = Method::from_bytes(b"CANARY").unwrap();
    assert_eq!(env.send(method, COLLECTION, &[], Vec::new()).await.status, 405);
    assert_eq!(
        env.send(Method::GET, COLLECTION, &[("authorization", "canary")], Vec::new()).await.status,
        401
    );
    let page = scrape(&env, &metrics_url(&env)).await;
    for secret in ["canary", "CANARY", &id, &env.api_key] {
        assert!(!page.0.contains(secret), "{secret}: {}", page.0);
    }
    let openapi = env.get("/openapi.json").await.json();
    let mut routes: BTreeSet<&str> =
        openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    routes.extend(["-", "/openapi.json", "/docs"]);
    assert!(page.labels("route").is_subset(&routes), "{:?}", page.labels("route"));
    assert_eq!(page.labels("method"), BTreeSet::from(["GET", "POST", "other"]));
    assert_eq!(
        page.count(
            "http_requests_total{method=\"other\",route=\"/pictoryapis/v1/vimeo-connections\",status=\"405\"}"
        ),
        1
    );
    assert_eq!(page.count("http_requests_total{method=\"GET\",route=\"-\",status=\"404\"}"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_served_on_their_own_listener_alone() {
    let env = TestEnv::without_verification(METRICS).await;
    assert_eq!(env.get("/metrics").await.code(), "NOT_FOUND");
    let url = metrics_url(&env);
    for path in ["", "/", "/metrics/", "/metrics/x", "/health/live", "/openapi.json", COLLECTION] {
        let other = url.replace("/metrics", path);
        let response = env.http.get(&other).header("authorization", &env.api_key).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.text().await.unwrap().as_str()),
            (404, ""),
            "{path}"
        );
    }
    assert_eq!(env.http.post(&url).body("x").send().await.unwrap().status(), 405);
    scrape(&env, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metrics_address_that_cannot_be_used_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (listen, expected) in [
        (address.to_string(), format!("cannot listen on {address}: the address is in use")),
        ("192.0.2.1:9464".to_owned(), "change `metrics.listen`".to_owned()),
        ("9464".to_owned(), "metrics.listen (line 4 of the file): must be an address and a port".to_owned()),
    ] {
        let directory = installation(&format!("metrics.listen={listen:?}\n"));
        let (is_accepted, checked) = check(directory.path());
        assert!(!is_accepted && checked.contains(&expected), "config check, {listen}: {checked}");
        let refused = serve(directory.path()).unwrap_err();
        assert!(refused.contains(&expected), "serve, {listen}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_expiry_of_the_certificate_is_exported() {
    let config = format!("{METRICS}{}", tls("ours.pem", "ours.key"));
    let directory = installation(&config);
    let service = Service::start(directory.path());
    let log_file = directory.path().join("service.log");
    until("the address is logged", async || read(&log_file).contains("serving metrics")).await;
    let log = read(&log_file);
    let page = reqwest::get(metrics_url_in(&log)).await.unwrap().text().await.unwrap();
    let page = Metrics(page);
    let expires = page.value("certificate_not_after_timestamp_seconds");
    // Valid for two days.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now..now + 2.0 * 86_400.0).contains(&expires), "{expires}");
    drop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_absent_while_postgres_is_away() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut proxy = Proxy::before(&database.url()).await;
    let env = env_on_database(proxy.url(), METRICS).await;
    let url = metrics_url(&env);
    let jobs = async || scrape(&env, &url).await.find_count("webhooks_pending");
    assert_eq!(jobs().await, Some(0));
    proxy.set(Fault::Refuse).await;
    proxy.cut();
    until("they are absent", async || jobs().await.is_none()).await;
    let page = scrape(&env, &url).await;
    assert_eq!(page.count("store_up"), 0);
    assert!(page.find("build_info").is_none() && page.0.contains("vimeo_connections_build_info{"));
    proxy.set(Fault::Pass).await;
    until("they are there again", async || jobs().await.is_some()).await;
    assert_eq!(scrape(&env, &url).await.count("store_up"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_no_worker_runs_is_counted_as_waiting() {
    let config = format!("{CONFIG}{METRICS}uploads.work = false\n");
    let options = EnvOptions { config, ..EnvOptions::default() };
    let uploads = UploadEnv::with_options(options).await;
    uploads.submit(1).await;
    let url = metrics_url(&uploads.env);
    let waiting = "jobs{state=\"queued\",waiting_for=\"worker\"}";
    until("it is counted", async || scrape(&uploads.env, &url).await.find_count(waiting) == Some(1)).await;
    let page = scrape(&uploads.env, &url).await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    for since in
        ["jobs_due_since_timestamp_seconds", "jobs_oldest_created_timestamp_seconds{waiting_for=\"worker\"}"]
    {
        let since = page.value(since);
        assert!((now - 3_600.0..=now).contains(&since), "{since}: {}", page.0);
    }
}

#[test]
fn operations_lists_every_metric_with_its_kind() {
    let page = read(&root().join("docs/operations.md"));
    let listed: BTreeSet<_> = page.lines().filter(|line| line.starts_with("| `vimeo_connections_")).collect();
    for metric in metrics::DEFINITIONS {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let row = listed.iter().find(|row| row.starts_with(&format!("| `{}` | {kind} |", metric.name)));
        assert!(row.is_some_and(|row| row.contains(metric.help)), "docs/operations.md: {metric:?}");
    }
    assert_eq!(
        listed.len(),
        metrics::DEFINITIONS.len(),
        "docs/operations.md lists metrics that do not exist"
    );
}
