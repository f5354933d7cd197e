//! What every engine must do. `contract_suite!` runs each case on one engine: on a place of its own, where it can open
//! the store again. And `moves`: from one engine to the other.

mod alike;
mod alike_jobs;
mod cases;
mod cases_batches;
mod cases_idempotency;
mod cases_job_secrets;
mod cases_jobs;
mod cases_life;
mod cases_nodes;
mod catalogs;
pub(crate) mod job_samples;
mod move_samples;
mod moves;
pub(crate) mod place;
pub(crate) mod samples;

pub(crate) use place::Place;

macro_rules! contract_suite {
    ($($file:ident { $($case:ident,)+ })+) => {
        contract_suite! { @engine sqlite: $($file { $($case,)+ })+ }
        contract_suite! { @engine postgres_15: $($file { $($case,)+ })+ }
        contract_suite! { @engine postgres_18: $($file { $($case,)+ })+ }
    };
    (@engine $engine:ident: $($file:ident { $($case:ident,)+ })+) => {
        mod $engine {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(place) = super::place::$engine().await {
                        super::$file::$case(&place).await;
                    }
                }
            )+)+
        }
    };
}

contract_suite! {
    cases {
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
    cases_batches {
        a_refused_insertion_disturbs_no_neighbour_wherever_it_stands,
        a_refused_deletion_disturbs_no_neighbour_wherever_it_stands,
        writes_of_several_accounts_do_not_meet,
    }
    cases_idempotency {
        a_key_is_reserved_once_while_the_request_runs,
        a_reservation_that_ran_out_is_taken_over_even_by_another_body,
        an_answer_is_kept_for_a_day_and_then_forgotten,
        a_released_key_is_free_at_once_and_its_attempts_go_on,
        an_account_that_is_gone_reserves_and_adds_nothing,
        an_attempt_that_lost_its_key_writes_nothing,
        a_completed_attempt_writes_nothing_more,
        a_refused_write_completes_nothing,
        a_release_of_a_lost_or_completed_reservation_changes_nothing,
        a_key_belongs_to_its_account,
        the_sweep_deletes_exactly_what_has_ended_in_parts,
        of_many_that_want_one_key_one_gets_it,
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
    cases_life {
        an_update_replaces_what_it_says_and_keeps_the_secrets,
        an_update_with_new_secrets_replaces_them_too,
        an_update_keeps_its_own_name_and_takes_a_free_one,
        an_update_is_refused_as_one_and_changes_nothing,
        a_refused_update_disturbs_no_neighbour_wherever_it_stands,
        of_many_updates_of_one_version_one_is_done,
        a_deleted_connection_is_gone_and_its_name_is_free,
        a_deletion_touches_no_other_account,
        a_revoked_key_deletes_nothing,
        pages_go_on_where_the_last_one_ended,
        a_page_holds_one_accounts_connections_alone,
        an_account_is_deleted_in_parts_and_can_be_taken_up_again,
        an_account_that_is_being_deleted_takes_no_more_connections,
        the_deletion_of_an_account_leaves_the_others_as_they_were,
    }
    cases_nodes {
        of_two_nodes_that_want_the_same_names_each_name_goes_to_one,
        of_two_nodes_that_change_the_same_rows_each_row_is_changed_by_one,
        of_two_nodes_that_reserve_one_key_one_gets_it,
        what_one_node_has_written_another_sees_at_once,
        of_many_keyrings_that_come_first_one_is_kept,
        of_two_nodes_that_lease_the_same_jobs_each_goes_to_one_and_no_more_than_may,
    }
}
