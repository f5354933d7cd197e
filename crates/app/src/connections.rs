//! Connections: creating one, finding one.

use domain::audit::Action;
use domain::connection::{Connection, ConnectionDraft, Credentials, SecretCredentials};
use domain::id::{AccountId, ConnectionId};
use seal::envelope::{AccountKey, SealedFor};
use vimeo::{Trouble, Unverified};

use crate::{App, Caller, Error, Verification};

/// When to ask again if Vimeo did not say.
const VIMEO_RETRY_SECONDS: u64 = 10;
/// The longest wait that is asked of a client, whatever Vimeo says.
const VIMEO_RETRY_MAX_SECONDS: u64 = 3_600;
/// A connection's first version.
const FIRST_VERSION: u64 = 1;

impl App {
    /// Checks the credentials, seals them, and keeps the connection.
    ///
    /// Dropping the future before the write stops the work, and nothing is stored.
    pub async fn create_connection(
        &self,
        caller: &Caller,
        draft: ConnectionDraft,
    ) -> Result<Connection, Error> {
        match self.try_create_connection(caller, draft).await {
            Ok(connection) => Ok(connection),
            Err(error) => Err(self.audit_refusal(caller, Action::CreateConnection, error).await),
        }
    }

    async fn try_create_connection(
        &self,
        caller: &Caller,
        draft: ConnectionDraft,
    ) -> Result<Connection, Error> {
        let account = &caller.account_id;
        let name = draft.name.unique_part();
        if self.store.find_connection_id_by_name(account, name).await?.is_some() {
            return Err(Error::ConnectionNameExists);
        }
        self.verify(&draft.credentials).await?;
        let id = self.next_id();
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
        let sealed_for = SealedFor { connection: &connection.id, sealed_version: connection.sealed_version };
        let sealed =
            self.account_key(account).await?.seal_credentials(sealed_for, &secrets, &self.randomness)?;
        let subject = Some(connection.id.to_string());
        let event = self.done(account, caller.actor(), Action::CreateConnection, subject);
        match self.store.insert_connection(account, &connection, &sealed, &event).await {
            Ok(()) => Ok(connection),
            Err(store::Error::NameTaken) => Err(Error::ConnectionNameExists),
            Err(error) => Err(error.into()),
        }
    }

    /// One of the caller's connections, without its secrets.
    pub async fn find_connection(&self, caller: &Caller, id: &ConnectionId) -> Result<Connection, Error> {
        self.store.find_connection(&caller.account_id, id).await?.ok_or(Error::ConnectionNotFound)
    }

    /// Asks Vimeo about credentials, as the configuration says.
    async fn verify(&self, credentials: &Credentials) -> Result<(), Error> {
        let Verification::Required { client, requirements } = &self.verification else { return Ok(()) };
        match client.verify(credentials, requirements).await {
            Ok(()) => Ok(()),
            Err(Unverified::Rejected(findings)) => Err(Error::CredentialsRejected(findings)),
            Err(Unverified::Unknown(trouble)) => {
                tracing::warn!(
                    %trouble,
                    "Vimeo could not be asked, so a connection was not stored; \
                     with vimeo.verification = \"off\" connections are stored unchecked"
                );
                Err(Error::VimeoUnavailable { retry_after_seconds: self.seconds_until(&trouble) })
            }
        }
    }

    fn seconds_until(&self, trouble: &Trouble) -> u64 {
        let Trouble::Limiting { not_before: Some(not_before) } = trouble else { return VIMEO_RETRY_SECONDS };
        not_before.seconds_after(self.clock.now()).clamp(1, VIMEO_RETRY_MAX_SECONDS)
    }

    pub(crate) async fn account_key(&self, account: &AccountId) -> Result<AccountKey, Error> {
        // The account was there when its key was checked; accounts do not go away under a request.
        let account = self.store.find_account(account).await?.ok_or(Error::Unauthorized)?;
        Ok(self.keyring.open_account_key(&account.id, &account.key)?)
    }
}
