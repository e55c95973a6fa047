//! What is measured of the audit trail, case by case. A time counts only when every event is in the table once and the chain
//! over all of them is whole.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::measures as m;
use super::peers;
use crate::bench::case::Case;
use crate::bench::export::lovage::{Home, Lovage};
use crate::bench::export::peers::Python;
use crate::bench::export::postgres::Postgres;
use crate::bench::export::process::{Watched, watched};
use crate::bench::program::{Program, Watch, number, pass};
use crate::bench::redis::Redis;
use crate::bench::samples::{LOVAGE, Samples};

/// How long anything may take.
const PATIENCE: f64 = 600.0;

/// What all cases need.
pub struct Bench {
    pub lovage: Lovage,
    pub server: RefCell<Postgres>,
    /// How many events are imported.
    pub events: u64,
    /// The file of events.
    pub file: PathBuf,
    /// The file of [`Self::jobs`] jobs.
    pub job_file: PathBuf,
}

/// Our cases.
pub fn ours(bench: &Bench) -> Vec<Case<'_>> {
    vec![
        Case::new("queue", LOVAGE, |samples: &mut Samples| bench.queue(samples)),
        Case::new("import", LOVAGE, |samples: &mut Samples| bench.import(samples)),
    ]
}

/// The peers' cases.
pub fn theirs<'a>(bench: &'a Bench, python: &'a Python) -> Vec<Case<'a>> {
    let few = bench.events / 100;
    let write = move |verb, events, broker: &str| {
        peers::write(python, &mut bench.server.borrow_mut(), verb, &bench.file, events, broker)
    };
    vec![
        Case::new("queue", m::CELERY, move |samples: &mut Samples| {
            let redis = Redis::start()?;
            let result = write("celery", few, &redis.url())?;
            samples.add(m::QUEUE, m::CELERY, few as f64 / number(&result, "seconds")?);
            Ok(())
        }),
        Case::new("import", m::COPY, move |samples: &mut Samples| {
            let events = bench.events as f64;
            let before = bench.server.borrow_mut().cpu_seconds()?;
            let watch = Watch::start();
            let result = write("copy", bench.events, "")?;
            ensure!(watch.seconds() < PATIENCE, "psycopg took too long");
            let server = bench.server.borrow_mut().cpu_seconds()? - before;
            samples.add(m::IMPORT, m::COPY, events / number(&result, "all_seconds")?);
            samples.add(m::BARE, m::COPY, events / number(&result, "seconds")?);
            samples.add(m::IMPORT_POSTGRES, m::COPY, server * 10_000.0 / events);
            samples.add(m::IMPORT_CPU, m::COPY, number(&result, "cpu_seconds")? * 10_000.0 / events);
            Ok(())
        }),
        Case::new("import", m::ROWS, move |samples: &mut Samples| {
            let result = write("rows", few, "")?;
            samples.add(m::BARE, m::ROWS, few as f64 / number(&result, "seconds")?);
            Ok(())
        }),
    ]
}

impl Bench {
    /// How many events go through the queue.
    pub fn jobs(&self) -> u64 {
        self.events / 5
    }

