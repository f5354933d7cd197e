//! The positions of pages in addresses: the page keys of the API, in the parameter `page`.

use super::super::errors::PageError;
use super::super::respond::percent_encode;
use super::sign_in::parameter;
use crate::page_key::{page_key_bytes, page_key_text};

/// The parameter with the page key.
const PAGE: &str = "page";

/// The position in a query, according to `parse`; `None` for the first page.
pub(super) fn position<T>(
    query: Option<&str>,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, PageError> {
    let text = parameter(query, PAGE);
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = page_key_bytes(&text).ok_or(PageError::BadRequest)?;
    parse(&bytes).map(Some).ok_or(PageError::BadRequest)
}

/// The address of the next page, with the other parameters of this one.
pub(super) fn next_href(path: &str, query: Option<&str>, next: &[u8]) -> String {
    let kept = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let kept = kept.filter(|(name, value)| name != PAGE && !value.is_empty());
    let pairs = kept.map(|(name, value)| format!("{}={}", percent_encode(&name), percent_encode(&value)));
    let page = format!("{PAGE}={}", percent_encode(&page_key_text(next)));
    let pairs: Vec<_> = pairs.chain([page]).collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_filters() {
        let href = next_href("/a", Some("search=a%26b&health=&page=old"), b"\xff\x01");
        assert_eq!(href, "/a?search=a%26b&page=_wE%3D");
        let found = position(Some("page=_wE%3D"), |bytes| Some(bytes.to_vec()));
        assert_eq!(found.ok().flatten(), Some(vec![0xff, 1]));
    }

    #[test]
    fn a_page_of_another_account_is_refused() {
        assert!(position(Some("page=_wE%3D"), |_| None::<()>).is_err());
        assert!(position(Some("page=%00"), |_| Some(())).is_err());
        assert_eq!(position(None, |_| Some(())).ok(), Some(None));
        assert_eq!(position(Some("page="), |_| Some(())).ok(), Some(None));
    }
}
