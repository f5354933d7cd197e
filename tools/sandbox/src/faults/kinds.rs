//! The kinds of faults, with the parameters that the controls accept.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::SignedDuration;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::effect::{Effect, Spending, StatusBody};
use super::raw::{RawFormat, Style};
use crate::control::members::Members;

/// Every kind, with its parameters beside the common ones.
const KINDS: [(&str, &[&str]); 24] = [
    ("status", &["status", "body", "content_type", "error_code", "headers"]),
    ("delay", &["millis"]),
    ("hold", &[]),
    ("cut", &[]),
    ("cut-after", &[]),
    ("cut-during", &["bytes"]),
    ("late", &["millis"]),
    ("outage", &[]),
    ("reset", &[]),
    ("truncate", &[]),
    ("html", &["status"]),
    ("rate-limit", &["reset_seconds", "spend"]),
    ("wrong-json", &["body"]),
    ("empty", &["status"]),
    ("huge", &["bytes"]),
    ("garbage", &[]),
    ("drip", &["millis", "bytes"]),
    ("slow-body", &["bytes_per_second"]),
    ("odd-headers", &["style"]),
    ("wrong-length", &["by"]),
    ("redirect", &["location", "status"]),
    ("list-lag", &["seconds"]),
    ("expired-link", &["status"]),
    ("outcome", &["status", "error", "upload_status"]),
];

const HUGE_BYTES: u64 = 64 * 1024 * 1024;
const RESET_SECONDS: u64 = 30;
const WRONG_JSON: &str = r#"{"unexpected":["this","is","not","what","was","asked","for"]}"#;

/// Every kind, with its parameters beside the common ones.
pub(crate) fn kinds() -> &'static [(&'static str, &'static [&'static str])] {
    &KINDS
}

/// The names of all kinds, for an error message.
pub(super) fn names() -> String {
    KINDS.map(|(name, _)| name).join(", ")
}

/// The parameters of a kind beside the common ones.
pub(super) fn own_members(kind: &str) -> Option<&'static [&'static str]> {
    KINDS.iter().find(|(name, _)| *name == kind).map(|(_, own)| *own)
}

/// Parses the effect.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn read_effect(kind: &str, mut members: Members) -> Result<Effect, String> {
    let members = &mut members;
    Ok(match kind {
        "delay" => Effect::Delay { pause: read_pause(kind, members)? },
        "late" => Effect::Late { pause: read_pause(kind, members)? },
        "hold" => Effect::Hold { released: CancellationToken::new() },
        "cut" => Effect::Cut,
        "outage" => Effect::Outage,
        "cut-after" => Effect::CutAfter,
        "cut-during" => Effect::CutDuring { bytes: required(kind, "bytes", members)? },
        "reset" => Effect::Reset,
        "truncate" => Effect::Truncate,
        "garbage" => Effect::Garbage,
        "drip" => {
            let pause = read_pause(kind, members)?;
            let bytes = at_least_one("bytes", members.number("bytes")?.unwrap_or(1))?;
            Effect::Drip { pause, bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }
        }
        "slow-body" => {
            let rate = required(kind, "bytes_per_second", members)?;
            Effect::SlowBody { bytes_per_second: at_least_one("bytes_per_second", rate)? }
        }
        "odd-headers" => raw("odd-headers", RawFormat::Names(read_style(members)?)),
        "wrong-length" => raw("wrong-length", RawFormat::Length(read_by(members)?)),
        "list-lag" => {
            let seconds = at_least_one("seconds", required(kind, "seconds", members)?)?;
            Effect::ListLag { lag: seconds_from(seconds) }
        }
        "expired-link" => match read_status(members)?.unwrap_or(StatusCode::NOT_FOUND) {
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Effect::ExpiredLink { status },
            other => {
                return Err(format!("The `status` of a dead link is 404 or 410, not {}.", other.as_u16()));
            }
        },
        "outcome" => Effect::Outcome { scheduled_failure: members.failure()? },
        _ => read_instead(kind, members)?,
    })
}

