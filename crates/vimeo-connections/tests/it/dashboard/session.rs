//! A browser without scripts: it keeps cookies, reads pages and sends their forms.

use std::collections::BTreeMap;

use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use url::form_urlencoded::Serializer;

use crate::support::harness::{Response, TestEnv};

pub(crate) struct Browser {
    http: reqwest::Client,
    base: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser that has visited nothing.
    pub(crate) fn new(env: &TestEnv) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { http, base: env.url(""), cookies: BTreeMap::new() }
    }

    /// A browser whose person has signed in with a key.
    pub(crate) async fn signed_in(env: &TestEnv, key: &str) -> Self {
        let mut browser = Self::new(env);
        let path = "/dashboard/sign-in";
        let answer = browser.submit(path, path, &[("key", key)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        browser
    }

    /// Its cookies, as it sends them.
    pub(crate) fn cookies(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// Replaces its cookies.
    pub(crate) fn set_cookies(&mut self, text: &str) {
        let pairs = text.split("; ").filter_map(|pair| pair.split_once('='));
        self.cookies = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }

    /// Requests a page, whatever the response does to the cookies.
    pub(crate) async fn get_keeping_cookies(&mut self, path: &str) -> Response {
        let cookies = self.cookies.clone();
        let answer = self.get(path).await;
        self.cookies = cookies;
        answer
    }

    /// Requests a page.
    pub(crate) async fn get(&mut self, path: &str) -> Response {
        self.send(Method::GET, path, None).await
    }

    /// A page that must exist.
    pub(crate) async fn page(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    /// Sends fields, and nothing that a page has.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.send(Method::POST, path, Some(fields)).await
    }

    /// Opens a page and sends the form on it that has this action, with these fields beside the hidden ones.
    pub(crate) async fn submit(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Response {
        let text = self.page(page).await;
        let hidden = hidden_fields(&text, action);
        let hidden = hidden.iter().filter(|(name, _)| !fields.iter().any(|(field, _)| field == name));
        let fields: Vec<_> = hidden
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(fields.iter().copied())
            .collect();
        self.post(action, &fields).await
    }

    /// Opens the page that a redirect leads to.
    pub(crate) async fn follow(&mut self, answer: &Response) -> String {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let location = answer.header("location").to_owned();
        self.page(&location).await
    }

    async fn send(&mut self, method: Method, path: &str, fields: Option<&[(&str, &str)]>) -> Response {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).header("cookie", self.cookies());
        if let Some(fields) = fields {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Serializer::new(String::new()).extend_pairs(fields).finish());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        for line in headers.get_all("set-cookie") {
            let (pair, attributes) = line.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Response { status, headers, text: response.text().await.unwrap() }
    }
}

/// The token that the forms of a page carry.
pub(crate) fn csrf(page: &str) -> String {
    attribute(page.split("name=\"csrf\"").nth(1).unwrap(), "value")
}

/// The names and values of the hidden fields of a form.
fn hidden_fields(page: &str, action: &str) -> Vec<(String, String)> {
    let start =
        page.find(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form {action}: {page}"));
    let form = page[start..].split("</form>").next().unwrap();
    let inputs = form.split("<input ").skip(1).filter(|input| input.starts_with("type=\"hidden\""));
    inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
}

/// The value of an attribute in the first tag of a text.
pub(crate) fn attribute(text: &str, name: &str) -> String {
    let tag = text.split('>').next().unwrap();
    let value = tag.split(&format!("{name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {tag}"));
    value.split('"').next().unwrap().to_owned()
}

/// The error of a field, if it has one.
pub(crate) fn field_error<'a>(page: &'a str, field: &str) -> Option<&'a str> {
    let after = page.split(&format!("id=\"{field}-error\" dir=\"auto\">")).nth(1)?;
    after.split("</p>").next()
}
