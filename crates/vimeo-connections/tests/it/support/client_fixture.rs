//! A sandbox and the client of Vimeo's API, without the service. Both share a clock, which stops until a test
//! advances it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::connection::AccessToken;
use domain::time::Timestamp;
use domain::video::VideoNumber;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use vimeo::{
    BaseUrl, ClientOptions, Failure, NewPlaceholder, Placeholder, PlaceholderView, RateLimit, Session,
    UploadHost,
};

/// The timeout of calls that are answered.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct ClientFixture {
    pub(crate) sandbox: sandbox::Running,
    pub(crate) client: vimeo::Client,
    /// With the first token of the sandbox, which has all scopes.
    pub(crate) session: Session,
    http: reqwest::Client,
    millis: Arc<AtomicI64>,
}

/// A placeholder of this size, with the defaults of most tests.
pub(crate) fn placeholder(size: u64) -> NewPlaceholder<'static> {
    NewPlaceholder { name: "a video", size, view: PlaceholderView::Nobody, password: None }
}

/// A client of the server at this loopback address.
pub(crate) fn client_of(
    base_url: &str,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> vimeo::Client {
    let options = ClientOptions {
        base_url: BaseUrl::parse(base_url).unwrap(),
        user_agent: "test/1",
        proxy: None,
        tls: None,
        upload_hosts: vec![UploadHost::vimeo()],
        clock: vimeo::Clock::new(now),
        tasks: TaskTracker::new(),
    };
    vimeo::Client::new(options).unwrap()
}

impl ClientFixture {
    pub(crate) async fn start() -> Self {
        Self::with(sandbox::Options::default()).await
    }

    pub(crate) async fn with(options: sandbox::Options) -> Self {
        let millis = Arc::new(AtomicI64::new(1_790_000_000_000));
        let (theirs, ours) = (Arc::clone(&millis), Arc::clone(&millis));
        let now = move || Timestamp::from_millis(theirs.load(Ordering::SeqCst)).to_string().parse().unwrap();
        let sandbox = sandbox::start(sandbox::Options { clock: Arc::new(now), ..options }).await.unwrap();
        let now = move || Timestamp::from_millis(ours.load(Ordering::SeqCst));
        let client = client_of(&sandbox.base_url, now);
        let token = AccessToken::parse(&sandbox.access_token).unwrap();
        let session = client.session(token, Arc::new(RateLimit::default()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sandbox, client, session, http, millis }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.millis.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// A session with another token, and its own rate limit window.
    pub(crate) fn session_with(&self, token: &str) -> Session {
        let token = AccessToken::parse(token).unwrap();
        self.client.session(token, Arc::new(RateLimit::default()))
    }

    /// A session with a new token of the first app: `user` and `scopes` as the control API takes them.
    pub(crate) async fn session_for(&self, user: Value, scopes: &str) -> Session {
        let options = json!({"app": self.sandbox.client_id, "user": user, "scopes": scopes});
        let made = self.control(Method::POST, "tokens", options).await;
        self.session_with(made["access_token"].as_str().unwrap())
    }

    pub(crate) async fn make(&self, size: u64) -> Placeholder {
        self.session.create_video(&placeholder(size), TIMEOUT).await.unwrap()
    }

    /// A request to the control API of the sandbox.
    pub(crate) async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        self.ask(method, &format!("/_sandbox/{path}"), body).await
    }

    /// A response of the API to its user, requested without our client.
    pub(crate) async fn shown(&self, path: &str) -> Value {
        self.ask(Method::GET, path, Value::Null).await
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.http.request(method, format!("{}{path}", self.sandbox.base_url));
        request = request.bearer_auth(&self.sandbox.access_token);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Injects a fault instead of all earlier ones, once by default.
    pub(crate) async fn fault(&self, route: &str, mut fault: Value) {
        fault["route"] = json!(route);
        self.control(Method::DELETE, "faults", Value::Null).await;
        self.control(Method::POST, "faults", fault).await;
    }

    /// Changes the first user.
    pub(crate) async fn user(&self, change: Value) {
        let users = self.control(Method::GET, "users", Value::Null).await;
        self.control(Method::PATCH, &format!("users/{}", users["users"][0]["number"]), change).await;
    }

    /// The requests in the journal, oldest first.
    pub(crate) async fn journal(&self) -> Vec<Value> {
        let journal = self.control(Method::GET, "journal", Value::Null).await;
        journal["requests"].as_array().unwrap().clone()
    }

    /// The number of videos.
    pub(crate) async fn videos(&self) -> usize {
        self.control(Method::GET, "videos", Value::Null).await["videos"].as_array().unwrap().len()
    }

    /// The newest version of a video, from the control API.
    pub(crate) async fn version(&self, video: VideoNumber) -> Value {
        let shown = self.control(Method::GET, &format!("videos/{}", video.as_i64()), Value::Null).await;
        shown["versions"].as_array().unwrap().last().unwrap().clone()
    }
}

/// A failure with this status that leaves open whether Vimeo acted.
pub(crate) fn unknown_status(status: StatusCode) -> Failure {
    Failure::Unknown(vimeo::TransportError::Status(status.as_u16()))
}
