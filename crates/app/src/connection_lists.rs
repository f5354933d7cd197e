//! Lists of connections for pages: searched, filtered, with their health, and counted.

use std::collections::HashMap;

use domain::connection::{Availability, Connection};
use domain::health::{HealthStatus, ProblemCode};
use domain::id::ConnectionId;
use domain::page::PageLimit;
use domain::text;
use domain::time::Timestamp;
use store::{Counted, HealthRow};

use crate::connections::ConnectionPage;
use crate::health::{HealthSummary, health_summary};
use crate::{App, Caller, Error};

/// How many connections one request searches, in pieces of [`PageLimit::MAX`].
const PIECES_MAX: u32 = 10;

/// Which connections are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionFilter {
    /// Only those with this text.
    pub text: Option<SearchText>,
    /// Only those with this status.
    pub health: Option<HealthStatus>,
    /// Only those that are enabled, or those that are disabled.
    pub availability: Option<Availability>,
}

/// A part of a name, an ID or a client identifier. Upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// A text as it was entered; `None` if it is blank.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text::to_nfc(text).to_lowercase()))
    }

    fn is_in(&self, connection: &Connection) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.0);
        has(connection.name.as_str())
            || has(connection.id.as_str())
            || has(connection.client_identifier.as_str())
    }
}

impl ConnectionFilter {
    /// Whether it leaves nothing out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the store finds these connections without a search of others.
    fn is_indexed(&self) -> bool {
        self.text.is_none() && self.availability.is_none()
    }

    /// Whether it lists a connection that has the right health.
    fn admits(&self, connection: &Connection) -> bool {
        self.text.as_ref().is_none_or(|text| text.is_in(connection))
            && self.availability.is_none_or(|availability| connection.availability == availability)
    }
}

/// A connection with what a list shows of its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedConnection {
    /// The connection.
    pub connection: Connection,
    /// The status of its health.
    pub status: HealthStatus,
    /// Why it is unhealthy, if it is.
    pub problem: Option<ProblemCode>,
    /// The name of the Vimeo account that receives the videos, if it is known.
    pub vimeo_account: Option<String>,
    /// When Vimeo was last asked.
    pub checked_at: Option<Timestamp>,
}

/// A page of a filtered list, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedConnections {
    /// The connections.
    pub items: Vec<ListedConnection>,
    /// The key of the next page; `None` on the last page.
    pub next: Option<Vec<u8>>,
    /// How many connections were searched, if that was the most of one request: the next page continues.
    pub stopped_after: Option<u64>,
}

/// How many connections an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionCount {
    /// This many.
    Exactly(u64),
    /// More than this many.
    MoreThan(u64),
}

impl App {
    /// The caller's connections that match and follow `after`, oldest first.
    pub async fn search_connections(
        &self,
        caller: &Caller,
        filter: &ConnectionFilter,
        after: Option<&ConnectionId>,
        limit: PageLimit,
    ) -> Result<ListedConnections, Error> {
        let (page, stopped_after) = if filter.is_indexed() {
            (self.list_piece(caller, filter, after, limit).await?, None)
        } else {
            self.search_pieces(caller, filter, after, limit).await?
        };
        let ids: Vec<_> = page.items.iter().map(|connection| connection.id.clone()).collect();
        let mut rows = self.store.list_connection_health(&caller.account_id, &ids).await?;
        let items = page.items.into_iter().map(|connection| with_health(connection, &mut rows)).collect();
        Ok(ListedConnections { items, next: page.next, stopped_after })
    }

    /// How many connections the caller's account has; more than `most` are not counted.
    pub async fn count_connections(&self, caller: &Caller, most: u64) -> Result<ConnectionCount, Error> {
        let count = self.store.count_of_account(&caller.account_id, Counted::Connections, most + 1).await?;
        Ok(if count > most { ConnectionCount::MoreThan(most) } else { ConnectionCount::Exactly(count) })
    }

