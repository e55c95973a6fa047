//! Schedules in both databases: what one bad row, another leader and many open runs do to the others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod place;

use lovage_core::schedule::ScheduleSpec;
use lovage_core::{ScheduleName, State, Timestamp};
use lovage_ledger::{Advance, Ledger, LedgerError, Put, Run, RunOutcome};

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

async fn due(ledger: &Ledger) -> Vec<String> {
    let due = ledger.due_schedules(NOW, 10).await.unwrap();
    due.into_iter().map(|schedule| schedule.spec.name.to_string()).collect()
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_stands_in_no_others_way() {
    for place in places().await {
        let ledger = place.ledger().await;
        for name in ["bad", "good", "newer"] {
            assert_eq!(ledger.put_schedule(&spec(name), NOW).await.unwrap(), Put::Added);
        }
        place
            .tamper(r#"UPDATE schedules SET spec = '{"name": "bad", "cron": "@fortnightly"}' WHERE name = 'bad'"#)
            .await;
        place.tamper(r#"UPDATE schedules SET spec = replace(spec, '{"name"', '{"moon": "full", "name"') WHERE name = 'newer'"#).await;
        let found = due(&ledger).await;
        assert_eq!(found.len(), 2, "{place:?}: {found:?}");
        assert!(found.contains(&"newer".to_owned()), "a field of a newer release is passed over");
        assert_eq!(due(&ledger).await.len(), 2);
        assert_eq!(ledger.schedules(None, 10).await.unwrap().len(), 2);
        assert!(ledger.delete_schedule(&name("bad")).await.unwrap().is_some(), "it can be removed");
    }
}

/// Row 12: each write of a leader carries its term.
#[tokio::test]
async fn a_former_leader_changes_nothing() {
    for place in places().await {
        let ledger = place.ledger().await;
        ledger.put_schedule(&spec("a"), NOW).await.unwrap();
        ledger.add_run(&run("a", 1)).await.unwrap();
        let former = ledger.begin_term().await.unwrap();
        let latter = ledger.begin_term().await.unwrap();
        let known = ledger.schedule(&name("a")).await.unwrap().unwrap();
        let advance = |revision: u64| Advance {
            name: name("a"),
            revision,
            last_tick: NOW,
            next_at: None,
            waiting_tick: None,
            runs: vec![run("a", 2)],
        };
        let ended = Run { ended: Some((State::Completed, NOW)), ..run("a", 1) };
        let late = NOW.plus(std::time::Duration::from_hours(3));
        for refused in [
            ledger.advance(former, &[advance(known.revision)]).await.unwrap_err(),
            ledger.settle_runs(former, std::slice::from_ref(&ended)).await.unwrap_err(),
            ledger.check_deadlines(former, late).await.unwrap_err(),
            ledger.sync_schedules(former, &[spec("b")], NOW).await.unwrap_err(),
        ] {
            assert!(matches!(refused, LedgerError::Deposed), "{refused:?}");
        }
        assert_eq!(ledger.runs(&name("a"), None, 10).await.unwrap().len(), 1);
        assert!(ledger.schedule(&name("b")).await.unwrap().is_none());
        // What was decided of a schedule that was removed and made anew since is not written.
        ledger.delete_schedule(&name("a")).await.unwrap();
        ledger.put_schedule(&spec("a"), NOW.plus(std::time::Duration::from_millis(1))).await.unwrap();
        ledger.advance(latter, &[advance(known.revision)]).await.unwrap();
        assert!(ledger.schedule(&name("a")).await.unwrap().unwrap().next_at.is_some());
    }
}

#[tokio::test]
async fn a_change_of_what_its_jobs_are_lets_a_schedules_ticks_be() {
    for place in places().await {
        let ledger = place.ledger().await;
        ledger.put_schedule(&spec("a"), NOW).await.unwrap();
        let later = NOW.plus(std::time::Duration::from_hours(2));
        let described = ScheduleSpec { description: Some("orders".to_owned()), ..spec("a") };
        assert_eq!(ledger.put_schedule(&described, later).await.unwrap(), Put::Changed);
        let known = ledger.schedule(&name("a")).await.unwrap().unwrap();
        assert_eq!(
            (known.last_tick, known.spec.description.as_deref()),
            (NOW, Some("orders")),
            "what is due stays due"
        );
        let moved = ScheduleSpec { timezone: "Europe/Berlin".to_owned(), ..described };
        ledger.put_schedule(&moved, later).await.unwrap();
        assert_eq!(ledger.schedule(&name("a")).await.unwrap().unwrap().last_tick, later, "other times go on from now");
    }
}

#[tokio::test]
async fn open_runs_are_paged_though_they_were_written_down_at_once() {
    for place in places().await {
        let ledger = place.ledger().await;
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
        let ledger = place.ledger().await;
        for name in ["a", "b", "c", "d"] {
            ledger.put_schedule(&spec(name), NOW).await.unwrap();
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
        let ledger = place.ledger().await;
        let term = ledger.begin_term().await.unwrap();
        ledger.put_schedule(&spec("a"), NOW).await.unwrap();
        let known = ledger.schedule(&name("a")).await.unwrap().unwrap();
        let later = NOW.plus(std::time::Duration::from_millis(1));
        let runs = (1..=2_500).map(|tick| run("a", tick)).chain([Run { at: later, ..run("a", 3_000) }]).collect();
        let (revision, waiting_tick) = (known.revision, None);
        let advance = Advance { name: name("a"), revision, last_tick: NOW, next_at: None, waiting_tick, runs };
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
        let ledger = place.ledger().await;
        let term = ledger.begin_term().await.unwrap();
        let instant = Timestamp::from_millis;
        let mut advances = Vec::new();
        for number in 0..1_100_u64 {
            let schedule = format!("s{number:04}");
            ledger.put_schedule(&spec(&schedule), NOW).await.unwrap();
            let known = ledger.schedule(&name(&schedule)).await.unwrap().unwrap();
            let runs = if number % 3 == 0 { vec![] } else { vec![run(&schedule, number)] };
            advances.push(Advance {
                name: name(&schedule),
                revision: known.revision + u64::from(number == 7),
                last_tick: instant(number),
                next_at: (number % 2 == 0).then_some(instant(number + 1)),
                waiting_tick: (number % 5 == 0).then_some(instant(number + 2)),
                runs,
            });
        }
        ledger.advance(term, &advances).await.unwrap();
        let mut all = ledger.schedules(None, 1_000).await.unwrap();
        all.extend(ledger.schedules(Some(&name("s0999")), 1_000).await.unwrap());
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
        let ledger = place.ledger().await;
        let term = ledger.begin_term().await.unwrap();
        let after = |minutes: u64| NOW.plus(std::time::Duration::from_mins(minutes));
        ledger.put_schedule(&spec("a"), NOW).await.unwrap();
        assert_eq!(ledger.check_deadlines(term, after(61)).await.unwrap().overdue, [name("a")], "{place:?}");
        ledger.pause_schedule(&name("a"), ("me", "deploy"), after(62)).await.unwrap();
        let checked = ledger.check_deadlines(term, after(63)).await.unwrap();
        assert_eq!((checked.met, checked.all), (vec![name("a")], vec![]), "what is paused is not overdue");
        ledger.resume_schedule(&name("a"), after(600)).await.unwrap();
        assert!(ledger.check_deadlines(term, after(659)).await.unwrap().overdue.is_empty());
        assert_eq!(ledger.check_deadlines(term, after(661)).await.unwrap().overdue, [name("a")]);
    }
}
