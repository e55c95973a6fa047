//! One worker process drains its queues; every job that runs is marked by its number.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use lovage_broker::{OsEntropy, SystemClock};
use lovage_worker::{Handler, JobContext, JobError, Registry, Shutdown, Worker};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Result;
use crate::options::{KIND, Options};
use crate::process::{cpu_seconds, gate};

/// What a job is known by; the padding is skipped.
#[derive(Deserialize)]
pub struct Args {
    pub n: u64,
}

/// Which jobs ran here: a bit each.
pub struct Seen {
    bits: Vec<AtomicU8>,
    ran: AtomicU64,
    twice: AtomicU64,
}

impl Seen {
    fn of(jobs: u64) -> Self {
        let bits = (0..jobs.div_ceil(8)).map(|_| AtomicU8::new(0)).collect();
        Self { bits, ran: AtomicU64::new(0), twice: AtomicU64::new(0) }
    }

    fn mark(&self, n: u64) {
        let bit = 1 << (n % 8);
        let known = self.bits.get((n / 8) as usize).map(|bits| bits.fetch_or(bit, Ordering::Relaxed));
        // A number beyond the last job is as wrong as one that comes again.
        let count = if known.is_some_and(|known| known & bit == 0) { &self.ran } else { &self.twice };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<u8> = self.bits.iter().map(|bits| bits.load(Ordering::Relaxed)).collect();
        Ok(std::fs::write(path, bytes)?)
    }
}

struct Note(Arc<Seen>);

impl Handler for Note {
    type Args = Args;
    type Output = ();
    const KIND: &'static str = KIND;

    async fn run(&self, args: Args, _job: JobContext) -> std::result::Result<(), JobError> {
        self.0.mark(args.n);
        Ok(())
    }
}

/// `drain`: the worker ends once its queues are empty, or after `max` jobs. The bits of what ran go to the file `seen`,
/// so that whoever started several workers can prove that they ran different jobs.
pub async fn drain(options: &Options) -> Result<Value> {
    let seen = Arc::new(Seen::of(options.number("jobs", 200_000)?));
    let registry = Registry::new().with(Note(Arc::clone(&seen)));
    let config = options.worker()?;
    let worker = Worker::new(config, options.connect()?, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
    gate()?;
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let summary = worker.run(Shutdown::new()).await?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    if let Some(path) = options.text("seen") {
        seen.write(Path::new(path))?;
    }
    Ok(json!({
        "seconds": seconds,
        "cpu_seconds": cpu,
        "ran": seen.ran.load(Ordering::Relaxed),
        "twice": seen.twice.load(Ordering::Relaxed),
        "acked": summary.completed,
        "claimed": summary.claimed,
        "lost": summary.lost,
    }))
}
