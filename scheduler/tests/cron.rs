//! Ticks against real brokers and ledgers of both kinds, with a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod bench;

use std::time::Duration;

use lovage_broker::ListQuery;
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{
    AttemptError, DiscardReason, ErrorClass, Limits, ScheduleName, State, Subject, Timestamp, Transition,
};
use lovage_ledger::{ManagedBy, Put, Run, RunOutcome, Schedule};
use lovage_scheduler::{Cron, Deadlines, Duty as _, DutyError, Metrics, Ticked, zone};

use bench::{Bench, START, benches, retry};

const HOUR: Duration = Duration::from_hours(1);

fn spec(name: &str, more: &str) -> ScheduleSpec {
    let json = format!(r#"{{"name": "{name}", "queue": "exports", "kind": "export.query", {more}}}"#);
    ScheduleSpec::parse(&json, zone).unwrap()
}

fn name(name: &str) -> ScheduleName {
    name.parse().unwrap()
}

fn metrics(bench: &Bench) -> Metrics {
    Metrics::new(&prometheus::Registry::new(), bench.clock.clone()).unwrap()
}

fn cron(bench: &Bench, configured: Vec<ScheduleSpec>) -> Cron {
    Cron::new(bench.connect.clone(), bench.ledger.clone(), metrics(bench), Some(configured))
}

async fn put(bench: &Bench, more: &str) {
    assert_eq!(bench.put(&spec("hourly", more)).await, Put::Added);
}

async fn tick(cron: &Cron, term: u64) -> Ticked {
    let mut sum = Ticked::default();
    loop {
        let ticked = cron.tick(term).await.unwrap();
        sum.enqueued += ticked.enqueued;
        sum.schedules += ticked.schedules;
        if !ticked.more {
            return sum;
        }
    }
}

/// The number of the schedule, if there is a line of it.
fn shown(registry: &prometheus::Registry, name: &str) -> Option<f64> {
    let family = registry.gather().into_iter().find(|family| family.name() == name)?;
    let line = family.get_metric().iter().find(|line| line.get_label()[0].value() == "hourly")?;
    Some(line.get_gauge().get_value())
}

async fn schedule(bench: &Bench) -> Schedule {
    bench.ledger.schedule(&name("hourly")).await.unwrap().unwrap()
}

/// What became of ticks, oldest first, by their hour after the start.
async fn runs(bench: &Bench) -> Vec<(u64, RunOutcome)> {
    let runs = bench.ledger.runs(&name("hourly"), None, 1_000).await.unwrap();
    let hour = |run: &Run| (run.tick.as_millis() + 1 - START) / 3_600_000;
    runs.iter().rev().map(|run| (hour(run), run.outcome)).collect()
}

async fn waiting(bench: &Bench) -> Vec<String> {
    let query = ListQuery { queue: bench.queue.clone(), state: State::Available, limit: 500, cursor: None };
    bench.broker.list(&query).await.unwrap().jobs.into_iter().map(|job| job.id.to_string()).collect()
}

#[tokio::test]
async fn each_tick_enqueues_once_whoever_leads() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *", "args": {"at": "{{ tick.instant }}"}"#).await;
        let (one, other) = (cron(&bench, vec![]), cron(&bench, vec![]));
        let first = bench.ledger.begin_term().await.unwrap();
        assert_eq!(tick(&one, first).await.enqueued, 0, "nothing is due before the first hour");
        bench.advance(HOUR);
        assert_eq!(tick(&one, first).await.enqueued, 1, "{}", bench.name);
        assert_eq!(tick(&one, first).await.enqueued, 0);
        bench.advance(HOUR);
        // Row 12: a leader who was paused has decided and not written when another leads.
        let second = bench.ledger.begin_term().await.unwrap();
        let refused = one.tick(first).await;
        assert!(matches!(refused, Err(DutyError::Deposed)), "{refused:?}");
        // What it has enqueued is the same job.
        assert_eq!(tick(&other, second).await.enqueued, 0);
        let ids = waiting(&bench).await;
        assert_eq!(ids, [format!("hourly:{}", START + 3_600_000), format!("hourly:{}", START + 7_200_000)]);
        assert_eq!(runs(&bench).await, [(1, RunOutcome::Enqueued), (2, RunOutcome::Enqueued)]);
        let job = bench.broker.job(Some(&bench.queue), &ids[0].parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(job.args.unwrap().get(), r#"{"at": "2026-03-01T01:00:00.000Z"}"#);
    }
}

/// The job of a tick was worked and forgotten by the queue before the tick is enqueued again.
#[tokio::test]
async fn a_tick_is_not_enqueued_again_when_its_job_is_gone() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        bench.advance(HOUR);
        tick(&cron(&bench, vec![]), term).await;
        let before = schedule(&bench).await;
        let claimed = bench.claim(1).await;
        bench.finish(&claimed[0], Transition::Complete { result: None }).await;
        bench.run((0..60).map(|number| format!("other-{number}"))).await;
        while bench.broker.sweep(&bench.queue).await.unwrap().more {}
        bench.broker.sweep(&bench.queue).await.unwrap();
        assert!(bench.broker.job(Some(&bench.queue), &claimed[0].id).await.unwrap().is_none(), "it is forgotten");
        // As if the leader had been lost before it wrote down how far it was.
        let back = lovage_ledger::Advance {
            name: name("hourly"),
            edition: before.edition,
            last_tick: Timestamp::from_millis(START),
            next_at: Some(bench.clock_now()),
            waiting_tick: None,
            runs: vec![],
        };
        bench.ledger.advance(term, &[back]).await.unwrap();
        assert_eq!(tick(&cron(&bench, vec![]), term).await.enqueued, 0, "{}", bench.name);
    }
}

