//! When jobs begin: after an enqueue to an idle worker, and when their delay is over.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use lovage_broker::{OsEntropy, SystemClock};
use lovage_worker::{Handler, JobContext, JobError, Registry, Shutdown, Worker, WorkerConfig};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::Result;
use crate::drain::Args;
use crate::fill::enqueue;
use crate::options::{KIND, Options, job};
use crate::process::quantile;

/// Nothing is measured before the worker has run this many jobs.
const WARM: u64 = 20;
/// Longest wait for the last job.
const PATIENCE: Duration = Duration::from_secs(30);

/// When each job began: microseconds after the start of the run, or since 1970 for delayed jobs less their due time.
struct Starts {
    base: Instant,
    micros: Vec<OnceLock<i64>>,
    left: AtomicUsize,
    earliest: AtomicI64,
    done: Notify,
}

struct Note {
    starts: Arc<Starts>,
    delayed: bool,
}

impl Handler for Note {
    type Args = Args;
    type Output = ();
    const KIND: &'static str = KIND;

    async fn run(&self, args: Args, job: JobContext) -> std::result::Result<(), JobError> {
        let starts = &self.starts;
        let at = if self.delayed { late_micros(&job, args.n) } else { starts.base.elapsed().as_micros() as i64 };
        starts.earliest.fetch_min(at, Ordering::Relaxed);
        if starts.micros[args.n as usize].set(at).is_ok() && starts.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            starts.done.notify_one();
        }
        Ok(())
    }
}

/// Redis and this process share a machine, so its clock is the broker's. The broker's times are whole milliseconds, cut
/// off: a job that begins right on time shows up to a millisecond of delay, and one that is early cannot hide.
fn late_micros(job: &JobContext, n: u64) -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as i64;
    now - (job.enqueued_at().as_millis() + delay_ms(n)) as i64 * 1_000
}

/// Half a second to one and a half, in an order that looks like none.
fn delay_ms(n: u64) -> u64 {
    500 + (n * 617) % 1_000
}

/// `latency`: jobs at an even pace to an idle worker of the same process, milliseconds from before the enqueue call to
/// the handler's first line.
pub async fn latency(options: &Options) -> Result<Value> {
    let (starts, sent) = run(options, false).await?;
    let began = starts.micros.iter().filter_map(OnceLock::get);
    let mut waits: Vec<f64> = began.zip(sent).skip(WARM as usize).map(|(at, sent)| (at - sent) as f64 / 1e3).collect();
    Ok(json!({
        "p50_ms": quantile(&mut waits, 0.5),
        "p99_ms": quantile(&mut waits, 0.99),
        "max_ms": quantile(&mut waits, 1.0),
    }))
}

/// `delayed`: jobs with a delay of half a second to one and a half, milliseconds from their due time to the handler's
/// first line.
pub async fn delayed(options: &Options) -> Result<Value> {
    let (starts, _) = run(options, true).await?;
    let mut late: Vec<f64> = starts.micros.iter().filter_map(OnceLock::get).map(|at| *at as f64 / 1e3).collect();
    Ok(json!({
        "p50_ms": quantile(&mut late, 0.5),
        "p99_ms": quantile(&mut late, 0.99),
        "max_ms": quantile(&mut late, 1.0),
        "earliest_ms": starts.earliest.load(Ordering::Relaxed) as f64 / 1e3,
    }))
}

/// Runs all jobs; answers when they began and when their enqueue calls did.
async fn run(options: &Options, delayed: bool) -> Result<(Arc<Starts>, Vec<i64>)> {
    let jobs = options.number("jobs", 1_000)? + if delayed { 0 } else { WARM };
    let starts = Arc::new(Starts {
        base: Instant::now(),
        micros: (0..jobs).map(|_| OnceLock::new()).collect(),
        left: AtomicUsize::new(jobs as usize),
        earliest: AtomicI64::new(i64::MAX),
        done: Notify::new(),
    });
    let shutdown = Shutdown::new();
    let config = WorkerConfig { exit_when_empty: false, ..options.worker()? };
    let registry = Registry::new().with(Note { starts: Arc::clone(&starts), delayed });
    let worker = Worker::new(config, options.connect()?, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
    let (failed_tx, mut failed) = mpsc::channel::<()>(1);
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let ended = worker.run(shutdown).await;
            drop(failed_tx);
            ended
        }
    });
    let sent = send(options, &starts, delayed).await?;
    tokio::select! {
        done = timeout(PATIENCE, starts.done.notified()) => done?,
        None = failed.recv() => {}
    }
    shutdown.drain.cancel();
    running.await??;
    Ok((starts, sent))
}

async fn send(options: &Options, starts: &Starts, delayed: bool) -> Result<Vec<i64>> {
    let broker = options.connect()?().await?;
    let queue = options.queues()?.remove(0);
    let mut pace = interval(Duration::from_millis(options.number("every_ms", 10)?));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = Vec::with_capacity(starts.micros.len());
    for n in 0..starts.micros.len() as u64 {
        pace.tick().await;
        let mut job = job(&queue, n)?;
        job.delay_ms = delayed.then(|| delay_ms(n));
        sent.push(starts.base.elapsed().as_micros() as i64);
        enqueue(&*broker, vec![job]).await?;
    }
    Ok(sent)
}
