//! The transit engine of OpenBao and Vault, over its HTTP API.

mod verdict;

use std::error::Error as _;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Failure, FailureKind};
use crate::secret_file::FileSecret;
use crate::{KEY_LEN, Timeouts, TransitConfig, associated_data};
use verdict::{KeyState, Verdict};

/// Far more than any expected response.
const RESPONSE_MAX_BYTES: usize = 256 * 1024;
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");

/// A client of one key.
#[derive(Debug)]
pub(crate) struct Transit {
    config: TransitConfig,
    http: Client,
}

#[derive(Serialize)]
struct EncryptIn<'a> {
    plaintext: &'a str,
    associated_data: &'a str,
}

#[derive(Serialize)]
struct DecryptIn<'a> {
    ciphertext: &'a str,
    associated_data: &'a str,
}

#[derive(Deserialize)]
struct DataOut<T> {
    data: T,
}

#[derive(Deserialize)]
struct CiphertextOut {
    ciphertext: String,
}

#[derive(Deserialize)]
struct PlaintextOut {
    plaintext: Zeroizing<String>,
}

/// A response whose body has been read completely.
struct Answer {
    status: u16,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    fn data<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Failure> {
        let read = serde_json::from_slice::<DataOut<T>>(&self.body);
        read.map(|out| out.data).map_err(|_| {
            Failure::misconfigured(
                "what answers at the address is not the transit engine of OpenBao or Vault",
            )
        })
    }
}

