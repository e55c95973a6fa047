//! Schedules in both databases: what one bad row, another leader and many open runs do to the others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod place;

use std::sync::Arc;
use std::time::Duration;

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{Clock as _, ManualClock, ScheduleName, State, Timestamp};
use lovage_ledger::{Advance, Change, Ledger, LedgerError, Put, Run, RunOutcome};

use place::places;

const NOW: Timestamp = Timestamp::from_millis(1_772_323_200_000);

fn spec(name: &str) -> ScheduleSpec {
    let json =
        format!(r#"{{"name": "{name}", "cron": "@hourly", "queue": "exports", "kind": "k", "success_within": "1h"}}"#);
    ScheduleSpec::read_stored(&json).unwrap()
}

fn name(name: &str) -> ScheduleName {
    name.parse().unwrap()
}

fn run(schedule: &str, tick: u64) -> Run {
    Run {
        schedule: name(schedule),
        tick: Timestamp::from_millis(tick),
        outcome: RunOutcome::Enqueued,
        at: NOW,
        job: Some(("exports".parse().unwrap(), format!("{schedule}:{tick}").parse().unwrap())),
        note: None,
        ended: None,
    }
}

/// The ledger of a place, at [`NOW`] until the test moves the clock.
async fn opened(place: &place::Place) -> (Ledger, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(NOW));
    (place.ledger().await.with_clock(clock.clone()), clock)
}

/// Successes are expected from now on.
#[expect(clippy::unnecessary_wraps, reason = "some schedules have no tick any more")]
fn from_now(_: &ScheduleSpec, now: Timestamp) -> Option<Timestamp> {
    Some(now)
}

async fn put(ledger: &Ledger, spec: &ScheduleSpec) -> Put {
    let change =
        Change { specs: std::slice::from_ref(spec), replace: true, revision: None, remove: &[], rehearse: false };
    let done = ledger.put_schedules(change, from_now).await.unwrap();
    assert_eq!((done.len(), &done[0].0), (1, &spec.name));
    done[0].1
}

async fn remove(ledger: &Ledger, name: &str) -> Vec<Put> {
    let change =
        Change { specs: &[], replace: false, revision: None, remove: &[name.parse().unwrap()], rehearse: false };
    ledger.put_schedules(change, from_now).await.unwrap().into_iter().map(|(_, put)| put).collect()
}

async fn known(ledger: &Ledger, schedule: &str) -> lovage_ledger::Schedule {
    ledger.schedule(&name(schedule)).await.unwrap().unwrap()
}

async fn due(ledger: &Ledger) -> Vec<String> {
    let due = ledger.due_schedules(NOW, 10).await.unwrap();
    due.into_iter().map(|schedule| schedule.spec.name.to_string()).collect()
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_stands_in_no_others_way() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        for name in ["bad", "good", "newer"] {
            assert_eq!(put(&ledger, &spec(name)).await, Put::Added);
        }
        place
            .tamper(r#"UPDATE schedules SET spec = '{"name": "bad", "cron": "@fortnightly"}' WHERE name = 'bad'"#)
            .await;
        place.tamper(r#"UPDATE schedules SET spec = replace(spec, '{"name"', '{"moon": "full", "name"') WHERE name = 'newer'"#).await;
        let found = due(&ledger).await;
        assert_eq!(found.len(), 2, "{place:?}: {found:?}");
        assert!(found.contains(&"newer".to_owned()), "a field of a newer release is passed over");
        assert_eq!(due(&ledger).await.len(), 2);
        assert_eq!(ledger.schedules(None, 10).await.unwrap().schedules.len(), 2);
        assert_eq!(remove(&ledger, "bad").await, [Put::Removed], "it can be removed");
    }
}

/// Row 12: each write of a leader carries its term.
#[tokio::test]
async fn a_former_leader_changes_nothing() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        put(&ledger, &spec("a")).await;
        ledger.add_run(&run("a", 1)).await.unwrap();
        let former = ledger.begin_term().await.unwrap();
        let latter = ledger.begin_term().await.unwrap();
        let known = ledger.schedule(&name("a")).await.unwrap().unwrap();
        let advance = |edition: u64| Advance {
            name: name("a"),
            edition,
            last_tick: NOW,
            next_at: None,
            waiting_tick: None,
            runs: vec![run("a", 2)],
        };
        let ended = Run { ended: Some((State::Completed, NOW)), ..run("a", 1) };
        for refused in [
            ledger.advance(former, &[advance(known.edition)]).await.unwrap_err(),
            ledger.settle_runs(former, std::slice::from_ref(&ended)).await.unwrap_err(),
            ledger.check_deadlines(former).await.unwrap_err(),
            ledger.sync_schedules(former, &[spec("b")], from_now).await.unwrap_err(),
        ] {
            assert!(matches!(refused, LedgerError::Deposed), "{refused:?}");
        }
        assert_eq!(ledger.runs(&name("a"), None, 10).await.unwrap().len(), 1);
        assert!(ledger.schedule(&name("b")).await.unwrap().is_none());
        // What was decided of a schedule that was removed and made anew since is not written.
        remove(&ledger, "a").await;
        clock.advance(Duration::from_millis(1));
        put(&ledger, &spec("a")).await;
        ledger.advance(latter, &[advance(known.edition)]).await.unwrap();
        assert!(ledger.schedule(&name("a")).await.unwrap().unwrap().next_at.is_some());
    }
}

