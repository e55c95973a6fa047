//! What holds for every duty: a leader may be lost anywhere, and for a moment two may believe that they lead.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod bench;

use std::time::Duration;

use lovage_artifacts::{ArtifactStore, StoreConfig};
use lovage_broker::ListQuery;
use lovage_core::State;
use lovage_core::schedule::ScheduleSpec;
use lovage_ledger::RunOutcome;
use lovage_scheduler::{Cron, Deadlines, Duty, DutyError, Files, Metrics, Pruner, Sweeper, first_tick, zone};

use bench::{Bench, benches};

const HOUR: Duration = Duration::from_hours(1);

/// One without files; what happens to them is told in `files.rs`.
fn store() -> ArtifactStore {
    ArtifactStore::open(&StoreConfig::new("memory:")).unwrap()
}

fn duties(bench: &Bench) -> Vec<Box<dyn Duty>> {
    let metrics = Metrics::new(&prometheus::Registry::new(), bench.clock.clone()).unwrap();
    let (connect, ledger) = (bench.connect.clone(), bench.ledger.clone());
    vec![
        Box::new(Cron::new(connect.clone(), ledger.clone(), metrics.clone(), None)),
        Box::new(Sweeper::new(connect.clone())),
        Box::new(bench.recorder()),
        Box::new(Files::new(store(), connect, ledger.clone(), metrics.clone())),
        Box::new(Deadlines::new(ledger.clone(), metrics)),
        Box::new(Pruner::new(ledger, 3 * HOUR)),
    ]
}

/// An old job and a new one, one that becomes due, and a schedule of which two ticks were missed.
async fn begin(bench: &Bench) -> u64 {
    let term = bench.ledger.begin_term().await.unwrap();
    bench.run(["old".to_owned()]).await;
    bench.record(&bench.recorder(), term).await;
    bench.advance(10 * HOUR);
    let json =
        r#"{"name": "hourly", "cron": "@hourly", "queue": "exports", "kind": "export.query", "success_within": "30m"}"#;
    bench.put(&ScheduleSpec::parse(json, zone).unwrap()).await;
    bench.run(["new".to_owned()]).await;
    let mut later = bench.job("later");
    later.delay_ms = Some(60_000);
    bench.broker.enqueue(vec![later]).await.unwrap();
    bench.advance(2 * HOUR);
    term
}

/// Everything that duties change.
async fn seen(bench: &Bench) -> (Vec<String>, Vec<(RunOutcome, Option<String>)>, Vec<Option<usize>>) {
    let query = ListQuery { queue: bench.queue.clone(), state: State::Available, limit: 500, cursor: None };
    let mut waiting: Vec<String> =
        bench.broker.list(&query).await.unwrap().jobs.into_iter().map(|job| job.id.to_string()).collect();
    waiting.sort_unstable();
    let runs = bench.ledger.runs(&"hourly".parse().unwrap(), None, 100).await.unwrap();
    let mut runs: Vec<_> = runs.into_iter().map(|run| (run.outcome, run.job.map(|(_, id)| id.to_string()))).collect();
    runs.sort_unstable_by_key(|(outcome, _)| outcome.name());
    let mut recorded = Vec::new();
    for id in ["old", "new", "later"] {
        recorded.push(bench.history(id).await.map(|record| record.attempts.len()));
    }
    (waiting, runs, recorded)
}

#[tokio::test]
async fn each_duty_may_be_done_again_and_by_two_at_once() {
    for bench in benches().await {
        let term = begin(&bench).await;
        let (one, other) = (duties(&bench), duties(&bench));
        for (one, other) in one.iter().zip(&other) {
            let done = tokio::join!(one.run_once(term), other.run_once(term));
            done.0.and(done.1).unwrap_or_else(|error| panic!("{}: {} {error}", bench.name, one.name()));
        }
        let tick = format!("hourly:{}", bench.clock_now().as_millis());
        let expected = (
            vec![tick.clone(), "later".to_owned()],
            vec![(RunOutcome::Enqueued, Some(tick)), (RunOutcome::Missed, None), (RunOutcome::Overdue, None)],
            vec![None, Some(1), Some(0)],
        );
        assert_eq!(seen(&bench).await, expected, "{}", bench.name);
        for duty in one.iter().chain(&other) {
            duty.run_once(term).await.unwrap();
        }
        assert_eq!(seen(&bench).await, expected, "{}: nothing was done twice", bench.name);
    }
}

/// Row 12: what was decided under an older term is not written, whatever the duty.
#[tokio::test]
async fn whoever_led_before_does_nothing() {
    for bench in benches().await {
        let former = begin(&bench).await;
        let late = duties(&bench);
        bench.ledger.begin_term().await.unwrap();
        let before = seen(&bench).await;
        for duty in late.iter().filter(|duty| duty.name() != "sweeper") {
            let done = duty.run_once(former).await;
            assert!(matches!(done, Err(DutyError::Deposed)), "{}: {} {done:?}", bench.name, duty.name());
        }
        let after = seen(&bench).await;
        assert_eq!((&after.1, &after.2), (&before.1, &before.2), "{}", bench.name);
    }
}

/// What a schedule was is kept for a week after no configuration has it any more.
#[tokio::test]
async fn a_withdrawn_schedule_is_kept_for_a_week() {
    for bench in benches().await {
        let term = bench.ledger.begin_term().await.unwrap();
        let json = r#"{"name": "nightly", "cron": "@daily", "queue": "exports", "kind": "export.query"}"#;
        let spec = ScheduleSpec::parse(json, zone).unwrap();
        bench.ledger.sync_schedules(term, &[spec], first_tick).await.unwrap();
        assert_eq!(bench.ledger.sync_schedules(term, &[], first_tick).await.unwrap().withdrawn.len(), 1);
        let pruner = Pruner::new(bench.ledger.clone(), HOUR);
        for (age, kept) in [(7 * 24 * HOUR, 1), (Duration::from_secs(1), 0)] {
            bench.advance(age);
            pruner.run_once(term).await.unwrap();
            assert_eq!(bench.ledger.schedules(None, 10).await.unwrap().schedules.len(), kept, "{}", bench.name);
        }
    }
}
