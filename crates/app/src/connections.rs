//! Connections: creating, finding, listing, updating, deleting them.

mod credentials;

use domain::audit::Action;
use domain::connection::{
    Availability, Connection, ConnectionChange, ConnectionDraft, ConnectionName, Credentials,
    DescriptionChange, SecretCredentials,
};
use domain::id::{AccountId, AscendingId, ConnectionId};
use domain::idempotency::Operation;
use domain::page::PageLimit;
use domain::secret::SealedCredentials;
use domain::time::Timestamp;
use domain::webhook::EventType;
use seal::envelope::AccountKey;
use store::{ConnectionUpdate, Counted, NewConnection};

use crate::idempotency::Creation;
use crate::verification::Verified;
use crate::webhooks::EventData;
use crate::{App, Caller, Error, IdempotentRequest, Outcome};

use credentials::associated_data;
pub(crate) use credentials::{open_credentials, was_enabled_in_database};

/// The version of a new connection.
const FIRST_VERSION: u64 = 1;

/// A page of an account's connections, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionPage {
    /// The connections.
    pub items: Vec<Connection>,
    /// The key of the next page; `None` on the last page.
    pub next: Option<Vec<u8>>,
}

/// Whether a stored connection has the credentials of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SameCredentials {
    /// All three are the same.
    Yes(Connection),
    /// At least one differs.
    No(Connection),
}

impl App {
    /// Verifies the credentials, seals them and stores the connection.
    ///
    /// If the future is dropped before the write, nothing is stored.
    pub async fn create_connection(
        &self,
        caller: &Caller,
        draft: ConnectionDraft,
        idempotency: Option<IdempotentRequest<'_, Connection>>,
    ) -> Result<Outcome<Connection>, Error> {
        let request = idempotency.as_ref().map(|request| (&request.key, request.body));
        let creation = Creation { operation: Operation::CreateConnection, connection: None };
        self.idempotent(caller, creation, request, async |guard| {
            let complete =
                |connection: &Connection| guard?.completion((idempotency.as_ref()?.present)(connection));
            self.insert_connection(caller, (draft, None), complete).await
        })
        .await
    }

