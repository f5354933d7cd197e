//! The servers of a URL that names several, and which one the sessions use.
//!
//! After a failover the former primary may still run and accept connections, if what promoted the standby could not stop it.
//! Its commits wait for a standby that follows another server now, so that no write is acknowledged; its rows grow old. A
//! write that does not complete in time therefore makes its server doubtful, and another server that accepts writes on a
//! higher timeline takes its place.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::connector::{Connector, Purpose};
use super::rows;
use crate::sql::statement;

const FIND_TIMELINE: &str = statement(include_str!("sql/session.sql"), "find_timeline");
/// The pause between two searches for another server.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Servers {
    count: usize,
    in_use: watch::Sender<usize>,
    doubts: Notify,
}

impl Servers {
    pub(super) fn new(count: usize) -> Self {
        Self { count, in_use: watch::Sender::new(0), doubts: Notify::new() }
    }

    /// The server in use, and the others after it.
    pub(super) fn in_order(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (*self.in_use.borrow(), self.count);
        (0..count).map(move |at| (first + at) % count)
    }

    /// `number` is in use from now on, unless another server took the place of `before` meanwhile.
    pub(super) fn replace(&self, before: usize, number: usize) {
        self.in_use.send_if_modified(|in_use| {
            let is_replaced = *in_use == before && before != number;
            if is_replaced {
                *in_use = number;
            }
            is_replaced
        });
    }

    /// A statement on this server did not complete in time, or a commit may be on it alone.
    pub(super) fn doubt(&self, number: usize) {
        if self.count > 1 && number == *self.in_use.borrow() {
            self.doubts.notify_one();
        }
    }

    /// Whether another server than this is in use.
    pub(super) fn is_replaced(&self, number: usize) -> bool {
        *self.in_use.borrow() != number
    }

    /// Resolves when [`Self::is_replaced`].
    pub(super) async fn replaced(&self, number: usize) {
        // The sender is in `self`, so it cannot be gone.
        let _ = self.in_use.subscribe().wait_for(|in_use| *in_use != number).await;
    }
}

/// Looks for another server whenever the one in use is doubtful. Its sessions stay open until one is found.
pub(super) async fn replace_doubtful(connector: Arc<Connector>) {
    let closing = connector.closing.clone();
    let replacing = async {
        loop {
            connector.servers().doubts.notified().await;
            search(&connector).await;
            tokio::time::sleep(SEARCH_PAUSE).await;
        }
    };
    tokio::select! {
        () = replacing => {}
        () = closing.cancelled() => {}
    }
}

async fn search(connector: &Connector) {
    let servers = connector.servers();
    let mut order = servers.in_order();
    let Some(doubtful) = order.next() else { return };
    for number in order {
        let Some(found) = find_timeline(connector, number).await else { continue };
        // `None`, which is lower, if the doubtful one does not answer at all.
        if Some(&found) > find_timeline(connector, doubtful).await.as_ref() {
            tracing::warn!(
                "another server of database_url was promoted: its sessions replace those of the former primary"
            );
            servers.replace(doubtful, number);
            return;
        }
    }
}

/// The timeline that a server writes, in hexadecimal digits; `None` for a standby, and for a server that does not answer.
async fn find_timeline(connector: &Connector, number: usize) -> Option<String> {
    let session = connector.connect_to(number, Purpose::Read).await.ok()?;
    let found = session.query_named(FIND_TIMELINE, &[]).await;
    session.abandon();
    rows::get(found.ok()?.first()?, "timeline").ok()
}
