//! A sandbox and our client of Vimeo's API beside it, without the service between them. Both have the same time, which
//! stands still until a test moves it.

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

/// How long a call may take that is answered.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct ClientFixture {
    pub(crate) sandbox: sandbox::Running,
    pub(crate) client: vimeo::Client,
    /// With the sandbox's first token, which may do everything.
    pub(crate) session: Session,
    http: reqwest::Client,
    millis: Arc<AtomicI64>,
}

/// A placeholder of this size, as most tests want it.
pub(crate) fn placeholder(size: u64) -> NewPlaceholder<'static> {
    NewPlaceholder { name: "a video", size, view: PlaceholderView::Nobody, password: None }
}

/// A client of whatever is at this address of loopback.
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

    /// A session with another token, and a window of its own.
    pub(crate) fn session_with(&self, token: &str) -> Session {
        let token = AccessToken::parse(token).unwrap();
        self.client.session(token, Arc::new(RateLimit::default()))
    }

    /// A session with a new token of the sandbox's first app: `user` and `scopes` as its controls take them.
    pub(crate) async fn session_for(&self, user: Value, scopes: &str) -> Session {
        let options = json!({"app": self.sandbox.client_id, "user": user, "scopes": scopes});
        let made = self.control(Method::POST, "tokens", options).await;
        self.session_with(made["access_token"].as_str().unwrap())
    }

    pub(crate) async fn make(&self, size: u64) -> Placeholder {
        self.session.create_video(&placeholder(size), TIMEOUT).await.unwrap()
    }

    /// A request to the sandbox's controls.
    pub(crate) async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        self.ask(method, &format!("/_sandbox/{path}"), body).await
    }

    /// What the API shows its user, asked without our client.
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

    /// Makes the sandbox misbehave, once if nothing else is said; instead of any fault before.
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

    /// The requests that came, oldest first.
    pub(crate) async fn journal(&self) -> Vec<Value> {
        let journal = self.control(Method::GET, "journal", Value::Null).await;
        journal["requests"].as_array().unwrap().clone()
    }

    /// How many videos there are.
    pub(crate) async fn videos(&self) -> usize {
        self.control(Method::GET, "videos", Value::Null).await["videos"].as_array().unwrap().len()
    }

    /// The newest version of a video, as the controls show it.
    pub(crate) async fn version(&self, video: VideoNumber) -> Value {
        let shown = self.control(Method::GET, &format!("videos/{}", video.as_i64()), Value::Null).await;
        shown["versions"].as_array().unwrap().last().unwrap().clone()
    }
}

/// The status in a failure that leaves open whether Vimeo acted.
pub(crate) fn unknown_status(status: StatusCode) -> Failure {
    Failure::Unknown(vimeo::TransportError::Status(status.as_u16()))
}
