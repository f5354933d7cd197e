//! The operations on connections, in the database or at a remote service.

use app::Outcome;
use domain::connection::ConnectionName;
use domain::health::HealthStatus;
use domain::id::ConnectionId;
use domain::page::PageLimit;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use web::UnknownFields;
use web::connection_json::ConnectionRecord;

use super::view::ConnectionView;
use crate::cli::BoxError;
use crate::cli::backend::Backend;
use crate::cli::error_messages::to_message;
use crate::client::{ApiClient, Call};

/// The path of the collection.
pub(in crate::cli) const COLLECTION: [&str; 2] = ["v1", "vimeo-connections"];
pub(super) const NOT_FOUND: &str = "CONNECTION_NOT_FOUND";

/// A new connection.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedIn {
    connection_id: String,
}

impl Backend<'_> {
    /// All connections, or those with this health, oldest first.
    pub(super) async fn list_connections(
        &self,
        health: Option<HealthStatus>,
    ) -> Result<Vec<ConnectionView>, BoxError> {
        match self {
            Self::Database { app, caller, .. } => {
                let (mut all, mut after) = (Vec::new(), None);
                loop {
                    let (from, limit) = (after.as_ref(), PageLimit::MAX);
                    let page = match health {
                        Some(health) => app.list_connections_by_health(caller, health, from, limit).await,
                        None => app.list_connections(caller, from, limit).await,
                    };
                    let page = page.map_err(to_message)?;
                    after = page.items.last().map(|last| last.id.clone());
                    for connection in &page.items {
                        all.push(ConnectionView::of(connection)?);
                    }
                    if page.next.is_none() {
                        return Ok(all);
                    }
                }
            }
            Self::Service(client) => {
                let health = health.map(|health| health.as_str().to_owned());
                let items = client.list(&Call::get(&COLLECTION).query("health", health), None).await?;
                Ok(items.into_iter().map(ConnectionView::parse).collect::<Result<_, _>>()?)
            }
        }
    }

    /// The connection with this ID or name. The argument is not echoed: it may be a secret pasted in the wrong place.
    pub(in crate::cli) async fn find_connection(&self, id_or_name: &str) -> Result<ConnectionView, BoxError> {
        if let Some(id) = ConnectionId::parse(id_or_name)
            && let Some(found) = self.find_connection_by_id(&id).await?
        {
            return Ok(found);
        }
        let named = match ConnectionName::parse(id_or_name) {
            Ok(name) => self.find_connection_by_name(&name).await?,
            Err(_) => None,
        };
        named.ok_or_else(|| {
            let (account, selection) = (self.subject(), self.selection());
            format!(
                "{account} has no connection with this ID or name; `vimeo-connections connections list{selection}` shows them"
            )
            .into()
        })
    }

    async fn find_connection_by_id(&self, id: &ConnectionId) -> Result<Option<ConnectionView>, BoxError> {
        match self {
            Self::Database { app, caller, .. } => match app.find_connection(caller, id).await {
                Ok(connection) => Ok(Some(ConnectionView::of(&connection)?)),
                Err(app::Error::ConnectionNotFound) => Ok(None),
                Err(error) => Err(to_message(error)),
            },
            Self::Service(client) => match get(client, id.as_str()).await {
                Ok(json) => Ok(Some(ConnectionView::parse(json)?)),
                Err(error) if error.code() == Some(NOT_FOUND) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The connection with exactly this name.
    pub(in crate::cli) async fn find_connection_by_name(
        &self,
        name: &ConnectionName,
    ) -> Result<Option<ConnectionView>, BoxError> {
        match self {
            Self::Database { app, caller, .. } => {
                let found = app.find_connection_by_name(caller, name).await.map_err(to_message)?;
                Ok(found.as_ref().map(ConnectionView::of).transpose()?)
            }
            Self::Service(client) => {
                let call = Call::get(&COLLECTION).query("name", Some(name.as_str().to_owned()));
                let named = client.list(&call, None).await?;
                Ok(named.into_iter().next().map(ConnectionView::parse).transpose()?)
            }
        }
    }

    /// Creates a connection; its credentials are checked at Vimeo as configured.
    pub(super) async fn create_connection(
        &self,
        record: ConnectionRecord,
    ) -> Result<ConnectionView, BoxError> {
        let body = record.to_body(None);
        let draft = record.into_draft(UnknownFields::Reject)?;
        match self {
            Self::Database { app, caller, .. } => {
                match app.create_connection(caller, draft, None).await.map_err(to_message)? {
                    Outcome::Fresh(connection) => Ok(ConnectionView::of(&connection)?),
                    Outcome::Replayed(_) => Err("the connection already exists".into()),
                }
            }
            Self::Service(client) => {
                let created = client.send(Call::new(Method::POST, &COLLECTION).body(body)).await?;
                let CreatedIn { connection_id } = created.json()?;
                // The response to a creation has only some of the fields.
                let found = get(client, &connection_id).await.map_err(|error| {
                    format!("the connection {connection_id} was created, and then could not be read: {error}")
                })?;
                Ok(ConnectionView::parse(found)?)
            }
        }
    }

    /// Updates a connection, unless it has changed since it was read.
    pub(super) async fn update_connection(
        &self,
        before: &ConnectionView,
        record: ConnectionRecord,
    ) -> Result<ConnectionView, BoxError> {
        let body = record.to_body(Some(before.version()));
        let change = record.into_change(before.version())?;
        match self {
            Self::Database { app, caller, .. } => {
                let updated = app.update_connection(caller, before.id(), change).await.map_err(to_message)?;
                Ok(ConnectionView::of(&updated)?)
            }
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[before.id()]].concat();
                let updated = client.send(Call::new(Method::PUT, &path).body(body)).await?;
                Ok(ConnectionView::parse(updated.json()?)?)
            }
        }
    }

    pub(super) async fn delete_connection(&self, connection: &ConnectionView) -> Result<(), BoxError> {
        match self {
            Self::Database { app, caller, .. } => {
                let id = ConnectionId::from_stored(connection.id().to_owned());
                app.delete_connection(caller, &id).await.map_err(to_message)
            }
            Self::Service(client) => {
                let path = [&COLLECTION[..], &[connection.id()]].concat();
                client.send(Call::new(Method::DELETE, &path)).await?;
                Ok(())
            }
        }
    }
}

async fn get(client: &ApiClient, id: &str) -> Result<Value, crate::client::ClientError> {
    let path = [&COLLECTION[..], &[id]].concat();
    client.send(Call::get(&path)).await?.json()
}
