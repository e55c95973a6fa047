//! A crowd of jobs due at one instant goes through everything that touches many jobs: promotion, claims beside it, lists,
//! a purge and the vacuum of ended jobs. Redis is asked two things: after each call, how much processor time its thread
//! has used, which does not depend on what else the machine does; after each phase, which commands took longer than 10 ms
//! by the clock, which only means something on a machine that is idle otherwise.

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
/// What one script takes in at most; a larger call is several.
const BATCH: u64 = 1_000;
const START: u64 = 1_772_323_200_000;
const DUE_IN: Duration = Duration::from_mins(1);
/// How long ended jobs are kept here.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// What one phase cost Redis.
#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    /// Processor time of Redis for each call, the longest first.
    pub cpu: Vec<Duration>,
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
    cpu: Vec<Duration>,
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
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_mins(1)));
        let plain = redis::Client::open(server.url())?.get_multiplexed_async_connection_with_config(&patient).await?;
        Ok(Self { _server: server, plain, broker, clock, queue: "crowd".parse()?, jobs, cpu: Vec::new() })
    }

    /// All phases, one after the other.
    pub async fn run(mut self) -> Result<Vec<Phase>> {
        self.fill().await?;
        let mut phases = vec![self.phase("enqueue, due at one instant").await?];
        self.clock.advance(DUE_IN);
        self.promote().await?;
        phases.push(self.phase("promote, with claims beside").await?);
        self.list().await?;
        phases.push(self.phase("list, all pages").await?);
        self.all(BulkAction::Cancel, self.jobs / 2).await?;
        phases.push(self.phase("cancel half of them").await?);
        self.all(BulkAction::Delete, u64::MAX).await?;
        phases.push(self.phase("purge the rest").await?);
        self.clock.advance(2 * KEPT_FOR);
        self.vacuum().await?;
        phases.push(self.phase("vacuum of what has ended").await?);
        Ok(phases)
    }

    async fn fill(&mut self) -> Result<()> {
        let due = Timestamp::from_millis(START).plus(DUE_IN);
        let args = serde_json::json!({});
        let job = NewJob { run_at: Some(due), ..NewJob::new(self.queue.clone(), "debug.noop".parse()?, &args)? };
        for batch in 0..self.jobs.div_ceil(BATCH) {
            let size = BATCH.min(self.jobs - batch * BATCH);
            let before = self.cpu_used().await?;
            self.broker.enqueue(vec![job.clone(); size as usize]).await?;
            self.note(before).await?;
        }
        Ok(())
    }

    async fn promote(&mut self) -> Result<()> {
        let worker = "w1".parse()?;
        for call in 1.. {
            let before = self.cpu_used().await?;
            let swept = self.broker.sweep(&self.queue).await?;
            self.note(before).await?;
            if call % 10 == 0 {
                let before = self.cpu_used().await?;
                self.broker.claim(&self.queue, &worker, 10, 100 * KEPT_FOR).await?;
                self.note(before).await?;
            }
            if !swept.more {
                break;
            }
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<()> {
        let mut query = ListQuery { queue: self.queue.clone(), state: State::Available, limit: 500, cursor: None };
        loop {
            let before = self.cpu_used().await?;
            let page = self.broker.list(&query).await?;
            self.note(before).await?;
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn all(&mut self, action: BulkAction, most: u64) -> Result<()> {
        let (mut done, mut cursor) = (0, None);
        loop {
            let before = self.cpu_used().await?;
            let progress = self.broker.bulk(&self.queue, State::Available, action, cursor).await?;
            self.note(before).await?;
            done += progress.done;
            cursor = progress.cursor;
            if cursor.is_none() || done >= most {
                return Ok(());
            }
        }
    }

    async fn vacuum(&mut self) -> Result<()> {
        loop {
            let before = self.cpu_used().await?;
            let swept = self.broker.sweep(&self.queue).await?;
            self.note(before).await?;
            if !swept.more {
                break;
            }
        }
        let left = self.broker.queue(&self.queue).await?.counts;
        if left.available + left.scheduled + left.cancelled > 0 {
            return Err(BrokerError::Protocol(format!("not everything is gone: {left:?}")).into());
        }
        Ok(())
    }

    /// Processor time of the thread that runs all commands, so far.
    async fn cpu_used(&mut self) -> Result<Duration> {
        let info: String = redis::cmd("INFO").arg("cpu").query_async(&mut self.plain).await?;
        let seconds = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(':'));
            line.and_then(|text| text.trim().parse::<f64>().ok()).ok_or_else(|| format!("INFO cpu has no {name}"))
        };
        let used = seconds("used_cpu_user_main_thread")? + seconds("used_cpu_sys_main_thread")?;
        Ok(Duration::from_secs_f64(used))
    }

    async fn note(&mut self, before: Duration) -> Result<()> {
        let used = self.cpu_used().await?;
        self.cpu.push(used.saturating_sub(before));
        Ok(())
    }

    /// Ends a phase: what its calls have used, and the notes of its slow commands.
    async fn phase(&mut self, name: &'static str) -> Result<Phase> {
        let notes: Vec<Vec<redis::Value>> =
            redis::cmd("SLOWLOG").arg("GET").arg(KEPT).query_async(&mut self.plain).await?;
        let () = redis::cmd("SLOWLOG").arg("RESET").query_async(&mut self.plain).await?;
        let micros = |note: Vec<redis::Value>| match note.get(2) {
            Some(redis::Value::Int(micros)) => Duration::from_micros(*micros as u64),
            _ => Duration::MAX,
        };
        let mut slow: Vec<Duration> = notes.into_iter().map(micros).collect();
        let mut cpu = std::mem::take(&mut self.cpu);
        slow.sort_unstable_by(|a, b| b.cmp(a));
        cpu.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Phase { name, cpu, slow })
    }
}