#[tokio::test]
async fn a_change_of_what_its_jobs_are_lets_a_schedules_ticks_be() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        put(&ledger, &spec("a")).await;
        clock.advance(Duration::from_hours(2));
        let later = clock.now();
        let described = ScheduleSpec { description: Some("orders".to_owned()), ..spec("a") };
        assert_eq!(put(&ledger, &described).await, Put::Changed);
        let known = ledger.schedule(&name("a")).await.unwrap().unwrap();
        assert_eq!(
            (known.last_tick, known.spec.description.as_deref()),
            (NOW, Some("orders")),
            "what is due stays due"
        );
        let moved = ScheduleSpec { timezone: "Europe/Berlin".to_owned(), ..described };
        put(&ledger, &moved).await;
        assert_eq!(ledger.schedule(&name("a")).await.unwrap().unwrap().last_tick, later, "other times go on from now");
    }
}

#[tokio::test]
async fn a_page_says_whether_there_are_more() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        for name in ["a", "b", "bad"] {
            put(&ledger, &spec(name)).await;
        }
        place.tamper("UPDATE schedules SET spec = '{}' WHERE name = 'bad'").await;
        let page = async |after: Option<&str>, limit: u32| {
            let page = ledger.schedules(after.map(name).as_ref(), limit).await.unwrap();
            let names: Vec<_> = page.schedules.iter().map(|known| known.spec.name.to_string()).collect();
            (names.join(" "), page.next.map(|name| name.to_string()))
        };
        assert_eq!(page(None, 1).await, ("a".to_owned(), Some("a".to_owned())), "{place:?}");
        assert_eq!(page(Some("a"), 1).await, ("b".to_owned(), Some("b".to_owned())), "{place:?}: one cannot be read");
        assert_eq!(page(None, 3).await, ("a b".to_owned(), None), "{place:?}");
    }
}

#[tokio::test]
async fn open_runs_are_paged_though_they_were_written_down_at_once() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        for tick in 1..=25 {
            ledger.add_run(&run(if tick % 2 == 0 { "a" } else { "b" }, tick)).await.unwrap();
        }
        let (mut after, mut seen): (Option<Run>, Vec<u64>) = (None, Vec::new());
        loop {
            let page = ledger.open_runs(after.as_ref(), 10).await.unwrap();
            seen.extend(page.iter().map(|run| run.tick.as_millis()));
            after = page.last().cloned();
            if page.len() < 10 {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=25).collect::<Vec<u64>>(), "{place:?}");
        let term = ledger.begin_term().await.unwrap();
        let ended = Run { ended: Some((State::Completed, NOW)), ..run("a", 2) };
        ledger.settle_runs(term, &[ended]).await.unwrap();
        assert_eq!(ledger.open_runs(None, 100).await.unwrap().len(), 24);
    }
}

