//! The operations of authorizations in this process, with a sandbox and a clock that only the test advances; and a
//! browser that decides on the sandbox's pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use app::{
    App, AuthorizationDraft, Callback, CallbackAnswer, CallbackResult, Caller, Clock, ConnectView,
    CreatedAuthorization, DatabaseUrl, DraftFlow, DraftTarget, HealthOptions, HealthSetup, LimitSettings,
    Migrations, Outcome, PostgresOptions, PublicUrl, ReturnUrl, SessionOptions, Setup, StartResult,
    Verification, WeakKeys,
};
use domain::account::Label;
use domain::connection::{ClientIdentifier, ClientSecret, ConnectionName};
use domain::secret::Secret;
use domain::time::Timestamp;
use reqwest::redirect::Policy;
use seal::Randomness;
use seal::keyring::Keyring;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use vimeo::Requirements;

use crate::support::client_fixture::client_of;

pub(crate) const PUBLIC_URL: &str = "http://localhost:8080";
pub(crate) const RETURN_URL: &str = "https://app.example.com/connected?session=1";

pub(crate) struct Authorizing {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    pub(crate) sandbox: sandbox::Running,
    millis: Arc<AtomicI64>,
    http: reqwest::Client,
    /// Identifier and secret of the app.
    client: (ClientIdentifier, ClientSecret),
    app_number: String,
    _directory: tempfile::TempDir,
}

impl Authorizing {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = sandbox::start(sandbox::Options::default()).await.unwrap();
        let millis = Arc::new(AtomicI64::new(1_790_000_000_000));
        let theirs = Arc::clone(&millis);
        let now = move || Timestamp::from_millis(theirs.load(Ordering::Relaxed));
        let vimeo = client_of(&sandbox.base_url, now.clone());
        let requirements = Requirements {
            scopes: ["private", "upload", "edit"].map(str::to_owned).into(),
            budget: Duration::from_secs(20),
        };
        let setup = Setup {
            keyring_source: None,
            keyring: Keyring::generate(&Randomness::system()),
            database_url: DatabaseUrl::parse(&format!("sqlite:{}/a.db", directory.path().display())).unwrap(),
            queue: 100,
            postgres: PostgresOptions::default(),
            migrations: Migrations::Apply,
            weak_keys: WeakKeys::Refuse,
            limits: LimitSettings::NONE,
            verification: Verification::Required {
                client: vimeo.clone(),
                requirements: requirements.clone(),
            },
            sessions: SessionOptions { idle: Duration::from_mins(30), lifetime: Duration::from_hours(12) },
            identity: None,
            clock: Clock::from_fn(now),
            randomness: Randomness::system(),
            tasks: TaskTracker::new(),
            public_url: Some(PublicUrl::parse(PUBLIC_URL).unwrap()),
            health: Some(HealthSetup {
                client: vimeo,
                requirements,
                options: HealthOptions { interval: None, concurrency: 1 },
            }),
            uploads: None,
            presenter: web::PRESENTER,
            operator_endpoint: None,
            webhooks: None,
        };
        let app = Arc::new(App::open(setup).await.unwrap());
        let account = app.create_account(Label::parse("Acme").unwrap()).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let new_app =
            json!({"name": "Ours", "redirect_uris": [format!("{PUBLIC_URL}{}", app::CALLBACK_PATH)]});
        let created = control(&http, &sandbox.base_url, "POST", ("apps", &new_app)).await;
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        Self {
            caller: Caller::operator_for(&account),
            client: (
                ClientIdentifier::parse(&text("client_id")).unwrap(),
                ClientSecret::parse(&text("client_secret")).unwrap(),
            ),
            app_number: text("uri").strip_prefix("/apps/").unwrap().to_owned(),
            app,
            sandbox,
            millis,
            http,
            _directory: directory,
        }
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.millis.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// What a person is asked for, to create a connection of this name.
    pub(crate) fn draft(&self, flow: DraftFlow, name: &str) -> AuthorizationDraft {
        AuthorizationDraft {
            flow,
            target: DraftTarget::Create {
                name: ConnectionName::parse(name).unwrap(),
                description: None,
                app: self.client.clone(),
            },
            scopes: Vec::new(),
            return_url: Some(ReturnUrl::parse(RETURN_URL).unwrap()),
        }
    }

