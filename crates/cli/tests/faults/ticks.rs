//! Ticks of schedules while whoever leads is killed again and again, on machines whose clocks differ: each once, none left out,
//! and none early.

use std::collections::BTreeSet;
use std::time::Duration;

use lovage_broker::ListQuery;
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{JobId, JobView, State, Timestamp};
use lovage_ledger::{Change, Ledger, LedgerAddress, RunOutcome, migrate};
use lovage_scheduler::{first_tick, zone};
use lovage_testkit::{PostgresServer, Process, Signal, eventually, skewed};

use crate::stage::{PATIENCE, Stage};

const SCHEDULES: u64 = 60;
const SCHEDULERS: usize = 5;
const KILLS: usize = 5;
/// So many ticks at least, of all schedules together.
const TICKS: u64 = 1_000;
/// What the clocks of the schedulers are off by. The seconds of the second begin between those of the others.
const CLOCKS: [&str; 3] = ["+600s", "-599.5s", "+0s"];
/// A tick is enqueued by then, also after a kill, on a slow machine.
const LATEST: Duration = Duration::from_secs(45);

/// Rows 9, 10 and 11: five schedulers, of which the leader is killed with SIGKILL as soon as it has enqueued something.
#[tokio::test]
async fn row_10_ticks_happen_once_though_leaders_are_killed() {
    let stage = Stage::open().await;
    let postgres = PostgresServer::start();
    let address: LedgerAddress = postgres.url().parse().expect("an address");
    migrate(&address).await.expect("the ledger is made");
    let ledger = Ledger::open(&address).await.expect("the ledger opens");
    let spec = |number: u64| {
        let json = format!(
            r#"{{"name": "each-second-{number}", "cron": "* * * * * *", "queue": "exports", "kind": "debug.noop", "missed": "all"}}"#
        );
        ScheduleSpec::parse(&json, zone).expect("a schedule")
    };
    let specs: Vec<ScheduleSpec> = (0..SCHEDULES).map(spec).collect();
    let change = Change { specs: &specs, replace: false, revision: None, remove: &[], rehearse: false };
    ledger.put_schedules(change, first_tick).await.expect("they are put");
    let mut schedulers: Vec<Process> = (0..SCHEDULERS).map(|number| start(&stage, &postgres, number)).collect();
    let mut holders = BTreeSet::new();
    for kill in 0..KILLS {
        let holder = leader(&stage, &holders).await;
        let before = stage.counts().await.available;
        stage.until_counts("another tick is enqueued", |counts| counts.available > before).await;
        if kill % 2 == 1 {
            // Half of them have written down how far they are.
            written(&ledger, before / SCHEDULES).await;
        }
        let at = schedulers.iter().position(|process| holder.contains(&format!("-{}-", process.id())));
        let mut killed = schedulers.remove(at.unwrap_or_else(|| panic!("none of ours leads: {holder}")));
        killed.signal(Signal::Kill);
        killed.ended(PATIENCE).await;
        holders.insert(holder);
        schedulers.push(start(&stage, &postgres, SCHEDULERS + kill));
    }
    written(&ledger, TICKS / SCHEDULES + 1).await;
    for process in &schedulers {
        process.signal(Signal::Term);
    }
    for mut process in schedulers {
        process.ended(PATIENCE).await;
    }

    let mut jobs = BTreeSet::new();
    for number in 0..SCHEDULES {
        let name = format!("each-second-{number}").parse().expect("a name");
        let runs = ledger.runs(&name, None, 10_000).await.expect("it answers");
        assert!(runs.iter().all(|run| run.outcome == RunOutcome::Enqueued), "{name}");
        let mut ticks: Vec<u64> = runs.iter().map(|run| run.tick.as_millis()).collect();
        ticks.sort_unstable();
        for pair in ticks.windows(2) {
            assert_eq!(pair[1] - pair[0], 1_000, "{name} after {}", Timestamp::from_millis(pair[0]));
        }
        jobs.extend(runs.into_iter().filter_map(|run| run.job).map(|(_, job)| job));
    }
    // A leader that was killed after it had enqueued and before it wrote that down has left jobs of ticks that nobody has
    // followed up.
    let there = all(&stage).await;
    for job in &there {
        let tick = job.id.as_str().rsplit(':').next().and_then(|tick| tick.parse().ok()).map(Timestamp::from_millis);
        let tick = tick.expect("the id of a tick's job");
        assert!(job.enqueued_at >= tick, "{} is early", job.id);
        assert!(job.enqueued_at.since(tick) < LATEST, "{} came at {}", job.id, job.enqueued_at);
    }
    let there: BTreeSet<JobId> = there.into_iter().map(|job| job.id).collect();
    assert_eq!(there.len() as u64, stage.counts().await.available, "no id is there twice");
    assert!(jobs.is_subset(&there), "each run has its job");
    assert!(there.len() - jobs.len() <= SCHEDULES as usize, "{} jobs of {} runs", there.len(), jobs.len());
}

/// Waits until the ledger knows of more than so many ticks of each schedule.
async fn written(ledger: &Ledger, ticks: u64) {
    let last = format!("each-second-{}", SCHEDULES - 1).parse().expect("a name");
    eventually("the ticks are written down", PATIENCE, async || {
        let runs = ledger.runs(&last, None, 10_000).await.expect("it answers");
        (runs.len() as u64 > ticks).then_some(())
    })
    .await;
}

/// Whoever leads now and is none of those that were killed.
async fn leader(stage: &Stage, killed: &BTreeSet<String>) -> String {
    eventually("another leads", PATIENCE, async || {
        let said = stage.server.command(&["HGET", "lovage:{.leader}", "scheduler"]);
        let holder = said.text().rsplit(' ').next().unwrap_or_default().to_owned();
        (!holder.is_empty() && !killed.contains(&holder)).then_some(holder)
    })
    .await
}

async fn all(stage: &Stage) -> Vec<JobView> {
    let (mut jobs, mut cursor) = (Vec::new(), None);
    loop {
        let query = ListQuery { queue: stage.queue.clone(), state: State::Available, limit: 500, cursor };
        let page = stage.broker.list(&query).await.expect("list answers");
        jobs.extend(page.jobs);
        cursor = page.next;
        if cursor.is_none() {
            return jobs;
        }
    }
}

fn start(stage: &Stage, postgres: &PostgresServer, number: usize) -> Process {
    let command = skewed(stage.scheduler(&postgres.url()), CLOCKS[number % CLOCKS.len()]);
    stage.start(command, &format!("scheduler-{number}"))
}
