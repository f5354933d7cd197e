//! The key in a keyring file, and what is computed with it.

use std::fs;
use std::path::Path;

use domain::account::Label;
use domain::api_key::{ApiKey, HashedKey};
use domain::id::{AccountId, ApiKeyId};
use domain::secret::{KeyringWrapped, WrappedKey};
use domain::service_secrets::ServiceSecrets;
use domain::time::Timestamp;
use rusqlite::{Connection, params};
use seal::keyring::Keyring;
use seal::service::ServiceKeys;

/// The base64 of the only key in the keyring file.
pub(crate) fn keyring_key(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join("vimeo-connections.keyring")).unwrap();
    text.rsplit('"').nth(1).unwrap().to_owned()
}

/// The keys that the service derives from the secret in its database.
fn service_keys(directory: &Path, database: &Connection) -> ServiceKeys {
    let keyring = Keyring::from_value(&keyring_key(directory)).unwrap();
    let sql = "SELECT wrapped_key FROM service_secrets";
    let wrapped: Vec<u8> = database.query_row(sql, [], |row| row.get(0)).unwrap();
    let keyring_key = keyring.primary_id().clone();
    let wrapped = WrappedKey(wrapped.try_into().unwrap());
    let secrets = ServiceSecrets::of(KeyringWrapped { keyring_key, wrapped });
    keyring.open_service_secrets(&secrets).unwrap()
}

/// Makes every API key one of a version before scopes existed: without them, and with a MAC that does not cover them.
pub(crate) fn remove_scopes(directory: &Path, database: &Connection) {
    let keys = service_keys(directory, database);
    let sql = "SELECT api_key_id, account_id, name, last_four, created_at, expires_at, revoked_at, key_hash FROM api_keys";
    let mut statement = database.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        let key = ApiKey {
            id: ApiKeyId::from_stored(row.get(0)?),
            account_id: AccountId::from_stored(row.get(1)?),
            name: Label::from_stored(row.get(2)?),
            last_four: row.get(3)?,
            created_at: Timestamp::from_micros(row.get(4)?),
            expires_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
            revoked_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_micros),
            grant: None,
            last_used_at: None,
        };
        Ok((key, HashedKey(row.get(7)?)))
    };
    let rows: Vec<_> = statement.query_map([], read).unwrap().collect::<rusqlite::Result<_>>().unwrap();
    for (key, hash) in rows {
        let update =
            "UPDATE api_keys SET scopes = NULL, created_by = NULL, rotated_from = NULL, last_used_at = NULL,
            row_mac = ?1 WHERE api_key_id = ?2";
        database.execute(update, params![keys.mac_api_key(&key, &hash).0, key.id.as_str()]).unwrap();
    }
}
