//! The positions of pages in addresses: the page keys of the API, in the parameter `page`.

use super::super::errors::PageError;
use super::super::respond::percent_encode;
use super::super::views::parts::Pager;
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

/// The links from the page of this query to others, which keep its other parameters. `next`: the key of the next page.
pub(super) fn pager(path: &str, query: Option<&str>, next: Option<&[u8]>) -> Pager {
    let is_first = parameter(query, PAGE).is_empty();
    Pager {
        first: (!is_first).then(|| href(path, query, None)),
        next: next.map(|next| href(path, query, Some(next))),
    }
}

fn href(path: &str, query: Option<&str>, page: Option<&[u8]>) -> String {
    let kept = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let kept = kept.filter(|(name, value)| name != PAGE && !value.is_empty());
    let pairs = kept.map(|(name, value)| format!("{}={}", percent_encode(&name), percent_encode(&value)));
    let page = page.map(|page| format!("{PAGE}={}", percent_encode(&page_key_text(page))));
    let pairs: Vec<_> = pairs.chain(page).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_pages_keep_the_filters() {
        let links = pager("/a", Some("search=a%26b&health=&page=old"), Some(b"\xff\x01"));
        assert_eq!(links.next.as_deref(), Some("/a?search=a%26b&page=_wE%3D"));
        assert_eq!(links.first.as_deref(), Some("/a?search=a%26b"));
        let last = pager("/a", Some("page=old"), None);
        assert_eq!((last.first.as_deref(), last.next), (Some("/a"), None));
        assert!(pager("/a", Some("search=b&page="), None).is_empty());
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
