//! A crowd of jobs due at one instant goes through everything that touches many jobs: promotion, claims beside it, lists,
//! a purge and the vacuum of ended jobs. After each phase Redis is asked which commands took longer than 10 ms.

use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    BrokerError, BulkAction, ListQuery, Operator as _, Producer as _, Reader as _, RedisBroker, RedisConfig, Retention,
    WorkerSide as _,
};
use lovage_core::{Clock, ManualClock, NewJob, QueueName, State, Timestamp};
use lovage_testkit::RedisServer;

/// Commands that take longer are noted.
pub const SLOW: Duration = Duration::from_millis(10);
/// Most notes that are kept of a phase.
const KEPT: u32 = 10_000;
const BATCH: u64 = 10_000;
const START: u64 = 1_772_323_200_000;
const DUE_IN: Duration = Duration::from_mins(1);
/// How long ended jobs are kept here.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// What one phase cost Redis.
#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    /// Calls that the broker made.
    pub calls: u64,
    /// Commands that took longer than [`SLOW`], the slowest first.
    pub slow: Vec<Duration>,
}

pub struct Crowd {
    _server: RedisServer,
    plain: redis::aio::MultiplexedConnection,
    broker: RedisBroker,
    clock: Arc<ManualClock>,
    queue: QueueName,
    jobs: u64,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Crowd {
    pub async fn new(jobs: u64) -> Result<Self> {
        let slower_than = SLOW.as_micros().to_string();
        let kept = KEPT.to_string();
        let settings = ["--slowlog-log-slower-than", slower_than.as_str(), "--slowlog-max-len", kept.as_str()];
        let server = RedisServer::start_with(&settings);
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
        let config = RedisConfig {
            url: server.url(),
            virtual_clock: Some(Arc::clone(&clock) as Arc<dyn Clock>),
            retention: Retention { completed_age: KEPT_FOR, completed_count: u64::MAX >> 16, ..Retention::default() },
            ..RedisConfig::default()
        };
        let broker = RedisBroker::connect(config).await?;
        let plain = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
        Ok(Self { _server: server, plain, broker, clock, queue: "crowd".parse()?, jobs })
    }

    /// All phases, one after the other.
    pub async fn run(mut self) -> Result<Vec<Phase>> {
        let mut phases = Vec::new();
        let calls = self.fill().await?;
        phases.push(self.phase("enqueue, due at one instant", calls).await?);
        self.clock.advance(DUE_IN);
        let calls = self.promote().await?;
        phases.push(self.phase("promote, with claims beside", calls).await?);
        let calls = self.list().await?;
        phases.push(self.phase("list, all pages", calls).await?);
        let calls = self.purge(BulkAction::Cancel, self.jobs / 2).await?;
        phases.push(self.phase("cancel half of them", calls).await?);
        let calls = self.purge(BulkAction::Delete, u64::MAX).await?;
        phases.push(self.phase("purge the rest", calls).await?);
        self.clock.advance(2 * KEPT_FOR);
        let calls = self.vacuum().await?;
        phases.push(self.phase("vacuum of what has ended", calls).await?);
        Ok(phases)
    }

    async fn fill(&self) -> Result<u64> {
        let due = Timestamp::from_millis(START).plus(DUE_IN);
        let batches = self.jobs.div_ceil(BATCH);
        for batch in 0..batches {
            let size = BATCH.min(self.jobs - batch * BATCH);
            let args = serde_json::json!({ "n": batch });
            let job = NewJob { run_at: Some(due), ..NewJob::new(self.queue.clone(), "debug.noop".parse()?, &args)? };
            self.broker.enqueue(vec![job; size as usize]).await?;
        }
        Ok(batches)
    }

    async fn promote(&self) -> Result<u64> {
        let worker = "w1".parse()?;
        let mut calls = 0;
        loop {
            let swept = self.broker.sweep(&self.queue).await?;
            calls += 1;
            if calls % 10 == 0 {
                self.broker.claim(&self.queue, &worker, 10, 100 * KEPT_FOR).await?;
                calls += 1;
            }
            if !swept.more {
                return Ok(calls);
            }
        }
    }

    async fn list(&self) -> Result<u64> {
        let mut query = ListQuery { queue: self.queue.clone(), state: State::Available, limit: 500, cursor: None };
        let mut calls = 0;
        loop {
            let page = self.broker.list(&query).await?;
            calls += 1;
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(calls),
            }
        }
    }

    async fn purge(&self, action: BulkAction, most: u64) -> Result<u64> {
        let (mut calls, mut done, mut cursor) = (0, 0, None);
        loop {
            let progress = self.broker.bulk(&self.queue, State::Available, action, cursor).await?;
            calls += 1;
            done += progress.done;
            cursor = progress.cursor;
            if cursor.is_none() || done >= most {
                return Ok(calls);
            }
        }
    }

    async fn vacuum(&self) -> Result<u64> {
        let mut calls = 0;
        while self.broker.sweep(&self.queue).await?.more {
            calls += 1;
        }
        let left = self.broker.queue(&self.queue).await?.counts;
        if left.available + left.scheduled + left.cancelled > 0 {
            return Err(BrokerError::Protocol(format!("not everything is gone: {left:?}")).into());
        }
        Ok(calls)
    }

    /// Reads the notes of slow commands since the phase before.
    async fn phase(&mut self, name: &'static str, calls: u64) -> Result<Phase> {
        let notes: Vec<Vec<redis::Value>> =
            redis::cmd("SLOWLOG").arg("GET").arg(KEPT).query_async(&mut self.plain).await?;
        let () = redis::cmd("SLOWLOG").arg("RESET").query_async(&mut self.plain).await?;
        let micros = |note: Vec<redis::Value>| match note.get(2) {
            Some(redis::Value::Int(micros)) => Duration::from_micros(*micros as u64),
            _ => Duration::MAX,
        };
        let mut slow: Vec<Duration> = notes.into_iter().map(micros).collect();
        slow.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Phase { name, calls, slow })
    }
}
