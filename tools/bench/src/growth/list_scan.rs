//! Reads all lists to their ends, to count connections and to select some for later requests. Memory use does not grow
//! with the lists.

use std::fmt::Write as _;
use std::net::SocketAddr;

use hyper::StatusCode;
use serde::Deserialize;

use crate::client::{Client, Item, Page};
use crate::error::{BenchError, Context as _};
use crate::operations::PAGE;
use crate::service::Template;

/// Items on a page when the bench reads the list itself.
const LONG_PAGE: u64 = 1_000;
/// The page of the largest account that is requested, if it exists.
const DEEP_PAGE: u64 = 10_000;
const BEFORE_DEEP_PAGE: u64 = (DEEP_PAGE - 1) * PAGE;

/// The result of a scan.
pub(crate) struct ListScan {
    pub(crate) connections: u64,
    pub(crate) deep: Place,
    pub(crate) sample: Vec<Selected>,
    /// The last page position of each account's list.
    ends: Vec<Place>,
}

/// A position in a list: its page key, and how many items are before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Place {
    pub(crate) key: Option<String>,
    pub(crate) before: u64,
}

impl Place {
    pub(crate) fn page(&self) -> u64 {
        self.before / PAGE + 1
    }

    /// The path relative to the collection.
    pub(crate) fn query(&self, limit: u64) -> String {
        let key = self.key.as_ref().map_or_else(String::new, |key| format!("&nextPageKey={key}"));
        format!("?limit={limit}{key}")
    }
}

/// A randomly selected connection.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    account: usize,
    id: String,
    version: u64,
}

/// The client and the keys.
pub(crate) struct Scanner<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) keys: &'a [String],
}

impl Scanner<'_> {
    /// Reads all lists, and selects this many connections.
    pub(crate) async fn list_scan(&self, chosen: usize) -> Result<ListScan, BenchError> {
        let mut client = Client::connect(self.address).await?;
        let mut choice = Choice::new(chosen);
        let mut list_scan =
            ListScan { connections: 0, deep: Place::default(), sample: Vec::new(), ends: Vec::new() };
        for (account, api_key) in self.keys.iter().enumerate() {
            let mut place = Place::default();
            loop {
                let limit = match BEFORE_DEEP_PAGE.checked_sub(place.before) {
                    None | Some(0) => LONG_PAGE,
                    Some(missing) => missing.min(LONG_PAGE),
                };
                let page: Page = self.get(&mut client, api_key, &place.query(limit)).await?;
                let read = page.items.len() as u64;
                // The largest account is the first.
                if account == 0 && read >= PAGE && place.before <= BEFORE_DEEP_PAGE {
                    list_scan.deep = place.clone();
                }
                for Item { connection_id: id, version } in page.items {
                    choice.offer(|| Selected { account, id, version });
                }
                list_scan.connections += read;
                let Some(key) = page.next_page_key else { break };
                place = Place { key: Some(key), before: place.before + read };
            }
            if account == 0 {
                list_scan.deep =
                    self.deepest(&mut client, api_key, list_scan.deep, list_scan.connections).await?;
            }
            list_scan.ends.push(place);
        }
        list_scan.sample = choice.shuffled();
        Ok(list_scan)
    }

    /// The deep page of a list with that many items, read from a position shortly before it.
    async fn deepest(
        &self,
        client: &mut Client,
        api_key: &str,
        from: Place,
        items: u64,
    ) -> Result<Place, BenchError> {
        let before = deep_page_begins(items);
        let limit = before.saturating_sub(from.before);
        if limit == 0 || limit > LONG_PAGE {
            return Ok(from);
        }
        let page: Page = self.get(client, api_key, &from.query(limit)).await?;
        Ok(Place { key: page.next_page_key, before: from.before + page.items.len() as u64 })
    }

    /// The current count; only items added after the scan are read.
    pub(crate) async fn count(&self, list_scan: &ListScan) -> Result<u64, BenchError> {
        let mut client = Client::connect(self.address).await?;
        let mut connections = 0;
        for (api_key, end) in self.keys.iter().zip(&list_scan.ends) {
            let mut place = end.clone();
            loop {
                let page: Page = self.get(&mut client, api_key, &place.query(LONG_PAGE)).await?;
                place.before += page.items.len() as u64;
                place.key = page.next_page_key;
                if place.key.is_none() {
                    break;
                }
            }
            connections += place.before;
        }
        Ok(connections)
    }

    /// How many of these have a later version now.
    pub(crate) async fn changed(&self, sample: &[Selected]) -> Result<usize, BenchError> {
        let mut client = Client::connect(self.address).await?;
        let mut changed = 0;
        for picked in sample {
            let api_key = self.keys.get(picked.account).ok_or("an account has no key")?;
            let item: Item = self.get(&mut client, api_key, &format!("/{}", picked.id)).await?;
            changed += usize::from(item.connection_id == picked.id && item.version > picked.version);
        }
        Ok(changed)
    }

    async fn get<T: for<'a> Deserialize<'a>>(
        &self,
        client: &mut Client,
        api_key: &str,
        path: &str,
    ) -> Result<T, BenchError> {
        let request = Template::of(self.address, api_key).request("GET", path, String::new())?;
        let (status, text) = client.send(request).await?;
        if status != StatusCode::OK {
            return Err(format!("the service answers {status}: {}", String::from_utf8_lossy(&text)).into());
        }
        serde_json::from_slice(&text).context("the service's answer cannot be read")
    }

    /// One line each: the key, the identifier and the version.
    pub(crate) fn lines(&self, sample: &[Selected]) -> String {
        let mut lines = String::new();
        for Selected { account, id, version } in sample {
            if let Some(key) = self.keys.get(*account) {
                let _ = writeln!(lines, "{key} {id} {version}");
            }
        }
        lines
    }
}

