//! A person who has signed in with an API key and whose forms carry the right token.

use reqwest::Method;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;

use super::session::{Browser, attribute, csrf};
use crate::support::harness::{Response, TestEnv};

/// A page that everyone with a session may see.
const OWN_PAGE: &str = "/dashboard/settings";

pub(crate) struct Person {
    browser: Mutex<Browser>,
    http: reqwest::Client,
    base: String,
    /// The token of its forms.
    pub(crate) csrf: String,
}

impl Person {
    /// A visitor without a session.
    pub(crate) fn guest(env: &TestEnv) -> Self {
        Self::of(env, Browser::new(env), String::new())
    }

    /// Signs in with the key of the environment.
    pub(crate) async fn sign_in(env: &TestEnv) -> Self {
        Self::sign_in_with(env, &env.api_key).await
    }

    pub(crate) async fn sign_in_with(env: &TestEnv, key: &str) -> Self {
        let mut browser = Browser::signed_in(env, key).await;
        let token = csrf(&browser.page(OWN_PAGE).await);
        Self::of(env, browser, token)
    }

    fn of(env: &TestEnv, browser: Browser, csrf: String) -> Self {
        Self { browser: Mutex::new(browser), http: env.http.clone(), base: env.url(""), csrf }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.browser.lock().await.get(path).await
    }

    /// A page with status 200.
    pub(crate) async fn page(&self, path: &str) -> String {
        self.browser.lock().await.page(path).await
    }

    /// Posts a form with the token.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let fields = [&[("csrf", &*self.csrf)], fields].concat();
        self.browser.lock().await.post(path, &fields).await
    }

    /// Posts these fields alone, with more headers, and keeps no cookies.
    pub(crate) async fn post_exactly(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Response {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.start(Method::POST, path, headers).await;
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Response { status, headers, text: response.text().await.unwrap() }
    }

    /// A request with the cookies.
    pub(crate) async fn start(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let cookies = self.browser.lock().await.cookies();
        let request = self.http.request(method, format!("{}{path}", self.base)).header("cookie", cookies);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }
}

/// The value of the first field of this name.
pub(crate) fn field(page: &str, name: &str) -> String {
    let rest = page.split(&format!("name=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
    attribute(rest, "value")
}
