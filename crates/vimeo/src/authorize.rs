//! OAuth with a person: the address where the person decides, the exchange of the code that comes back, and the device flow.

use std::fmt;
use std::time::Duration;

use domain::connection::{AccessToken, ClientIdentifier, ClientSecret};
use domain::secret::Secret;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::Client;
use crate::check::{ACCOUNT_MAX, NAME_MAX, is_user_uri};
use crate::http::{ApiResponse, TransportError, send_checked};
use crate::oauth::client_problem;
use crate::path::ApiPath;
use crate::redact::Redactor;
use crate::verify::CredentialProblem;

/// Limit for one request. The person's browser waits for it, and a code can be exchanged only once.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Limit for the number of scopes of a token; Vimeo has fewer.
const SCOPES_MAX: usize = 50;
/// Limit for a scope, in characters.
const SCOPE_MAX: usize = 32;
/// Limits for the codes of the device flow, in characters.
const DEVICE_CODE_MAX: usize = 500;
const USER_CODE_MAX: usize = 40;
/// The interval of polls, in seconds: if Vimeo names none, and the range of those that it names.
const INTERVAL_DEFAULT: u64 = 5;
const INTERVAL_RANGE: (u64, u64) = (1, 60);
/// How long a device code is polled if Vimeo does not say, in seconds.
const DEVICE_LIFETIME_DEFAULT: u64 = 600;

/// What an app asks a person for.
#[derive(Debug, Clone, Copy)]
pub struct PermissionRequest<'a> {
    /// The app.
    pub client_identifier: &'a ClientIdentifier,
    /// Where Vimeo sends the browser. It must be registered for the app.
    pub redirect_uri: &'a str,
    /// The scopes.
    pub scopes: &'a [String],
    /// Comes back with the code.
    pub state: &'a Secret,
}

/// An app, as it authenticates itself.
#[derive(Debug, Clone, Copy)]
pub struct AppCredentials<'a> {
    /// Its identifier.
    pub identifier: &'a ClientIdentifier,
    /// Its secret.
    pub secret: &'a ClientSecret,
}

/// A token that a person has granted.
#[derive(Debug, Clone)]
pub struct GrantedToken {
    /// The token.
    pub access_token: AccessToken,
    /// Its scopes, which may be fewer than requested.
    pub scopes: Vec<String>,
    /// The person's user, if the response names it.
    pub user: Option<GrantedUser>,
}

/// The user who granted a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedUser {
    /// The URI: `/users/N`.
    pub uri: String,
    /// The name.
    pub name: String,
    /// The plan, as Vimeo names it.
    pub account: Option<String>,
}

/// The start of a device flow.
#[derive(Debug, Clone)]
pub struct DeviceFlow {
    /// What the polls are made with.
    pub device_code: Secret,
    /// What the person enters.
    pub user_code: Secret,
    /// Where the person enters it.
    pub activate_url: String,
    /// Seconds between two polls.
    pub interval_seconds: u64,
    /// Seconds until the code expires.
    pub lifetime_seconds: u64,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantError {
    /// The app's identifier or secret is wrong: fix it.
    Client(CredentialProblem),
    /// The code is unknown, expired or used, or the redirect URI is another one: begin again.
    CodeRejected,
    /// The person has not decided yet: poll again.
    Pending,
    /// The person refused.
    Denied,
    /// The device code has expired: begin again.
    Expired,
    /// Vimeo gave no usable response.
    Unknown(TransportError),
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(problem) => write!(f, "the app's identifier or secret {problem}"),
            Self::CodeRejected => f.write_str("Vimeo rejected the code"),
            Self::Pending => f.write_str("the person has not decided yet"),
            Self::Denied => f.write_str("the person refused"),
            Self::Expired => f.write_str("the device code has expired"),
            Self::Unknown(error) => write!(f, "Vimeo {error}"),
        }
    }
}

impl std::error::Error for GrantError {}

impl Client {
    /// The address to which the person's browser is sent. It contains the state.
    pub fn permission_url(&self, request: PermissionRequest<'_>) -> Option<Secret> {
        let mut url = Url::parse(&self.base_url.join(&ApiPath::fixed("/oauth/authorize"))).ok()?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", request.client_identifier.as_str())
            .append_pair("redirect_uri", request.redirect_uri)
            .append_pair("scope", &request.scopes.join(" "))
            .append_pair("state", request.state.expose());
        Some(Secret::new(url.into()))
    }

    /// `POST /oauth/access_token`: exchanges a code. `redirect_uri` must be that of the request.
    pub async fn exchange_code(
        &self,
        app: AppCredentials<'_>,
        code: &Secret,
        redirect_uri: &str,
    ) -> Result<GrantedToken, GrantError> {
        let request = self.app_request("/oauth/access_token", app)?.form(&[
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
        ]);
        let response = send_checked(request, TIMEOUT).await.map_err(GrantError::Unknown)?;
        if response.status == StatusCode::OK {
            return granted(&response);
        }
        Err(client_error(&response).unwrap_or_else(|| match (response.status, response.error_body()) {
            (StatusCode::BAD_REQUEST, Some(_)) => GrantError::CodeRejected,
            _ => GrantError::Unknown(response.error()),
        }))
    }