#[tokio::test]
async fn the_latest_run_with_a_job_is_found_for_each_schedule_at_once() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        for name in ["a", "b", "c", "d"] {
            put(&ledger, &spec(name)).await;
        }
        for (schedule, ticks) in [("a", 1..=3), ("c", 4..=5), ("d", 6..=6)] {
            for tick in ticks {
                ledger.add_run(&run(schedule, tick)).await.unwrap();
            }
        }
        let skipped = Run { outcome: RunOutcome::Skipped, job: None, ..run("a", 9) };
        ledger.add_run(&skipped).await.unwrap();
        let runs = ledger.last_runs(&name("a"), &name("c")).await.unwrap();
        let mut ticks: Vec<_> = runs.iter().map(|(name, run)| (name.as_str(), run.tick.as_millis())).collect();
        ticks.sort_unstable();
        assert_eq!(ticks, [("a", 3), ("c", 5)], "{place:?}");
    }
}

#[tokio::test]
async fn old_runs_go_in_slices() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        put(&ledger, &spec("a")).await;
        let known = ledger.schedule(&name("a")).await.unwrap().unwrap();
        let later = NOW.plus(Duration::from_millis(1));
        let runs = (1..=2_500).map(|tick| run("a", tick)).chain([Run { at: later, ..run("a", 3_000) }]).collect();
        let (edition, waiting_tick) = (known.edition, None);
        let advance = Advance { name: name("a"), edition, last_tick: NOW, next_at: None, waiting_tick, runs };
        ledger.advance(term, &[advance]).await.unwrap();
        assert!(ledger.prune_runs(later).await.unwrap(), "{place:?}: a slice, and more are left");
        assert!(!ledger.prune_runs(later).await.unwrap(), "{place:?}");
        let left = ledger.runs(&name("a"), None, 10).await.unwrap();
        assert_eq!(left.iter().map(|run| run.tick.as_millis()).collect::<Vec<_>>(), [3_000], "{place:?}");
    }
}

/// What a leader writes of many schedules goes in few statements; each row must be its own.
#[tokio::test]
async fn many_schedules_are_advanced_and_settled_at_once() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        let instant = Timestamp::from_millis;
        let mut advances = Vec::new();
        for number in 0..1_100_u64 {
            let schedule = format!("s{number:04}");
            put(&ledger, &spec(&schedule)).await;
            let known = ledger.schedule(&name(&schedule)).await.unwrap().unwrap();
            let runs = if number % 3 == 0 { vec![] } else { vec![run(&schedule, number)] };
            advances.push(Advance {
                name: name(&schedule),
                edition: known.edition + u64::from(number == 7),
                last_tick: instant(number),
                next_at: (number % 2 == 0).then_some(instant(number + 1)),
                waiting_tick: (number % 5 == 0).then_some(instant(number + 2)),
                runs,
            });
        }
        ledger.advance(term, &advances).await.unwrap();
        let mut all = ledger.schedules(None, 1_000).await.unwrap().schedules;
        all.extend(ledger.schedules(Some(&name("s0999")), 1_000).await.unwrap().schedules);
        assert_eq!(all.len(), 1_100);
        for (known, advance) in all.iter().zip(&advances) {
            let job = advance.runs.first().and_then(|run| run.job.clone());
            if advance.name == name("s0007") {
                assert_eq!((known.last_tick, &known.last_job), (NOW, &None), "{place:?}: it was changed meanwhile");
                continue;
            }
            assert_eq!(known.last_tick, advance.last_tick, "{place:?}");
            assert_eq!((known.next_at, known.waiting_tick), (advance.next_at, advance.waiting_tick), "{place:?}");
            assert_eq!(known.last_job, job, "{place:?}");
        }

        let ended: Vec<Run> = ledger.open_runs(None, 2_000).await.unwrap();
        let end = |run: Run| {
            let at = run.tick.as_millis();
            let state = if at.is_multiple_of(2) { State::Completed } else { State::Discarded };
            Run { ended: Some((state, instant(at + 10))), ..run }
        };
        ledger.settle_runs(term, &ended.into_iter().map(end).collect::<Vec<_>>()).await.unwrap();
        assert!(ledger.open_runs(None, 10).await.unwrap().is_empty(), "{place:?}");
        let last = ledger.runs(&name("s1097"), None, 10).await.unwrap();
        assert_eq!(last[0].ended, Some((State::Discarded, instant(1_107))), "{place:?}");
        let success =
            async |name: &str| ledger.schedule(&name.parse().unwrap()).await.unwrap().unwrap().last_success_at;
        assert_eq!((success("s1096").await, success("s1097").await), (Some(instant(1_106)), None), "{place:?}");
    }
}

