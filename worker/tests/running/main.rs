//! A worker runs jobs, seen from outside: a real broker, the public interface, every test on both brokers.
//!
//! Tests await the worker's own events; nothing sleeps.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bench;
mod cancelling;
mod fetching;
mod handlers;
mod health;
mod leases;
mod metrics;
mod outages;
mod outcomes;
mod reporting;
mod stopping;

macro_rules! suite {
    ($($area:ident { $($test:ident),* $(,)? })*) => {
        mod redis {
            $(mod $area { $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() { crate::$area::$test(crate::bench::redis().await).await; }
            )* })*
        }
        mod sqlite {
            $(mod $area { $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() { crate::$area::$test(crate::bench::sqlite().await).await; }
            )* })*
        }
    };
}

suite! {
    outcomes {
        a_result_is_kept,
        a_job_without_a_result_has_none,
        the_handler_knows_its_job,
        an_error_is_tried_again_until_it_succeeds,
        a_job_says_when_to_try_again,
        a_refusal_discards_at_once,
        a_panic_is_shown_with_its_message,
        a_timeout_is_its_own_error,
        the_last_timeout_is_its_own_reason,
        a_result_within_the_grace_after_the_timeout_counts,
        a_soft_timeout_asks_to_come_to_an_end,
        a_snooze_spends_no_attempt,
        row_26_an_unknown_kind_is_given_back_with_a_note,
        arguments_that_do_not_fit_discard_with_their_path,
        a_result_over_the_limit_discards,
        a_handler_may_cancel_its_own_job,
        blocking_work_runs_beside_the_async_threads,
    }
    cancelling {
        a_running_job_is_cancelled_within_a_second,
        a_handler_that_does_not_listen_is_dropped,
        a_cancelled_job_that_succeeds_anyway_is_completed,
    }
    leases {
        row_04_a_job_longer_than_its_lease_starts_once,
        row_05_a_blocked_runtime_keeps_its_leases,
        row_06_a_handler_that_never_yields_loses_its_job,
        row_06_a_handler_stuck_in_blocking_work_is_recovered,
        row_07_an_attempt_that_lost_its_lease_writes_nothing,
        a_lost_lease_is_not_confirmed,
    }
    fetching {
        jobs_run_side_by_side,
        a_blocked_thread_does_not_stop_the_others,
        a_kind_never_runs_more_than_its_cap,
        a_crowd_of_a_capped_kind_is_not_moved_in_circles,
        a_delayed_job_is_run_when_it_is_due_and_not_before,
        all_queues_are_served,
        an_idle_worker_hardly_asks,
    }
    stopping {
        a_drain_lets_running_jobs_end,
        row_25_a_drain_hands_back_without_spending_an_attempt,
        row_25_a_job_that_does_not_stop_is_handed_back_too,
        a_timeout_stays_one_when_the_worker_ends,
        a_stop_at_once_does_not_wait,
        max_jobs_is_a_limit_in_all,
        a_worker_that_has_its_max_jobs_is_shown_as_quiet,
        exit_when_empty_leaves_nothing_behind,
        exit_when_empty_does_not_wait_for_what_is_due_later,
        a_message_makes_it_quiet_and_another_stops_it,
        a_worker_is_listed_while_it_runs,
        bad_settings_are_refused,
    }
    outages {
        claims_go_on_after_an_outage,
        an_outcome_survives_an_outage,
        an_outcome_that_was_written_unseen_does_not_run_again,
        a_broker_that_is_away_at_the_start_is_an_error,
        row_05_a_worker_whose_keeper_dies_ends_and_hands_back,
        row_05_a_drain_does_not_go_on_without_its_keeper,
    }
    metrics {
        the_counts_are_what_happened,
        a_lost_attempt_is_counted_with_its_reason,
        an_attempt_that_lost_its_lease_while_running_has_a_duration,
        kinds_that_nobody_registered_share_one_label,
        a_registry_takes_one_worker,
    }
    health {
        a_draining_worker_is_alive_and_not_ready,
        a_worker_is_ready_again_when_its_broker_is,
        a_quiet_worker_is_not_ready,
        a_worker_whose_renewals_fail_is_not_ready_whatever_its_heartbeats_say,
    }
    reporting {
        progress_is_throttled_and_the_last_value_is_written,
        log_lines_keep_their_order,
        what_a_silent_handler_told_is_written_after_an_outage,
    }
}
