//! How fast the recorder brings the history of jobs from Redis into PostgreSQL. docs/benchmarks.md has the numbers.
//!
//!     cargo run --release -p lovage-scheduler --example recorder -- \
//!         rate redis://127.0.0.1:6399 postgres://postgres@127.0.0.1/scratch rate=20000 seconds=20
//!     ... backlog REDIS POSTGRES jobs=1000000
//!
//! Both servers are to be thrown away. `rate` lets jobs run at a rate while another process of this program records them;
//! with `hold=5` each job runs 5 s after its enqueue, so that it is written twice. `backlog` lets `jobs` run first; with
//! `apart=1` all are enqueued before the first one runs. `queues=4` shares them among four queues. The last line is JSON.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

mod cpu;
mod produce;

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Connect, RedisBroker, RedisConfig, Retention, SystemClock};
use lovage_core::{Clock, QueueName, Timestamp};
use lovage_ledger::{Ledger, LedgerAddress, migrate};
use lovage_scheduler::{Duty as _, Metrics, Recorder, prometheus};
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::produce::{BATCH, EVENTS, Producer};

/// Whatever went wrong.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How often it is looked how far the recorder is.
const LOOK: Duration = Duration::from_millis(100);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [verb, redis, postgres, options @ ..] = words.as_slice() else {
        return Err(
            "use `rate REDIS POSTGRES rate=20000 seconds=20 hold=0 queues=1` or `backlog REDIS POSTGRES jobs=1000000`"
                .into(),
        );
    };
    let read = |word: &String| Some((word.split_once('=')?.0.to_owned(), word.split_once('=')?.1.parse().ok()?));
    let options: HashMap<String, u64> = options.iter().filter_map(read).collect();
    let option = |name: &str, usual: u64| options.get(name).copied().unwrap_or(usual);
    let address: LedgerAddress = postgres.parse()?;
    migrate(&address).await?;
    let ledger = Ledger::open(&address).await?;
    if verb == "record" {
        return record(connect(redis), ledger).await;
    }
    let queues = (0..option("queues", 1)).map(|number| format!("queue-{number}").parse());
    let producer = Producer {
        broker: connect(redis)().await?,
        queues: queues.collect::<Result<_, _>>()?,
        worker: "worker-1".parse()?,
    };
    let bench = Bench { producer, ledger, redis, postgres };
    match verb.as_str() {
        "rate" => {
            let (rate, hold) = (option("rate", 20_000), Duration::from_secs(option("hold", 0)));
            bench.rate(rate * option("seconds", 20) / BATCH, rate, hold).await
        }
        "backlog" => bench.backlog(option("jobs", 1_000_000) / BATCH, option("apart", 0) == 1).await,
        other => Err(format!("no {other}; use rate or backlog").into()),
    }
}

/// Keeps all there is: what the recorder has not seen must stay.
fn connect(url: &str) -> Connect {
    let many = 100_000_000;
    let retention = Retention { completed_count: many, discarded_count: many, ..Retention::default() };
    let config = RedisConfig { url: url.to_owned(), retention, events_kept: many as usize, ..RedisConfig::default() };
    Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(RedisBroker::connect(config).await?) as Arc<dyn Broker>) })
    })
}

/// Records until the process is killed, as the leader does.
async fn record(connect: Connect, ledger: Ledger) -> Result<(), Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::new(&prometheus::Registry::new(), clock.clone())?;
    let term = ledger.begin_term().await?;
    let recorder = Recorder::new(connect, ledger, clock, metrics);
    loop {
        // bounded wait: what the duty asks for
        sleep(recorder.run_once(term).await?).await;
    }
}

struct Bench<'a> {
    producer: Producer,
    ledger: Ledger,
    redis: &'a str,
    postgres: &'a str,
}

