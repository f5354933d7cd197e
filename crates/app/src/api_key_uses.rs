//! When API keys were last used, to the hour. A request writes nothing: uses are collected in memory when a key is read from
//! the database, and stored in the background.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::id::ApiKeyId;
use domain::time::Timestamp;
use store::ApiKeyUse;

use crate::{App, Error};

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;
/// Keys stored in one transaction.
const BATCH: usize = 500;

/// The hour in which each key was last used, of the keys that were used recently.
#[derive(Default)]
pub(crate) struct ApiKeyUses(Mutex<HashMap<ApiKeyId, Used>>);

struct Used {
    hour: Timestamp,
    is_stored: bool,
}

impl ApiKeyUses {
    /// A key was used at this instant.
    pub(crate) fn record(&self, id: &ApiKeyId, at: Timestamp) {
        let hour = hour_of(at);
        let mut uses = self.uses();
        if uses.get(id).is_none_or(|last| last.hour < hour) {
            uses.insert(id.clone(), Used { hour, is_stored: false });
        }
    }

    /// The uses that are not stored yet, by key: transactions lock rows in this order.
    fn pending(&self) -> Vec<ApiKeyUse> {
        let uses = self.uses();
        let unstored = uses.iter().filter(|(_, used)| !used.is_stored);
        let mut pending: Vec<_> =
            unstored.map(|(id, used)| ApiKeyUse { key_id: id.clone(), hour: used.hour }).collect();
        pending.sort_by(|one, other| one.key_id.cmp(&other.key_id));
        pending
    }

    /// Marks uses as stored, and forgets those of earlier hours.
    fn mark_stored(&self, stored: &[ApiKeyUse], now: Timestamp) {
        let this_hour = hour_of(now);
        let mut uses = self.uses();
        for ApiKeyUse { key_id, hour } in stored {
            if let Some(used) = uses.get_mut(key_id).filter(|used| used.hour == *hour) {
                used.is_stored = true;
            }
        }
        uses.retain(|_, used| !used.is_stored || used.hour >= this_hour);
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<ApiKeyId, Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Stores when keys were last used. What fails is stored by the next call.
    pub async fn store_api_key_uses(&self) -> Result<(), Error> {
        for batch in self.api_key_uses.pending().chunks(BATCH) {
            self.store.update_api_key_uses(batch).await?;
            self.api_key_uses.mark_stored(batch, self.clock.now());
        }
        Ok(())
    }
}

fn hour_of(at: Timestamp) -> Timestamp {
    let micros = at.as_micros();
    Timestamp::from_micros(micros - micros.rem_euclid(HOUR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64, micros: i64) -> Timestamp {
        Timestamp::from_micros(hours * HOUR + micros)
    }

    fn use_of(id: &ApiKeyId, hours: i64) -> ApiKeyUse {
        ApiKeyUse { key_id: id.clone(), hour: at(hours, 0) }
    }

    #[test]
    fn each_hour_of_a_key_is_pending_once_until_it_is_stored() {
        let uses = ApiKeyUses::default();
        let (one, two) = (ApiKeyId::from_stored("a".into()), ApiKeyId::from_stored("b".into()));
        uses.record(&two, at(7, 5));
        uses.record(&one, at(7, HOUR - 1));
        uses.record(&one, at(6, 0));
        assert_eq!(uses.pending(), [use_of(&one, 7), use_of(&two, 7)]);
        assert_eq!(uses.pending().len(), 2, "it was not stored");
        uses.mark_stored(&[use_of(&one, 7)], at(7, 9));
        assert_eq!(uses.pending(), [use_of(&two, 7)]);
        uses.record(&one, at(7, 99));
        assert_eq!(uses.pending(), [use_of(&two, 7)], "its hour is stored");
        uses.record(&one, at(8, 0));
        uses.record(&two, at(8, 0));
        uses.mark_stored(&[use_of(&two, 7)], at(8, 0));
        assert_eq!(
            uses.pending(),
            [use_of(&one, 8), use_of(&two, 8)],
            "used again while it was being stored"
        );
        uses.mark_stored(&uses.pending(), at(9, 0));
        assert!(uses.uses().is_empty(), "stored hours of the past are forgotten");
    }
}