#[tokio::test]
async fn the_time_of_a_pause_counts_for_no_deadline() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        let minutes = |minutes: u64| clock.advance(Duration::from_mins(minutes));
        put(&ledger, &spec("a")).await;
        minutes(61);
        assert_eq!(ledger.check_deadlines(term).await.unwrap().overdue, [name("a")], "{place:?}");
        ledger.pause_schedule(&name("a"), ("me", "deploy")).await.unwrap();
        let checked = ledger.check_deadlines(term).await.unwrap();
        assert_eq!((checked.met, checked.all), (vec![name("a")], vec![]), "what is paused is not overdue");
        minutes(600);
        assert_eq!(ledger.resume_schedule(&name("a")).await.unwrap(), Some(true));
        assert_eq!(ledger.check_deadlines(term).await.unwrap().overdue, [name("a")], "as it was before");
    }
}

/// How many are due, and how many overdue.
async fn stand(ledger: &Ledger, term: u64) -> (usize, usize) {
    let due = ledger.due_schedules(ledger.now().await.unwrap(), 10).await.unwrap().len();
    (due, ledger.check_deadlines(term).await.unwrap().all.len())
}

/// A leader with an older file, or with none, costs a schedule neither its pause nor what is known of it.
#[tokio::test]
async fn what_a_configuration_has_no_more_is_withdrawn_and_comes_back_as_it_was() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        let both = [spec("a"), spec("b")];
        assert_eq!(ledger.sync_schedules(term, &both, from_now).await.unwrap().added.len(), 2);
        ledger.pause_schedule(&name("a"), ("me", "deploy")).await.unwrap();
        let success = Run { ended: Some((State::Completed, NOW)), ..run("b", 1) };
        ledger.add_run(&success).await.unwrap();
        ledger.settle_runs(term, std::slice::from_ref(&success)).await.unwrap();

        clock.advance(Duration::from_mins(90));
        assert_eq!(stand(&ledger, term).await, (1, 1), "{place:?}: b is both");
        let synced = ledger.sync_schedules(term, &[], from_now).await.unwrap();
        assert_eq!(synced.withdrawn, [name("a"), name("b")], "{place:?}");
        assert_eq!(stand(&ledger, term).await, (0, 0), "{place:?}: it neither runs nor is it missed");
        assert_eq!(ledger.sync_schedules(term, &[], from_now).await.unwrap().withdrawn, [], "{place:?}");
        assert!(known(&ledger, "a").await.withdrawn_at.is_some());

        clock.advance(Duration::from_mins(90));
        assert_eq!(ledger.sync_schedules(term, &both, from_now).await.unwrap().returned, [name("a"), name("b")]);
        let (a, b) = (known(&ledger, "a").await, known(&ledger, "b").await);
        assert_eq!((a.withdrawn_at, a.paused.map(|pause| pause.why)), (None, Some("deploy".to_owned())), "{place:?}");
        assert_eq!((b.last_tick, b.last_success_at), (NOW, Some(NOW)), "{place:?}: what it missed is dealt with");
        assert_eq!(stand(&ledger, term).await, (1, 1), "{place:?}: both as it was");
    }
}

