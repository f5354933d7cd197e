//! A retried request for an upload link replays the first response while the link is valid. Afterwards the link is
//! wiped.

use reqwest::Method;
use serde_json::json;

use crate::support::canaries::Canaries;
use crate::support::harness::{Response, until};
use crate::support::uploads::UploadEnv;

/// The bytes of a wrapped key before its tag: the nonce and the encrypted key.
const NONCE_AND_KEY: usize = 12 + 32;

impl UploadEnv {
    /// Requests a link with this idempotency key.
    async fn ask_once(&self, key: &str) -> Response {
        let path = format!("{}/uploads", self.connection);
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = json!({"source": {"size": 12_345}}).to_string().into_bytes();
        self.env.send(Method::POST, &path, &headers, body).await
    }

    /// Requests a link twice; the first response, and canaries for the link and for what could decrypt it.
    async fn ask_twice(&self, key: &str) -> (Response, Canaries) {
        let first = self.ask_once(key).await;
        assert_eq!(first.status, 201, "{}", first.text);
        let again = self.ask_once(key).await;
        assert_eq!(again.status, 201, "{}", again.text);
        assert_eq!(again.text, first.text, "byte for byte");
        assert_eq!(again.header("location"), first.header("location"));
        let data = first.json()["data"].clone();
        let (id, link) = (data["jobId"].as_str().unwrap(), data["uploadLink"].as_str().unwrap());
        let database = self.env.database();
        let sql = "SELECT CAST(answer AS TEXT) FROM idempotency_records WHERE idempotency_key = ?1";
        let kept: String = database.query_row(sql, [key], |row| row.get(0)).unwrap();
        assert_eq!(kept, format!("job:{id}"), "the record of the key names only the job");
        let sql = "SELECT wrapped_key FROM job_secrets JOIN sealing_keys USING (sealing_key_id)
                   WHERE job_id = ?1 AND part = ?2";
        let wrapped = ["link", "answer"].map(|part| {
            database.query_row(sql, [id, part], |row| row.get::<_, Vec<u8>>(0)).unwrap()[..NONCE_AND_KEY]
                .to_vec()
        });
        let keys =
            Canaries::of(&[("the key of the link", &wrapped[0]), ("the key of the response", &wrapped[1])]);
        assert!(!self.found(&keys).is_empty(), "the search finds both");
        let canaries = Canaries::of(&[
            ("the link", link.rsplit('/').next().unwrap().as_bytes()),
            ("the key of the link", &wrapped[0]),
            ("the key of the response", &wrapped[1]),
        ]);
        assert!(!canaries.in_bytes(first.text.as_bytes()).is_empty(), "the search finds the link");
        (first, canaries)
    }

    fn found(&self, canaries: &Canaries) -> Vec<String> {
        let keyring = self.env.path().join("vimeo-connections.keyring");
        canaries.in_files(self.env.path(), &[&keyring])
    }

    /// Asserts that a retry reports the end of the upload, and that soon no file has anything of its link.
    async fn assert_over(&self, key: &str, canaries: &Canaries) {
        let over = self.ask_once(key).await;
        assert_eq!(over.status, 409, "{}", over.text);
        assert_eq!(over.code(), "UPLOAD_OVER");
        assert!(canaries.in_bytes(over.text.as_bytes()).is_empty());
        until("no file has the link or its keys", async || self.found(canaries).is_empty()).await;
        assert_eq!(self.ask_once(key).await.code(), "UPLOAD_OVER", "and it stays wiped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_link_of_a_cancelled_upload_is_wiped() {
    let uploads = UploadEnv::start().await;
    let (first, canaries) = uploads.ask_twice("once").await;
    let (other, others) = uploads.ask_twice("other").await;
    assert_ne!(first.text, other.text);
    let path = format!("/pictoryapis/v1/jobs/{}", first.json()["data"]["jobId"].as_str().unwrap());
    assert_eq!(uploads.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    uploads.assert_over("once", &canaries).await;
    assert_eq!(uploads.ask_once("other").await.text, other.text, "the other upload continues");
    assert!(!uploads.found(&others).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_link_of_a_deleted_connection_is_wiped() {
    let uploads = UploadEnv::start().await;
    let (_, canaries) = uploads.ask_twice("once").await;
    assert_eq!(uploads.env.send(Method::DELETE, &uploads.connection, &[], Vec::new()).await.status, 204);
    uploads.assert_over("once", &canaries).await;
}
