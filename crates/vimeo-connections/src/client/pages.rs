//! Lists of the API, read page by page.

use serde::Deserialize;
use serde_json::Value;

use super::{ApiClient, Call, ClientError};

/// The most items of a page: the API's own limit.
const PAGE: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageIn {
    /// The name in Part 1 of the contract begins with a capital.
    #[serde(alias = "Items")]
    items: Vec<Value>,
    next_page_key: Option<String>,
}

impl ApiClient {
    /// The items of a list in its order: all of them, or at most this many. A page may have fewer than its limit and not be
    /// the last.
    pub(crate) async fn list(&self, call: &Call<'_>, most: Option<usize>) -> Result<Vec<Value>, ClientError> {
        let (mut items, mut key) = (Vec::new(), None);
        while most.is_none_or(|most| items.len() < most) {
            let limit = most.map(|most| (most - items.len()).min(PAGE).to_string());
            let page = call.clone().query("limit", limit).query("nextPageKey", key);
            let page: PageIn = self.send(page).await?.json()?;
            items.extend(page.items);
            key = page.next_page_key;
            if key.is_none() {
                break;
            }
        }
        items.truncate(most.unwrap_or(usize::MAX));
        Ok(items)
    }
}
