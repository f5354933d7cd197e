//! What every engine must do. `contract_suite!` runs each case on each engine, on a database of its own, on which the case can
//! open the store again. And what is true of a migration from one engine to the other.

mod account_cases;
mod alike_jobs;
mod basic_cases;
mod batch_cases;
mod cases_job_secrets;
mod cases_jobs;
mod catalogs;
mod connection_cases;
mod differential;
mod engine_migration_copy_cases;
mod engine_migration_mark_cases;
mod engine_migration_samples;
mod idempotency_cases;
pub(crate) mod job_samples;
mod node_cases;
pub(crate) mod samples;
pub(crate) mod test_database;

pub(crate) use test_database::TestDatabase;

macro_rules! contract_suite {
    ($($file:ident { $($case:ident,)+ })+) => {
        contract_suite! { @engine sqlite: $($file { $($case,)+ })+ }
        contract_suite! { @engine postgres_15: $($file { $($case,)+ })+ }
        contract_suite! { @engine postgres_18: $($file { $($case,)+ })+ }
        contract_suite! { @engine pgbouncer_session: $($file { $($case,)+ })+ }
        contract_suite! { @engine pgbouncer_transaction: $($file { $($case,)+ })+ }
    };
    (@engine $engine:ident: $($file:ident { $($case:ident,)+ })+) => {
        mod $engine {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(db) = super::test_database::$engine().await {
                        super::$file::$case(&db).await;
                    }
                }
            )+)+
        }
    };
}

contract_suite! {
    basic_cases {
        an_account_is_found_by_id_and_by_name,
        two_accounts_cannot_share_a_name,
        a_key_is_found_by_its_hash_and_listed_under_its_account,
        a_key_is_imported_once,
        a_revocation_needs_the_mac_that_was_read,
        a_connection_is_found_by_its_account_alone,
        a_name_is_taken_once_in_an_account_and_free_in_another,
        a_revoked_or_expired_key_writes_no_connection,
        a_refused_write_writes_nothing_and_affects_no_other,
        every_write_adds_its_audit_event,
        identifiers_are_listed_in_order_and_within_the_account,
        the_first_keyring_and_the_first_service_secret_are_kept,
        what_was_acknowledged_is_there_after_reopening,
        a_full_queue_refuses_writes,
        a_closed_store_refuses_writes,
        a_withdrawn_write_leaves_the_store_consistent,
    }
    batch_cases {
        a_refused_insertion_affects_no_other_at_any_position,
        a_refused_deletion_affects_no_other_at_any_position,
        writes_of_several_accounts_do_not_conflict,
    }
    idempotency_cases {
        a_key_is_reserved_once_while_the_request_runs,
        an_expired_reservation_is_taken_over_even_by_another_body,
        a_response_is_stored_for_a_day,
        a_released_key_is_free_at_once_and_its_attempts_count_up,
        a_deleted_account_reserves_and_adds_nothing,
        an_attempt_that_lost_its_key_writes_nothing,
        a_completed_attempt_writes_nothing_more,
        a_refused_write_completes_nothing,
        a_release_of_a_lost_or_completed_reservation_changes_nothing,
        a_key_belongs_to_its_account,
        the_sweep_deletes_exactly_the_ended_records_in_parts,
        one_of_many_concurrent_requests_gets_a_key,
    }
    cases_jobs {
        every_job_is_read_back_as_it_was_stored,
        a_job_is_refused_where_a_connection_or_a_right_is_missing,
        a_request_is_completed_with_its_job_and_its_repetition_is_answered,
        a_settlement_completes_a_request_or_writes_nothing,
        jobs_are_due_in_turns_of_their_accounts,
        a_job_has_one_lease_at_a_time_and_a_fence_that_grows,
        a_job_that_is_held_from_its_beginning_is_found_when_that_is_over,
        no_more_run_than_an_account_and_a_connection_may,
        a_renewal_keeps_the_lease_and_what_was_sent,
        many_renewals_are_answered_each_by_itself,
        who_lost_the_lease_settles_nothing,
        a_settlement_says_when_the_job_is_due_and_who_holds_it,
        a_settlement_of_a_version_takes_the_lease_from_its_holder,
        what_waits_for_its_webhook_is_due_though_it_is_over,
        jobs_are_listed_from_the_newest_on_and_by_connection,
        uploads_and_webhooks_are_leased_apart,
    }
    cases_job_secrets {
        a_sealed_part_is_replaced_or_wiped_with_its_key,
        the_jobs_of_a_deleted_connection_are_marked_unless_they_have_ended,
        a_refused_or_vain_deletion_leaves_the_jobs_as_they_are,
        no_job_runs_on_through_a_connection_that_is_deleted_meanwhile,
        the_jobs_and_secrets_of_a_deleted_account_go_with_it,
        a_webhook_secret_is_good_beside_the_next_one_for_a_while,
        a_part_that_is_kept_outlives_every_change,
        an_answer_that_is_kept_for_repetitions_goes_with_its_link,
        a_kept_answer_goes_with_its_connection_or_its_account,
    }
    account_cases {
        the_deletion_of_an_account_runs_in_parts_and_can_be_resumed,
        an_account_that_is_being_deleted_accepts_no_connections,
        the_deletion_of_an_account_affects_no_other,
    }
    connection_cases {
        an_update_replaces_its_fields_and_keeps_the_credentials,
        an_update_with_new_credentials_replaces_them,
        an_update_may_keep_its_name_or_take_a_free_one,
        a_refused_update_changes_nothing,
        a_refused_update_affects_no_other_at_any_position,
        one_of_many_updates_of_a_version_succeeds,
        a_deleted_connection_is_absent_and_its_name_is_free,
        a_deletion_affects_no_other_account,
        a_revoked_key_deletes_nothing,
        a_page_continues_after_the_last_one,
        a_page_has_the_connections_of_one_account_alone,
    }
    node_cases {
        two_nodes_that_insert_the_same_names_insert_each_once,
        two_nodes_that_update_the_same_rows_update_each_once,
        one_of_two_nodes_gets_an_idempotency_key,
        a_node_sees_the_writes_of_another_at_once,
        one_of_many_first_keyrings_is_kept,
        two_nodes_lease_each_job_once_and_within_the_limits,
    }
}
