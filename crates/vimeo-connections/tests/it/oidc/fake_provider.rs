//! A provider that issues any token.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::CLIENT_SECRET;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// With the key that the provider publishes.
    Published,
    /// With another one, under the name of the published one.
    Forged,
    /// With the client's secret.
    ClientSecret,
    /// Not at all.
    None,
}

/// It ends with the test's runtime.
pub(super) struct FakeProvider {
    pub(super) issuer: String,
    key: EcdsaKeyPair,
    token: Arc<Mutex<String>>,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

impl FakeProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = new_key();
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let jwk =
            json!({"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "x": encode(x), "y": encode(y)});
        let discovery = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            // It admits what the service must not accept.
            "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
        });
        let token = Arc::new(Mutex::new(String::new()));
        let (answers, next) = ([discovery, json!({"keys": [jwk]})], token.clone());
        let tasks = TaskTracker::new();
        let requests = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                requests.spawn(answer(stream, answers.clone(), next.clone()));
            }
        });
        Self { issuer, key, token }
    }

    /// Sets the ID token of the next exchange.
    pub(super) fn issue(&self, claims: &Value, signature: Signature) {
        let header = match signature {
            Signature::Published | Signature::Forged => json!({"alg": "ES256", "kid": "1"}),
            Signature::ClientSecret => json!({"alg": "HS256"}),
            Signature::None => json!({"alg": "none"}),
        };
        let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let sign = |key: &EcdsaKeyPair| encode(key.sign(&SystemRandom::new(), input.as_bytes()).unwrap());
        let signature = match signature {
            Signature::Published => sign(&self.key),
            Signature::Forged => sign(&new_key()),
            Signature::ClientSecret => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
                encode(hmac::sign(&key, input.as_bytes()))
            }
            Signature::None => String::new(),
        };
        *self.token.lock().unwrap() = format!("{input}.{signature}");
    }
}

async fn answer(mut stream: TcpStream, [discovery, keys]: [Value; 2], token: Arc<Mutex<String>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    // The body follows at once; it is not needed.
    while !request.windows(4).any(|part| part == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request);
    let body = match request.split(' ').nth(1).unwrap() {
        "/.well-known/openid-configuration" => discovery,
        "/jwks" => keys,
        _ => {
            let token = token.lock().unwrap().clone();
            json!({"access_token": "unused", "token_type": "Bearer", "id_token": token})
        }
    };
    let body = body.to_string();
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
}
