//! What surrounds every response of the dashboard: the security headers, and the pages of errors.

use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::errors::{self, Audience, PageError};
use super::visit::{ShellSlot, is_fragment};
use super::{DashboardSettings, cookies};
use crate::Shared;
use crate::layers::RequestId;

/// What a page may do beyond the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Its script sends the bytes of an upload.
    Uploads,
}

/// Adds the security headers, and renders errors as pages.
pub(super) async fn around(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let slot = ShellSlot::default();
    request.extensions_mut().insert(slot.clone());
    let fragment = is_fragment(request.headers());
    let audience = Audience::of(request.uri().path());
    let id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.0.clone());
    let has_notice = cookies::find(request.headers(), cookies::NOTICE).is_some();
    let mut response = next.run(request).await;
    let error = response.extensions_mut().remove::<PageError>();
    if let Some(error) = error.or_else(|| unreadable(&response)) {
        response = errors::render(error, slot.0.get(), (fragment, audience), id);
    }
    // A page has shown it.
    if has_notice && slot.0.get().is_some() && response.status().is_success() && is_page(&response) {
        cookies::set(response.headers_mut(), cookies::NOTICE, "", cookies::Keep::Not);
    }
    let policy = response.extensions_mut().remove::<Policy>();
    protect(response.headers_mut(), &shared.settings.dashboard, policy);
    response
}

/// The framework's own response to a path that is not UTF-8.
fn unreadable(response: &Response) -> Option<PageError> {
    let is_plain =
        response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    (is_plain && response.status() == StatusCode::BAD_REQUEST).then_some(PageError::NotFound)
}

fn is_page(response: &Response) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| media_type.starts_with("text/html"))
}

fn protect(headers: &mut HeaderMap, settings: &DashboardSettings, policy: Option<Policy>) {
    let set = |headers: &mut HeaderMap, name: HeaderName, value: &str| {
        // The configuration has accepted the sources.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(headers, CONTENT_SECURITY_POLICY, &content_security_policy(settings, policy));
    set(headers, X_FRAME_OPTIONS, "DENY");
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    // A path may have the token of a link.
    set(headers, REFERRER_POLICY, "same-origin");
    set(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(headers, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(
        headers,
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=()",
    );
    headers.append(VARY, HeaderValue::from_static("HX-Request, Cookie"));
}

fn content_security_policy(settings: &DashboardSettings, policy: Option<Policy>) -> String {
    let connect = match policy {
        Some(Policy::Uploads) => format!("'self' {}", settings.upload_sources.join(" ")),
        None => "'self'".to_owned(),
    };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {connect}; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pages_that_need_it_reach_other_origins() {
        let settings = DashboardSettings {
            is_enabled: true,
            upload_sources: vec!["https://*.tus.vimeo.com".to_owned()],
        };
        let plain = content_security_policy(&settings, None);
        assert!(!plain.contains("vimeo") && !plain.contains("unsafe") && !plain.contains("data:"));
        assert!(plain.starts_with("default-src 'none'") && plain.ends_with("frame-ancestors 'none'"));
        assert!(plain.contains("connect-src 'self';") && plain.contains("form-action 'self';"));
        let uploads = content_security_policy(&settings, Some(Policy::Uploads));
        assert!(uploads.contains("connect-src 'self' https://*.tus.vimeo.com;"));
        assert!(uploads.contains("form-action 'self';"));
    }
}
