//! Reads all lists to their ends: to count, and to choose what is asked for later. What is kept does not grow with what
//! is read.

use std::fmt::Write as _;
use std::net::SocketAddr;

use hyper::StatusCode;
use serde::Deserialize;

use crate::client::{Client, Item, Page};
use crate::operations::PAGE;
use crate::service::Template;
use crate::trouble::{Trouble, While as _};

/// Items on a page when the bench looks for itself.
const LONG_PAGE: u64 = 1_000;
/// The page of the biggest account that is asked for, where there is one.
const DEEP_PAGE: u64 = 10_000;
const BEFORE_DEEP_PAGE: u64 = (DEEP_PAGE - 1) * PAGE;

/// What was read.
pub(crate) struct Walk {
    pub(crate) connections: u64,
    pub(crate) deep: Place,
    pub(crate) sample: Vec<Picked>,
    /// Where each account's list was last cut.
    ends: Vec<Place>,
}

/// A place in a list: its page key, and how many items are before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Place {
    pub(crate) key: Option<String>,
    pub(crate) before: u64,
}

impl Place {
    pub(crate) fn page(&self) -> u64 {
        self.before / PAGE + 1
    }

    /// What comes after the collection's path.
    pub(crate) fn query(&self, limit: u64) -> String {
        let key = self.key.as_ref().map_or_else(String::new, |key| format!("&nextPageKey={key}"));
        format!("?limit={limit}{key}")
    }
}

/// One of all, chosen at random.
#[derive(Debug, Clone)]
pub(crate) struct Picked {
    account: usize,
    id: String,
    version: u64,
}

/// Who asks.
pub(crate) struct Walker<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) keys: &'a [String],
}

impl Walker<'_> {
    /// Reads all, and chooses that many.
    pub(crate) async fn walk(&self, chosen: usize) -> Result<Walk, Trouble> {
        let mut client = Client::connect(self.address).await?;
        let mut choice = Choice::new(chosen);
        let mut walk = Walk { connections: 0, deep: Place::default(), sample: Vec::new(), ends: Vec::new() };
        for (account, api_key) in self.keys.iter().enumerate() {
            let mut place = Place::default();
            loop {
                let limit = match BEFORE_DEEP_PAGE.checked_sub(place.before) {
                    None | Some(0) => LONG_PAGE,
                    Some(missing) => missing.min(LONG_PAGE),
                };
                let page: Page = self.get(&mut client, api_key, &place.query(limit)).await?;
                let read = page.items.len() as u64;
                // The biggest account is the first.
                if account == 0 && read >= PAGE && place.before <= BEFORE_DEEP_PAGE {
                    walk.deep = place.clone();
                }
                for Item { connection_id: id, version } in page.items {
                    choice.offer(|| Picked { account, id, version });
                }
                walk.connections += read;
                let Some(key) = page.next_page_key else { break };
                place = Place { key: Some(key), before: place.before + read };
            }
            if account == 0 {
                walk.deep = self.deepest(&mut client, api_key, walk.deep, walk.connections).await?;
            }
            walk.ends.push(place);
        }
        walk.sample = choice.shuffled();
        Ok(walk)
    }

    /// The page that is asked for, of a list with that many items, from a place that is not far before it.
    async fn deepest(
        &self,
        client: &mut Client,
        api_key: &str,
        from: Place,
        items: u64,
    ) -> Result<Place, Trouble> {
        let before = deep_page_begins(items);
        let limit = before.saturating_sub(from.before);
        if limit == 0 || limit > LONG_PAGE {
            return Ok(from);
        }
        let page: Page = self.get(client, api_key, &from.query(limit)).await?;
        Ok(Place { key: page.next_page_key, before: from.before + page.items.len() as u64 })
    }

    /// How many there are by now, of which only what came after the walk is read.
    pub(crate) async fn count(&self, walk: &Walk) -> Result<u64, Trouble> {
        let mut client = Client::connect(self.address).await?;
        let mut connections = 0;
        for (api_key, end) in self.keys.iter().zip(&walk.ends) {
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

    /// How many of these have a later version by now.
    pub(crate) async fn changed(&self, sample: &[Picked]) -> Result<usize, Trouble> {
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
    ) -> Result<T, Trouble> {
        let request = Template::of(self.address, api_key).request("GET", path, String::new())?;
        let (status, text) = client.ask(request).await?;
        if status != StatusCode::OK {
            return Err(format!("the service answers {status}: {}", String::from_utf8_lossy(&text)).into());
        }
        serde_json::from_slice(&text).while_doing("the service's answer cannot be read")
    }

    /// A line for each: the key, the identifier and the version.
    pub(crate) fn lines(&self, sample: &[Picked]) -> String {
        let mut lines = String::new();
        for Picked { account, id, version } in sample {
            if let Some(key) = self.keys.get(*account) {
                let _ = writeln!(lines, "{key} {id} {version}");
            }
        }
        lines
    }
}

/// How many items are before the page that is asked for: the last whole one, if there is none so deep.
fn deep_page_begins(items: u64) -> u64 {
    ((items / PAGE).saturating_sub(1) * PAGE).min(BEFORE_DEEP_PAGE)
}

/// Chooses some of many that come one after the other, each with the same chance.
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

    /// A number below that one: the same sequence in every bench (xorshift).
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
    fn few_are_all_chosen_and_of_many_each_with_the_same_chance() {
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
