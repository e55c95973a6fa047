//! The recorder against real brokers and ledgers of both kinds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod bench;

use std::time::Duration;

use lovage_broker::ListQuery;
use lovage_core::filter::Filter;
use lovage_core::history::Outcome;
use lovage_core::{State, Timestamp, Transition};
use lovage_ledger::{FailureQuery, Search};
use lovage_scheduler::DutyError;

use bench::{Bench, EVENTS_KEPT, START, benches, retry};

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}-{number}")).collect()
}

/// The sum of a metric.
fn gathered(bench: &Bench, name: &str) -> f64 {
    let families = bench.registry.gather();
    let of =
        families.iter().filter(|family| family.name() == name).flat_map(prometheus::proto::MetricFamily::get_metric);
    of.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
}

/// All ids that a filter means, newest first.
async fn found(bench: &Bench, filter: &str) -> Vec<String> {
    let filter = Filter::parse(filter, Timestamp::from_millis(START)).unwrap();
    let mut ids = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let search =
            Search { filter: &filter, limit: 100, cursor: cursor.as_deref(), patience: Duration::from_mins(1) };
        let page = bench.ledger.search(&search).await.unwrap();
        ids.extend(page.jobs.iter().map(|record| record.job.id.to_string()));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_jobs_life_is_recorded_with_its_attempts() {
    for bench in benches().await {
        let recorder = bench.recorder();
        bench.heartbeat("1.2.3").await;
        bench.enqueue(["a".to_owned()]).await;
        bench.record(&recorder, 1).await;
        let record = bench.history("a").await.unwrap();
        assert_eq!((record.job.state, record.attempts.len()), (State::Available, 0), "{}", bench.name);
        assert_eq!(record.job.args.unwrap().get(), r#"{"b": 1.00, "user": {"id": "a"}}"#);

        bench.advance(Duration::from_secs(5));
        let claimed = bench.claim(1).await;
        bench.record(&recorder, 1).await;
        let record = bench.history("a").await.unwrap();
        assert_eq!(record.job.state, State::Running);
        assert_eq!(record.attempts[0].started_at, Some(Timestamp::from_millis(START + 5_000)));
        assert_eq!(record.attempts[0].outcome, None);

        bench.advance(Duration::from_secs(2));
        bench.finish(&claimed[0], retry("no answer after 3 s")).await;
        bench.advance(Duration::from_secs(2));
        let claimed = bench.claim(1).await;
        bench.advance(Duration::from_secs(1));
        let result = serde_json::value::RawValue::from_string(r#"{"rows": 12345678901234567890}"#.to_owned()).unwrap();
        bench.finish(&claimed[0], Transition::Complete { result: Some(result) }).await;
        let written = bench.record(&recorder, 1).await;
        assert_eq!((written.jobs, written.failures), (1, 1));

        let record = bench.history("a").await.unwrap();
        assert_eq!(record.job.state, State::Completed);
        assert_eq!(record.job.result.as_ref().unwrap().get(), r#"{"rows": 12345678901234567890}"#);
        let told: Vec<_> = record
            .attempts
            .iter()
            .map(|attempt| (attempt.attempt, attempt.outcome, attempt.version.as_deref()))
            .collect();
        assert_eq!(told, [(1, Some(Outcome::Retryable), Some("1.2.3")), (2, Some(Outcome::Completed), Some("1.2.3"))]);
        let times = |index: usize| (record.attempts[index].started_at, record.attempts[index].ended_at);
        let at = |ms: u64| Some(Timestamp::from_millis(START + ms));
        assert_eq!((times(0), times(1)), ((at(5_000), at(7_000)), (at(9_000), at(10_000))));
        assert_eq!(record.attempts[0].error.as_ref().unwrap().message, "no answer after 3 s");
        assert_eq!(record.job.errors.len(), 1);

        let failures = bench.ledger.failures(&FailureQuery { limit: 10, ..FailureQuery::default() }).await.unwrap();
        assert_eq!((failures.len(), failures[0].count), (1, 1));
        assert_eq!(failures[0].versions.get("1.2.3"), Some(&1));
        let by_failure = format!("failure:{}", failures[0].fingerprint);
        for filter in
            ["state:completed", "tag:nightly", "worker:worker-1", "args.user.id:a", "error:answer", &by_failure]
        {
            assert_eq!(found(&bench, filter).await, ["a"], "{filter}");
        }
    }
}

/// A recorder that is killed after the commit and before it told the broker, and another that begins anew.
#[tokio::test]
async fn what_is_recorded_twice_is_there_once() {
    for bench in benches().await {
        bench.enqueue(numbered("job", 3)).await;
        let claimed = bench.claim(3).await;
        for job in &claimed {
            bench.finish(job, retry("connection refused")).await;
        }
        assert_eq!(bench.record(&bench.recorder(), 1).await.failures, 3);
        assert_eq!(bench.record(&bench.recorder(), 1).await.failures, 0, "nothing is new");
        // As if the position had not been moved.
        let position = lovage_ledger::Position::default();
        let page = lovage_ledger::Page { queue: &bench.queue, term: 1, position: Some(&position), jobs: &[] };
        bench.ledger.record(&page).await.unwrap();
        assert_eq!(bench.record(&bench.recorder(), 1).await.failures, 0);
        let failures = bench.ledger.failures(&FailureQuery { limit: 10, ..FailureQuery::default() }).await.unwrap();
        assert_eq!((failures.len(), failures[0].count), (1, 3), "{}", bench.name);
        assert_eq!(bench.history("job-0").await.unwrap().attempts.len(), 1);
    }
}

/// Row 12: a leader who was paused and comes back writes nothing.
#[tokio::test]
async fn a_former_leader_writes_nothing() {
    for bench in benches().await {
        let (former, latter) = (bench.recorder(), bench.recorder());
        let first = bench.ledger.begin_term().await.unwrap();
        bench.run(numbered("before", 2)).await;
        bench.record(&former, first).await;
        let second = bench.ledger.begin_term().await.unwrap();
        assert!(second > first);
        bench.record(&latter, second).await;
        bench.run(numbered("after", 2)).await;
        bench.record(&latter, second).await;
        bench.run(numbered("late", 2)).await;
        let refused = former.record(first).await;
        assert!(matches!(refused, Err(DutyError::Deposed)), "{refused:?}");
        assert!(bench.history("late-0").await.is_none());
        bench.record(&latter, second).await;
        assert!(bench.history("late-0").await.is_some());
    }
}

/// More than the broker keeps without anybody who records: what is still there is read from the state.
#[tokio::test]
async fn what_was_missed_is_healed_from_the_state() {
    for bench in benches().await {
        let recorder = bench.recorder_with_metrics();
        bench.run(numbered("early", 2)).await;
        bench.enqueue(["waits".to_owned()]).await;
        bench.record(&recorder, 1).await;
        bench.advance(Duration::from_hours(25));
        // Nobody has recorded for a day, so nothing is held for anybody.
        for round in 0..4 {
            bench.run(numbered(&format!("missed{round}"), EVENTS_KEPT / 4)).await;
        }
        bench.enqueue(["later".to_owned()]).await;
        let query = ListQuery { queue: bench.queue.clone(), state: State::Completed, limit: 500, cursor: None };
        let still_there = bench.broker.list(&query).await.unwrap().jobs;
        assert!(still_there.len() >= 50, "{} are there", still_there.len());
        let slice = recorder.record(1).await.unwrap();
        assert!(slice.more, "the queue is read in slices");
        // The queue forgets nothing of it meanwhile, though the newest event is recorded.
        bench.broker.sweep(&bench.queue).await.unwrap();
        bench.record(&recorder, 1).await;
        let found = found(&bench, "state:completed").await;
        for job in &still_there {
            assert!(found.contains(&job.id.to_string()), "{}: {} is not in the history", bench.name, job.id);
        }
        assert!(gathered(&bench, "lovage_recorder_gaps_total") >= 1.0);
        assert_eq!(bench.history("later").await.unwrap().job.state, State::Available, "{}", bench.name);
        assert!(bench.history("early-0").await.unwrap().job.state.is_final(), "what is recorded stays");
        let position = bench.ledger.position(&bench.queue).await.unwrap().unwrap();
        assert!(!position.healing && position.cursor.is_some());
    }
}

#[tokio::test]
async fn history_outlives_the_queues() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        let recorder = bench.recorder();
        bench.run(numbered("done", 5)).await;
        bench.enqueue(["waiting".to_owned()]).await;
        bench.record(&recorder, 1).await;
        bench.forget_everything();
        bench.advance(Duration::from_secs(10));
        bench.run(numbered("new", 2)).await;
        bench.record(&recorder, 1).await;
        assert_eq!(found(&bench, "state:completed").await.len(), 7);
        let lost = bench.history("waiting").await.unwrap();
        assert_eq!(lost.job.state, State::Available, "as it was last seen");
        assert!(lost.gone_at.is_some(), "and it is told that it is gone");
        assert_eq!(
            lost.job.args.unwrap().get(),
            r#"{"b": 1.00, "user": {"id": "waiting"}}"#,
            "so that it can be enqueued again"
        );
    }
}

/// Nobody uses the queue any more, and another leads.
#[tokio::test]
async fn a_queue_that_is_gone_leaves_no_job_that_seems_to_wait() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        bench.enqueue(["waiting".to_owned()]).await;
        bench.record(&bench.recorder(), 1).await;
        bench.forget_everything();
        bench.record(&bench.recorder(), 2).await;
        assert!(bench.history("waiting").await.unwrap().gone_at.is_some());
    }
}