/// A leader was lost after it had enqueued a job and before it wrote that down: the job is the run before all the same.
#[tokio::test]
async fn a_job_that_was_enqueued_and_not_written_down_is_not_overlapped() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *", "overlap": "skip""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        tick(&cron, term).await;
        bench.advance(HOUR);
        let lost = spec("hourly", r#""cron": "0 * * * *", "overlap": "skip""#)
            .job(bench.clock_now(), &jiff::tz::TimeZone::UTC);
        bench.broker.enqueue(vec![lost]).await.unwrap();
        assert_eq!(bench.claim(1).await.len(), 1);
        bench.advance(2 * HOUR);
        assert_eq!(tick(&cron, term).await.enqueued, 0, "{}: it still runs", bench.name);
        let runs = runs(&bench).await;
        assert!(runs.contains(&(1, RunOutcome::Enqueued)) && runs.contains(&(3, RunOutcome::Skipped)), "{runs:?}");
        assert!(schedule(&bench).await.last_job.is_some());
    }
}

/// A leader was lost in the same way, and the next came three hours later: what was enqueued was not missed.
#[tokio::test]
async fn a_tick_whose_job_was_enqueued_was_not_missed() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        tick(&cron, term).await;
        bench.advance(HOUR);
        let lost = spec("hourly", r#""cron": "0 * * * *""#).job(bench.clock_now(), &jiff::tz::TimeZone::UTC);
        bench.broker.enqueue(vec![lost]).await.unwrap();
        bench.advance(2 * HOUR);
        assert_eq!(tick(&cron, term).await.enqueued, 1, "{}: the latest", bench.name);
        let runs = bench.ledger.runs(&name("hourly"), None, 10).await.unwrap();
        let told: Vec<_> = runs.iter().rev().map(|run| (run.outcome, run.note.as_deref())).collect();
        let missed = (RunOutcome::Missed, Some("nobody was there in time"));
        assert_eq!(told, [(RunOutcome::Enqueued, None), missed, (RunOutcome::Enqueued, None)], "{}", bench.name);
    }
}