    /// `POST /oauth/device`: starts a device flow.
    pub async fn start_device_flow(
        &self,
        app: AppCredentials<'_>,
        scopes: &[String],
    ) -> Result<DeviceFlow, GrantError> {
        let scopes = scopes.join(" ");
        let request = self
            .app_request("/oauth/device", app)?
            .form(&[("grant_type", "device_grant"), ("scope", scopes.as_str())]);
        let response = send_checked(request, TIMEOUT).await.map_err(GrantError::Unknown)?;
        if response.status == StatusCode::OK {
            let code = response.json::<DeviceOut>().and_then(|device| device.into_code(self));
            return code.ok_or(GrantError::Unknown(TransportError::UnexpectedResponse));
        }
        Err(client_error(&response).unwrap_or_else(|| GrantError::Unknown(response.error())))
    }

    /// `POST /oauth/device/authorize`: asks whether the person has decided.
    pub async fn poll_device_flow(
        &self,
        app: AppCredentials<'_>,
        device_code: &Secret,
        user_code: &Secret,
    ) -> Result<GrantedToken, GrantError> {
        let request = self.app_request("/oauth/device/authorize", app)?.form(&[
            ("grant_type", "device_grant"),
            ("device_code", device_code.expose()),
            ("user_code", user_code.expose()),
        ]);
        let response = send_checked(request, TIMEOUT).await.map_err(GrantError::Unknown)?;
        if response.status == StatusCode::OK {
            return granted(&response);
        }
        Err(client_error(&response).unwrap_or_else(|| {
            let name = response.error_body().map(|body| body.error);
            of_poll(response.status, name.as_deref(), || response.error())
        }))
    }

    fn app_request(&self, path: &'static str, app: AppCredentials<'_>) -> Result<RequestBuilder, GrantError> {
        if app.identifier.as_str().contains(':') {
            // In basic authentication the identifier ends at the first colon.
            return Err(GrantError::Client(CredentialProblem::ClientUnknown));
        }
        let request = self.request(Method::POST, path);
        Ok(request.basic_auth(app.identifier.as_str(), Some(app.secret.expose())))
    }
}

/// Vimeo answers 400 until the person has decided; only some causes end the flow earlier than its lifetime.
fn of_poll(status: StatusCode, error: Option<&str>, unknown: impl FnOnce() -> TransportError) -> GrantError {
    match (status, error) {
        (StatusCode::BAD_REQUEST, Some("access_denied")) => GrantError::Denied,
        (StatusCode::BAD_REQUEST, Some("expired_token")) => GrantError::Expired,
        (StatusCode::BAD_REQUEST, Some(_)) => GrantError::Pending,
        _ => GrantError::Unknown(unknown()),
    }
}

fn client_error(response: &ApiResponse) -> Option<GrantError> {
    let body = match response.status {
        StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => response.error_body()?,
        _ => return None,
    };
    client_problem(response.status, &body).map(GrantError::Client)
}

/// A response with a token. Its other texts are only shown, so that an unexpected one is left out.
#[derive(Deserialize)]
struct GrantOut {
    access_token: Value,
    scope: Option<String>,
    #[serde(default)]
    user: Option<UserOut>,
}

#[derive(Deserialize)]
struct UserOut {
    uri: Option<String>,
    name: Option<String>,
    #[serde(default)]
    account: Option<Value>,
}

fn granted(response: &ApiResponse) -> Result<GrantedToken, GrantError> {
    let unexpected = GrantError::Unknown(TransportError::UnexpectedResponse);
    let Some(mut out) = response.json::<GrantOut>() else { return Err(unexpected) };
    let Value::String(token) = out.access_token.take() else { return Err(unexpected) };
    let token = Secret::new(token);
    let Ok(access_token) = AccessToken::parse(token.expose()) else { return Err(unexpected) };
    let redactor = Redactor::new(access_token.expose(), &[]);
    let scopes = out.scope.unwrap_or_default();
    let scopes = scopes.split_whitespace().filter(|scope| is_scope(scope)).take(SCOPES_MAX);
    let user = out.user.and_then(|user| {
        Some(GrantedUser {
            uri: user.uri.filter(|uri| is_user_uri(uri))?,
            name: redactor.clean(&user.name.unwrap_or_default(), NAME_MAX),
            account: user
                .account
                .as_ref()
                .and_then(Value::as_str)
                .map(|name| redactor.clean(name, ACCOUNT_MAX)),
        })
    });
    Ok(GrantedToken { access_token, scopes: scopes.map(str::to_owned).collect(), user })
}