    /// One job an event: enqueued in bulk while a worker that has started before takes them.
    fn queue(&self, samples: &mut Samples) -> Result<()> {
        let mut redis = Redis::start()?;
        let home = self.home(&redis.url())?;
        let before = self.server.borrow_mut().cpu_seconds()?;
        let mut command = self.lovage.command(&home, &["worker", "--queues", "audit", "--concurrency", "500"]);
        command.stderr(home.log_file()?);
        let worker = Program::start(command)?;
        let come_up = Watch::start();
        while self.lovage.ask(&home, &["worker", "list"])?.as_array().is_none_or(Vec::is_empty) {
            ensure!(come_up.seconds() < 30.0, "no worker came up: {}", home.log());
        }
        let jobs = self.jobs();
        let redis_before = redis.numbers()?.cpu_seconds();
        let worker_before = worker.usage()?.1;

        let watch = Watch::start();
        let file = self.job_file.to_string_lossy();
        let enqueue = Program::start(self.lovage.command(&home, &["job", "enqueue", "--ndjson", &file]))?;
        // The head of the chain is one small row: counting the table again and again would cost what is measured.
        let committed = "SELECT coalesce(sum(seq), 0) FROM lovage.audit_chains";
        while self.server.borrow_mut().ask(committed)?.parse::<u64>()? < jobs {
            ensure!(watch.seconds() < PATIENCE, "not all events were written in time: {}", home.log());
            pass(Duration::from_millis(5));
        }
        let seconds = watch.seconds();
        let (peak, worker_cpu) = (worker.peak()?, worker.usage()?.1 - worker_before);
        let redis_cpu = redis.numbers()?.cpu_seconds() - redis_before;
        enqueue.wait()?;
        worker.stop()?;
        let server = self.server.borrow_mut().cpu_seconds()? - before;
        let commits: f64 = self.server.borrow_mut().ask("SELECT count(*) FROM lovage.audit_batches")?.parse()?;
        self.prove(&home, jobs)?;

        let per = 10_000.0 / jobs as f64;
        samples.add(m::QUEUE, LOVAGE, jobs as f64 / seconds);
        samples.add(m::QUEUE_PEAK, LOVAGE, peak);
        samples.add(m::QUEUE_WORKER, LOVAGE, worker_cpu * per);
        samples.add(m::QUEUE_POSTGRES, LOVAGE, server * per);
        samples.add(m::QUEUE_REDIS, LOVAGE, redis_cpu * per);
        samples.add(m::QUEUE_COMMITS, LOVAGE, jobs as f64 / commits);
        Ok(())
    }

    /// A file, and then what following the chain over all of it takes.
    fn import(&self, samples: &mut Samples) -> Result<()> {
        let home = self.home("")?;
        let file = self.file.to_string_lossy();
        let (import, import_server) = self.watched(&home, &["audit", "import", &file])?;
        let (verify, verify_server) = self.prove(&home, self.events)?;
        let (events, per) = (self.events as f64, 10_000.0 / self.events as f64);
        samples.add(m::IMPORT, LOVAGE, events / import.seconds);
        samples.add(m::IMPORT_PEAK, LOVAGE, import.peak);
        samples.add(m::IMPORT_CPU, LOVAGE, import.cpu_seconds * per);
        samples.add(m::IMPORT_POSTGRES, LOVAGE, import_server * per);
        samples.add(m::VERIFY, LOVAGE, events / verify.seconds);
        samples.add(m::VERIFY_PEAK, LOVAGE, verify.peak);
        samples.add(m::VERIFY_CPU, LOVAGE, verify.cpu_seconds * per);
        samples.add(m::VERIFY_POSTGRES, LOVAGE, verify_server * per);
        Ok(())
    }

    /// A home whose ledger is the server, with nothing in it.
    fn home(&self, redis: &str) -> Result<Home> {
        let mut server = self.server.borrow_mut();
        server.ask("TRUNCATE lovage.audit_events, lovage.audit_batches, lovage.audit_chains, lovage.audit_anchors")?;
        server.ask("CHECKPOINT")?;
        let broker = if redis.is_empty() { String::new() } else { format!("redis_url = {redis:?}\n") };
        Home::with("audit", &format!("{broker}\n[ledger]\nurl = {:?}\n", server.url()))
    }

    /// A command under watch, and the processor seconds that the server worked for it.
    fn watched(&self, home: &Home, words: &[&str]) -> Result<(Watched, f64)> {
        let before = self.server.borrow_mut().cpu_seconds()?;
        let took = watched(self.lovage.command(home, words), &home.artifacts())?;
        Ok((took, self.server.borrow_mut().cpu_seconds()? - before))
    }

    /// Fails unless so many events are there, each once, and the trail that holds them is whole; answers what following it took.
    fn prove(&self, home: &Home, events: u64) -> Result<(Watched, f64)> {
        let there = self.server.borrow_mut().ask("SELECT count(*), count(DISTINCT id) FROM lovage.audit_events")?;
        ensure!(there == format!("{events}|{events}"), "of {events} events (there, different ones) are {there}");
        let (took, server) = self.watched(home, &["audit", "verify"])?;
        let said: Value = serde_json::from_str(&took.said)?;
        let whole = said["ok"] == true && said["trails"][0]["records"] == events;
        ensure!(whole, "the trail is not whole: {said}");
        Ok((took, server))
    }
}