#[tokio::test]
async fn ticks_missed_while_nobody_leads_or_a_schedule_is_paused_follow_the_policy() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *", "missed": "all", "missed_max": 3"#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        tick(&cron, term).await;
        assert!(bench.ledger.pause_schedule(&name("hourly"), ("cli:me@here", "deploy")).await.unwrap());
        bench.advance(10 * HOUR);
        assert_eq!(tick(&cron, term).await, Ticked::default(), "it is paused");
        assert_eq!(schedule(&bench).await.paused.unwrap().why, "deploy");
        assert_eq!(bench.ledger.resume_schedule(&name("hourly")).await.unwrap(), Some(true));
        assert_eq!(tick(&cron, term).await.enqueued, 3, "{}", bench.name);
        let runs = runs(&bench).await;
        assert_eq!(runs[0], (7, RunOutcome::Missed), "the last of them");
        let note = bench.ledger.runs(&name("hourly"), None, 10).await.unwrap().pop().unwrap().note;
        assert_eq!(note.as_deref(), Some("nobody was there for 7 ticks since 2026-03-01T01:00:00.000Z"));
        assert_eq!(runs[1..], [(8, RunOutcome::Enqueued), (9, RunOutcome::Enqueued), (10, RunOutcome::Enqueued)]);
    }
}

#[tokio::test]
async fn a_run_that_has_not_ended_is_waited_for_skipped_or_cancelled() {
    for bench in benches().await {
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        let again = async |overlap: &str| {
            let spec = spec("hourly", &format!(r#""cron": "0 * * * *", "overlap": "{overlap}""#));
            bench.put(&spec).await;
            tick(&cron, term).await;
        };
        let hours = async |count: u32| {
            let mut enqueued = 0;
            for _ in 0..count {
                bench.advance(HOUR);
                enqueued += tick(&cron, term).await.enqueued;
            }
            enqueued
        };
        again("skip").await;
        assert_eq!(hours(3).await, 1, "{}: the first is still there", bench.name);
        let first = bench.claim(1).await;
        bench.finish(&first[0], retry("again")).await;
        assert_eq!(hours(1).await, 0, "it is tried again, so it has not ended");
        let first = bench.claim(1).await;
        bench.finish(&first[0], Transition::Complete { result: None }).await;
        assert_eq!(hours(1).await, 1, "now it has");

        again("queue_one").await;
        assert_eq!(hours(3).await, 0);
        assert!(schedule(&bench).await.waiting_tick.is_some());
        let second = bench.claim(5).await;
        assert_eq!(second.len(), 1);
        bench.finish(&second[0], Transition::Complete { result: None }).await;
        assert_eq!(tick(&cron, term).await.enqueued, 1, "the one that waited");
        assert_eq!(schedule(&bench).await.waiting_tick, None);

        again("cancel_previous").await;
        let running = bench.claim(1).await;
        assert_eq!(hours(1).await, 1);
        let view = bench.broker.job(Some(&bench.queue), &running[0].id).await.unwrap().unwrap();
        assert!(view.cancel_requested, "the running one is asked to stop");
        assert_eq!(hours(1).await, 1);
        assert_eq!(waiting(&bench).await.len(), 1, "the waiting one is cancelled");

        again("allow").await;
        assert_eq!(hours(3).await, 3);
        let outcomes: Vec<RunOutcome> = runs(&bench).await.into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == RunOutcome::Skipped).count(), 5);
    }
}

