//! Text tracks and images of a video, sent one raw request at a time.

use serde_json::{Value, json};

use crate::support::test_sandbox::{Reply, TestSandbox};

pub(crate) const VTT: &[u8] = b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n";
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand the rest of an image";

impl TestSandbox {
    /// The path of a link, which must be one of this sandbox.
    pub(crate) fn path_in(&self, link: &Value) -> String {
        let link = link.as_str().unwrap();
        link.strip_prefix(&self.running.base_url).unwrap_or_else(|| panic!("{link}")).to_owned()
    }

    /// A video whose bytes have arrived and can be played. Returns its URI.
    pub(crate) async fn playable(&self) -> String {
        let made = self.make_tus(3).await;
        assert_eq!(self.patch(&made.path, 0, b"abc").await.status, 204);
        self.pass_seconds(10);
        format!("/videos/{}", made.number)
    }

    /// A text track without its file.
    pub(crate) async fn make_track(&self, video: &str, kind: &str, language: &str) -> Value {
        let body = json!({"type": kind, "language": language, "name": "A track", "active": true});
        let reply = self.call("POST", &format!("{video}/texttracks"), &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    /// A thumbnail without its image.
    pub(crate) async fn make_image(&self, video: &str) -> Value {
        let reply = self.call("POST", &format!("{video}/pictures"), &Value::Null).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    /// Sends a file to the link of a track or thumbnail, without a token.
    pub(crate) async fn put_file(&self, made: &Value, bytes: &[u8]) -> Reply {
        self.send("PUT", &self.path_in(&made["link"]), &[], bytes).await
    }

    /// What the controls show of a video.
    pub(crate) async fn recorded(&self, video: &str) -> Value {
        let shown = self.control("GET", video.trim_start_matches('/'), &Value::Null).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        shown.json()
    }
}

/// The `field` and code of a response that refuses one member of a body.
pub(crate) fn refused_field(reply: &Reply) -> (u16, Value, Value) {
    let body = reply.json();
    let parameters = body["invalid_parameters"].as_array().unwrap_or_else(|| panic!("{body}"));
    assert_eq!(parameters.len(), 1, "{body}");
    assert_eq!(body["error_code"], 2204);
    (reply.status, parameters[0]["field"].clone(), parameters[0]["error_code"].clone())
}
