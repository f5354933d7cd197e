//! The contract of the engines. `contract_suite!` runs each case on each engine, with a new database that the case may open
//! repeatedly. Also the cases of migrations between the engines.

mod account_cases;
mod api_key_cases;
mod audit_cases;
mod authorization_cases;
pub(crate) mod authorization_samples;
mod basic_cases;
mod batch_cases;
mod catalogs;
mod connection_cases;
mod differential;
mod differential_audit;
mod differential_authorizations;
mod differential_jobs;
mod differential_keys;
mod differential_webhooks;
mod engine_migration_copy_cases;
mod engine_migration_mark_cases;
mod engine_migration_samples;
mod export_cases;
mod health_cases;
mod idempotency_cases;
mod job_answer_cases;
mod job_cases;
mod job_count_cases;
mod job_filter_cases;
mod job_lease_cases;
pub(crate) mod job_samples;
mod job_secret_cases;
mod key_rotation_cases;
mod limit_cases;
mod node_cases;
mod publication_cases;
mod retention_cases;
pub(crate) mod samples;
mod service_secret_cases;
mod session_cases;
pub(crate) mod test_database;
mod webhook_cases;
mod webhook_endpoint_cases;
pub(crate) mod webhook_samples;

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
        acknowledged_writes_survive_reopening,
        a_full_queue_refuses_writes,
        a_closed_store_refuses_writes,
        a_withdrawn_write_leaves_the_store_consistent,
    }
    batch_cases {
        a_refused_insertion_affects_no_other_at_any_position,
        a_refused_deletion_affects_no_other_at_any_position,
        writes_of_several_accounts_do_not_conflict,
    }
    api_key_cases {
        scopes_creator_and_rotated_key_are_read_back_as_stored,
        a_revoked_or_expired_key_creates_and_changes_no_key,
        a_rotation_adds_the_successor_with_the_change_or_not_at_all,
        the_last_key_that_manages_keys_is_kept_where_that_is_required,
        of_keys_revoked_at_once_one_that_manages_keys_is_kept,
        the_last_use_of_a_key_is_kept_to_the_latest,
        a_page_of_keys_continues_after_the_last_one,
        a_key_is_inspected_in_a_database_without_scopes,
    }
    health_cases {
        a_new_connection_has_the_health_that_it_was_added_with,
        a_health_is_written_once_with_its_events,
        a_result_for_other_credentials_is_not_written,
        a_check_is_leased_once_until_its_lease_ends,
        due_checks_are_listed_by_account,
        connections_are_listed_and_counted_by_their_health,
        the_health_of_several_connections_is_read_at_once,
        the_health_is_deleted_with_the_connection,
        a_missing_health_is_added,
        an_orphaned_health_is_deleted,
        a_check_that_was_made_due_meanwhile_stays_due,
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
    job_cases {
        a_job_and_its_mac_are_read_together,
        every_job_is_read_back_as_it_was_stored,
        an_insert_without_its_connection_key_or_reservation_is_refused,
        an_idempotent_request_is_completed_with_its_job,
        an_update_completes_a_request_or_writes_nothing,
        due_jobs_alternate_between_accounts_and_connections,
        an_ended_job_with_an_undelivered_webhook_is_due,
        jobs_are_listed_newest_first_and_by_connection,
    }
    job_filter_cases {
        jobs_are_filtered_by_the_status_and_phase_that_clients_see,
        jobs_are_filtered_by_when_they_were_created,
        the_newest_jobs_are_counted_by_status,
    }
    job_count_cases {
        open_jobs_are_counted_by_state_reason_and_lease,
    }
    job_lease_cases {
        a_job_has_one_lease_at_a_time_and_its_fence_increases,
        a_due_job_is_found_by_its_identifier,
        a_job_inserted_with_a_lease_is_due_when_the_lease_expires,
        leases_are_limited_per_account_and_per_connection,
        a_renewal_extends_the_lease_and_stores_the_progress,
        a_batch_of_renewals_returns_a_result_for_each,
        an_update_without_the_lease_writes_nothing,
        an_update_sets_the_lease_and_when_the_job_is_due,
        uploads_of_a_connection_are_put_off_by_whether_they_have_started,
        an_update_by_version_revokes_the_lease,
        uploads_and_webhooks_have_separate_lease_limits,
    }
    publication_cases {
        a_publication_is_due_at_its_time_and_is_no_upload,
        a_publication_is_leased_beside_any_number_of_uploads,
        a_publication_is_woken_moved_and_ended_with_its_connection,
    }
    job_secret_cases {
        a_sealed_part_is_replaced_or_wiped_with_its_key,
        the_jobs_of_a_deleted_connection_are_marked_unless_they_have_ended,
        a_deletion_that_is_refused_or_finds_nothing_leaves_jobs_unchanged,
        a_concurrent_deletion_of_the_connection_refuses_or_marks_each_new_job,
        deleting_an_account_deletes_its_jobs_and_secrets,
        a_replaced_webhook_secret_is_listed_until_its_overlap_ends,
        kept_sealed_parts_survive_updates,
    }
    job_answer_cases {
        a_stored_response_is_wiped_with_its_link,
        a_stored_response_is_deleted_with_its_connection_or_account,
    }
    export_cases {
        every_idempotency_record_of_an_account_is_on_one_page,
        the_dates_of_all_webhook_secrets_are_listed,
    }
    retention_cases {
        a_sweep_has_one_lease_at_a_time_and_its_fence_increases,
        ended_jobs_are_deleted_in_pieces_when_they_are_old_enough,
        a_kept_request_is_wiped_when_it_is_old_enough,
        a_kept_request_is_wiped_with_its_connection_or_account,
        nothing_is_kept_for_a_retry_without_the_connection,
        a_job_is_retried_once,
        two_nodes_that_sweep_at_once_delete_each_job_once,
    }
    account_cases {
        the_deletion_of_an_account_runs_in_parts_and_can_be_resumed,
        an_account_that_is_being_deleted_accepts_no_connections,
        the_deletion_of_an_account_affects_no_other,
    }
    webhook_endpoint_cases {
        an_endpoint_is_found_by_its_account_and_listed_in_order,
        an_endpoint_is_replaced_in_the_expected_version_alone,
        an_update_keeps_or_clears_since_when_an_endpoint_fails,
        a_revoked_key_changes_no_endpoint,
        an_idempotent_request_is_completed_with_its_endpoint,
        deleting_an_account_deletes_its_endpoints_and_deliveries,
    }
    webhook_cases {
        an_event_is_delivered_to_each_endpoint_that_receives_its_type,
        an_announcement_reaches_its_audience_and_the_operator,
        due_deliveries_alternate_between_receivers,
        a_delivery_has_one_lease_and_its_result_is_stored,
        deliveries_are_listed_newest_first_and_filtered,
        a_delivery_is_made_again_while_its_endpoint_is_enabled,
        the_webhook_of_a_job_becomes_a_delivery_whose_secrets_are_wiped,
        ended_deliveries_are_deleted_when_they_are_old_enough,
    }
    session_cases {
        a_session_is_found_by_its_account_as_it_was_stored,
        a_session_changes_once_from_the_row_that_was_read,
        a_person_writes_only_while_their_key_is_active,
        expired_sessions_are_deleted_and_those_of_an_account_with_it,
    }
    authorization_cases {
        an_authorization_is_found_by_its_account_and_its_tokens,
        each_step_is_taken_once,
        a_secret_is_wiped_when_its_authorization_ends,
        overdue_authorizations_of_all_accounts_are_listed,
        open_authorizations_of_an_account_are_listed,
        a_revoked_key_adds_no_authorization,
        an_idempotent_request_is_completed_with_its_authorization,
        ended_authorizations_are_deleted_when_they_are_old_enough,
        deleting_an_account_deletes_its_authorizations,
    }
    key_rotation_cases {
        a_keyring_key_becomes_active_with_the_service_secret,
        account_keys_are_rewrapped_unless_they_have_changed,
        a_keyring_key_is_deleted_only_when_nothing_needs_it,
        the_keys_of_an_account_change_with_the_event_or_not_at_all,
        sealing_keys_of_every_kind_are_listed_and_replaced,
    }
    service_secret_cases {
        service_secrets_change_if_they_are_those_that_were_read,
        every_service_secret_needs_its_keyring_key,
        macs_of_every_kind_are_listed_and_replaced,
    }
    limit_cases {
        the_limits_of_an_account_are_set_and_reset_one_by_one,
        an_absent_account_has_no_limits,
        the_things_of_an_account_are_counted_up_to_a_maximum,
    }
    audit_cases {
        audit_events_are_filtered_and_listed_newest_first,
        a_chain_is_extended_from_the_row_that_was_read,
        old_events_are_deleted_with_their_links,
        accounts_with_events_to_link_are_found_also_deleted_ones,
        the_work_of_visiting_all_accounts_is_leased_to_one_node,
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
