//! AWS KMS, over the AWS SDK. Its environment variables, profiles and the role of the machine give the credentials.

mod code;

use std::error::Error;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::ProvideCredentials as _;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::{Failure, FailureKind};
use crate::{KEY_LEN, KmsConfig, PURPOSE, Timeouts};

/// The names of the encryption context, which policies and CloudTrail show.
const CONTEXT_PURPOSE: &str = "purpose";
const CONTEXT_KEY: &str = "keyring-key";

/// A client of one key.
#[derive(Debug)]
pub(crate) struct Kms {
    config: KmsConfig,
    timeouts: Timeouts,
}

impl Kms {
    pub(crate) fn new(config: KmsConfig, timeouts: Timeouts) -> Self {
        Self { config, timeouts }
    }

    pub(crate) async fn encrypt(&self, key_id: &str, key: &[u8; KEY_LEN]) -> Result<String, Failure> {
        let request = self.client().await?.encrypt().key_id(&self.config.key);
        let request = request
            .plaintext(Blob::new(key.as_slice()))
            .encryption_context(CONTEXT_PURPOSE, PURPOSE)
            .encryption_context(CONTEXT_KEY, key_id);
        let answer = request.send().await.map_err(|error| explain(&error, key_id))?;
        let text = answer.ciphertext_blob().map(|blob| STANDARD.encode(blob));
        text.ok_or_else(|| Failure::misconfigured("it returned no ciphertext"))
    }

    pub(crate) async fn decrypt(&self, key_id: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let ciphertext = STANDARD.decode(text).map_err(|_| Failure::wrong_context(key_id))?;
        let request = self.client().await?.decrypt().key_id(&self.config.key);
        let request = request
            .ciphertext_blob(Blob::new(ciphertext))
            .encryption_context(CONTEXT_PURPOSE, PURPOSE)
            .encryption_context(CONTEXT_KEY, key_id);
        let answer = request.send().await.map_err(|error| explain(&error, key_id))?;
        let plain = answer.plaintext.map(|blob| Zeroizing::new(blob.into_inner()));
        plain.ok_or_else(|| Failure::misconfigured("it returned no plaintext"))
    }

    /// A client with credentials, which are looked up first, so that their absence is not taken for that of KMS.
    async fn client(&self) -> Result<Client, Failure> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.timeouts.connect)
            .operation_timeout(self.timeouts.total)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.config.region.clone()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = &self.config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;
        require_credentials(&shared).await?;
        Ok(Client::new(&shared))
    }
}

async fn require_credentials(shared: &SdkConfig) -> Result<(), Failure> {
    use aws_credential_types::provider::error::CredentialsError;
    let missing = || {
        Failure::misconfigured(
            "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give \
             the machine a role",
        )
    };
    let provider = shared.credentials_provider().ok_or_else(missing)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(CredentialsError::CredentialsNotLoaded(_)) => Err(missing()),
        Err(CredentialsError::InvalidConfiguration(_)) => {
            Err(Failure::misconfigured("the AWS profile that gives the credentials is not valid"))
        }
        Err(_) => Err(Failure::unavailable("what gives the AWS credentials does not answer")),
    }
}

fn explain<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>, key_id: &str) -> Failure {
    let (code, status) = match error {
        SdkError::ServiceError(answer) => {
            (answer.err().code().unwrap_or_default(), answer.raw().status().as_u16())
        }
        SdkError::TimeoutError(_) => return Failure::unavailable("it did not answer in time"),
        SdkError::ResponseError(answer) => ("", answer.raw().status().as_u16()),
        SdkError::ConstructionFailure(_) => {
            return Failure::misconfigured("keyring.kms.endpoint or region cannot be used");
        }
        _ => return Failure::unavailable("it cannot be reached"),
    };
    let kind = code::kind_of(code, status);
    let what = match kind {
        FailureKind::WrongContext => return Failure::wrong_context(key_id),
        FailureKind::Unavailable => "it is overloaded or has an internal error",
        FailureKind::Forbidden => {
            "the credentials are not valid any more, or lack kms:Encrypt or kms:Decrypt for this key"
        }
        FailureKind::KeyDisabled => "enable it, or cancel its deletion",
        FailureKind::KeyNotFound => "check keyring.kms.key and region",
        FailureKind::Misconfigured => "the key must be symmetric, with the usage ENCRYPT_DECRYPT",
    };
    let seen = if code.is_empty() { format!("status {status}") } else { code.to_owned() };
    Failure::new(kind, format!("{what} ({seen})"))
}