#[tokio::test]
async fn what_is_withdrawn_makes_room_and_goes() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        ledger.sync_schedules(term, &[spec("a"), spec("b"), spec("c")], from_now).await.unwrap();
        ledger.pause_schedule(&name("a"), ("me", "")).await.unwrap();
        assert_eq!(put(&ledger, &spec("a")).await, Put::ManagedByCode);
        assert_eq!(remove(&ledger, "a").await, [Put::ManagedByCode]);
        ledger.sync_schedules(term, &[spec("c")], from_now).await.unwrap();
        assert_eq!(put(&ledger, &spec("a")).await, Put::Added, "{place:?}");
        let a = known(&ledger, "a").await;
        assert!(a.paused.is_none() && a.withdrawn_at.is_none(), "{place:?}: it is another");
        assert_eq!(ledger.sync_schedules(term, &[spec("a"), spec("c")], from_now).await.unwrap().taken, [name("a")]);
        clock.advance(Duration::from_hours(1));
        assert!(!ledger.prune_withdrawn(clock.now()).await.unwrap());
        let left: Vec<_> =
            ledger.schedules(None, 10).await.unwrap().schedules.into_iter().map(|known| known.spec.name).collect();
        assert_eq!(left, [name("a"), name("c")], "{place:?}");
    }
}

#[tokio::test]
async fn a_change_is_written_whole_or_not_at_all() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        ledger.sync_schedules(term, &[spec("code")], from_now).await.unwrap();
        put(&ledger, &spec("old")).await;
        ledger.add_run(&run("old", 1)).await.unwrap();
        let specs = [spec("new"), ScheduleSpec { description: Some("orders".to_owned()), ..spec("old") }];
        let change = Change { specs: &specs, replace: true, revision: None, remove: &[], rehearse: false };
        let names = async || {
            let all = ledger.schedules(None, 10).await.unwrap().schedules;
            all.into_iter().map(|known| known.spec.name.to_string()).collect::<Vec<_>>()
        };
        let became = async |change: Change<'_>| {
            let done = ledger.put_schedules(change, from_now).await.unwrap();
            done.into_iter().map(|(_, put)| put).collect::<Vec<_>>()
        };

        let rehearsed = became(Change { rehearse: true, ..change }).await;
        assert_eq!(rehearsed, [Put::Added, Put::Changed], "{place:?}");
        assert_eq!(became(Change { replace: false, ..change }).await, [Put::Added, Put::Exists], "{place:?}");
        let by_code = [name("code")];
        let refused = became(Change { remove: &by_code, ..change }).await;
        assert_eq!(refused, [Put::Added, Put::Changed, Put::ManagedByCode], "{place:?}");
        assert_eq!(names().await, ["code", "old"], "{place:?}: nothing was written");
        assert_eq!(known(&ledger, "old").await.spec.description, None, "{place:?}");

        let revision = Some(known(&ledger, "old").await.revision);
        let of_old = Change { specs: &specs[1..], revision, ..change };
        assert_eq!(became(Change { specs: &specs[..1], ..of_old }).await, [Put::Outdated], "{place:?}: it is gone");
        assert_eq!(became(of_old).await, [Put::Changed], "{place:?}");
        let other = [ScheduleSpec { description: Some("refunds".to_owned()), ..spec("old") }];
        assert_eq!(became(Change { specs: &other, ..of_old }).await, [Put::Outdated], "{place:?}: somebody was faster");
        assert_eq!(became(Change { specs: &other, ..change }).await, [Put::Changed], "{place:?}");

        assert_eq!(became(change).await, [Put::Added, Put::Changed], "{place:?}");
        assert_eq!(became(change).await, [Put::Same, Put::Same], "{place:?}");
        let old = [name("old"), name("nobody")];
        assert_eq!(became(Change { specs: &[], remove: &old, ..change }).await, [Put::Removed], "{place:?}");
        assert_eq!(names().await, ["code", "new"], "{place:?}");
        assert!(ledger.runs(&name("old"), None, 10).await.unwrap().is_empty(), "{place:?}");
    }
}

#[tokio::test]
async fn of_two_who_add_a_schedule_at_once_one_is_told() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        let add = async |cron: &str| {
            let spec = ScheduleSpec { cron: cron.parse().unwrap(), ..spec("a") };
            let change = Change { specs: &[spec], replace: false, revision: None, remove: &[], rehearse: false };
            ledger.put_schedules(change, from_now).await.unwrap()[0].1
        };
        let put = tokio::join!(add("@daily"), add("@hourly"), add("@weekly"));
        let put = [put.0, put.1, put.2];
        assert_eq!(put.iter().filter(|put| **put == Put::Added).count(), 1, "{place:?}: {put:?}");
        assert_eq!(put.iter().filter(|put| **put == Put::Exists).count(), 2, "{place:?}: {put:?}");
    }
}

