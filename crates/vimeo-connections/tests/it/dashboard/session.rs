//! A person who uses the dashboard: signs in with an API key, keeps the cookies, reads pages and posts forms.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::HeaderMap;
use reqwest::{Method, redirect};

use crate::support::harness::{Response, TestEnv};

/// A page that everyone with a session may see.
const OWN_PAGE: &str = "/dashboard/settings";

pub(crate) struct Person {
    base: String,
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
    /// The token of its forms.
    pub(crate) csrf: String,
}

impl Person {
    /// A visitor without a session.
    pub(crate) fn guest(env: &TestEnv) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        Self { base: env.url(""), http, cookies: Mutex::default(), csrf: String::new() }
    }

    /// Signs in with the key of the environment.
    pub(crate) async fn sign_in(env: &TestEnv) -> Self {
        Self::sign_in_with(env, &env.api_key).await
    }

    pub(crate) async fn sign_in_with(env: &TestEnv, key: &str) -> Self {
        let mut person = Self::guest(env);
        person.csrf = hidden(&person.get("/dashboard/sign-in").await.text, "csrf");
        let signed_in = person.post("/dashboard/sign-in", &[("key", key)]).await;
        assert_eq!(signed_in.status, 303, "{}", signed_in.text);
        person.csrf = hidden(&person.get(OWN_PAGE).await.text, "csrf");
        person
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let response = self.start(Method::GET, path, &[]).send().await.unwrap();
        self.read(response).await
    }

    /// A page with status 200.
    pub(crate) async fn page(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text);
        assert_eq!(response.header("content-type"), "text/html; charset=utf-8", "{path}");
        response.text
    }

    /// Posts a form with the token of this browser.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let all = [&[("csrf", &*self.csrf)], fields].concat();
        self.post_exactly(path, &all, &[]).await
    }

    /// Posts these fields alone, with more headers.
    pub(crate) async fn post_exactly(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Response {
        let body = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = body.collect::<Vec<_>>().join("&");
        let request = self.start(Method::POST, path, headers);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let response = request.send().await.unwrap();
        self.read(response).await
    }

    /// A request with the cookies.
    pub(crate) fn start(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let cookies = self.cookies.lock().unwrap();
        let cookies: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    async fn read(&self, response: reqwest::Response) -> Response {
        let (status, headers) = (response.status(), response.headers().clone());
        self.keep_cookies(&headers);
        Response { status, headers, text: response.text().await.unwrap() }
    }

    fn keep_cookies(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().unwrap();
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if line.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// A text in the body of a form or in a query.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// The value of the first hidden field of this name.
pub(crate) fn hidden(page: &str, name: &str) -> String {
    let start = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// How often a text is part of a page.
pub(crate) fn count(page: &str, text: &str) -> usize {
    page.matches(text).count()
}