/// A server with a clock of its own takes over, whose clock is behind.
#[tokio::test]
async fn an_end_is_recorded_though_the_clock_went_back() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        let recorder = bench.recorder();
        bench.enqueue(["a".to_owned()]).await;
        bench.advance(Duration::from_secs(5));
        let claimed = bench.claim(1).await;
        bench.record(&recorder, 1).await;
        bench.clock.set(Timestamp::from_millis(START + 3_000));
        bench.finish(&claimed[0], Transition::Complete { result: None }).await;
        bench.record(&recorder, 1).await;
        let record = bench.history("a").await.unwrap();
        assert_eq!((record.job.state, record.attempts[0].outcome), (State::Completed, Some(Outcome::Completed)));
    }
}

/// One queue whose events cannot be read holds up no other; and how far history is behind is told.
#[tokio::test]
async fn a_queue_that_cannot_be_recorded_holds_up_no_other() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        let recorder = bench.recorder_with_metrics();
        bench.run(numbered("good", 2)).await;
        bench.break_queue("broken");
        bench.record(&recorder, 1).await;
        assert!(bench.history("good-0").await.is_some());
        bench.advance(Duration::from_secs(20));
        bench.run(numbered("later", 2)).await;
        bench.record(&recorder, 1).await;
        assert!(bench.history("later-0").await.is_some());
        assert!(gathered(&bench, "lovage_scheduler_lag_seconds") >= 20.0);
    }
}