/// A schedule with one tick: what is expected of it begins with the tick, and ends with a success.
#[tokio::test]
async fn the_deadline_of_the_last_tick_ends_with_its_success() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        let tick = NOW.plus(Duration::from_hours(5));
        let once = ScheduleSpec { cron: "@at 2026-03-01T05:00:00Z".parse().unwrap(), ..spec("once") };
        let change = Change { specs: &[once], replace: false, revision: None, remove: &[], rehearse: false };
        ledger.put_schedules(change, |_, now| Some(tick).filter(|tick| *tick > now)).await.unwrap();
        clock.advance(Duration::from_hours(5));
        assert_eq!(stand(&ledger, term).await, (1, 0), "{place:?}: nothing was expected before");
        let ran = Run { tick, ..run("once", 5) };
        let (name, edition) = (ran.schedule.clone(), known(&ledger, "once").await.edition);
        let advance =
            Advance { name, edition, last_tick: tick, next_at: None, waiting_tick: None, runs: vec![ran.clone()] };
        ledger.advance(term, &[advance]).await.unwrap();
        let settle = async |state: State| {
            let ended = Run { ended: Some((state, clock.now())), ..ran.clone() };
            ledger.settle_runs(term, &[ended]).await.unwrap();
        };
        settle(State::Discarded).await;
        clock.advance(Duration::from_mins(61));
        assert_eq!(stand(&ledger, term).await, (0, 1), "{place:?}: it has ended, and its job has failed");
        assert_eq!(ledger.failed_runs(None, 10).await.unwrap().len(), 1, "{place:?}");
        // Somebody has redriven it.
        settle(State::Completed).await;
        assert_eq!(stand(&ledger, term).await, (0, 0), "{place:?}");
        assert_eq!(ledger.failed_runs(None, 10).await.unwrap().len(), 0, "{place:?}");
        clock.advance(Duration::from_hours(1_000));
        assert_eq!(stand(&ledger, term).await, (0, 0), "{place:?}: nothing more is expected");
    }
}

/// The last success, when it was, and what of the deadline is left when the schedule was stopped.
#[tokio::test]
async fn a_pause_neither_begins_a_deadline_anew_nor_ends_it() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        let minutes = |minutes: u64| clock.advance(Duration::from_mins(minutes));
        let paused = async |length: u64| {
            ledger.pause_schedule(&name("a"), ("me", "")).await.unwrap();
            minutes(length);
            ledger.resume_schedule(&name("a")).await.unwrap();
        };
        put(&ledger, &spec("a")).await;
        minutes(50);
        paused(1).await;
        minutes(9);
        assert_eq!(ledger.check_deadlines(term).await.unwrap().all.len(), 0, "{place:?}: 59 of 60 minutes");
        minutes(2);
        assert_eq!(ledger.check_deadlines(term).await.unwrap().all.len(), 1, "{place:?}");

        // The last tick of one that has ended: while it runs, when it has failed, and when it has completed.
        let edition = known(&ledger, "a").await.edition;
        let ended = Advance {
            name: name("a"),
            edition,
            last_tick: clock.now(),
            next_at: None,
            waiting_tick: None,
            runs: vec![run("a", 7)],
        };
        ledger.advance(term, &[ended]).await.unwrap();
        let settle = async |state: State| {
            let ended = Run { ended: Some((state, clock.now())), ..run("a", 7) };
            ledger.settle_runs(term, &[ended]).await.unwrap();
        };
        settle(State::Discarded).await;
        paused(5).await;
        minutes(120);
        assert_eq!(ledger.check_deadlines(term).await.unwrap().all.len(), 1, "{place:?}: a pause forgives nothing");
        settle(State::Completed).await;
        for _ in 0..2 {
            paused(5).await;
        }
        assert_eq!(known(&ledger, "a").await.next_at, None, "{place:?}");
        minutes(120);
        assert_eq!(ledger.check_deadlines(term).await.unwrap().all.len(), 0, "{place:?}: nothing more is expected");
    }
}