/// Parses the effects that respond without running the handler.
fn read_instead(kind: &str, members: &mut Members) -> Result<Effect, String> {
    Ok(match kind {
        "status" => {
            let status = read_status(members)?.ok_or("A `status` fault needs a `status`, such as 503.")?;
            let mut headers = read_headers(members.take("headers"))?;
            let body = members.take("body");
            let code = members.number("error_code")?;
            let default_type = if matches!(body, Some(Value::String(_))) { Some("text/plain") } else { None };
            if let Some(text) = members.text("content_type")?.as_deref().or(default_type) {
                headers.insert(CONTENT_TYPE, header_value("content_type", text)?);
            }
            let said = match (body, code) {
                (None, None) => StatusBody::Usual,
                (Some(body), None) => StatusBody::Body(to_bytes(&body)),
                (None, Some(code)) => StatusBody::Code(
                    u32::try_from(code).map_err(|_| "`error_code` must be at most 4294967295.".to_owned())?,
                ),
                (Some(_), Some(_)) => {
                    return Err(
                        "A `status` fault takes either a `body` or an `error_code`, not both.".to_owned()
                    );
                }
            };
            Effect::Status { status, headers, said }
        }
        "html" => Effect::Html { status: read_status(members)?.unwrap_or(StatusCode::OK) },
        "rate-limit" => {
            let seconds = members.number("reset_seconds")?.unwrap_or(RESET_SECONDS);
            let spends = members.boolean("spend")?.unwrap_or(false);
            let spending = if spends { Spending::Real } else { Spending::StatusBody };
            Effect::RateLimit { reset: Duration::from_secs(seconds), spending }
        }
        "wrong-json" => {
            let body = members.take("body").map_or(Bytes::from_static(WRONG_JSON.as_bytes()), |body| {
                // Unlike in `status`, a string is encoded as JSON too.
                Bytes::from(body.to_string())
            });
            Effect::WrongJson { body }
        }
        "empty" => Effect::Empty { status: read_status(members)?.unwrap_or(StatusCode::OK) },
        "huge" => Effect::HugeBody { bytes: members.number("bytes")?.unwrap_or(HUGE_BYTES) },
        "redirect" => {
            let location = members.text("location")?.ok_or("A `redirect` fault needs a `location`.")?;
            let status = read_status(members)?.unwrap_or(StatusCode::FOUND);
            Effect::Redirect {
                status,
                headers: HeaderMap::from_iter([(LOCATION, header_value("location", &location)?)]),
            }
        }
        _ => return Err(format!("There is no kind of fault called `{kind}`; there are {}.", names())),
    })
}

fn raw(as_kind: &'static str, raw_format: RawFormat) -> Effect {
    Effect::Raw { as_kind, raw_format }
}

fn required(kind: &str, name: &str, members: &mut Members) -> Result<u64, String> {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "An" } else { "A" };
    members.number(name)?.ok_or_else(|| format!("{article} `{kind}` fault needs `{name}`."))
}

/// Rejects zero, which would mean nothing or never.
pub(super) fn at_least_one(name: &str, number: u64) -> Result<u64, String> {
    if number == 0 { Err(format!("`{name}` must be at least 1.")) } else { Ok(number) }
}

/// A duration, capped at the maximum.
pub(super) fn seconds_from(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn read_pause(kind: &str, members: &mut Members) -> Result<Duration, String> {
    required(kind, "millis", members).map(Duration::from_millis)
}

fn read_style(members: &mut Members) -> Result<Style, String> {
    let names = Style::ALL.map(|(name, _)| name).join(", ");
    let value = members
        .text("style")?
        .ok_or_else(|| format!("An `odd-headers` fault needs a `style`: one of {names}."))?;
    let found = Style::ALL.into_iter().find(|(name, _)| *name == value).map(|(_, style)| style);
    found.ok_or_else(|| format!("There is no style `{value}`; there are {names}."))
}

fn read_by(members: &mut Members) -> Result<i64, String> {
    let value = members.take("by").ok_or("A `wrong-length` fault needs `by`, such as 10 or -10.")?;
    value.as_i64().filter(|by| *by != 0).ok_or_else(|| "`by` must be a whole number other than 0.".to_owned())
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
    HeaderValue::from_str(text).map_err(|_| format!("The value of `{name}` is not a valid header value."))
}

/// A string unchanged, any other value as JSON.
fn to_bytes(body: &Value) -> Bytes {
    match body {
        Value::String(text) => Bytes::from(text.clone()),
        other => Bytes::from(other.to_string()),
    }
}
