//! Checks a connection in detail: what Vimeo says of its app, of its token and of its account.

use std::sync::Arc;
use std::time::Duration;

use domain::connection::{AccessToken, Credentials};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::Client;
use crate::failure::Failure;
use crate::http::TransportError;
use crate::oauth::{OAuthError, TokenInfo};
use crate::path::ApiPath;
use crate::rate_limit::RateLimit;
use crate::session::Session;
use crate::verify::{CredentialProblem, in_time};

/// The whole of `/me` can contain passwords of videos, so only what is needed is requested.
const ME: &str = "/me?fields=uri,name,account,upload_quota";
/// Limits for texts of Vimeo, in characters.
pub(crate) const NAME_MAX: usize = 200;
pub(crate) const ACCOUNT_MAX: usize = 50;

/// What Vimeo says of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// This.
    Known(T),
    /// The credential is rejected.
    Rejected(CredentialProblem),
    /// Vimeo did not say.
    Unknown(TransportError),
    /// It was not asked, because an earlier answer makes it pointless.
    NotAsked,
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDetails {
    /// The URI of its app.
    pub app_uri: String,
    /// Whether it is bound to a user.
    pub has_user: bool,
    /// Its scopes.
    pub scopes: Vec<String>,
}

/// The user of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDetails {
    /// The name.
    pub name: String,
    /// The URI: `/users/N`.
    pub uri: String,
    /// The plan, as Vimeo names it.
    pub account: Option<String>,
    /// How much the user may upload.
    pub quota: QuotaAnswer,
}

/// What Vimeo says of the quota. It shows one only if the app may upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaAnswer {
    /// It shows none: the app may not upload to this account.
    Absent,
    /// It shows none of its numbers.
    Null,
    /// These.
    Shown(QuotaDetails),
}

/// What an account may still upload; `None`: unlimited or not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaDetails {
    /// In all.
    pub space: Option<QuotaLeft>,
    /// In this period.
    pub periodic: Option<QuotaLeft>,
    /// Videos that are not public.
    pub restricted: Option<QuotaLeft>,
}

/// What is left of one quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaLeft {
    /// Bytes.
    Bytes(u64),
    /// Videos.
    Videos(u64),
}

impl QuotaLeft {
    /// Whether nothing is left.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Videos(0))
    }

    /// The bytes, if it counts bytes.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Videos(_) => None,
        }
    }
}

/// What Vimeo says of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// The URI of the app with the client identifier and secret.
    pub app: Answer<String>,
    /// The token.
    pub token: Answer<TokenDetails>,
    /// Its user.
    pub user: Answer<UserDetails>,
}

impl Client {
    /// Asks Vimeo about the app, the token and its user, within `budget`. The user is asked for with the token's rate limit,
    /// and only if the token is accepted.
    pub async fn check(
        &self,
        credentials: &Credentials,
        rate_limit: Arc<RateLimit>,
        budget: Duration,
    ) -> CheckReport {
        let deadline = Instant::now() + budget;
        let grant = self.spawn_grant(credentials.clone(), budget);
        let session = self.session(credentials.access_token.clone(), rate_limit);
        let about_token = async {
            let token = in_time(deadline, self.token_info(&credentials.access_token, budget)).await;
            let user = match &token {
                Ok(token) if token.has_user => session.find_user(deadline - Instant::now()).await,
                _ => Answer::NotAsked,
            };
            (of_token(token), user)
        };
        let (app, (token, user)) = tokio::join!(in_time(deadline, grant), about_token);
        CheckReport { app: app.map_or_else(of_failure, Answer::Known), token, user }
    }
}

impl Client {
    /// Asks Vimeo about the user of a token, with that token's rate limit.
    pub async fn find_user(
        &self,
        token: &AccessToken,
        rate_limit: Arc<RateLimit>,
        timeout: Duration,
    ) -> Answer<UserDetails> {
        self.session(token.clone(), rate_limit).find_user(timeout).await
    }
}

