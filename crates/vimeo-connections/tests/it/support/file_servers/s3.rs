//! Objects of an S3 server, by presigned URLs (Signature Version 4, with an unsigned payload).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::SystemTime;

use aws_lc_rs::digest;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use domain::time::Timestamp;
use reqwest::Method;

use crate::support::file_servers::film::now;
use crate::support::harness::until;

pub(crate) const KEY_ID: &str = "AKIATESTTESTTESTTEST";
pub(crate) const SECRET: &str = "a-secret-of-these-tests";
const BUCKET: &str = "films";
/// The validity of a URL.
const VALID_SECONDS: u32 = 3_600;

/// An object that may exist.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) server: SocketAddr,
    pub(crate) name: String,
    pub(crate) http: reqwest::Client,
}

impl Object {
    /// The presigned URL to read the object through this host.
    pub(crate) fn url(&self, host: SocketAddr) -> String {
        presign(&Method::GET, host, &format!("/{BUCKET}/{}", self.name))
    }

    pub(crate) async fn put(&self, bytes: Vec<u8>) {
        let path = format!("/{BUCKET}/{}", self.name);
        // A server that has just started may not accept objects yet.
        until("the object is stored", async || self.try_put(&path, bytes.clone()).await == Some(200)).await;
    }

    /// Creates the bucket; whether the server accepted.
    pub(crate) async fn make_bucket(&self) -> bool {
        self.try_put(&format!("/{BUCKET}"), Vec::new())
            .await
            .is_some_and(|status| status == 200 || status == 409)
    }

    async fn try_put(&self, path: &str, bytes: Vec<u8>) -> Option<u16> {
        let url = presign(&Method::PUT, self.server, path);
        let request =
            self.http.put(url).header("content-length", bytes.len()).header("content-type", "video/mp4");
        let answer = request.body(bytes).send().await.ok()?;
        Some(answer.status().as_u16())
    }
}

fn presign(method: &Method, host: SocketAddr, path: &str) -> String {
    let time = instant(now());
    let day = &time[..8];
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}%2F{}&X-Amz-Date={time}\
         &X-Amz-Expires={VALID_SECONDS}&X-Amz-SignedHeaders=host",
        scope.replace('/', "%2F")
    );
    let request = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let hash = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, "us-east-1", "s3", "aws4_request"] {
        key = sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    let signature = hex(sign(&Key::new(HMAC_SHA256, &key), text.as_bytes()).as_ref());
    format!("http://{host}{path}?{query}&X-Amz-Signature={signature}")
}

/// A time as `20261129T120000Z`.
fn instant(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let text = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap()).to_string();
    let plain: String = text.split('.').next().unwrap().replace(['-', ':'], "");
    plain + "Z"
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
