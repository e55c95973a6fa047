//! The broker's contract as tests: every broker passes the same suite, through the public traits only.
//!
//! A test is a function of a [`Bench`]: a fresh broker, a clock that the test moves, and a queue. `suite!` lists them
//! once and makes a test of each for both brokers; [`everywhere`] runs them all on each other form of Redis.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod ageing;
mod bench;
mod breaker;
mod bulk;
mod claiming;
mod depth;
mod enqueueing;
mod events;
mod everywhere;
mod fairness;
mod finishing;
mod flow;
mod leases;
mod limits;
mod operating;
mod ordered;
mod pausing;
mod rates;
mod reading;
mod recorded;
mod registry;
mod retention;
mod sweeping;
mod unique;
mod waiting;

macro_rules! suite {
    ($($area:ident { $($test:ident),* $(,)? })*) => {
        mod redis {
            $(mod $area { $(
                #[tokio::test]
                async fn $test() { crate::$area::$test(crate::bench::redis().await).await; }
            )* })*
        }
        mod sqlite {
            $(mod $area { $(
                #[tokio::test]
                async fn $test() { crate::$area::$test(crate::bench::sqlite().await).await; }
            )* })*
        }
        /// All of them, for a broker that is too dear to start for each.
        fn cases() -> Vec<everywhere::Case> {
            vec![$($(
                (concat!(stringify!($area), "::", stringify!($test)), |bench| Box::pin(crate::$area::$test(bench))),
            )*)*]
        }
    };
}

