//! Responses: pages, redirects and notices.

use askama::Template;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::time::Timestamp;

use super::cookies::{self, Keep};
use super::messages as m;
use super::views::parts::When;
use super::views::shell::{Flash, FlashKind};

/// How long a notice waits for the next page.
const NOTICE_SECONDS: u32 = 60;

/// A page.
pub(super) fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => {
            let mut response = (status, text).into_response();
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, html);
            response
        }
        Err(error) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page with status 200.
pub(super) fn page(page: &impl Template) -> Response {
    html(StatusCode::OK, page)
}

/// A form that was not accepted, shown again with its errors.
pub(super) fn rejected(page: &impl Template) -> Response {
    html(StatusCode::UNPROCESSABLE_ENTITY, page)
}

/// Sends the browser to a path with a GET.
pub(super) fn redirect(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The same; the page there says what was done.
pub(super) fn redirect_with(path: &str, notice: Notice) -> Response {
    let mut response = redirect(path);
    cookies::set(response.headers_mut(), cookies::NOTICE, notice.code(), Keep::Seconds(NOTICE_SECONDS));
    response
}

/// A path of the dashboard from a client, if it is one: nothing else is redirected to.
pub(super) fn local_path(text: &str) -> Option<&str> {
    let is_local = text == "/dashboard" || text.starts_with("/dashboard/") || text.starts_with("/dashboard?");
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') && !text.contains("//");
    let is_short = text.len() <= 2_000;
    (is_local && is_plain && is_short).then_some(text)
}

/// A text for a query.
pub(super) fn percent_encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// An instant as pages show it.
pub(super) fn when(at: Timestamp) -> When {
    let iso = at.to_string();
    // `2026-01-31T09:05:00.042Z`
    let (date, time) = iso.split_once('T').unwrap_or((&iso, ""));
    let mut parts = date.split('-');
    let (year, month, day) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let month = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    let day = day.trim_start_matches('0');
    let minute = time.get(..5).unwrap_or("");
    let text = format!("{day} {} {year}, {minute} UTC", month.unwrap_or(&""));
    When { iso, text }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A number with separators between thousands.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

macro_rules! notices {
    ($($name:ident $kind:ident $code:literal $text:ident,)+) => {
        /// What was done, for the notice on the next page.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Notice {
            $($name,)+
        }

        impl Notice {
            fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// The notice of a cookie; `None` for a value that the service does not write.
            pub(super) fn flash(code: &str) -> Option<Flash> {
                let (kind, text) = match code {
                    $($code => (FlashKind::$kind, m::$text),)+
                    _ => return None,
                };
                Some(Flash { kind, text: text.to_owned() })
            }
        }
    };
}

notices! {
    ConnectionCreated Done "connection-created" DONE_CONNECTION_CREATED,
    ConnectionCreatedUnverified Done "connection-created-unverified" DONE_CONNECTION_CREATED_UNVERIFIED,
    ConnectionSaved Done "connection-saved" DONE_CONNECTION_SAVED,
    CredentialsReplaced Done "credentials-replaced" DONE_CREDENTIALS_REPLACED,
    CredentialsReplacedUnverified Done "credentials-replaced-unverified" DONE_CREDENTIALS_REPLACED_UNVERIFIED,
    ConnectionEnabled Done "connection-enabled" DONE_CONNECTION_ENABLED,
    ConnectionDisabled Done "connection-disabled" DONE_CONNECTION_DISABLED,
    ConnectionDeleted Done "connection-deleted" DONE_CONNECTION_DELETED,
    TestHealthy Done "test-healthy" DONE_TEST_HEALTHY,
    TestUnhealthy Failed "test-unhealthy" DONE_TEST_UNHEALTHY,
    TestUnavailable Failed "test-unavailable" ERROR_VIMEO_UNAVAILABLE_TEST,
    TestedRecently Failed "tested-recently" ERROR_TESTED_RECENTLY,
    Conflict Failed "conflict" ERROR_CONFLICT,
    UploadStarted Done "upload-started" DONE_UPLOAD_STARTED,
    UploadRetried Done "upload-retried" DONE_UPLOAD_RETRIED,
    UploadCancelled Done "upload-cancelled" DONE_UPLOAD_CANCELLED,
    UploadsCancelled Done "uploads-cancelled" DONE_UPLOADS_CANCELLED,
    UploadHasEnded Failed "upload-has-ended" FAILED_UPLOAD_HAS_ENDED,
    RetryDisabled Failed "retry-disabled" FAILED_RETRY_DISABLED,
    RetryUnhealthy Failed "retry-unhealthy" FAILED_RETRY_UNHEALTHY,
    RetryNotKept Failed "retry-not-kept" FAILED_RETRY_NOT_KEPT,
    RetryNotFailed Failed "retry-not-failed" FAILED_RETRY_NOT_FAILED,
    RetrySecret Failed "retry-secret" FAILED_RETRY_SECRET,
    RetryLimit Failed "retry-limit" FAILED_RETRY_LIMIT,
    NothingSelected Failed "nothing-selected" ERROR_NOTHING_SELECTED,
    KeyRenamed Done "key-renamed" DONE_KEY_RENAMED,
    KeyRevoked Done "key-revoked" DONE_KEY_REVOKED,
    EndpointSaved Done "endpoint-saved" DONE_ENDPOINT_SAVED,
    EndpointEnabled Done "endpoint-enabled" DONE_ENDPOINT_ENABLED,
    EndpointDisabled Done "endpoint-disabled" DONE_ENDPOINT_DISABLED,
    EndpointDeleted Done "endpoint-deleted" DONE_ENDPOINT_DELETED,
    TestSent Done "test-sent" DONE_TEST_SENT,
    Redelivered Done "redelivered" DONE_REDELIVERED,
    KeyFormSentBefore Failed "key-form-sent-before" FAILED_KEY_FORM_SENT_BEFORE,
    InvitationFormSentBefore Failed "invitation-form-sent-before" FAILED_INVITATION_FORM_SENT_BEFORE,
    InvitationRevoked Done "invitation-revoked" DONE_INVITATION_REVOKED,
    SessionEnded Done "session-ended" DONE_SESSION_ENDED,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_dashboard_are_redirected_to() {
        for path in ["/dashboard", "/dashboard/connections?search=a%20b&page=x", "/dashboard?x=1"] {
            assert_eq!(local_path(path), Some(path));
        }
        let long = format!("/dashboard/{}", "x".repeat(2_000));
        for path in [
            "",
            "/",
            "/pictoryapis/v1",
            "//evil.example",
            "/dashboard//evil.example",
            "https://evil.example/dashboard",
            "/\\evil.example",
            "/dashboard/\\evil.example",
            "/dashboardx",
            "/dashboard/a b",
            "/dashboard/\r\nx: y",
            "javascript:alert(1)",
            "/dashboard/é",
            &long,
        ] {
            assert_eq!(local_path(path), None, "{path}");
        }
    }

    #[test]
    fn an_instant_is_readable_without_scripts() {
        let shown = when(Timestamp::from_millis(1_769_850_300_042));
        assert_eq!((&*shown.iso, &*shown.text), ("2026-01-31T09:05:00.042Z", "31 Jan 2026, 09:05 UTC"));
    }

    #[test]
    fn thousands_are_separated() {
        let shown = [0, 7, 999, 1_000, 10_204, 1_234_567].map(number);
        assert_eq!(shown, ["0", "7", "999", "1,000", "10,204", "1,234,567"]);
    }

    #[test]
    fn a_notice_that_the_service_does_not_write_is_not_shown() {
        assert!(Notice::flash("connection-created").is_some());
        assert!(Notice::flash("<b>").is_none() && Notice::flash("").is_none());
        assert_eq!(Notice::KeyRevoked.code(), "key-revoked");
    }
}