    pub(crate) async fn create(&self, draft: AuthorizationDraft) -> CreatedAuthorization {
        match self.app.create_authorization(&self.caller, draft, None).await.unwrap() {
            Outcome::Fresh(created) => created,
            Outcome::Replayed(_) => panic!("there is no idempotency key"),
        }
    }

    /// The address at Vimeo, and the secret for the cookie.
    pub(crate) async fn begin(&self, created: &CreatedAuthorization) -> (Secret, Secret) {
        match self.app.start_authorization(&token(created), None).await.unwrap().unwrap() {
            StartResult::Redirect { url, binding } => (url, binding),
            StartResult::Refused(view) => panic!("{:?}", view.stage),
        }
    }

    /// A person decides on a consent page, whose form has these fields in addition. Returns the query of the redirect, which is
    /// empty if there is none.
    pub(crate) async fn decide(&self, url: &str, decision: &str, user: usize) -> BTreeMap<String, String> {
        let answer = decide(&self.http, url, decision, user).await;
        let Some(location) = answer.headers().get("location") else { return BTreeMap::new() };
        let location = url::Url::parse(location.to_str().unwrap()).unwrap();
        location.query_pairs().into_owned().collect()
    }

    /// The callback of a browser with this query and cookie.
    pub(crate) async fn call_back(
        &self,
        query: &BTreeMap<String, String>,
        binding: Option<&Secret>,
    ) -> CallbackResult {
        let answer = match query.get("code") {
            Some(code) => CallbackAnswer::Code(Secret::new(code.clone())),
            None => CallbackAnswer::Error(query["error"].clone()),
        };
        let state = Secret::new(query["state"].clone());
        let callback = Callback { state, binding: binding.cloned(), answer, remote: None };
        self.app.finish_authorization(callback).await.unwrap()
    }

    /// Changes the app in the sandbox.
    pub(crate) async fn change_app(&self, change: Value) {
        let path = format!("apps/{}", self.app_number);
        control(&self.http, &self.sandbox.base_url, "PATCH", (&path, &change)).await;
    }

    pub(crate) async fn clear_faults(&self) {
        control(&self.http, &self.sandbox.base_url, "DELETE", ("faults", &Value::Null)).await;
    }

    pub(crate) async fn control(&self, path: &str, body: Value) -> Value {
        control(&self.http, &self.sandbox.base_url, "POST", (path, &body)).await
    }
}

async fn control(
    http: &reqwest::Client,
    base_url: &str,
    method: &str,
    (path, body): (&str, &Value),
) -> Value {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = http.request(method, format!("{base_url}/_sandbox/{path}"));
    let response =
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// The token in the address of the hosted page.
pub(crate) fn token(created: &CreatedAuthorization) -> String {
    let url = created.connect_url.as_ref().unwrap().expose();
    url.strip_prefix(PUBLIC_URL).unwrap().strip_prefix(app::CONNECT_PATH).unwrap().to_owned()
}

pub(crate) fn view(result: CallbackResult) -> ConnectView {
    match result {
        CallbackResult::View(view) => *view,
        other => panic!("{other:?}"),
    }
}

/// A person decides on the sandbox's consent page, as one of its users and about all scopes that it asks for.
pub(crate) async fn decide(
    http: &reqwest::Client,
    url: &str,
    decision: &str,
    user: usize,
) -> reqwest::Response {
    let page = http.get(url).send().await.unwrap();
    let (status, action) = (page.status(), page.url().join("/oauth/authorize").unwrap());
    let page = page.text().await.unwrap();
    assert_eq!(status, 200, "{page}");
    let values = |before: &str| -> Vec<String> {
        page.split(before).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let mut form = vec![
        ("ticket", values("name=\"ticket\" value=\"")[0].clone()),
        ("user", values("<option value=\"")[user].clone()),
        ("decision", decision.to_owned()),
    ];
    form.extend(values("name=\"scope\" value=\"").into_iter().map(|scope| ("scope", scope)));
    http.post(action).form(&form).send().await.unwrap()
}