impl Transit {
    pub(crate) fn new(config: TransitConfig, timeouts: Timeouts) -> Result<Self, Failure> {
        // A redirect would send the token, whose header libraries do not know, to another server.
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total);
        match &config.tls {
            Some(tls) => builder = builder.tls_backend_preconfigured(tls.clone()),
            None if config.address.is_https() => {
                return Err(Failure::misconfigured(
                    "this machine has no root certificates: name those of the server in keyring.transit.ca_file",
                ));
            }
            None => {}
        }
        let http = builder
            .build()
            .map_err(|_| Failure::misconfigured("the TLS configuration for it cannot be used"))?;
        Ok(Self { config, http })
    }

    /// The engine creates a key that does not exist if the token may create one. Therefore the key is looked up first.
    pub(crate) async fn encrypt(&self, key_id: &str, key: &[u8; KEY_LEN]) -> Result<String, Failure> {
        let state = self.state().await?;
        verdict::of_state(&state, None).map_or(Ok(()), |kind| Err(self.explain(kind, key_id)))?;
        let plaintext = Zeroizing::new(STANDARD.encode(key));
        let associated_data = STANDARD.encode(associated_data(key_id));
        let body = EncryptIn { plaintext: &plaintext, associated_data: &associated_data };
        let answer = self.post("encrypt", &body).await?;
        match verdict::of_status(answer.status) {
            Verdict::Done => Ok(answer.data::<CiphertextOut>()?.ciphertext).and_then(printable),
            Verdict::Failed(kind) => Err(self.explain(kind, key_id)),
            Verdict::Refused => Err(Failure::misconfigured("it refuses to encrypt with this key")),
        }
    }

    pub(crate) async fn decrypt(&self, key_id: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let associated_data = STANDARD.encode(associated_data(key_id));
        let body = DecryptIn { ciphertext: text, associated_data: &associated_data };
        let answer = self.post("decrypt", &body).await?;
        match verdict::of_status(answer.status) {
            Verdict::Done => {
                let plaintext = answer.data::<PlaintextOut>()?.plaintext;
                STANDARD
                    .decode(plaintext.as_bytes())
                    .map(Zeroizing::new)
                    .map_err(|_| Failure::wrong_context(key_id))
            }
            Verdict::Failed(kind) => Err(self.explain(kind, key_id)),
            // The reason is a text. The key's state is not.
            Verdict::Refused => {
                let state = self.state().await?;
                let kind = verdict::of_state(&state, Some(text)).unwrap_or(FailureKind::WrongContext);
                Err(self.explain(kind, key_id))
            }
        }
    }

    /// The state of the key.
    async fn state(&self) -> Result<KeyState, Failure> {
        let path = format!("{}/keys/{}", self.config.mount, self.config.key);
        let request = self.http.request(Method::GET, self.config.address.join(&path));
        let answer = self.send(request).await?;
        match verdict::of_status(answer.status) {
            Verdict::Done => answer.data(),
            Verdict::Failed(FailureKind::Forbidden) => Err(Failure::new(
                FailureKind::Forbidden,
                format!("the token is not valid any more, or its policy does not let it read {path}"),
            )),
            Verdict::Failed(kind) => Err(self.explain(kind, "")),
            Verdict::Refused => Err(Failure::misconfigured(format!("it refuses to read {path}"))),
        }
    }

    async fn post(&self, operation: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        let path = format!("{}/{operation}/{}", self.config.mount, self.config.key);
        let body = serde_json::to_vec(body).map(Zeroizing::new);
        let body = body.map_err(|_| Failure::misconfigured("the request cannot be written"))?;
        let request = self.http.request(Method::POST, self.config.address.join(&path));
        self.send(request.header(CONTENT_TYPE, "application/json").body(Bytes::from_owner(body))).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let token = FileSecret::read("keyring.transit.token_file", &self.config.token_file)?;
        let mut value = HeaderValue::from_str(token.expose())
            .map_err(|_| Failure::misconfigured("keyring.transit.token_file has no valid token"))?;
        value.set_sensitive(true);
        let mut request = request.header(TOKEN, value);
        if let Some(namespace) = &self.config.namespace {
            request = request.header(NAMESPACE, namespace);
        }
        let mut response = request.send().await.map_err(|error| not_sent(&error))?;
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::with_capacity(4096));
        while let Some(part) = response.chunk().await.map_err(|error| not_sent(&error))? {
            if body.len() + part.len() > RESPONSE_MAX_BYTES {
                return Err(Failure::misconfigured("what answers at the address is not OpenBao or Vault"));
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, body })
    }

    fn explain(&self, kind: FailureKind, key_id: &str) -> Failure {
        let TransitConfig { mount, key, .. } = &self.config;
        let what = match kind {
            FailureKind::Unavailable => "it is sealed, overloaded or has no active node".to_owned(),
            FailureKind::Forbidden => format!(
                "the token is not valid any more, or its policy lacks `update` on {mount}/encrypt/{key} and \
                 {mount}/decrypt/{key}"
            ),
            FailureKind::KeyDisabled => {
                "it was deleted softly, or the version that encrypted the keyring is below min_decryption_version. \
                 Restore it, or lower that number"
                    .to_owned()
            }
            FailureKind::KeyNotFound => {
                "check keyring.transit.mount, key and namespace, or create the key"
                    .to_owned()
            }
            FailureKind::WrongContext => return Failure::wrong_context(key_id),
            FailureKind::Misconfigured => {
                "it must answer without a redirect, and the key must have the type aes256-gcm96, chacha20-poly1305 \
                 or xchacha20-poly1305, and not be derived"
                    .to_owned()
            }
        };
        Failure::new(kind, what)
    }
}

/// A ciphertext that a TOML string can contain as it is.
fn printable(text: String) -> Result<String, Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":+/=_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Ok(text);
    }
    Err(Failure::misconfigured("it returned a ciphertext in an unknown form"))
}

/// Why there is no response. Later there may be one, unless the certificate is not trusted.
fn not_sent(error: &reqwest::Error) -> Failure {
    if is_untrusted(error) {
        return Failure::misconfigured(
            "its certificate is not trusted or has another name: check keyring.transit.address and ca_file",
        );
    }
    Failure::unavailable(if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "it cannot be reached"
    } else {
        "the connection was lost"
    })
}

fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = error
            .downcast_ref::<rustls::Error>()
            .or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if matches!(found, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        next = error.source();
    }
    false
}
