//! Reads lists page by page.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::{Session, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::{NamedOut, PageOut};

/// The page size to put into the path of a list, as `per_page=100`.
const PER_PAGE: usize = 100;
/// How many pages of a list are read.
const PAGES_MAX: u32 = 20;

impl Session {
    /// The items of the first 20 pages of a list. `list` is its path, up to and including `page=`. `timeout` applies to
    /// each page.
    pub(super) async fn list_items(&self, list: &ApiPath, timeout: Duration) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        for page in 1..=PAGES_MAX {
            let request = self.request(Method::GET, &list.clone().then_number(page));
            let response = match self.send(request, timeout).await {
                // Vimeo answers 404 for a page past the end.
                Err(Failure::NotFound) if page > 1 => break,
                response => response?,
            };
            let page_out: PageOut = response.json().ok_or_else(unexpected_response)?;
            let is_last = page_out.is_last(PER_PAGE);
            items.extend(page_out.data);
            if is_last {
                break;
            }
        }
        Ok(items)
    }

    /// The same, parsed. Items that cannot be parsed are skipped. An item of another video is an unexpected response.
    pub(super) async fn list_parsed<T>(
        &self,
        list: &ApiPath,
        timeout: Duration,
        parse: impl Fn(Value) -> Option<T>,
        is_own: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, Failure> {
        let items = self.list_items(list, timeout).await?;
        let count = items.len();
        let parsed: Vec<T> = items.into_iter().filter_map(parse).collect();
        if parsed.len() < count {
            let skipped = count - parsed.len();
            tracing::warn!(skipped, "some items in a list of Vimeo could not be parsed and are skipped");
        }
        if parsed.iter().all(is_own) { Ok(parsed) } else { Err(unexpected_response()) }
    }

    /// The URIs of the items of a list with exactly this name.
    pub(super) async fn list_uris_by_name(
        &self,
        list: &ApiPath,
        name: &str,
        timeout: Duration,
    ) -> Result<Vec<String>, Failure> {
        let items = self.list_items(list, timeout).await?;
        Ok(items.into_iter().filter_map(|item| uri_if_named(item, name)).collect())
    }
}

/// The URI of an item, if it has exactly this name.
fn uri_if_named(item: Value, name: &str) -> Option<String> {
    let named: NamedOut = serde_json::from_value(item).ok()?;
    if named.name? == name { named.uri } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_exactly_the_same_name_counts() {
        let item = json!({ "uri": "/users/1/albums/2", "name": "Talks" });
        assert_eq!(uri_if_named(item.clone(), "Talks").as_deref(), Some("/users/1/albums/2"));
        for other in ["talks", "Talks ", "Talk", ""] {
            assert_eq!(uri_if_named(item.clone(), other), None, "{other}");
        }
        for unnamed in [json!({ "uri": "/users/1/albums/2" }), json!({ "name": "Talks" }), json!(null)] {
            assert_eq!(uri_if_named(unnamed, "Talks"), None);
        }
    }
}
