//! Faults as the controls take them.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Effect, NewFault, PathPattern, Route, Times};
use crate::control::is_control;
use crate::control::members::Members;

const COMMON: [&str; 4] = ["route", "kind", "times", "after"];

/// Every kind, with the members that it knows beside the common ones.
const KINDS: [(&str, &[&str]); 14] = [
    ("status", &["status", "body", "content_type", "headers"]),
    ("delay", &["millis"]),
    ("hold", &[]),
    ("cut", &[]),
    ("cut-after", &[]),
    ("reset", &[]),
    ("truncate", &[]),
    ("html", &["status"]),
    ("rate-limit", &["reset_seconds"]),
    ("wrong-json", &["body"]),
    ("empty", &["status"]),
    ("huge", &["bytes"]),
    ("drip", &["millis"]),
    ("redirect", &["location", "status"]),
];

const HUGE_BYTES: u64 = 64 * 1024 * 1024;
const RESET_SECONDS: u64 = 30;
const WRONG_JSON: &str = r#"{"unexpected":["this","is","not","what","was","asked","for"]}"#;

/// Reads a fault.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn read(mut members: Members) -> Result<NewFault, String> {
    let kind = members.text("kind")?.ok_or_else(|| format!("A fault needs a `kind`: one of {}.", kinds()))?;
    let Some((_, own)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        return Err(format!("There is no kind of fault called `{kind}`; there are {}.", kinds()));
    };
    members.refuse_unknown(&format!("a `{kind}` fault"), &[COMMON.as_slice(), own].concat())?;
    let route =
        members.text("route")?.ok_or("A fault needs a `route`, such as `GET /me`, `/videos/*` or `*`.")?;
    let times = members.take("times");
    if kind == "hold" && times.is_some() {
        return Err("A `hold` fault lasts until it is removed, so it takes no `times`.".to_owned());
    }
    let times = if kind == "hold" { Times::Always } else { read_times(times)? };
    Ok(NewFault {
        route: read_route(&route)?,
        times,
        after: members.number("after")?.unwrap_or(0),
        effect: read_effect(&kind, members)?,
    })
}

fn kinds() -> String {
    KINDS.map(|(name, _)| name).join(", ")
}

fn read_route(text: &str) -> Result<Route, String> {
    let (method, path) = match text.trim().split_once(' ') {
        Some((method, path)) => (Some(method), path.trim()),
        None => (None, text.trim()),
    };
    let method = method
        .map(|method| Method::from_bytes(method.to_ascii_uppercase().as_bytes()))
        .transpose()
        .map_err(|_| format!("`{text}` does not begin with an HTTP method."))?;
    if is_control(path) {
        return Err("The controls are never subject to faults.".to_owned());
    }
    let start = path.strip_suffix('*');
    if !(path == "*" || path.starts_with('/')) || start.unwrap_or(path).contains(['*', '?', ' ']) {
        return Err(format!(
            "`{text}` is not a route: write a path, if you like with a method before it and a `*` at its end, \
             without a query."
        ));
    }
    let path = match start {
        Some(start) => PathPattern::StartsWith(start.to_owned()),
        None => PathPattern::Exactly(path.to_owned()),
    };
    Ok(Route { method, path })
}

fn read_times(times: Option<Value>) -> Result<Times, String> {
    match times {
        None => Ok(Times::Left(1)),
        Some(Value::String(word)) if word == "always" => Ok(Times::Always),
        Some(value) => match value.as_u64() {
            Some(0) => Ok(Times::Always),
            Some(times) => Ok(Times::Left(times)),
            None => Err("`times` must be a whole number, or \"always\".".to_owned()),
        },
    }
}

fn read_effect(kind: &str, mut members: Members) -> Result<Effect, String> {
    Ok(match kind {
        "status" => {
            let status =
                read_status(&mut members)?.ok_or("A `status` fault needs a `status`, such as 503.")?;
            let mut headers = read_headers(members.take("headers"))?;
            let body = members.take("body");
            let default_type = if matches!(body, Some(Value::String(_))) { Some("text/plain") } else { None };
            if let Some(text) = members.text("content_type")?.as_deref().or(default_type) {
                headers.insert(CONTENT_TYPE, header_value("content_type", text)?);
            }
            Effect::Status { status, headers, body: body.map(|body| to_bytes(&body)) }
        }
        "delay" => Effect::Delay { pause: read_pause(kind, &mut members)? },
        "hold" => Effect::Hold { released: CancellationToken::new() },
        "cut" => Effect::Cut,
        "cut-after" => Effect::CutAfter,
        "reset" => Effect::Reset,
        "truncate" => Effect::Truncate,
        "html" => Effect::Html { status: read_status(&mut members)?.unwrap_or(StatusCode::OK) },
        "rate-limit" => {
            let seconds = members.number("reset_seconds")?.unwrap_or(RESET_SECONDS);
            Effect::RateLimit { reset: Duration::from_secs(seconds) }
        }
        "wrong-json" => {
            let body = members.take("body").map_or(Bytes::from_static(WRONG_JSON.as_bytes()), |body| {
                // Unlike in `status`, a string is JSON here too.
                Bytes::from(body.to_string())
            });
            Effect::WrongJson { body }
        }
        "empty" => Effect::Empty { status: read_status(&mut members)?.unwrap_or(StatusCode::OK) },
        "huge" => Effect::Huge { bytes: members.number("bytes")?.unwrap_or(HUGE_BYTES) },
        "drip" => Effect::Drip { pause: read_pause(kind, &mut members)? },
        "redirect" => {
            let location = members.text("location")?.ok_or("A `redirect` fault needs a `location`.")?;
            let status = read_status(&mut members)?.unwrap_or(StatusCode::FOUND);
            Effect::Redirect {
                status,
                headers: HeaderMap::from_iter([(LOCATION, header_value("location", &location)?)]),
            }
        }
        _ => return Err(format!("There is no kind of fault called `{kind}`; there are {}.", kinds())),
    })
}

fn read_pause(kind: &str, members: &mut Members) -> Result<Duration, String> {
    let millis = members.number("millis")?.ok_or_else(|| format!("A `{kind}` fault needs `millis`."))?;
    Ok(Duration::from_millis(millis))
}

fn read_status(members: &mut Members) -> Result<Option<StatusCode>, String> {
    let Some(number) = members.number("status")? else { return Ok(None) };
    let status = u16::try_from(number).ok().filter(|number| (200..=599).contains(number));
    let status = status.and_then(|number| StatusCode::from_u16(number).ok());
    status.map(Some).ok_or_else(|| format!("`status` must be between 200 and 599, not {number}."))
}

fn read_headers(value: Option<Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let members = match value {
        None => return Ok(headers),
        Some(Value::Object(members)) => members,
        Some(_) => return Err("`headers` must be an object of strings.".to_owned()),
    };
    for (name, value) in members {
        let Value::String(text) = &value else {
            return Err(format!("The header `{name}` must be a string."));
        };
        let header = HeaderName::try_from(&name).map_err(|_| format!("`{name}` is not a header's name."))?;
        if header == CONTENT_LENGTH || header == TRANSFER_ENCODING {
            return Err(format!(
                "`{name}` cannot be set; use a `truncate` or `huge` fault to lie about a length."
            ));
        }
        headers.insert(header, header_value(&name, text)?);
    }
    Ok(headers)
}

fn header_value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("The value of `{name}` cannot stand in a header."))
}

/// A string goes out as it is, everything else as JSON.
fn to_bytes(body: &Value) -> Bytes {
    match body {
        Value::String(text) => Bytes::from(text.clone()),
        other => Bytes::from(other.to_string()),
    }
}