#[tokio::test]
async fn a_full_queue_puts_a_tick_off_and_loses_none() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *", "missed": "all""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        tick(&cron, term).await;
        let limits = Limits { depth: Some(1), ..Limits::default() };
        bench.broker.limit(&bench.queue, &Subject::Queue, &limits).await.unwrap();
        bench.advance(3 * HOUR);
        assert_eq!(tick(&cron, term).await.enqueued, 1, "{}", bench.name);
        for expected in 2..=3 {
            let claimed = bench.claim(1).await;
            bench.finish(&claimed[0], Transition::Complete { result: None }).await;
            bench.advance(Duration::from_mins(2));
            assert_eq!(tick(&cron, term).await.enqueued, 1, "tick {expected}");
        }
        assert_eq!(runs(&bench).await, [1, 2, 3].map(|hour| (hour, RunOutcome::Enqueued)));
    }
}

#[tokio::test]
async fn the_configuration_is_in_force_from_the_next_term_on() {
    for bench in benches().await {
        let configured = vec![spec("a", r#""cron": "@hourly""#), spec("b", r#""cron": "@daily""#)];
        put(&bench, r#""cron": "@weekly""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        cron(&bench, configured.clone()).tick(term).await.unwrap();
        let all = bench.ledger.schedules(None, 10).await.unwrap().schedules;
        let told: Vec<_> = all.iter().map(|known| (known.spec.name.to_string(), known.managed_by)).collect();
        let code = |name: &str| (name.to_owned(), ManagedBy::Code);
        assert_eq!(told, [code("a"), code("b"), ("hourly".to_owned(), ManagedBy::Operator)], "{}", bench.name);
        assert_eq!(bench.put(&configured[0]).await, Put::ManagedByCode);

        bench.advance(HOUR);
        let term = bench.ledger.begin_term().await.unwrap();
        let taken = vec![spec("a", r#""cron": "@hourly", "priority": 1"#), spec("hourly", r#""cron": "@daily""#)];
        let ticked = cron(&bench, taken).tick(term).await.unwrap();
        assert_eq!(ticked.enqueued, 1, "what was due stays due when only its job is changed");
        let all = bench.ledger.schedules(None, 10).await.unwrap().schedules;
        let told: Vec<_> = all.iter().map(|known| (known.spec.name.as_str(), known.revision - START)).collect();
        assert_eq!(told, [("a", 1), ("b", 0), ("hourly", 0)], "{}: what an operator has made stays", bench.name);
        let withdrawn: Vec<_> = all.iter().map(|known| known.withdrawn_at.is_some()).collect();
        assert_eq!(withdrawn, [false, true, false], "{}: what the file has no more is withdrawn", bench.name);

        // Who has no file, or one that says nothing of schedules, lets them be.
        let term = bench.ledger.begin_term().await.unwrap();
        let silent = Cron::new(bench.connect.clone(), bench.ledger.clone(), metrics(&bench), None);
        bench.advance(HOUR);
        assert_eq!(tick(&silent, term).await.enqueued, 1, "{}", bench.name);
    }
}

/// As in a Redis Cluster of which one node is away.
#[tokio::test]
async fn a_queue_that_takes_no_jobs_holds_up_no_other() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        put(&bench, r#""cron": "0 * * * *""#).await;
        let other = ScheduleSpec { queue: "broken".parse().unwrap(), ..spec("other", r#""cron": "0 * * * *""#) };
        bench.put(&other).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        tick(&cron, term).await;
        bench.break_queue("broken");
        bench.advance(HOUR);
        assert_eq!(tick(&cron, term).await.enqueued, 1);
        assert_eq!(runs(&bench).await, [(1, RunOutcome::Enqueued)]);
        let known = bench.ledger.schedule(&name("other")).await.unwrap().unwrap();
        assert!(known.next_at > Some(bench.clock_now()), "it is put off: {known:?}");
        bench.mend_queue("broken");
        assert_eq!(tick(&cron, term).await.schedules, 0, "and not asked all the time");
        bench.advance(Duration::from_secs(10));
        assert_eq!(tick(&cron, term).await.schedules, 1);
        let runs = bench.ledger.runs(&name("other"), None, 10).await.unwrap();
        let tick = bench.clock_now().minus(Duration::from_secs(10));
        assert_eq!(runs.iter().map(|run| (run.tick, run.outcome)).collect::<Vec<_>>(), [(tick, RunOutcome::Enqueued)]);
    }
}

/// Asked again after five seconds, then after ten.
#[tokio::test]
async fn a_queue_that_does_not_answer_is_asked_less_and_less() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        put(&bench, r#""cron": "0 * * * *""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        tick(&cron, term).await;
        bench.break_jobs("exports");
        bench.advance(HOUR);
        let seconds = Duration::from_secs;
        let put_off_by = async |after: u64| {
            bench.advance(seconds(after));
            tick(&cron, term).await;
            schedule(&bench).await.next_at.unwrap().since(bench.clock_now())
        };
        assert_eq!((put_off_by(0).await, put_off_by(6).await), (seconds(5), seconds(5)), "it was asked each time");
        let left = put_off_by(6).await;
        assert!(left >= seconds(4) && left < seconds(5), "six of ten seconds are over: {left:?}");
        bench.mend_queue("exports");
        assert_eq!(put_off_by(6).await, HOUR.saturating_sub(seconds(18)));
        assert_eq!(runs(&bench).await, [(1, RunOutcome::Enqueued)]);
    }
}

/// One that nobody serves was in a queue that does not answer now; those of a queue that does are not held up by that.
#[tokio::test]
async fn a_run_before_in_a_queue_that_does_not_answer_stops_its_schedule_only() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        let cron = cron(&bench, vec![]);
        let term = bench.ledger.begin_term().await.unwrap();
        let moved = |queue: &str| ScheduleSpec {
            queue: queue.parse().unwrap(),
            ..spec("moved", r#""cron": "0 * * * *", "overlap": "skip""#)
        };
        bench.put(&moved("broken")).await;
        tick(&cron, term).await;
        bench.advance(HOUR);
        assert_eq!(tick(&cron, term).await.enqueued, 1);
        bench.put(&moved("exports")).await;
        put(&bench, r#""cron": "0 * * * *""#).await;
        tick(&cron, term).await;
        bench.break_jobs("broken");
        bench.advance(HOUR);
        assert_eq!(tick(&cron, term).await.enqueued, 1, "the other one's");
        bench.forget_everything();
        bench.advance(Duration::from_secs(5));
        assert_eq!(tick(&cron, term).await.enqueued, 1, "the run before is gone");
    }
}

/// It moved to another queue between the enqueue of a leader who was lost and the next one's.
#[tokio::test]
async fn a_schedule_that_moves_to_another_queue_has_each_tick_once() {
    for bench in benches().await {
        let cron = cron(&bench, vec![]);
        let term = bench.ledger.begin_term().await.unwrap();
        let here = spec("hourly", r#""cron": "0 * * * *""#);
        bench.put(&here).await;
        tick(&cron, term).await;
        bench.advance(HOUR);
        tick(&cron, term).await;
        bench.advance(HOUR);
        bench.broker.enqueue(vec![here.job(bench.clock_now(), &jiff::tz::TimeZone::UTC)]).await.unwrap();
        let other = ScheduleSpec { queue: "other".parse().unwrap(), ..here };
        bench.put(&other).await;
        assert_eq!(tick(&cron, term).await.enqueued, 0, "{}", bench.name);
        assert_eq!(runs(&bench).await, [1, 2].map(|hour| (hour, RunOutcome::Enqueued)), "{}", bench.name);
        bench.advance(HOUR);
        assert_eq!(tick(&cron, term).await.enqueued, 1, "{}", bench.name);
        assert_eq!(schedule(&bench).await.last_job.unwrap().0.as_str(), "other");
    }
}

/// The arguments of all ticks together are more than a broker takes in one call.
#[tokio::test]
async fn a_large_backlog_of_one_schedule_stops_no_other() {
    for bench in benches().await {
        let args = format!(r#"{{"text": "{}"}}"#, "x".repeat(60_000));
        let large = format!(r#""cron": "* * * * * *", "missed": "all", "missed_max": 1000, "args": {args}"#);
        bench.put(&spec("a-large", &large)).await;
        put(&bench, r#""cron": "@every 1s""#).await;
        bench.advance(Duration::from_secs(1_000));
        let term = bench.ledger.begin_term().await.unwrap();
        assert_eq!(tick(&cron(&bench, vec![]), term).await.enqueued, 1_001, "{}", bench.name);
    }
}

#[tokio::test]
async fn ticks_that_come_while_one_waits_for_a_full_queue_are_told() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *", "overlap": "queue_one", "missed": "all""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        let hour = async || {
            bench.advance(HOUR);
            tick(&cron, term).await.enqueued
        };
        tick(&cron, term).await;
        assert_eq!((hour().await, hour().await), (1, 0), "{}: the second waits", bench.name);
        let first = bench.claim(1).await;
        bench.finish(&first[0], Transition::Complete { result: None }).await;
        bench.enqueue(["other".to_owned()]).await;
        let depth = |depth| Limits { depth, ..Limits::default() };
        bench.broker.limit(&bench.queue, &Subject::Queue, &depth(Some(1))).await.unwrap();
        assert_eq!((hour().await, hour().await), (0, 0));
        assert!(schedule(&bench).await.waiting_tick.is_some());
        bench.broker.limit(&bench.queue, &Subject::Queue, &depth(None)).await.unwrap();
        bench.advance(Duration::from_mins(2));
        assert_eq!(tick(&cron, term).await.enqueued, 1, "{}", bench.name);
        let told = [(1, RunOutcome::Enqueued), (2, RunOutcome::Enqueued), (4, RunOutcome::Skipped)];
        assert_eq!(runs(&bench).await, told, "{}: the third waits", bench.name);
        assert!(schedule(&bench).await.waiting_tick.is_some());
    }
}

#[tokio::test]
async fn a_queue_that_nothing_is_due_in_any_more_is_none_that_is_waited_for() {
    for bench in benches().await.into_iter().filter(Bench::can_forget) {
        let registry = prometheus::Registry::new();
        let metrics = Metrics::new(&registry, bench.clock.clone()).unwrap();
        let cron = Cron::new(bench.connect.clone(), bench.ledger.clone(), metrics, None);
        let lag = || {
            let family = registry.gather().into_iter().find(|family| family.name() == "lovage_scheduler_lag_seconds");
            family.unwrap().get_metric()[0].get_gauge().get_value() as u64
        };
        let there = ScheduleSpec { queue: "broken".parse().unwrap(), ..spec("hourly", r#""cron": "0 * * * *""#) };
        bench.put(&there).await;
        let term = bench.ledger.begin_term().await.unwrap();
        tick(&cron, term).await;
        bench.break_queue("broken");
        bench.advance(HOUR);
        tick(&cron, term).await;
        bench.advance(Duration::from_secs(5));
        tick(&cron, term).await;
        assert_eq!(lag(), 5);
        bench.ledger.pause_schedule(&name("hourly"), ("me", "")).await.unwrap();
        bench.advance(Duration::from_mins(10));
        tick(&cron, term).await;
        assert_eq!(lag(), 0);
    }
}

/// More jobs than a broker takes in one call.
#[tokio::test]
async fn many_ticks_at_once_are_enqueued_in_slices() {
    for bench in benches().await {
        for number in 0..11 {
            let each = spec(&format!("each-{number}"), r#""cron": "* * * * * *", "missed": "all", "missed_max": 1000"#);
            bench.put(&each).await;
        }
        bench.advance(Duration::from_secs(1_000));
        let term = bench.ledger.begin_term().await.unwrap();
        assert_eq!(tick(&cron(&bench, vec![]), term).await.enqueued, 11_000, "{}", bench.name);
    }
}

#[tokio::test]
async fn a_schedule_without_success_is_overdue_until_it_has_one() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *", "success_within": "3h""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let cron = cron(&bench, vec![]);
        let (recorder, registry) = (bench.recorder(), prometheus::Registry::new());
        let deadlines = Deadlines::new(bench.ledger.clone(), Metrics::new(&registry, bench.clock.clone()).unwrap());
        tick(&cron, term).await;
        bench.advance(4 * HOUR);
        assert!(deadlines.check(term).await.unwrap().overdue.is_empty());
        bench.advance(Duration::from_secs(1));
        assert_eq!(deadlines.check(term).await.unwrap().overdue, [name("hourly")], "{}", bench.name);
        assert!(deadlines.check(term).await.unwrap().overdue.is_empty(), "it is told once");
        assert!(schedule(&bench).await.overdue_since.is_some());

        tick(&cron, term).await;
        let claimed = bench.claim(1).await;
        bench.finish(&claimed[0], Transition::Complete { result: None }).await;
        bench.record(&recorder, term).await;
        assert_eq!(shown(&registry, "lovage_schedule_overdue"), Some(1.0));
        deadlines.settle(term).await.unwrap();
        assert_eq!(deadlines.check(term).await.unwrap().met, [name("hourly")]);
        deadlines.run_once(term).await.unwrap();
        assert_eq!(shown(&registry, "lovage_schedule_overdue"), None);
        let at = bench.clock_now().as_millis() as f64 / 1000.0;
        assert_eq!(shown(&registry, "lovage_schedule_last_success_timestamp_seconds"), Some(at));
        let known = schedule(&bench).await;
        assert_eq!((known.overdue_since, known.last_success_at), (None, Some(bench.clock_now())));
        let runs = bench.ledger.runs(&name("hourly"), None, 10).await.unwrap();
        let enqueued = runs.iter().find(|run| run.outcome == RunOutcome::Enqueued).unwrap();
        assert_eq!(enqueued.ended, Some((State::Completed, bench.clock_now())));
        assert!(runs.iter().any(|run| run.outcome == RunOutcome::Overdue));
    }
}

/// Its job was discarded, and somebody redrove it.
#[tokio::test]
async fn a_run_that_succeeds_when_it_is_redriven_is_a_success() {
    for bench in benches().await {
        put(&bench, r#""cron": "0 * * * *", "success_within": "3h""#).await;
        let term = bench.ledger.begin_term().await.unwrap();
        let (cron, recorder) = (cron(&bench, vec![]), bench.recorder());
        let deadlines = Deadlines::new(bench.ledger.clone(), metrics(&bench));
        tick(&cron, term).await;
        bench.advance(HOUR);
        tick(&cron, term).await;
        let settled = async || {
            bench.record(&recorder, term).await;
            deadlines.settle(term).await.unwrap();
            deadlines.settle_failed(term).await.unwrap();
            let run = bench.ledger.runs(&name("hourly"), None, 1).await.unwrap().remove(0);
            (run.ended.map(|(state, _)| state), schedule(&bench).await.last_success_at)
        };
        let claimed = bench.claim(1).await;
        let error = AttemptError::new(ErrorClass::Failed, "no disk");
        bench.finish(&claimed[0], Transition::Discard { reason: DiscardReason::Rejected, error }).await;
        assert_eq!(settled().await, (Some(State::Discarded), None), "{}", bench.name);
        bench.broker.retry(&bench.queue, &claimed[0].id).await.unwrap();
        assert_eq!(settled().await, (Some(State::Discarded), None), "{}: it waits", bench.name);
        bench.advance(Duration::from_mins(1));
        let claimed = bench.claim(1).await;
        bench.finish(&claimed[0], Transition::Complete { result: None }).await;
        assert_eq!(settled().await, (Some(State::Completed), Some(bench.clock_now())), "{}", bench.name);
    }
}