#[tokio::test]
async fn one_that_had_ended_comes_back_as_one_that_has_ended() {
    for place in places().await {
        let (ledger, clock) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        ledger.sync_schedules(term, &[spec("a")], from_now).await.unwrap();
        let edition = known(&ledger, "a").await.edition;
        let (last_tick, runs) = (clock.now(), vec![run("a", 7)]);
        let ended = Advance { name: name("a"), edition, last_tick, next_at: None, waiting_tick: None, runs };
        ledger.advance(term, &[ended]).await.unwrap();
        // Its job still runs.
        ledger.sync_schedules(term, &[], from_now).await.unwrap();
        ledger.sync_schedules(term, &[spec("a")], from_now).await.unwrap();
        let completed = Run { ended: Some((State::Completed, clock.now())), ..run("a", 7) };
        ledger.settle_runs(term, &[completed]).await.unwrap();
        clock.advance(Duration::from_hours(100));
        assert_eq!(ledger.check_deadlines(term).await.unwrap().all.len(), 0, "{place:?}");
    }
}

/// What a leader has decided of ticks holds though somebody has changed what the jobs are meanwhile.
#[tokio::test]
async fn a_change_of_the_jobs_in_the_middle_of_a_step_costs_no_tick_its_note() {
    for place in places().await {
        let (ledger, _) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        put(&ledger, &spec("a")).await;
        let edition = known(&ledger, "a").await.edition;
        let (next_at, runs) = (Some(NOW.plus(Duration::from_hours(2))), vec![run("a", 7)]);
        let advance = Advance { name: name("a"), edition, last_tick: NOW, next_at, waiting_tick: None, runs };
        put(&ledger, &ScheduleSpec { queue: "other".parse().unwrap(), ..spec("a") }).await;
        ledger.advance(term, &[advance]).await.unwrap();
        let known = known(&ledger, "a").await;
        assert_eq!((known.next_at, known.last_job.unwrap().1.as_str()), (next_at, "a:7"), "{place:?}");
    }
}

/// Without a clock of a test the database says what time it is, and it is the same for all who ask.
#[tokio::test]
async fn the_time_is_that_of_the_database() {
    for place in places().await {
        let (one, other) = (place.ledger().await, place.ledger().await);
        let first = one.now().await.unwrap();
        let then = other.now().await.unwrap();
        assert!(first > Timestamp::from_millis(1_700_000_000_000) && first <= then, "{place:?}: {first} {then}");
    }
}

/// A schedule that had ended when the release came that looks at the deadlines of ended ones, too.
#[tokio::test]
async fn what_had_ended_before_the_migration_is_not_overdue_after_it() {
    let before = [
        (
            "audit",
            [
                include_str!("../../../migrations/postgres/0001_audit.sql"),
                include_str!("../../../migrations/sqlite/0001_audit.sql"),
            ],
        ),
        (
            "history",
            [
                include_str!("../../../migrations/postgres/0002_history.sql"),
                include_str!("../../../migrations/sqlite/0002_history.sql"),
            ],
        ),
        (
            "schedules",
            [
                include_str!("../../../migrations/postgres/0003_schedules.sql"),
                include_str!("../../../migrations/sqlite/0003_schedules.sql"),
            ],
        ),
    ];
    for place in place::Place::all() {
        for (version, (name, sql)) in (1..).zip(before) {
            place.apply(version, name, sql).await;
        }
        for (name, next) in [("ended", "NULL"), ("goes_on", "1")] {
            let text = serde_json::to_string(&spec(name)).unwrap();
            let sql = format!(
                "INSERT INTO schedules (name, spec, managed_by, revision, created_at, updated_at, last_tick, next_at, success_within,
                     watched_since) VALUES ('{name}', '{text}', 'operator', 1, 1, 1, 1, {next}, 1, 1)"
            );
            place.tamper(&sql).await;
        }
        lovage_ledger::migrate(&place.address).await.unwrap();
        let (ledger, _) = opened(&place).await;
        let term = ledger.begin_term().await.unwrap();
        assert_eq!(ledger.check_deadlines(term).await.unwrap().overdue, [name("goes_on")], "{place:?}");
        assert_eq!(due(&ledger).await, ["goes_on"], "{place:?}");
    }
}