impl Session {
    /// `GET /me`.
    async fn find_user(&self, timeout: Duration) -> Answer<UserDetails> {
        let request = self.request(Method::GET, &ApiPath::fixed(ME));
        let response = match self.send(request, timeout).await {
            Ok(response) => response,
            Err(Failure::Rejected(problem)) => return Answer::Rejected(problem),
            Err(Failure::RetryLater { error, .. } | Failure::Unknown(error)) => {
                return Answer::Unknown(error);
            }
            Err(Failure::Refused(refused) | Failure::Quota(refused)) => {
                return Answer::Unknown(TransportError::Status(refused.status));
            }
            Err(Failure::LacksScope(_)) => return Answer::Unknown(TransportError::Status(403)),
            Err(Failure::NotFound) => return Answer::Unknown(TransportError::Status(404)),
        };
        let user: Option<MeOut> = response.json();
        let redactor = self.redactor(None);
        let details = user.and_then(|user| {
            Some(UserDetails {
                uri: user.uri.filter(|uri| is_user_uri(uri))?,
                name: redactor.clean(&user.name.unwrap_or_default(), NAME_MAX),
                account: user
                    .account
                    .as_ref()
                    .and_then(Value::as_str)
                    .map(|name| redactor.clean(name, ACCOUNT_MAX)),
                quota: quota_of(user.upload_quota),
            })
        });
        details.map_or(Answer::Unknown(TransportError::UnexpectedResponse), Answer::Known)
    }
}

/// The parts of `/me` that are used. Numbers of an unexpected form are not known.
#[derive(Deserialize)]
struct MeOut {
    uri: Option<String>,
    name: Option<String>,
    #[serde(default)]
    account: Option<Value>,
    /// Absent, null and an object mean different things.
    #[serde(default, deserialize_with = "present")]
    upload_quota: Option<Value>,
}

/// Keeps `null` apart from an absent member.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

pub(crate) fn is_user_uri(uri: &str) -> bool {
    uri.strip_prefix("/users/").is_some_and(|number| {
        (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn quota_of(shown: Option<Value>) -> QuotaAnswer {
    match shown {
        None => QuotaAnswer::Absent,
        Some(Value::Object(quota)) => {
            let left = |name: &str| {
                let part = quota.get(name)?;
                let free = part.get("free")?;
                // Vimeo has returned negative numbers for accounts over their quota.
                let free = free.as_u64().or_else(|| free.as_f64().filter(|free| *free < 0.0).map(|_| 0))?;
                match part.get("unit").and_then(Value::as_str) {
                    Some("video_count") => Some(QuotaLeft::Videos(free)),
                    _ => Some(QuotaLeft::Bytes(free)),
                }
            };
            QuotaAnswer::Shown(QuotaDetails {
                space: left("space"),
                periodic: left("periodic"),
                restricted: left("restricted"),
            })
        }
        Some(_) => QuotaAnswer::Null,
    }
}

fn of_token(token: Result<TokenInfo, OAuthError>) -> Answer<TokenDetails> {
    token.map_or_else(of_failure, |token| {
        let TokenInfo { app_uri, has_user, scopes } = token;
        Answer::Known(TokenDetails { app_uri, has_user, scopes })
    })
}

fn of_failure<T>(failure: OAuthError) -> Answer<T> {
    match failure {
        OAuthError::Rejected(problem) => Answer::Rejected(problem),
        OAuthError::Unknown(error) => Answer::Unknown(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quota(me: &Value) -> QuotaAnswer {
        let me: MeOut = serde_json::from_value(me.clone()).unwrap();
        quota_of(me.upload_quota)
    }

    #[test]
    fn an_absent_quota_is_not_an_empty_one() {
        assert_eq!(quota(&json!({"uri": "/users/1"})), QuotaAnswer::Absent);
        assert_eq!(quota(&json!({"upload_quota": null})), QuotaAnswer::Null);
        assert_eq!(quota(&json!({"upload_quota": {}})), QuotaAnswer::Shown(QuotaDetails::default()));
        let nulls = json!({"upload_quota": {"space": {"free": null}, "periodic": null, "restricted": {}}});
        assert_eq!(quota(&nulls), QuotaAnswer::Shown(QuotaDetails::default()));
    }

    #[test]
    fn bytes_and_videos_are_kept_apart() {
        let shown = json!({"upload_quota": {
            "space": {"free": 0, "unit": "video_size"},
            "periodic": {"free": 3, "unit": "video_count"},
            "restricted": {"free": -5, "unit": null},
        }});
        let QuotaAnswer::Shown(found) = quota(&shown) else { panic!("it is shown") };
        assert_eq!(found.space, Some(QuotaLeft::Bytes(0)));
        assert_eq!(found.periodic, Some(QuotaLeft::Videos(3)));
        assert_eq!(found.restricted, Some(QuotaLeft::Bytes(0)), "over the quota");
        assert_eq!(found.periodic.and_then(QuotaLeft::bytes), None);
    }
}
