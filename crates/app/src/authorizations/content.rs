//! What an authorization asks for and keeps sealed, and their forms at rest.

use domain::connection::{ClientIdentifier, ClientSecret, ConnectionName, Description};
use domain::id::{AuthorizationId, ConnectionId};
use domain::secret::{Sealed, Secret};
use seal::envelope::{AccountKey, AssociatedData, Purpose};
use seal::{CryptoError, Randomness};
use serde::{Deserialize, Serialize};
use store::AuthorizationRow;
use zeroize::Zeroizing;

use super::return_url::ReturnUrl;

/// What becomes of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationTarget {
    /// A new connection.
    Create {
        /// Its name.
        name: ConnectionName,
        /// Its description.
        description: Option<Description>,
    },
    /// An existing connection gets the token.
    Renew {
        /// The connection.
        connection_id: ConnectionId,
        /// Its name when the authorization was created.
        name: ConnectionName,
    },
}

impl AuthorizationTarget {
    /// The name of the connection.
    pub fn name(&self) -> &ConnectionName {
        match self {
            Self::Create { name, .. } | Self::Renew { name, .. } => name,
        }
    }
}

/// What a person is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// What becomes of the token.
    pub target: AuthorizationTarget,
    /// The app that asks.
    pub client_identifier: ClientIdentifier,
    /// The scopes that it asks for.
    pub scopes: Vec<String>,
    /// Where the person is sent at the end.
    pub return_url: Option<ReturnUrl>,
    /// Where Vimeo sends the browser; `None` with the device flow.
    pub redirect_uri: Option<String>,
}

/// A device flow that waits for the person.
#[derive(Debug, Clone)]
pub struct DevicePrompt {
    /// What the person enters.
    pub user_code: Secret,
    /// Where.
    pub activate_url: String,
    /// Seconds between two polls of Vimeo.
    pub interval_seconds: u64,
}

/// What is sealed until the authorization ends.
#[derive(Debug, Clone)]
pub(super) struct AuthorizationSecrets {
    pub(super) client_secret: ClientSecret,
    pub(super) device: Option<(Secret, DevicePrompt)>,
}

/// The Vimeo user who authorised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VimeoAccount {
    /// The name.
    pub name: String,
    /// The URI: `/users/N`.
    pub uri: String,
    /// The plan, as Vimeo names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_type: Option<String>,
}

/// What an authorization led to. The form at rest: later versions must read it, so that fields are added, never changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationOutcome {
    /// Who authorised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<VimeoAccount>,
    /// The scopes that were granted.
    pub granted_scopes: Vec<String>,
    /// Whether the app may upload to the account; `None`: Vimeo did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_upload_access: Option<bool>,
}

impl AuthorizationOutcome {
    pub(super) fn to_stored(&self) -> String {
        // Texts under names of our own: they always are JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn from_stored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The form at rest of a request. Later versions must read it: fields are added, never changed.
#[derive(Serialize, Deserialize)]
struct KeptRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    client_identifier: String,
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    return_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
}

/// The form at rest of what is sealed. `request` is the row's: something else than the service could have changed that.
#[derive(Serialize, Deserialize)]
struct KeptSecrets {
    request: String,
    client_secret: Zeroizing<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<KeptDevice>,
}

#[derive(Serialize, Deserialize)]
struct KeptDevice {
    device_code: Zeroizing<String>,
    user_code: Zeroizing<String>,
    activate_url: String,
    interval_seconds: u64,
}

impl AuthorizationRequest {
    pub(super) fn to_stored(&self) -> String {
        let (connection_id, description) = match &self.target {
            AuthorizationTarget::Create { description, .. } => (None, description.as_ref()),
            AuthorizationTarget::Renew { connection_id, .. } => (Some(connection_id), None),
        };
        let kept = KeptRequest {
            connection_id: connection_id.map(ToString::to_string),
            name: self.target.name().as_str().to_owned(),
            description: description.map(|description| description.as_str().to_owned()),
            client_identifier: self.client_identifier.as_str().to_owned(),
            scopes: self.scopes.clone(),
            return_url: self.return_url.as_ref().map(|url| url.as_str().to_owned()),
            redirect_uri: self.redirect_uri.clone(),
        };
        serde_json::to_string(&kept).unwrap_or_default()
    }

    pub(super) fn from_stored(text: &str) -> Result<Self, CryptoError> {
        let kept: KeptRequest = serde_json::from_str(text).map_err(|_| CryptoError::Decrypt)?;
        let name = ConnectionName::from_stored(kept.name);
        Ok(Self {
            target: match kept.connection_id {
                Some(id) => AuthorizationTarget::Renew { connection_id: ConnectionId::from_stored(id), name },
                None => AuthorizationTarget::Create {
                    name,
                    description: kept.description.map(Description::from_stored),
                },
            },
            client_identifier: ClientIdentifier::from_stored(kept.client_identifier),
            scopes: kept.scopes,
            return_url: kept.return_url.and_then(|url| ReturnUrl::parse(&url).ok()),
            redirect_uri: kept.redirect_uri,
        })
    }
}

fn sealed_as(id: &AuthorizationId) -> AssociatedData<'_> {
    AssociatedData { purpose: Purpose::Authorization, record: id.as_str(), version: 1 }
}

