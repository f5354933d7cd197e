//! The smallest browser: it follows a link of an app, reads the form, sends it, and looks where it is sent.

use serde_json::Value;

use crate::harness::{Desk, Reply, basic};

pub(crate) const CALLBACK: &str = "http://localhost:8080/callback";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

pub(crate) fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The link to the consent page for the first app.
pub(crate) fn link(desk: &Desk, more: &[(&str, &str)]) -> String {
    let first =
        [("response_type", "code"), ("client_id", &desk.running.client_id), ("redirect_uri", CALLBACK)];
    format!("/oauth/authorize?{}", encoded(&[&first, more].concat()))
}

/// A link that says nothing but what is given.
pub(crate) fn bare_link(pairs: &[(&str, &str)]) -> String {
    format!("/oauth/authorize?{}", encoded(pairs))
}

pub(crate) async fn open(desk: &Desk, link: &str) -> Reply {
    desk.send("GET", link, &[("Accept", "text/html,*/*;q=0.8")], b"").await
}

/// Every value of one attribute behind another text in a page.
pub(crate) fn values(page: &Reply, before: &str) -> Vec<String> {
    let text = page.text();
    let rests = text.split(before).skip(1);
    rests.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

pub(crate) fn ticket(page: &Reply) -> String {
    assert_eq!(page.status, 200, "{}", page.text());
    values(page, "name=\"ticket\" value=\"")[0].clone()
}

/// What a page's form says as it stands, without a decision.
pub(crate) fn form(page: &Reply) -> Vec<(String, String)> {
    let mut fields = vec![("ticket".to_owned(), ticket(page))];
    fields.push(("user".to_owned(), values(page, "<option value=\"")[0].clone()));
    let scopes = values(page, "name=\"scope\" value=\"");
    fields.extend(scopes.into_iter().map(|scope| ("scope".to_owned(), scope)));
    fields
}

pub(crate) async fn submit(desk: &Desk, fields: &[(&str, &str)]) -> Reply {
    desk.send("POST", "/oauth/authorize", &[FORM], encoded(fields).as_bytes()).await
}

/// Presses a button on a page, with all that is ticked.
pub(crate) async fn press(desk: &Desk, page: &Reply, decision: &str) -> Reply {
    let mut fields = form(page);
    fields.push(("decision".to_owned(), decision.to_owned()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    submit(desk, &fields).await
}

/// Where the browser is sent.
pub(crate) fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, 302, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.header("location").unwrap().to_owned()
}

/// A parameter that an address carries behind `?` or `#`.
pub(crate) fn carried(location: &str, name: &str) -> Option<String> {
    let (_, carried) = location.split_once(['?', '#'])?;
    let mut pairs = form_urlencoded::parse(carried.as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// A code for the first app, with the scopes that are asked for.
pub(crate) async fn allow(desk: &Desk, more: &[(&str, &str)]) -> String {
    let page = open(desk, &link(desk, more)).await;
    carried(&location(&press(desk, &page, "allow").await), "code").unwrap()
}

/// A request with an app's credentials and a form.
pub(crate) async fn post_as(
    desk: &Desk,
    (client_id, client_secret): (&str, &str),
    path: &str,
    fields: &[(&str, &str)],
) -> Reply {
    let authorization = basic(client_id, client_secret);
    let headers = [("Authorization", authorization.as_str()), FORM];
    desk.send("POST", path, &headers, encoded(fields).as_bytes()).await
}

pub(crate) async fn post(desk: &Desk, path: &str, fields: &[(&str, &str)]) -> Reply {
    post_as(desk, (&desk.running.client_id, &desk.running.client_secret), path, fields).await
}

/// Brings a code, with the redirect URI that is usual here.
pub(crate) async fn exchange(desk: &Desk, code: &str) -> Reply {
    let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
    post(desk, "/oauth/access_token", &fields).await
}

/// Another app with these redirect URIs.
pub(crate) async fn another_app(desk: &Desk, redirect_uris: &[&str]) -> (String, String) {
    let order = serde_json::json!({"name": "Another", "redirect_uris": redirect_uris});
    let app = desk.control("POST", "apps", &order).await.json();
    let text = |name: &str| app[name].as_str().unwrap().to_owned();
    (text("client_id"), text("client_secret"))
}

/// How many tokens came of a user's word.
pub(crate) async fn allowed_tokens(desk: &Desk) -> usize {
    let shown = desk.control("GET", "tokens", &Value::Null).await.json();
    shown["tokens"].as_array().unwrap().iter().filter(|token| token["origin"] == "allowed").count()
}

/// A page that says what is wrong and sends nobody anywhere.
pub(crate) fn assert_page_of_error(reply: &Reply, part: &str) {
    assert_eq!((reply.status, reply.header("location")), (400, None), "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(reply.text().contains(part), "{part}: {}", reply.text());
}
