//! The connections that pages of uploads name.

use std::collections::HashMap;

use app::{Caller, Error};
use domain::connection::{Availability, Connection};
use domain::id::ConnectionId;
use domain::page::PageLimit;
use domain::scope::Scope;

use super::super::super::errors::PageError;
use super::super::super::messages as m;
use super::super::super::views::parts::Choice;
use super::present::ShownConnection;
use crate::Shared;

/// The names of connections, read once each. Without the scope to read them, IDs stand in for names.
pub(super) struct Connections {
    may_read: bool,
    known: HashMap<ConnectionId, ShownConnection>,
}

impl Connections {
    pub(super) fn for_caller(caller: &Caller) -> Self {
        Self { may_read: caller.scopes.has(Scope::ConnectionsRead), known: HashMap::new() }
    }

    /// The first connections of the account, as many as a page of the API has.
    pub(super) async fn list(
        &mut self,
        shared: &Shared,
        caller: &Caller,
    ) -> Result<Vec<Connection>, PageError> {
        if !self.may_read {
            return Ok(Vec::new());
        }
        let page = shared.app.list_connections(caller, None, PageLimit::MAX).await?;
        for connection in &page.items {
            self.known.insert(connection.id.clone(), shown(connection));
        }
        Ok(page.items)
    }

    /// A connection.
    pub(super) async fn of(
        &mut self,
        shared: &Shared,
        caller: &Caller,
        id: &ConnectionId,
    ) -> Result<ShownConnection, Error> {
        if let Some(known) = self.known.get(id) {
            return Ok(known.clone());
        }
        let found = if self.may_read {
            match shared.app.find_connection(caller, id).await {
                Ok(found) => shown(&found),
                Err(Error::ConnectionNotFound) => nameless(id, true),
                Err(error) => return Err(error),
            }
        } else {
            nameless(id, false)
        };
        self.known.insert(id.clone(), found.clone());
        Ok(found)
    }
}

fn shown(connection: &Connection) -> ShownConnection {
    ShownConnection {
        name: connection.name.as_str().to_owned(),
        href: Some(format!("/dashboard/connections/{}", connection.id)),
        is_deleted: false,
    }
}

fn nameless(id: &ConnectionId, is_deleted: bool) -> ShownConnection {
    ShownConnection { name: id.to_string(), href: None, is_deleted }
}

/// The options of a filter by connection. The chosen one is among them, even if it is not listed.
pub(super) fn filter_choices(listed: &[Connection], chosen: &str) -> Vec<Choice> {
    let options =
        listed.iter().map(|connection| Choice::new(connection.id.as_str(), connection.name.as_str()));
    let is_listed = chosen.is_empty() || listed.iter().any(|connection| connection.id.as_str() == chosen);
    let other = (!is_listed).then(|| Choice::new(chosen, chosen));
    let any = Choice::new("", m::ANY);
    std::iter::once(any).chain(options).chain(other).map(|choice| choice.chosen_if(chosen)).collect()
}

/// The options of the form for an upload: connections that are enabled and healthy enough. The chosen one is among them,
/// even if it is not listed.
pub(super) fn target_choices(
    listed: &[Connection],
    chosen: &str,
    is_unhealthy: impl Fn(&ConnectionId) -> bool,
) -> Vec<Choice> {
    let is_usable = |connection: &&Connection| {
        connection.availability == Availability::Enabled && !is_unhealthy(&connection.id)
    };
    let options: Vec<_> = listed
        .iter()
        .filter(is_usable)
        .map(|connection| Choice::new(connection.id.as_str(), connection.name.as_str()))
        .collect();
    let is_listed = options.iter().any(|choice| choice.value == chosen);
    let known = listed.iter().find(|connection| connection.id.as_str() == chosen);
    let other = ConnectionId::parse(chosen).filter(|_| !is_listed).map(|id| match known {
        Some(connection) => Choice::new(chosen, connection.name.as_str()),
        None => Choice::new(id.as_str(), id.as_str()),
    });
    options.into_iter().chain(other).map(|choice| choice.chosen_if(chosen)).collect()
}
