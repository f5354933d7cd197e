//! A minimal browser: it opens an app's link, reads the form, submits it, and reads the redirect.

use serde_json::Value;

use crate::support::test_sandbox::{Reply, TestSandbox, basic};

pub(crate) const CALLBACK: &str = "http://localhost:8080/callback";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

pub(crate) fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The link to the consent page for the first app.
pub(crate) fn link(sandbox: &TestSandbox, more: &[(&str, &str)]) -> String {
    let first =
        [("response_type", "code"), ("client_id", &sandbox.running.client_id), ("redirect_uri", CALLBACK)];
    format!("/oauth/authorize?{}", encoded(&[&first, more].concat()))
}

/// A link with exactly these parameters.
pub(crate) fn bare_link(pairs: &[(&str, &str)]) -> String {
    format!("/oauth/authorize?{}", encoded(pairs))
}

pub(crate) async fn open(sandbox: &TestSandbox, link: &str) -> Reply {
    sandbox.send("GET", link, &[("Accept", "text/html,*/*;q=0.8")], b"").await
}

/// Every value of an attribute after a given text in a page.
pub(crate) fn values(page: &Reply, before: &str) -> Vec<String> {
    let text = page.text();
    let rests = text.split(before).skip(1);
    rests.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

pub(crate) fn ticket(page: &Reply) -> String {
    assert_eq!(page.status, 200, "{}", page.text());
    values(page, "name=\"ticket\" value=\"")[0].clone()
}

/// The fields of a page's form, without a decision.
pub(crate) fn form(page: &Reply) -> Vec<(String, String)> {
    let mut fields = vec![("ticket".to_owned(), ticket(page))];
    fields.push(("user".to_owned(), values(page, "<option value=\"")[0].clone()));
    let scopes = values(page, "name=\"scope\" value=\"");
    fields.extend(scopes.into_iter().map(|scope| ("scope".to_owned(), scope)));
    fields
}

pub(crate) async fn submit(sandbox: &TestSandbox, fields: &[(&str, &str)]) -> Reply {
    sandbox.send("POST", "/oauth/authorize", &[FORM], encoded(fields).as_bytes()).await
}

/// Presses a button of a page, with all scopes selected.
pub(crate) async fn press(sandbox: &TestSandbox, page: &Reply, decision: &str) -> Reply {
    let mut fields = form(page);
    fields.push(("decision".to_owned(), decision.to_owned()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    submit(sandbox, &fields).await
}

/// The target of the redirect.
pub(crate) fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, 302, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.header("location").unwrap().to_owned()
}

/// A parameter in the query or fragment of an address.
pub(crate) fn carried(location: &str, name: &str) -> Option<String> {
    let (_, carried) = location.split_once(['?', '#'])?;
    let mut pairs = form_urlencoded::parse(carried.as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// A code for the first app, with the requested scopes.
pub(crate) async fn allow(sandbox: &TestSandbox, more: &[(&str, &str)]) -> String {
    let page = open(sandbox, &link(sandbox, more)).await;
    carried(&location(&press(sandbox, &page, "allow").await), "code").unwrap()
}

/// A request with an app's credentials and a form.
pub(crate) async fn post_as(
    sandbox: &TestSandbox,
    (client_id, client_secret): (&str, &str),
    path: &str,
    fields: &[(&str, &str)],
) -> Reply {
    let authorization = basic(client_id, client_secret);
    let headers = [("Authorization", authorization.as_str()), FORM];
    sandbox.send("POST", path, &headers, encoded(fields).as_bytes()).await
}

pub(crate) async fn post(sandbox: &TestSandbox, path: &str, fields: &[(&str, &str)]) -> Reply {
    post_as(sandbox, (&sandbox.running.client_id, &sandbox.running.client_secret), path, fields).await
}

/// Exchanges a code, with the usual redirect URI.
pub(crate) async fn exchange(sandbox: &TestSandbox, code: &str) -> Reply {
    let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
    post(sandbox, "/oauth/access_token", &fields).await
}

/// Another app with these redirect URIs.
pub(crate) async fn another_app(sandbox: &TestSandbox, redirect_uris: &[&str]) -> (String, String) {
    let order = serde_json::json!({"name": "Another", "redirect_uris": redirect_uris});
    let app = sandbox.control("POST", "apps", &order).await.json();
    let text = |name: &str| app[name].as_str().unwrap().to_owned();
    (text("client_id"), text("client_secret"))
}

/// How many tokens users have allowed.
pub(crate) async fn allowed_tokens(sandbox: &TestSandbox) -> usize {
    let shown = sandbox.control("GET", "tokens", &Value::Null).await.json();
    shown["tokens"].as_array().unwrap().iter().filter(|token| token["origin"] == "allowed").count()
}

/// An error page without a redirect.
pub(crate) fn assert_page_of_error(reply: &Reply, part: &str) {
    assert_eq!((reply.status, reply.header("location")), (400, None), "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(reply.text().contains(part), "{part}: {}", reply.text());
}
