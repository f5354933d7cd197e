//! What every engine must do. `contract_suite!` runs each case on one engine; an engine is a function that opens a
//! store on a place of its own, and opens the same place again.

mod cases;
pub(crate) mod samples;

use std::sync::Arc;

use crate::{Migrations, Options, Store};

/// A place for one case's data, and how to open a store on it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("contract.db")
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        self.open_with_queue(4096).await
    }

    pub(crate) async fn open_with_queue(&self, queue: usize) -> Arc<dyn Store> {
        let options = Options {
            database_url: format!("sqlite:{}", self.path().display()),
            queue,
            migrations: Migrations::Apply,
            now: samples::at(0),
        };
        crate::open(options).await.unwrap()
    }
}

macro_rules! contract_suite {
    ($engine:ident: $($case:ident,)+) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let place = super::Place::$engine();
                    super::cases::$case(&place).await;
                }
            )+
        }
    };
}

contract_suite! { sqlite:
    an_account_is_found_by_id_and_by_name,
    two_accounts_cannot_share_a_name,
    a_key_is_found_by_its_hash_and_listed_under_its_account,
    a_key_is_imported_once,
    a_revocation_needs_the_proof_that_was_read,
    a_connection_is_found_by_its_account_alone,
    a_name_is_taken_once_in_an_account_and_free_in_another,
    a_revoked_or_expired_key_writes_no_connection,
    a_refusal_writes_nothing_and_disturbs_no_neighbour,
    every_fact_brings_its_audit_event,
    identifiers_are_walked_in_order_and_within_the_account,
    the_first_service_secret_stays,
    what_was_acknowledged_is_there_after_reopening,
    a_full_queue_turns_writes_away,
    a_closed_store_refuses_writes,
    a_withdrawn_write_is_not_done,
}
