//! The cookies of the dashboard. Their names start with `__Host-`: browsers accept them from this host alone, over TLS or on
//! loopback, for all paths.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};

/// The token of a session.
pub(super) const SESSION: &str = "__Host-session";
/// Random, for the forms of a browser without a session.
pub(super) const FORM: &str = "__Host-form";
/// An attempt to sign in at the identity provider.
pub(super) const IDENTITY: &str = "__Host-oidc";
/// What was done, for the next page.
pub(super) const NOTICE: &str = "__Host-notice";

/// The value of a cookie; `None` if it is absent, or given twice with different values.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// How long a browser keeps a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Until it is closed.
    Session,
    /// This many seconds.
    Seconds(u32),
    /// It is deleted.
    Not,
}

/// Adds a cookie that scripts cannot read and other sites cannot send along with a form.
pub(super) fn set(headers: &mut HeaderMap, name: &str, value: &str, keep: Keep) {
    let age = match keep {
        Keep::Session => String::new(),
        Keep::Seconds(seconds) => format!("; Max-Age={seconds}"),
        Keep::Not => "; Max-Age=0".to_owned(),
    };
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}");
    // Values are tokens and codes of this service.
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        headers.append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn a_cookie_is_found_by_its_exact_name_and_once() {
        let found = |lines: &[&'static str]| find(&headers(lines), SESSION).map(str::to_owned);
        assert_eq!(found(&["__Host-session=a"]).as_deref(), Some("a"));
        assert_eq!(found(&["x=1; __Host-session=a=b;y"]).as_deref(), Some("a=b"));
        assert_eq!(found(&["x=1", "__Host-session=a"]).as_deref(), Some("a"));
        assert_eq!(found(&["__Host-session=a; __Host-session=a"]).as_deref(), Some("a"));
        for none in [
            &[][..],
            &["session=a"],
            &["__host-session=a"],
            &["__Host-session2=a"],
            &["__Host-session=a; __Host-session=b"],
            &["__Host-session=a", "__Host-session=b"],
        ] {
            assert_eq!(found(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_this_host_and_not_for_scripts() {
        let mut headers = HeaderMap::new();
        set(&mut headers, SESSION, "t", Keep::Session);
        set(&mut headers, NOTICE, "", Keep::Not);
        set(&mut headers, FORM, "f", Keep::Seconds(60));
        let lines: Vec<_> = headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "__Host-session=t; Path=/; Secure; HttpOnly; SameSite=Lax",
                "__Host-notice=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
                "__Host-form=f; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60",
            ]
        );
    }
}