    /// The next connections with the right health, whatever else the filter says.
    async fn list_piece(
        &self,
        caller: &Caller,
        filter: &ConnectionFilter,
        after: Option<&ConnectionId>,
        limit: PageLimit,
    ) -> Result<ConnectionPage, Error> {
        match filter.health {
            Some(status) => self.list_connections_by_health(caller, status, after, limit).await,
            None => self.list_connections(caller, after, limit).await,
        }
    }

    /// Reads pieces until a page is full and one more matches, or until [`PIECES_MAX`] were searched.
    async fn search_pieces(
        &self,
        caller: &Caller,
        filter: &ConnectionFilter,
        after: Option<&ConnectionId>,
        limit: PageLimit,
    ) -> Result<(ConnectionPage, Option<u64>), Error> {
        let wanted = limit.as_u32() as usize + 1;
        let (mut found, mut searched, mut last) = (Vec::new(), 0, after.cloned());
        for _ in 0..PIECES_MAX {
            let piece = self.list_piece(caller, filter, last.as_ref(), PageLimit::MAX).await?;
            searched += piece.items.len() as u64;
            last = piece.items.last().map(|connection| connection.id.clone()).or(last);
            found.extend(piece.items.into_iter().filter(|connection| filter.admits(connection)));
            if found.len() >= wanted || piece.next.is_none() {
                found.truncate(wanted);
                return Ok((self.connection_page(&caller.account_id, found, limit), None));
            }
            // A search computes for a while.
            tokio::task::yield_now().await;
        }
        let next = last.map(|last| self.service_keys().encode_page_key(&caller.account_id, &last));
        Ok((ConnectionPage { items: found, next }, Some(searched)))
    }
}

fn with_health(connection: Connection, rows: &mut HashMap<ConnectionId, HealthRow>) -> ListedConnection {
    let Some(row) = rows.remove(&connection.id) else {
        // An older version added the connection.
        let status = HealthStatus::Unverified;
        return ListedConnection { connection, status, problem: None, vimeo_account: None, checked_at: None };
    };
    let HealthSummary { problem, vimeo_account } = health_summary(&row);
    ListedConnection { connection, status: row.status, problem, vimeo_account, checked_at: row.checked_at }
}

#[cfg(test)]
mod tests {
    use domain::connection::{ClientIdentifier, ConnectionName};
    use domain::id::AccountId;

    use super::*;

    fn connection(name: &str, availability: Availability) -> Connection {
        let at = Timestamp::from_millis(0);
        Connection {
            id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
            account_id: AccountId::from_random([1; 16]),
            name: ConnectionName::parse(name).unwrap(),
            description: None,
            availability,
            client_identifier: ClientIdentifier::parse("App-77%").unwrap(),
            created_at: at,
            updated_at: at,
            version: 1,
            sealed_version: 1,
        }
    }

    #[test]
    fn a_text_is_found_in_the_name_the_id_and_the_client_identifier() {
        let café = connection("Grand CAFÉ", Availability::Enabled);
        let is_found = |text: &str| SearchText::parse(text).unwrap().is_in(&café);
        for part in
            ["grand", " d c ", "café", "cafe\u{301}", "K3V9", "20260131090500042k3v9x0q2m7t1b8z", "app-77%"]
        {
            assert!(is_found(part), "{part}");
        }
        for other in ["cafe", "grandcafé", "_", "app_77", "enabled"] {
            assert!(!is_found(other), "{other}");
        }
        assert_eq!(SearchText::parse(" \t"), None);
    }

    #[test]
    fn every_part_of_a_filter_must_match() {
        let enabled = connection("a", Availability::Enabled);
        let filter = |text: &str, availability| ConnectionFilter {
            text: SearchText::parse(text),
            availability,
            ..ConnectionFilter::default()
        };
        assert!(filter("", None).is_empty() && filter("", None).admits(&enabled));
        assert!(filter("a", Some(Availability::Enabled)).admits(&enabled));
        assert!(!filter("another name", Some(Availability::Enabled)).admits(&enabled));
        assert!(!filter("a", Some(Availability::Disabled)).admits(&enabled));
        assert!(filter("", None).is_indexed() && !filter("", Some(Availability::Enabled)).is_indexed());
    }
}