fn is_scope(text: &str) -> bool {
    text.len() <= SCOPE_MAX && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[derive(Deserialize)]
struct DeviceOut {
    device_code: Value,
    user_code: Value,
    activate_link: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    interval: Option<u64>,
}

impl DeviceOut {
    fn into_code(self, client: &Client) -> Option<DeviceFlow> {
        let text = |value: Value, most: usize| match value {
            Value::String(text) => {
                let is_fit =
                    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
                let secret = Secret::new(text);
                is_fit.then_some(secret)
            }
            _ => None,
        };
        let (least, most) = INTERVAL_RANGE;
        Some(DeviceFlow {
            device_code: text(self.device_code, DEVICE_CODE_MAX)?,
            user_code: text(self.user_code, USER_CODE_MAX)?,
            activate_url: self.activate_link.filter(|link| is_web_link(link, client.base_url.is_https()))?,
            interval_seconds: self.interval.unwrap_or(INTERVAL_DEFAULT).clamp(least, most),
            lifetime_seconds: self.expires_in.unwrap_or(DEVICE_LIFETIME_DEFAULT),
        })
    }
}

/// A link that a person may be shown: https, or http if Vimeo is a sandbox on this machine.
fn is_web_link(link: &str, is_https: bool) -> bool {
    Url::parse(link).is_ok_and(|url| {
        url.has_host()
            && url.username().is_empty()
            && (url.scheme() == "https" || (!is_https && url.scheme() == "http"))
    })
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::{BaseUrl, ClientOptions, Clock};

    fn client(base_url: &str) -> Client {
        Client::new(ClientOptions {
            base_url: BaseUrl::parse(base_url).unwrap(),
            user_agent: "tests",
            proxy: None,
            upload_hosts: Vec::new(),
            tls: None,
            clock: Clock::new(|| domain::time::Timestamp::from_millis(0)),
            tasks: TaskTracker::new(),
        })
        .unwrap()
    }

    #[test]
    fn the_address_of_the_decision_names_the_app_the_scopes_and_the_state() {
        let request = PermissionRequest {
            client_identifier: &ClientIdentifier::parse("a&b=c").unwrap(),
            redirect_uri: "https://connect.example.com/connect/callback",
            scopes: &["public".to_owned(), "upload".to_owned()],
            state: &Secret::new("s+1".to_owned()),
        };
        let url = client("http://127.0.0.1:9300/prefix").permission_url(request).unwrap();
        assert_eq!(
            url.expose(),
            "http://127.0.0.1:9300/prefix/oauth/authorize?response_type=code&client_id=a%26b%3Dc\
             &redirect_uri=https%3A%2F%2Fconnect.example.com%2Fconnect%2Fcallback&scope=public+upload&state=s%2B1"
        );
    }

    #[test]
    fn a_poll_continues_until_the_person_has_decided() {
        let of = |status: u16, error| {
            of_poll(StatusCode::from_u16(status).unwrap(), error, || TransportError::Status(status))
        };
        for pending in ["authorization_pending", "slow_down", "invalid_request", "anything"] {
            assert_eq!(of(400, Some(pending)), GrantError::Pending, "{pending}");
        }
        assert_eq!(of(400, Some("access_denied")), GrantError::Denied);
        assert_eq!(of(400, Some("expired_token")), GrantError::Expired);
        assert_eq!(of(400, None), GrantError::Unknown(TransportError::Status(400)), "not Vimeo's");
        assert_eq!(of(503, Some("access_denied")), GrantError::Unknown(TransportError::Status(503)));
    }

    #[test]
    fn only_links_that_a_browser_opens_safely_are_shown() {
        assert!(is_web_link("https://vimeo.com/activate", true));
        assert!(is_web_link("http://127.0.0.1:9300/activate", false));
        for bad in ["http://vimeo.com/activate", "javascript:alert(1)", "https://u@vimeo.com", "activate", ""]
        {
            assert!(!is_web_link(bad, true), "{bad}");
        }
    }

    #[test]
    fn a_device_code_without_its_parts_is_unexpected() {
        let read = |json: serde_json::Value| {
            serde_json::from_value::<DeviceOut>(json).ok()?.into_code(&client("http://127.0.0.1:1"))
        };
        let whole = serde_json::json!({"device_code": "d", "user_code": "AB-CD", "authorize_link": "x",
            "activate_link": "https://vimeo.com/activate", "expires_in": 600, "interval": 0});
        let code = read(whole.clone()).unwrap();
        assert_eq!((code.interval_seconds, code.lifetime_seconds), (1, 600));
        for (name, value) in [("device_code", ""), ("user_code", "a b"), ("activate_link", "javascript:0")] {
            let mut broken = whole.clone();
            broken[name] = value.into();
            assert!(read(broken).is_none(), "{name}");
        }
    }
}