/// The database will not have one job's data: that one is left out and counted, and all others are recorded, also later ones.
#[tokio::test]
async fn a_job_that_the_ledger_refuses_costs_no_other_its_history() {
    for bench in benches().await {
        let recorder = bench.recorder_with_metrics();
        bench.run(numbered("first", 1)).await;
        bench.record(&recorder, 1).await;
        bench.refuse("many-33").await;
        bench.run(numbered("many", 50)).await;
        assert_eq!(bench.record(&recorder, 1).await.jobs, 49, "{}", bench.name);
        bench.run(numbered("later", 2)).await;
        assert_eq!(bench.record(&recorder, 1).await.jobs, 2, "{}: it is not tried again for ever", bench.name);
        assert!(bench.history("many-33").await.is_none());
        assert_eq!(found(&bench, "state:completed").await.len(), 52, "{}", bench.name);
        assert_eq!(gathered(&bench, "lovage_recorder_refused_total") as u64, 1, "{}", bench.name);
    }
}

#[tokio::test]
async fn a_deleted_job_stays_in_history() {
    for bench in benches().await {
        let recorder = bench.recorder();
        bench.enqueue(["a".to_owned()]).await;
        bench.record(&recorder, 1).await;
        bench.broker.delete(&bench.queue, &"a".parse().unwrap()).await.unwrap();
        bench.record(&recorder, 1).await;
        let gone = bench.history("a").await.unwrap();
        assert!(gone.gone_at.is_some(), "{}", bench.name);
        bench.advance(Duration::from_secs(1));
        bench.run(["a".to_owned()]).await;
        bench.record(&recorder, 1).await;
        let again = bench.history("a").await.unwrap();
        assert_eq!((again.job.state, again.gone_at), (State::Completed, None), "the latest of that id");
        assert_eq!(found(&bench, "id:a").await, ["a", "a"], "both are there");
    }
}

/// Jobs that the retention would have removed long before anybody looks.
#[tokio::test]
async fn what_is_not_recorded_yet_is_kept_for_the_recorder() {
    for bench in benches().await {
        let recorder = bench.recorder();
        bench.run(numbered("first", 1)).await;
        bench.record(&recorder, 1).await;
        for round in 0..10 {
            bench.run(numbered(&format!("burst{round}"), 100)).await;
            bench.broker.sweep(&bench.queue).await.unwrap();
        }
        bench.record(&recorder, 1).await;
        assert_eq!(found(&bench, "state:completed").await.len(), 1_001, "{}", bench.name);
        while bench.broker.sweep(&bench.queue).await.unwrap().more {}
        bench.run(numbered("last", 1)).await;
        bench.broker.sweep(&bench.queue).await.unwrap();
        let left = bench.broker.queue(&bench.queue).await.unwrap().counts.completed;
        assert!(left < 200, "what is recorded goes: {left} are left");
    }
}
