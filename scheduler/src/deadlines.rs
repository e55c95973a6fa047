//! How the jobs of schedules have ended, and which schedules have had no success for too long.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{JobId, QueueName};
use lovage_ledger::{Deadlines as Passed, Ledger, Run};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::duty::{Duty, DutyError};
use crate::metrics::Metrics;

/// How often.
const EVERY: Duration = Duration::from_secs(2);
/// Runs of one page.
const RUNS: u32 = 500;
/// Pages of open runs at a time; the next time goes on where this one has ended.
const PAGES: usize = 20;
/// How often the last successes are shown, and of how many schedules at most.
const SHOW_EVERY: Duration = Duration::from_secs(15);
const SHOWN: u32 = 1_000;

/// Follows the jobs of schedules to their ends, by the history.
#[derive(Debug)]
pub struct Deadlines {
    ledger: Ledger,
    metrics: Metrics,
    looked: Mutex<Looked>,
}

/// Runs up to these were looked at, beginning anew each time the end is reached; and when successes were shown last.
#[derive(Debug, Default)]
struct Looked {
    open: Option<Run>,
    failed: Option<Run>,
    shown: Option<Instant>,
}

#[async_trait]
impl Duty for Deadlines {
    fn name(&self) -> &'static str {
        "deadlines"
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        for _ in 0..PAGES {
            if !self.settle(term).await? {
                break;
            }
        }
        self.settle_failed(term).await?;
        self.check(term).await?;
        self.show().await?;
        Ok(EVERY)
    }
}

impl Deadlines {
    /// Over a ledger whose history somebody records.
    pub fn new(ledger: Ledger, metrics: Metrics) -> Self {
        Self { ledger, metrics, looked: Mutex::default() }
    }

    /// Looks at a page of open runs. Answers whether more are left.
    pub async fn settle(&self, term: u64) -> Result<bool, DutyError> {
        let mut looked = self.looked.lock().await;
        let runs = self.ledger.open_runs(looked.open.as_ref(), RUNS).await?;
        self.settle_page(term, runs, &mut looked.open).await
    }

    /// Looks at a page of runs whose jobs have failed: a job that somebody has redriven may have succeeded.
    pub async fn settle_failed(&self, term: u64) -> Result<bool, DutyError> {
        let mut looked = self.looked.lock().await;
        let runs = self.ledger.failed_runs(looked.failed.as_ref(), RUNS).await?;
        self.settle_page(term, runs, &mut looked.failed).await
    }

    async fn settle_page(&self, term: u64, runs: Vec<Run>, last: &mut Option<Run>) -> Result<bool, DutyError> {
        let more = runs.len() == RUNS as usize;
        *last = runs.last().filter(|_| more).cloned();
        let ended = self.ended(runs).await?;
        if !ended.is_empty() {
            self.ledger.settle_runs(term, &ended).await?;
        }
        Ok(more)
    }

    /// Those of the runs whose jobs have ended otherwise than was known, with how.
    async fn ended(&self, runs: Vec<Run>) -> Result<Vec<Run>, DutyError> {
        let mut by_queue: HashMap<QueueName, Vec<JobId>> = HashMap::new();
        for (queue, job) in runs.iter().filter_map(|run| run.job.as_ref()) {
            by_queue.entry(queue.clone()).or_default().push(job.clone());
        }
        let mut ends = HashMap::new();
        for (queue, jobs) in by_queue {
            for job in self.ledger.known_jobs(&queue, &jobs).await?.into_iter().filter(|job| job.state.is_final()) {
                ends.insert((queue.clone(), job.id), (job.state, job.since));
            }
        }
        let end = |mut run: Run| {
            let before = run.ended;
            run.ended = run.job.as_ref().and_then(|job| ends.get(job)).copied();
            (run.ended.is_some() && run.ended != before).then_some(run)
        };
        Ok(runs.into_iter().filter_map(end).collect())
    }

    /// Shows when schedules with a deadline had their last success, every now and then.
    async fn show(&self) -> Result<(), DutyError> {
        let mut looked = self.looked.lock().await;
        if looked.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY) {
            let last = self.ledger.last_successes(SHOWN).await?;
            self.metrics.successes(last.iter().map(|(schedule, at)| (schedule, *at)));
            looked.shown = Some(Instant::now());
        }
        Ok(())
    }

    /// Says which schedules have had no success for too long, and which have had one again.
    pub async fn check(&self, term: u64) -> Result<Passed, DutyError> {
        let passed = self.ledger.check_deadlines(term).await?;
        for schedule in &passed.overdue {
            warn!(schedule = %schedule, "a schedule has had no success for longer than it may");
        }
        for schedule in &passed.met {
            info!(schedule = %schedule, "a schedule is no longer overdue");
        }
        self.metrics.overdue(passed.all.iter());
        Ok(passed)
    }
}