    /// Creates the connection of an authorization, which has named its identifier, and has it checked at once: that finds the Vimeo
    /// user, whom a renewal must have again.
    pub(crate) async fn create_authorized_connection(
        &self,
        caller: &Caller,
        draft: ConnectionDraft,
        id: AscendingId,
    ) -> Result<Connection, Error> {
        let connection = self.insert_connection(caller, (draft, Some(id)), |_| None).await?;
        if let Err(error) = self.schedule_check(&connection.account_id, &connection.id).await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, connection = %connection.id, "the first check of a connection was not scheduled");
        }
        self.wake_health_worker();
        Ok(connection)
    }

    async fn insert_connection(
        &self,
        caller: &Caller,
        (draft, id): (ConnectionDraft, Option<AscendingId>),
        complete: impl Fn(&Connection) -> Option<store::Completion> + Send + Sync,
    ) -> Result<Connection, Error> {
        let account = &caller.account_id;
        // Saves the requests to Vimeo. The write checks the name again.
        if self.is_verifying()
            && let name = draft.name.unique_part()
            && self.store.find_connection_id_by_name(account, name).await?.is_some()
        {
            return Err(Error::ConnectionNameExists);
        }
        let limit = caller.limits.connections;
        let place = self.usage.reserve(&*self.store, account, Counted::Connections, limit).await?;
        place.settle(self.insert_new_connection(caller, (draft, id), complete).await)
    }

    /// Verifies, seals and stores a connection whose name was free.
    async fn insert_new_connection(
        &self,
        caller: &Caller,
        (draft, id): (ConnectionDraft, Option<AscendingId>),
        complete: impl Fn(&Connection) -> Option<store::Completion> + Send + Sync,
    ) -> Result<Connection, Error> {
        let account = &caller.account_id;
        let verified = self.verify(caller, &draft.credentials).await?;
        let id = id.unwrap_or_else(|| self.next_id());
        let created_at = id.at();
        let connection = Connection {
            id: id.into_connection_id(),
            account_id: account.clone(),
            name: draft.name,
            description: draft.description,
            availability: draft.availability,
            client_identifier: draft.credentials.client_identifier,
            created_at,
            updated_at: created_at,
            version: FIRST_VERSION,
            sealed_version: FIRST_VERSION,
        };
        let secrets = SecretCredentials {
            client_secret: draft.credentials.client_secret,
            access_token: draft.credentials.access_token,
        };
        let sealed = self.account_key(account).await?.seal_credentials(
            associated_data(&connection),
            &secrets,
            &self.randomness,
        )?;
        let subject = Some(connection.id.to_string());
        let event = self.audit_event(account, caller.actor.clone(), Action::CreateConnection, subject);
        let event = self.announce(event, EventType::ConnectionCreated, EventData::Connection(&connection));
        let completion = complete(&connection);
        let health = self.new_health(verified, created_at);
        let new = NewConnection { connection: connection.clone(), sealed, health, event, completion };
        self.announced(self.store.insert_connection(account, new).await).map_err(of_connection)?;
        Ok(connection)
    }

    /// One of the caller's connections, without its secrets.
    pub async fn find_connection(&self, caller: &Caller, id: &ConnectionId) -> Result<Connection, Error> {
        self.store.find_connection(&caller.account_id, id).await?.ok_or(Error::ConnectionNotFound)
    }

    /// The caller's connection of this name, if there is one.
    pub async fn find_connection_by_name(
        &self,
        caller: &Caller,
        name: &ConnectionName,
    ) -> Result<Option<Connection>, Error> {
        let account = &caller.account_id;
        let Some(id) = self.store.find_connection_id_by_name(account, name.unique_part()).await? else {
            return Ok(None);
        };
        let found = self.store.find_connection(account, &id).await?;
        // If it was renamed between the two reads, no connection has the name.
        Ok(found.filter(|found| found.name.unique_part() == name.unique_part()))
    }

    /// The caller's connections that follow `after`, oldest first.
    pub async fn list_connections(
        &self,
        caller: &Caller,
        after: Option<&ConnectionId>,
        limit: PageLimit,
    ) -> Result<ConnectionPage, Error> {
        let account = &caller.account_id;
        // One more than the page, to see whether there is a next one.
        let items = self.store.list_connections(account, after, limit.as_u32() + 1).await?;
        Ok(self.connection_page(account, items, limit))
    }

    /// A page of `items`, of which there is one more if there is a next page.
    pub(crate) fn connection_page(
        &self,
        account: &AccountId,
        mut items: Vec<Connection>,
        limit: PageLimit,
    ) -> ConnectionPage {
        let is_last = items.len() <= limit.as_u32() as usize;
        items.truncate(limit.as_u32() as usize);
        let last = items.last().filter(|_| !is_last);
        let next = last.map(|last| self.service_keys().encode_page_key(account, &last.id));
        ConnectionPage { items, next }
    }

    /// Decodes a page key; `None` if it was not issued to this account.
    pub fn read_page_key(&self, caller: &Caller, bytes: &[u8]) -> Option<ConnectionId> {
        self.service_keys().decode_page_key(&caller.account_id, bytes)
    }

    /// Updates a connection, if it still has the expected version. If a credential changes, all three are verified together
    /// first.
    pub async fn update_connection(
        &self,
        caller: &Caller,
        id: &str,
        change: ConnectionChange,
    ) -> Result<Connection, Error> {
        // No connection has a malformed ID.
        let id = ConnectionId::parse(id);
        let updated = match &id {
            Some(id) => self.try_update_connection(caller, id, change).await,
            None => Err(Error::ConnectionNotFound),
        };
        self.audited(caller, Action::UpdateConnection, id.map(|id| id.to_string()), updated).await
    }

    async fn try_update_connection(
        &self,
        caller: &Caller,
        id: &ConnectionId,
        change: ConnectionChange,
    ) -> Result<Connection, Error> {
        let account = &caller.account_id;
        let (before, sealed) =
            self.store.find_sealed_connection(account, id).await?.ok_or(Error::ConnectionNotFound)?;
        if before.version != change.expected_version {
            return Err(Error::VersionConflict { current: before.version });
        }
        if let Some(name) = &change.name
            && let Some(holder) = self.store.find_connection_id_by_name(account, name.unique_part()).await?
            && holder != *id
        {
            return Err(Error::ConnectionNameExists);
        }
        let Replacement { sealing: replaced, verified } =
            self.replace_credentials(caller, &before, &sealed, &change).await?;
        let mut connection = apply(&before, change, self.clock.now());
        let mut resealed = None;
        if let Some((key, secrets)) = replaced {
            connection.sealed_version = connection.version;
            resealed =
                Some(key.seal_credentials(associated_data(&connection), &secrets, &self.randomness)?);
        }
        let actor = caller.actor.clone();
        let event = self.audit_event(account, actor, Action::UpdateConnection, Some(id.to_string()));
        let event = self.announce(event, EventType::ConnectionUpdated, EventData::Connection(&connection));
        let update = ConnectionUpdate {
            expected_version: before.version,
            connection: connection.clone(),
            resealed,
            event,
        };
        if verified.is_some() || before.availability != connection.availability {
            self.schedule_check(account, id).await?;
        }
        match self.announced(self.store.update_connection(account, update).await) {
            Ok(()) => {
                self.renew_health(&connection, verified).await;
                if before.availability == Availability::Disabled {
                    self.wake_uploads(&connection).await;
                }
                Ok(connection)
            }
            Err(error) => Err(of_connection(error)),
        }
    }

    /// Verifies the three credentials as they will be, if one of them changes. They must be sealed again if a secret or the
    /// availability changes. If nothing changes, nothing is decrypted or verified.
    async fn replace_credentials(
        &self,
        caller: &Caller,
        before: &Connection,
        sealed: &SealedCredentials,
        change: &ConnectionChange,
    ) -> Result<Replacement, Error> {
        let new_identifier =
            change.client_identifier.as_ref().filter(|identifier| **identifier != before.client_identifier);
        let is_toggled = change.availability.is_some_and(|availability| availability != before.availability);
        let is_unchanged =
            new_identifier.is_none() && change.client_secret.is_none() && change.access_token.is_none();
        if is_unchanged && !is_toggled {
            return Ok(Replacement::default());
        }
        let key = self.account_key(&before.account_id).await?;
        let old = open_credentials(&key, before, sealed);
        if old.is_err() && was_enabled_in_database(&key, before, sealed) {
            return Err(Error::Internal("the row of a connection does not verify".into()));
        }
        if is_unchanged {
            // The associated data includes the availability. Secrets that do not decrypt are not sealed as enabled.
            return Ok(Replacement { sealing: old.ok().map(|old| (key, old)), verified: None });
        }
        let secrets = match (&change.client_secret, &change.access_token) {
            // Both are replaced, so the old ones need not decrypt.
            (Some(client_secret), Some(access_token)) => {
                SecretCredentials { client_secret: client_secret.clone(), access_token: access_token.clone() }
            }
            (client_secret, access_token) => {
                let old = old.clone()?;
                SecretCredentials {
                    client_secret: client_secret.clone().unwrap_or(old.client_secret),
                    access_token: access_token.clone().unwrap_or(old.access_token),
                }
            }
        };
        let is_resealed = !old.is_ok_and(|old| old.is_same(&secrets));
        if !is_resealed && new_identifier.is_none() {
            return Ok(Replacement { sealing: is_toggled.then_some((key, secrets)), verified: None });
        }
        let credentials = Credentials {
            client_identifier: new_identifier.unwrap_or(&before.client_identifier).clone(),
            client_secret: secrets.client_secret.clone(),
            access_token: secrets.access_token.clone(),
        };
        let verified = Some(self.verify(caller, &credentials).await?);
        Ok(Replacement { sealing: (is_resealed || is_toggled).then_some((key, secrets)), verified })
    }

    /// Deletes a connection and wipes its sealing key. Deleting one that does not exist has no effect.
    pub async fn delete_connection(&self, caller: &Caller, id: &ConnectionId) -> Result<(), Error> {
        let account = &caller.account_id;
        let subject = Some(id.to_string());
        let mut event = self.audit_event(account, caller.actor.clone(), Action::DeleteConnection, subject);
        // One that does not exist is not announced either.
        if let Some(connection) = self.store.find_connection(account, id).await? {
            let data = EventData::Connection(&connection);
            event = self.announce(event, EventType::ConnectionDeleted, data);
        }
        Ok(self.announced(self.store.delete_connection(account, id, &event).await).map(drop)?)
    }

    /// Compares a draft's credentials with those of the stored connection of the same name; `None` if there is none.
    pub async fn compare_credentials(
        &self,
        caller: &Caller,
        draft: &ConnectionDraft,
    ) -> Result<Option<SameCredentials>, Error> {
        let account = &caller.account_id;
        let name = draft.name.unique_part();
        let Some(id) = self.store.find_connection_id_by_name(account, name).await? else { return Ok(None) };
        let Some((stored, sealed)) = self.store.find_sealed_connection(account, &id).await? else {
            return Ok(None);
        };
        let secrets = open_credentials(&self.account_key(account).await?, &stored, &sealed)?;
        let is_same = stored.client_identifier == draft.credentials.client_identifier
            && secrets.client_secret.is_same(&draft.credentials.client_secret)
            && secrets.access_token.is_same(&draft.credentials.access_token);
        Ok(Some(if is_same { SameCredentials::Yes(stored) } else { SameCredentials::No(stored) }))
    }
}

/// What an update does to the credentials.
#[derive(Default)]
struct Replacement {
    /// The secrets to seal, and the key to seal them with.
    sealing: Option<(AccountKey, SecretCredentials)>,
    /// What Vimeo said of the new credentials, if one of them changes.
    verified: Option<Verified>,
}

/// The connection after a change.
fn apply(before: &Connection, change: ConnectionChange, now: Timestamp) -> Connection {
    let before = before.clone();
    Connection {
        name: change.name.unwrap_or(before.name),
        description: match change.description {
            DescriptionChange::Keep => before.description,
            DescriptionChange::Clear => None,
            DescriptionChange::Replace(description) => Some(description),
        },
        availability: change.availability.unwrap_or(before.availability),
        client_identifier: change.client_identifier.unwrap_or(before.client_identifier),
        // Each update advances it by at least a millisecond, the precision that clients see, even if the clock went back.
        updated_at: now.max(before.updated_at.next_milli()),
        version: before.version + 1,
        ..before
    }
}

/// Converts an error of a write to a connection.
fn of_connection(error: store::Error) -> Error {
    match error {
        store::Error::NameTaken => Error::ConnectionNameExists,
        store::Error::NotFound => Error::ConnectionNotFound,
        other => other.into(),
    }
}