suite! {
    enqueueing {
        a_job_is_stored_byte_for_byte,
        an_id_is_made_when_none_is_given,
        the_same_id_twice_is_one_job,
        the_same_id_with_other_content_is_refused_with_the_field,
        a_bad_job_does_not_hinder_the_others,
        a_batch_over_the_limit_is_refused_whole,
        a_batch_of_too_many_bytes_is_refused_whole,
        ten_thousand_jobs_go_in_with_one_call,
        one_call_may_fill_several_queues,
        a_delay_makes_it_scheduled_and_a_past_instant_means_now,
    }
    unique {
        the_holder_is_returned,
        a_second_job_is_rejected_with_the_holder,
        a_waiting_holder_takes_the_new_content,
        a_running_holder_is_followed_by_the_new_job,
        the_key_is_free_after_the_end,
        the_key_outlives_the_end_when_held_for_its_time,
        row_22_a_key_never_outlives_its_time,
        row_22_a_held_key_is_renewed_with_the_lease,
        every_final_state_frees_the_key,
        a_job_that_lost_its_key_does_not_free_the_new_owners,
        a_debounced_job_is_due_when_nobody_has_asked_for_a_while,
        a_debounced_job_waits_no_longer_than_its_longest_wait,
        a_debounced_job_may_be_brought_forward,
        what_is_not_scheduled_any_more_is_not_put_off,
        jobs_of_one_call_debounce_each_other,
        a_debounced_job_that_changes_its_tenant_is_put_off_too,
        a_replaced_job_expires_as_the_new_one_says,
        jobs_of_one_call_replace_each_others_expiry,
        row_22_a_job_that_is_put_off_holds_its_key_until_it_is_due,
        row_22_jobs_of_one_call_that_put_off_hold_the_key,
        a_debounce_that_makes_no_sense_is_refused,
    }
    claiming {
        the_line_is_ordered_by_priority_then_age,
        a_claim_is_bounded,
        nobody_claims_a_job_twice,
        tokens_grow_with_every_claim,
        the_answer_says_when_to_come_back,
        an_expired_job_is_never_claimed,
        a_paused_queue_gives_nothing_until_it_is_resumed,
        a_pause_ends_by_itself,
    }
    finishing {
        a_completed_job_keeps_its_result,
        a_failed_attempt_waits_and_comes_back,
        a_snoozed_job_spends_no_attempt,
        a_released_job_returns_to_its_old_place,
        a_discarded_job_keeps_its_reason_and_error,
        a_cancelled_attempt_ends_cancelled,
        one_bad_item_does_not_hinder_the_others,
        row_07_an_old_attempt_cannot_finish,
        finishing_twice_counts_once,
        a_released_note_is_shown,
    }
    leases {
        row_04_a_job_may_run_for_days_while_its_lease_is_renewed,
        row_05_after_the_lease_every_write_of_the_old_run_is_refused,
        row_08_a_job_that_kills_its_workers_is_discarded_at_the_cap,
        a_lost_job_returns_to_its_old_place_without_spending_an_attempt,
        a_lost_worker_is_recorded_with_the_job,
        renew_answers_for_each_lease,
        a_lost_job_that_was_to_be_cancelled_is_cancelled,
    }
    sweeping {
        due_jobs_become_available_in_order,
        an_expired_job_is_discarded_and_says_so,
        row_02_a_promotion_conserves_every_job,
        row_03_a_crowd_of_due_jobs_is_promoted_in_slices,
        a_sweep_tells_what_is_next,
    }
    operating {
        a_waiting_job_is_cancelled_at_once,
        a_running_job_is_asked_to_stop,
        an_ended_job_is_run_afresh,
        a_scheduled_job_is_run_now,
        a_running_job_is_not_retried_nor_deleted,
        a_deleted_job_leaves_nothing,
        an_edit_changes_what_runs_next,
        an_edited_priority_moves_the_job,
        what_is_not_there_is_not_found,
        an_operator_discards_a_waiting_job,
        what_is_as_it_was_seen_is_deleted,
        what_is_not_as_it_was_seen_stays,
    }
    bulk {
        row_21_a_purge_goes_in_bounded_slices,
        a_bulk_retry_revives_the_dead,
        a_bulk_action_passes_over_what_it_may_not_touch,
    }
    reading {
        a_job_is_found_without_its_queue,
        jobs_are_looked_at_together_as_alone,
        jobs_are_answered_in_the_order_asked_each_once,
        a_look_at_too_many_jobs_is_refused,
        pages_cover_a_state_once,
        pages_pass_over_what_was_deleted,
        counts_and_the_oldest_age,
        progress_and_logs_are_kept_and_bounded,
        an_unknown_queue_is_empty,
        queues_are_listed_by_name,
    }
    events {
        every_change_tells_its_story,
        reading_resumes_after_the_cursor,
        dropped_events_are_a_gap,
    }
    retention {
        ended_jobs_go_by_age,
        ended_jobs_go_by_count_oldest_first,
    }
    recorded {
        ended_jobs_stay_until_they_are_recorded,
        jobs_beyond_the_count_stay_within_the_bound,
        events_stay_until_they_are_recorded,
        unrecorded_events_are_bounded,
        nobody_records_any_more_after_a_day,
        an_older_cursor_moves_nothing_back,
        a_cursor_of_another_past_records_nothing,
        what_people_delete_is_not_held,
        a_cursor_that_cannot_be_read_is_refused,
    }
    registry {
        a_worker_is_listed_while_it_is_heard_of,
        a_message_reaches_its_worker_once,
        row_12_leadership_changes_hands_with_a_new_term,
    }
    waiting {
        a_new_job_wakes_a_waiting_worker,
        a_waiting_worker_hears_a_cancel,
        a_wait_for_jobs_leaves_messages_alone,
        waiting_ends_when_the_time_is_over,
    }
    limits {
        no_more_run_than_there_are_slots,
        slots_are_exact_over_several_workers,
        every_way_out_frees_the_slot,
        row_23_lost_workers_give_their_slots_back,
        a_cancelled_job_keeps_its_slot_until_it_has_stopped,
        limits_are_edited_while_jobs_run,
        a_star_limits_each_for_itself,
        held_back_jobs_hinder_no_other,
        held_back_jobs_keep_their_places,
        held_back_jobs_can_be_worked_with,
        an_expired_job_that_was_held_back_is_discarded,
        a_free_slot_wakes_a_waiter,
        a_job_needs_a_slot_of_each_of_its_subjects,
    }
    ordered {
        a_key_that_is_no_longer_ordered_goes_on,
        jobs_of_an_ordered_key_run_one_after_the_other,
        an_ordered_key_waits_for_a_retry,
        an_ordered_key_waits_for_a_snooze_and_a_hand_back,
        the_end_of_a_waiting_holder_lets_the_next_one_through,
        a_holder_is_found_behind_a_crowd,
    }
    rates {
        no_more_start_than_there_are_tokens,
        a_burst_is_what_the_bucket_holds,
        who_waits_for_a_token_keeps_attempt_and_place,
        a_star_rate_is_a_bucket_each,
        a_rate_is_edited_while_jobs_wait,
        a_token_that_comes_lets_the_next_one_start,
        row_27_retries_come_back_damped,
        row_27_without_a_limit_retries_are_damped_too,
    }
    fairness {
        deleted_jobs_hold_no_turn_up,
        a_chain_of_jobs_starves_nobody,
        a_busy_tenant_does_not_delay_anothers_first_job,
        single_claims_take_turns,
        weights_share_three_to_one,
        a_tenant_that_comes_back_takes_its_turn_like_the_others,
        coming_and_going_gains_nothing,
        within_a_tenant_the_line_is_as_ever,
        a_tenant_that_must_wait_leaves_its_turn_to_the_others,
        tenants_that_must_wait_do_not_spoil_the_round,
        thousands_of_tenants_have_one_turn_each,
    }
    ageing {
        the_oldest_job_starts_within_sixteen,
        each_sixteenth_job_is_the_oldest,
        with_one_priority_the_line_is_as_ever,
        plain_jobs_and_others_age_alike,
        within_each_tenant_the_oldest_starts_within_sixteen,
        a_job_that_is_held_back_does_not_age,
        jobs_that_were_held_back_age_among_themselves,
        age_is_the_place_in_the_line,
    }
    pausing {
        a_replaced_job_leaves_the_pause_of_its_old_kind,
        a_paused_subject_gives_nothing_until_it_is_resumed,
        a_pause_of_a_subject_ends_by_itself,
        a_later_pause_replaces_an_earlier_one,
        a_pause_of_a_kind_or_tenant_hinders_no_other,
        jobs_that_come_during_a_pause_stand_behind,
        a_resume_wakes_a_waiter,
        a_job_waits_for_all_of_its_pauses,
        what_stands_for_others_cannot_be_paused,
    }
    depth {
        a_full_queue_refuses_with_the_time_to_wait,
        one_full_tenant_does_not_fill_the_queue,
        a_full_queue_still_answers_for_known_jobs,
        the_time_to_wait_follows_the_rate_of_claims,
        a_tenant_waits_for_its_share_of_the_rate,
    }
    breaker {
        failures_in_a_row_open_it_and_a_probe_closes_it,
        a_completion_in_between_sets_it_back,
        only_failures_count,
        a_probe_that_fails_opens_it_again,
        a_probe_that_says_nothing_is_followed_by_another,
        a_kinds_breaker_hinders_no_other_kind,
        a_probes_end_wakes_a_waiter,
    }
    flow {
        limits_are_shown_by_their_subjects,
        limits_that_make_no_sense_are_refused,
        row_19_a_queue_has_a_bounded_number_of_subjects,
        a_replaced_job_belongs_to_its_new_tenant_and_key,
        the_same_id_with_another_key_is_a_conflict,
        a_repeated_finish_frees_no_slot_twice,
    }
}
