//! What is delivered to endpoints, and what clients see of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, until};
use crate::support::uploads::UploadEnv;
use crate::support::webhooks::{CONFIG, DELIVERIES, Message, Receiver, create, env_with, items, path, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_connection_reaches_each_endpoint_that_subscribes_to_it() {
    let env = env_with("").await;
    let (all, some) = (Receiver::start(204).await, Receiver::start(200).await);
    create(&env, &json!({"url": all.url})).await;
    create(&env, &json!({"url": some.url, "events": ["connection.updated"]})).await;
    let created = env.post(&env.valid_body("c")).await.json();
    let connection = format!("{COLLECTION}/{}", created["connectionId"].as_str().unwrap());
    let change = json!({"version": 1, "description": "new"});
    assert_eq!(send(&env, Method::PUT, &connection, &change).await.status, 200);
    let shown = env.get(&connection).await.json();
    assert_eq!(send(&env, Method::DELETE, &connection, &Value::Null).await.status, 204);
    assert_eq!(send(&env, Method::DELETE, &connection, &Value::Null).await.status, 204);
    let mut messages = all.wait_for(3).await;
    messages.sort_by_key(|message| message.id().to_owned());
    let events: Vec<_> = messages.iter().map(Message::event).collect();
    assert_eq!(events, ["connection.created", "connection.updated", "connection.deleted"]);
    assert_eq!(messages[0].json()["data"]["name"], "c");
    assert_eq!(messages[1].json()["data"], shown, "the nine fields of the connection");
    assert_eq!(messages[2].json()["data"], shown, "as it was");
    let [updated] = &some.wait_for(1).await[..] else { panic!("one webhook") };
    assert_eq!(
        (updated.id(), &updated.body),
        (messages[1].id(), &messages[1].body),
        "one event, two receivers"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_upload_reaches_endpoints_and_its_own_webhook() {
    let uploads = UploadEnv::with(
        &format!("{CONFIG}uploads.create_seconds = 2\nuploads.grace_seconds = 1\nuploads.look_seconds = 2\n"),
        sandbox::Options::default(),
    )
    .await;
    let env = &uploads.env;
    let (endpoint, own) = (Receiver::start(204).await, Receiver::start(500).await);
    let created =
        create(env, &json!({"url": endpoint.url, "events": ["upload.completed", "upload.cancelled"]})).await;
    send(env, Method::POST, "/pictoryapis/v1/webhook-secret", &Value::Null).await;
    let source = json!({"url": uploads.source.url("film.mp4", 1000)});
    let id = uploads.submit_with(json!({"source": source, "webhook": own.url, "webhookInput": 7})).await;
    let [message] = &endpoint.wait_for(1).await[..] else { panic!("one webhook") };
    assert_eq!(message.event(), "upload.completed");
    let (data, job) = (message.json()["data"].clone(), uploads.job(&id).await);
    assert_eq!((&data["job_id"], &data["data"]["vimeoUri"]), (&job["job_id"], &job["data"]["vimeoUri"]));
    assert!(message.is_signed_with(created["secret"].as_str().unwrap()));

    let repeated = own.wait_for(2).await;
    assert_eq!(uploads.job(&id).await["data"]["webhook"], "waiting");
    assert_eq!((repeated[0].id(), &repeated[0].body), (repeated[1].id(), &repeated[1].body));
    assert_eq!(repeated[0].json()["webhookInput"], 7);
    let of_job = format!("{DELIVERIES}?jobId={id}");
    let listed = items(env, &of_job).await;
    assert_eq!(listed.len(), 2, "{listed:#?}");
    let waiting = items(env, &format!("{of_job}&status=waiting")).await;
    assert_eq!((waiting.len(), waiting[0].get("endpointId")), (1, None));
    assert_eq!(
        (&waiting[0]["eventId"], &waiting[0]["lastStatus"]),
        (&json!(own.received()[0].id()), &json!(500))
    );
    let redeliver = format!("{DELIVERIES}/{}/redeliver", waiting[0]["deliveryId"].as_str().unwrap());
    own.answer(204);
    assert_eq!(send(env, Method::POST, &redeliver, &Value::Null).await.status, 202);
    uploads.until(&id, |job| job["data"]["webhook"] == "delivered").await;
    until("the delivery ends", async || items(env, &format!("{of_job}&status=waiting")).await.is_empty())
        .await;
    let refused = send(env, Method::POST, &redeliver, &Value::Null).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (409, "WEBHOOK_NOT_REDELIVERABLE"));
    let secrets: i64 = env
        .database()
        .query_row("SELECT count(*) FROM webhook_delivery_secrets", [], |row| row.get(0))
        .unwrap();
    assert_eq!(secrets, 0, "its content is wiped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_retried_with_the_same_id_and_shown_with_its_last_attempt() {
    let mut env = env_with("").await;
    let receiver = Receiver::start(302).await;
    let created = create(&env, &json!({"url": receiver.url})).await;
    env.post(&env.valid_body("c")).await;
    receiver.wait_for(1).await;
    env.kill_and_restart();
    // The lease of an attempt whose result was not stored expires.
    let messages = receiver.wait_for(2).await;
    assert_eq!((messages[0].id(), &messages[0].body), (messages[1].id(), &messages[1].body));
    receiver.answer(200);
    let deliveries = format!("{}/deliveries", path(&created));
    until("it is delivered", async || items(&env, &deliveries).await[0]["status"] == "delivered").await;
    let shown = items(&env, &deliveries).await.remove(0);
    assert_eq!((&shown["type"], &shown["lastStatus"]), (&json!("connection.created"), &json!(200)));
    assert_eq!((shown.get("nextAttemptDate"), &shown["endpointId"]), (None, &created["endpointId"]));
    assert_eq!(shown["eventId"], messages[0].id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_delivery_can_be_made_again() {
    let env = env_with("").await;
    let receiver = Receiver::start(500).await;
    let created = create(&env, &json!({"url": receiver.url})).await;
    env.post(&env.valid_body("c")).await;
    let messages = receiver.wait_for(4).await;
    let deliveries = format!("{}/deliveries?status=exhausted", path(&created));
    until("it is exhausted", async || items(&env, &deliveries).await.len() == 1).await;
    let shown = items(&env, &deliveries).await.remove(0);
    assert_eq!((&shown["attempts"], &shown["lastResult"]), (&json!(4), &json!("http")));
    receiver.answer(204);
    let redeliver = format!("{DELIVERIES}/{}/redeliver", shown["deliveryId"].as_str().unwrap());
    let again = send(&env, Method::POST, &redeliver, &Value::Null).await;
    assert_eq!((again.status.as_u16(), &again.json()["attempts"]), (202, &json!(0)), "{}", again.text);
    assert_eq!(receiver.wait_for(5).await[4].id(), messages[0].id());
    send(&env, Method::PATCH, &path(&created), &json!({"enabled": false})).await;
    let refused = send(&env, Method::POST, &redeliver, &Value::Null).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (409, "WEBHOOK_ENDPOINT_DISABLED"));
    send(&env, Method::DELETE, &path(&created), &Value::Null).await;
    let refused = send(&env, Method::POST, &redeliver, &Value::Null).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (409, "WEBHOOK_NOT_REDELIVERABLE"));
    let unknown = send(&env, Method::POST, &format!("{DELIVERIES}/x/redeliver"), &Value::Null).await;
    assert_eq!((unknown.status.as_u16(), &*unknown.code()), (404, "WEBHOOK_DELIVERY_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_something_else_wrote_is_reported_and_not_sent() {
    let env = env_with("").await;
    let receiver = Receiver::start(503).await;
    let created = create(&env, &json!({"url": receiver.url})).await;
    env.post(&env.valid_body("c")).await;
    receiver.wait_for(1).await;
    let sql =
        "UPDATE webhook_deliveries SET body = '{\"type\":\"upload.completed\",\"data\":{\"forged\":1}}'";
    env.database().execute(sql, []).unwrap();
    let deliveries = format!("{}/deliveries?status=exhausted", path(&created));
    until("it ends", async || items(&env, &deliveries).await.len() == 1).await;
    assert_eq!(items(&env, &deliveries).await[0]["lastResult"], "unreadable");
    assert!(receiver.received().iter().all(|message| !message.body.contains("forged")));
    assert!(env.log().contains("the row of a webhook delivery does not verify"), "{}", env.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_paged_newest_first() {
    let env = env_with("").await;
    let receiver = Receiver::start(204).await;
    let created = create(&env, &json!({"url": receiver.url})).await;
    for number in 0..5 {
        env.post(&env.valid_body(&format!("c {number}"))).await;
    }
    receiver.wait_for(5).await;
    for list in [DELIVERIES.to_owned(), format!("{}/deliveries", path(&created))] {
        let (mut listed, mut page_key) = (Vec::new(), String::new());
        loop {
            let page = env.get(&format!("{list}?limit=2&nextPageKey={page_key}")).await.json();
            listed
                .extend(page["items"].as_array().unwrap().iter().map(|item| item["deliveryId"].to_string()));
            let Some(next) = page["nextPageKey"].as_str() else { break };
            page_key = next.to_owned();
        }
        assert!(listed.len() == 5 && listed.is_sorted_by(|a, b| a > b), "{listed:?}");
    }
}
