//! The side of apalis-redis' own storage in `cargo xtask bench queue --peers`: one verb a run, its result as a line of
//! JSON. Built in the cache folder of the benchmark, so that it is no dependency of the workspace.
//!
//!     apalis_peer fill|single|drain REDIS_URL JOBS
//!
//! A worker as apalis-redis' README has it, with the default settings of its storage.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::{Data, TaskSink, WorkerBuilder};
use apalis_redis::RedisStorage;
use serde::{Deserialize, Serialize};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const BULK: u64 = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    n: u64,
    pad: String,
}

/// A job of 200 bytes of JSON.
fn job(n: u64) -> Note {
    let bare = format!(r#"{{"n":{n},"pad":""}}"#).len();
    Note { n, pad: "x".repeat(200 - bare) }
}

/// How often each job ran.
struct Seen {
    runs: Vec<AtomicU8>,
    ran: AtomicU64,
}

async fn note(job: Note, seen: Data<Arc<Seen>>) -> Result<()> {
    let at = job.n as usize;
    if seen.runs[at].fetch_add(1, Ordering::Relaxed) == 0 {
        seen.ran.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let [_, verb, url, jobs] = words.as_slice() else { return Err("verb, address and number of jobs".into()) };
    let jobs: u64 = jobs.parse()?;
    let mut storage: RedisStorage<Note> = RedisStorage::new(apalis_redis::connect(url.as_str()).await?);
    let start = Instant::now();
    match verb.as_str() {
        "fill" => {
            for from in (0..jobs).step_by(BULK as usize) {
                storage.push_bulk((from..jobs.min(from + BULK)).map(job).collect()).await?;
            }
        }
        "single" => {
            for n in 0..jobs {
                storage.push(job(n)).await?;
            }
        }
        "drain" => return drain(url, storage, jobs).await,
        other => return Err(format!("unknown verb {other}").into()),
    }
    println!(r#"{{"seconds":{}}}"#, start.elapsed().as_secs_f64());
    Ok(())
}

fn run(storage: &RedisStorage<Note>, jobs: u64) -> Arc<Seen> {
    let seen = Arc::new(Seen {
        runs: (0..jobs).map(|_| AtomicU8::new(0)).collect(),
        ran: AtomicU64::new(0),
    });
    let worker = WorkerBuilder::new("peer").backend(storage.clone()).data(Arc::clone(&seen)).build(note);
    tokio::spawn(worker.run());
    seen
}

async fn drain(url: &str, storage: RedisStorage<Note>, jobs: u64) -> Result<()> {
    let mut connection = apalis_redis::connect(url).await?;
    let done = storage.get_config().done_jobs_set();
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let seen = run(&storage, jobs);
    let mut acked = 0;
    while acked < jobs || seen.ran.load(Ordering::Relaxed) < jobs {
        tokio::time::sleep(Duration::from_millis(5)).await;
        acked = redis::cmd("SCARD").arg(&done).query_async(&mut connection).await?;
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let twice: u64 = seen.runs.iter().map(|runs| u64::from(runs.load(Ordering::Relaxed).saturating_sub(1))).sum();
    println!(
        r#"{{"rate":{},"cpu_seconds":{cpu},"ran":{},"twice":{twice},"left":{}}}"#,
        jobs as f64 / seconds,
        seen.ran.load(Ordering::Relaxed),
        jobs - acked
    );
    Ok(())
}
