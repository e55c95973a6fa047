//! Our side: drains of all shapes, and the proof that each job ran once and was acknowledged.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::program::{Program, Watch, call, count, number};
use super::redis::Redis;
use crate::step::{cargo, output};

/// Slots of the worker in a drain: as many as the broker gives in one claim.
pub const SLOTS: u64 = 1_000;

/// The release build of `worker/benches/queue`.
pub struct Lovage {
    path: PathBuf,
}

/// How a backlog is drained.
#[derive(Clone, Copy)]
pub struct Shape {
    pub jobs: u64,
    /// Jobs that are taken of them; all when absent.
    pub most: Option<u64>,
    pub slots: u64,
    pub processes: u64,
    pub queues: u64,
    pub tenants: u64,
}

impl Shape {
    /// One worker drains one queue.
    pub fn plain(jobs: u64) -> Self {
        Self { jobs, most: None, slots: SLOTS, processes: 1, queues: 1, tenants: 0 }
    }
}

/// What a drain took.
pub struct Drained {
    pub rate: f64,
    pub cpu_seconds: f64,
}

impl Lovage {
    /// Builds the program.
    pub fn build() -> Result<Self> {
        println!("building the release binary of worker/benches/queue");
        let arguments = ["build", "--release", "--package", "lovage-worker", "--bench", "queue", "--locked", "--quiet"];
        let messages = output(cargo(&arguments).arg("--message-format=json-render-diagnostics"))?;
        let read = |line: &str| serde_json::from_str::<Value>(line).ok();
        let path = messages.lines().filter_map(read).find_map(|message| {
            let ours = message["reason"] == "compiler-artifact" && message["target"]["name"] == "queue";
            message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
        });
        Ok(Self { path: path.context("cargo did not say where it put the benchmark")? })
    }

    /// A verb with its options.
    pub fn verb(&self, verb: &str, store: &str, options: &[(&str, u64)]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(verb).arg(format!("store={store}"));
        command.args(options.iter().map(|(key, value)| format!("{key}={value}")));
        command
    }

    /// Fills a store in bulk; answers jobs a second.
    pub fn fill(&self, store: &str, shape: &Shape) -> Result<f64> {
        let options = [("jobs", shape.jobs), ("queues", shape.queues), ("tenants", shape.tenants)];
        Ok(shape.jobs as f64 / number(&call(self.verb("fill", store, &options))?, "seconds")?)
    }

    /// Fills a fresh Redis and drains it.
    pub fn fill_and_drain(&self, shape: &Shape) -> Result<f64> {
        let redis = Redis::start()?;
        self.fill(&redis.url(), shape)?;
        Ok(self.drain(&redis.url(), shape, &[])?.rate)
    }

    /// Drains a filled store. Fails unless the jobs that ran are all there were, each of them once, in one process, and
    /// the broker took the end of each.
    pub fn drain(&self, store: &str, shape: &Shape, more: &[(&str, u64)]) -> Result<Drained> {
        let mut workers = Vec::new();
        for worker in 0..shape.processes {
            let mut options = vec![("jobs", shape.jobs), ("slots", shape.slots), ("queues", shape.queues)];
            options.extend(shape.most.map(|most| ("max", most)));
            options.extend(more);
            let seen = std::env::temp_dir().join(format!("lovage-bench-seen-{}-{worker}", std::process::id()));
            let mut command = self.verb("drain", store, &options);
            command.arg(format!("seen={}", seen.display()));
            let mut program = Program::start(command)?;
            program.wait_for("ready")?;
            workers.push((program, seen));
        }
        let watch = Watch::start();
        workers.iter_mut().try_for_each(|(program, _)| program.go())?;
        let mut results = Vec::new();
        let mut all = vec![0_u8; shape.jobs.div_ceil(8) as usize];
        for (program, seen) in workers {
            results.push(program.result()?);
            for (all, bits) in all.iter_mut().zip(fs::read(&seen)?) {
                *all |= bits;
            }
            fs::remove_file(seen)?;
        }
        let seconds = watch.seconds();
        let sum = |name: &str| results.iter().map(|result| count(result, name)).sum::<Result<u64>>();
        let wanted = shape.most.unwrap_or(shape.jobs);
        let different = all.iter().map(|bits| u64::from(bits.count_ones())).sum();
        let counts = (sum("ran")?, sum("twice")?, sum("acked")?, different);
        ensure!(
            counts == (wanted, 0, wanted, wanted),
            "of {wanted} jobs (ran, ran twice, acknowledged, different ones that ran) are {counts:?}"
        );
        let cpu_seconds = results.iter().map(|result| number(result, "cpu_seconds")).sum::<Result<f64>>()?;
        Ok(Drained { rate: wanted as f64 / seconds, cpu_seconds })
    }
}