impl AuthorizationSecrets {
    /// Seals it together with the stored form of the request.
    pub(super) fn seal(
        &self,
        (id, request): (&AuthorizationId, &str),
        key: &AccountKey,
        randomness: &Randomness,
    ) -> Result<Sealed, CryptoError> {
        let device = self.device.as_ref().map(|(device_code, prompt)| KeptDevice {
            device_code: Zeroizing::new(device_code.expose().to_owned()),
            user_code: Zeroizing::new(prompt.user_code.expose().to_owned()),
            activate_url: prompt.activate_url.clone(),
            interval_seconds: prompt.interval_seconds,
        });
        let kept = KeptSecrets {
            request: request.to_owned(),
            client_secret: Zeroizing::new(self.client_secret.expose().to_owned()),
            device,
        };
        let bytes = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        key.seal(sealed_as(id), &bytes, randomness)
    }

    /// Decrypts it, unless the row's request is not the one that was sealed. `None` if the authorization has ended.
    pub(super) fn open(row: &AuthorizationRow, key: &AccountKey) -> Result<Option<Self>, CryptoError> {
        let Some(sealed) = &row.sealed else { return Ok(None) };
        let bytes = key.open(sealed_as(&row.authorization.id), sealed)?;
        let kept: KeptSecrets = serde_json::from_slice(&bytes).map_err(|_| CryptoError::Decrypt)?;
        if kept.request != row.request {
            return Err(CryptoError::Decrypt);
        }
        let device = kept.device.map(|device| {
            let prompt = DevicePrompt {
                user_code: Secret::new(device.user_code.as_str().to_owned()),
                activate_url: device.activate_url,
                interval_seconds: device.interval_seconds,
            };
            (Secret::new(device.device_code.as_str().to_owned()), prompt)
        });
        let client_secret = ClientSecret::parse(&kept.client_secret).map_err(|_| CryptoError::Decrypt)?;
        Ok(Some(Self { client_secret, device }))
    }
}

#[cfg(test)]
mod tests {
    use domain::authorization::{Authorization, AuthorizationState, Flow};
    use domain::id::AccountId;
    use domain::time::Timestamp;
    use seal::keyring::Keyring;

    use super::*;

    fn request(target: AuthorizationTarget) -> AuthorizationRequest {
        AuthorizationRequest {
            target,
            client_identifier: ClientIdentifier::parse("client").unwrap(),
            scopes: vec!["public".to_owned(), "upload".to_owned()],
            return_url: Some(ReturnUrl::parse("https://app.example.com/?a=1").unwrap()),
            redirect_uri: Some("https://connect.example.com/connect/callback".to_owned()),
        }
    }

    #[test]
    fn a_request_is_read_back_as_it_was_stored() {
        let name = ConnectionName::parse("Vera's channel".replace('\'', "").as_str()).unwrap();
        let description = Description::parse("two\nlines").unwrap();
        let connection_id = ConnectionId::parse("20260131090500042abcdefghijklmno").unwrap();
        for target in [
            AuthorizationTarget::Create { name: name.clone(), description },
            AuthorizationTarget::Renew { connection_id, name },
        ] {
            let request = request(target);
            assert_eq!(AuthorizationRequest::from_stored(&request.to_stored()), Ok(request));
        }
    }

    #[test]
    fn the_secrets_decrypt_only_with_the_request_that_they_were_sealed_with() {
        let (keyring, randomness) = (Keyring::generate(&Randomness::system()), Randomness::system());
        let account_id = AccountId::from_random([1; 16]);
        let wrapped = keyring.new_account_key(&account_id, keyring.primary_id(), &randomness).unwrap();
        let key = keyring.open_account_key(&account_id, &domain::account::AccountKeys::of(wrapped)).unwrap();
        let name = ConnectionName::parse("a").unwrap();
        let request = request(AuthorizationTarget::Create { name, description: None }).to_stored();
        let id = AuthorizationId::parse("auth_20260131090500042abcdefghijklmno").unwrap();
        let prompt = DevicePrompt {
            user_code: Secret::new("AB-CD".to_owned()),
            activate_url: "https://vimeo.com/activate".to_owned(),
            interval_seconds: 5,
        };
        let secrets = AuthorizationSecrets {
            client_secret: ClientSecret::parse("client-secret").unwrap(),
            device: Some((Secret::new("device".to_owned()), prompt)),
        };
        let sealed = secrets.seal((&id, &request), &key, &randomness).unwrap();
        let authorization = Authorization {
            id,
            account_id,
            created_at: Timestamp::from_millis(0),
            expires_at: Timestamp::from_millis(1),
            version: 1,
            flow: Flow::Redirect,
            browser: None,
            state: AuthorizationState::Pending,
            last_failure: None,
        };
        let row = AuthorizationRow { authorization, request, outcome: None, sealed: Some(sealed) };
        let opened = AuthorizationSecrets::open(&row, &key).unwrap().unwrap();
        assert_eq!(opened.client_secret.expose(), "client-secret");
        let (device_code, prompt) = opened.device.unwrap();
        assert_eq!((device_code.expose(), prompt.user_code.expose()), ("device", "AB-CD"));
        let altered = row.request.replace("app.example.com", "evil.example.com");
        let altered = AuthorizationRow { request: altered, ..row.clone() };
        assert!(
            AuthorizationSecrets::open(&altered, &key).is_err(),
            "the request was changed in the database"
        );
        assert!(
            AuthorizationSecrets::open(&AuthorizationRow { sealed: None, ..row }, &key).unwrap().is_none()
        );
    }
}