/// The recording process; killed with its handle.
struct Recording(std::process::Child);

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bench<'_> {
    fn start(&self) -> Result<Recording, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["record", self.redis, self.postgres]).stdin(Stdio::null());
        Ok(Recording(command.spawn()?))
    }

    /// Seconds of processor time so far: of the recorder, of Redis, of PostgreSQL.
    fn cpu(&self, recording: &Recording) -> [f64; 3] {
        let port = |url: &str| url.rsplit(':').next()?.split('/').next()?.parse().ok();
        let server = |url: &str| port(url).and_then(cpu::listening).map_or(0.0, cpu::seconds);
        [cpu::seconds(recording.0.id()), server(self.redis), server(self.postgres)]
    }

    /// Makes the queues known to the recorder: one that it never saw is read from its state, which is not what is measured.
    async fn warm_up(&self) -> Result<Recording, Failed> {
        for batch in 0..self.producer.queues.len() as u64 {
            self.producer.enqueue(batch).await?;
            self.producer.run(batch).await?;
        }
        let recording = self.start()?;
        self.recorded(self.events(self.first())).await?;
        Ok(recording)
    }

    /// The number of the first batch that counts.
    fn first(&self) -> u64 {
        self.producer.queues.len() as u64
    }

    async fn rate(self, batches: u64, rate: u64, hold: Duration) -> Result<(), Failed> {
        let recording = self.warm_up().await?;
        let (before, began) = (self.cpu(&recording), Instant::now());
        let all = self.events(self.first() + batches);
        let producing = self.producer.at_rate(self.first()..self.first() + batches, rate, hold);
        let over = Duration::from_secs_f64((batches * BATCH) as f64 / rate as f64) + hold;
        let (produced, (longest, at_end)) = tokio::try_join!(producing, self.watch(all, began, over))?;
        let more = json!({
            "produced_per_second": (batches * BATCH) as f64 / (produced.saturating_sub(hold)).as_secs_f64(),
            "lag_longest_seconds": longest.as_secs_f64(), "lag_at_end_seconds": at_end.as_secs_f64(),
        });
        self.tell(batches, began, before, &recording, more);
        Ok(())
    }

    async fn backlog(self, batches: u64, apart: bool) -> Result<(), Failed> {
        drop(self.warm_up().await?);
        let batches_to_run = self.first()..self.first() + batches;
        for batch in batches_to_run.clone() {
            self.producer.enqueue(batch).await?;
            if !apart {
                self.producer.run(batch).await?;
            }
        }
        for batch in batches_to_run.filter(|_| apart) {
            self.producer.run(batch).await?;
        }
        let recording = self.start()?;
        let (before, began) = (self.cpu(&recording), Instant::now());
        self.recorded(self.events(self.first() + batches)).await?;
        self.tell(batches, began, before, &recording, json!({}));
        Ok(())
    }

    fn tell(&self, batches: u64, began: Instant, before: [f64; 3], recording: &Recording, mut more: serde_json::Value) {
        let seconds = began.elapsed().as_secs_f64();
        let after = self.cpu(recording);
        let jobs = batches * BATCH;
        more["jobs"] = jobs.into();
        more["jobs_per_second"] = (jobs as f64 / seconds).into();
        for (index, name) in ["recorder", "redis", "postgres"].into_iter().enumerate() {
            more[format!("{name}_cpu_seconds")] = (after[index] - before[index]).into();
        }
        println!("{more}");
    }

    /// Events of so many batches, queue by queue.
    fn events(&self, batches: u64) -> Vec<(QueueName, u64)> {
        let queues = self.producer.queues.len() as u64;
        let of = |(number, queue): (u64, &QueueName)| {
            (queue.clone(), (batches + queues - 1 - number) / queues * BATCH * EVENTS)
        };
        (0..).zip(&self.producer.queues).map(of).collect()
    }

    /// Whether so many events are recorded, and when the last recorded one was of the queue that is furthest behind.
    async fn is_recorded(&self, events: &[(QueueName, u64)]) -> Result<(bool, Timestamp), Failed> {
        let mut furthest = (true, Timestamp::from_millis(u64::MAX));
        for (queue, wanted) in events {
            let position = self.ledger.position(queue).await?.unwrap_or_default();
            let cursor = position.cursor.as_deref().and_then(|cursor| cursor.split_once('@'));
            let (number, at) = cursor.map_or((Ok(0), Ok(0)), |(number, at)| (number.parse::<u64>(), at.parse()));
            furthest.0 &= number? >= *wanted && !position.healing;
            furthest.1 = furthest.1.min(Timestamp::from_millis(at?));
        }
        Ok(furthest)
    }

    async fn recorded(&self, events: Vec<(QueueName, u64)>) -> Result<(), Failed> {
        let began = Instant::now();
        while !self.is_recorded(&events).await?.0 {
            if began.elapsed() > PATIENCE {
                return Err("the recorder takes too long".into());
            }
            // bounded wait: until the next look
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Watches until all events are recorded: how far the recorder was behind at most, and after `over`, when the last job
    /// should have ended.
    async fn watch(
        &self,
        events: Vec<(QueueName, u64)>,
        began: Instant,
        over: Duration,
    ) -> Result<(Duration, Duration), Failed> {
        let (mut longest, mut at_end) = (Duration::ZERO, None);
        loop {
            let (done, at) = self.is_recorded(&events).await?;
            let lag = if done { Duration::ZERO } else { SystemClock.now().since(at) };
            // Before, there is nothing to be behind of.
            if began.elapsed() > Duration::from_secs(2) {
                longest = longest.max(lag);
            }
            if began.elapsed() >= over && at_end.is_none() {
                at_end = Some(lag);
            }
            if done {
                return Ok((longest, at_end.unwrap_or_default()));
            }
            if began.elapsed() > PATIENCE {
                return Err("the recorder takes too long".into());
            }
            // bounded wait: until the next look
            sleep(LOOK).await;
        }
    }
}