/// How many items are before the deep page: the last whole page if the list is shorter.
fn deep_page_begins(items: u64) -> u64 {
    ((items / PAGE).saturating_sub(1) * PAGE).min(BEFORE_DEEP_PAGE)
}

/// Selects some items of a stream, each with the same probability.
struct Choice<T> {
    chosen: Vec<T>,
    most: usize,
    offered: u64,
    state: u64,
}

impl<T> Choice<T> {
    fn new(most: usize) -> Self {
        Self { chosen: Vec::new(), most, offered: 0, state: 0x9e37_79b9_7f4a_7c15 }
    }

    fn offer(&mut self, make: impl FnOnce() -> T) {
        self.offered += 1;
        if self.chosen.len() < self.most {
            self.chosen.push(make());
            return;
        }
        let at = self.below(self.offered);
        if let Some(place) = usize::try_from(at).ok().and_then(|at| self.chosen.get_mut(at)) {
            *place = make();
        }
    }

    fn shuffled(mut self) -> Vec<T> {
        for last in (1..self.chosen.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap_or(last);
            self.chosen.swap(last, other);
        }
        self.chosen
    }

    /// A number below a bound: the same sequence in every run (xorshift).
    fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_all_of_few_items_and_a_uniform_part_of_many() {
        let mut choice = Choice::new(5);
        (0..5).for_each(|number| choice.offer(|| number));
        let mut all = choice.shuffled();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);

        let mut choice = Choice::new(1_000);
        (0..100_000).for_each(|number| choice.offer(|| number));
        let chosen = choice.shuffled();
        let late = chosen.iter().filter(|number| **number >= 50_000).count();
        assert!(chosen.len() == 1_000 && (400..600).contains(&late), "{late}");
        assert!(!chosen.is_sorted());
    }

    #[test]
    fn the_deep_page_is_whole() {
        let pages = [49, 50, 99, 100, 2_001, 499_999, 500_000, 1_000_000].map(deep_page_begins);
        assert_eq!(pages, [0, 0, 0, 50, 1_950, 499_900, 499_950, 499_950]);
    }

    #[test]
    fn a_place_knows_its_page() {
        let place = Place { key: Some("k".to_owned()), before: BEFORE_DEEP_PAGE };
        assert_eq!((place.page(), place.query(50)), (DEEP_PAGE, "?limit=50&nextPageKey=k".to_owned()));
        assert_eq!((Place::default().page(), Place::default().query(50)), (1, "?limit=50".to_owned()));
    }
}
