//! What is measured of the history, case by case, each in a database and a Redis of its own.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use super::measures as m;
use super::search::Searches;
use crate::bench::case::Case;
use crate::bench::export::postgres::Postgres;
use crate::bench::program::{call, number};
use crate::bench::redis::Redis;
use crate::bench::samples::{LOVAGE, Samples};

/// Seconds for which jobs run at a rate.
const SECONDS: u64 = 20;

/// What all cases need.
pub struct Bench {
    pub loader: PathBuf,
    pub recorder: PathBuf,
    pub server: RefCell<Postgres>,
    /// Jobs of the history that is searched, and of the backlog.
    pub jobs: u64,
    pub searches: RefCell<Searches>,
}

/// All cases. The history is searched in the first run only.
pub fn all(bench: &Bench) -> Vec<Case<'_>> {
    vec![
        Case::new("rate 10000", LOVAGE, |samples: &mut Samples| {
            let said = bench.record(&["rate", "rate=10000", &format!("seconds={SECONDS}")])?;
            samples.add(m::AT_10, LOVAGE, number(&said, "lag_longest_seconds")?);
            Ok(())
        }),
        Case::new("rate 20000", LOVAGE, |samples: &mut Samples| {
            let said = bench.record(&["rate", "rate=20000", &format!("seconds={SECONDS}")])?;
            samples.add(m::AT_20, LOVAGE, number(&said, "lag_longest_seconds")?);
            samples.add(m::AT_20_END, LOVAGE, number(&said, "lag_at_end_seconds")?);
            samples.add(m::AT_20_RATE, LOVAGE, number(&said, "jobs_per_second")?);
            Ok(())
        }),
        Case::new("rate 30000", LOVAGE, |samples: &mut Samples| {
            let said = bench.record(&["rate", "rate=30000", &format!("seconds={SECONDS}")])?;
            samples.add(m::AT_30_RATE, LOVAGE, number(&said, "jobs_per_second")?);
            Ok(())
        }),
        Case::new("hold", LOVAGE, |samples: &mut Samples| {
            let said = bench.record(&["rate", "rate=5000", "hold=3", &format!("seconds={SECONDS}")])?;
            samples.add(m::HOLD, LOVAGE, number(&said, "lag_longest_seconds")?);
            Ok(())
        }),
        Case::new("backlog", LOVAGE, |samples: &mut Samples| {
            let said = bench.record(&["backlog", &format!("jobs={}", bench.backlog())])?;
            let per = 10_000.0 / number(&said, "jobs")?;
            samples.add(m::BACKLOG, LOVAGE, number(&said, "jobs_per_second")?);
            samples.add(m::BACKLOG_RECORDER, LOVAGE, number(&said, "recorder_cpu_seconds")? * per);
            samples.add(m::BACKLOG_POSTGRES, LOVAGE, number(&said, "postgres_cpu_seconds")? * per);
            samples.add(m::BACKLOG_REDIS, LOVAGE, number(&said, "redis_cpu_seconds")? * per);
            Ok(())
        }),
        Case::new("apart", LOVAGE, |samples: &mut Samples| {
            let said = bench.record(&["backlog", &format!("jobs={}", bench.backlog()), "apart=1"])?;
            samples.add(m::APART, LOVAGE, number(&said, "jobs_per_second")?);
            Ok(())
        }),
        Case::new("search", LOVAGE, |samples: &mut Samples| bench.search(samples)).at_most(1),
    ]
}

impl Bench {
    /// A million at most, which all of Redis' memory must hold.
    fn backlog(&self) -> u64 {
        self.jobs.min(1_000_000)
    }

    /// Has the recorder record what the options say.
    fn record(&self, options: &[&str]) -> Result<Value> {
        let redis = Redis::start()?;
        let mut command = Command::new(&self.recorder);
        command.arg(options[0]).arg(redis.url()).arg(self.database()?).args(&options[1..]);
        call(command)
    }

    /// Writes the history and asks for its parts.
    fn search(&self, samples: &mut Samples) -> Result<()> {
        let url = self.database()?;
        let mut load = Command::new(&self.loader);
        load.args(["load", &self.jobs.to_string(), &url]);
        samples.add(m::LEDGER, LOVAGE, number(&call(load)?, "jobs_per_second")?);
        let mut search = Command::new(&self.loader);
        search.args(["search", &url]);
        self.searches.replace(Searches::of(&call(search)?)?);
        Ok(())
    }

    /// The address of a database with nothing in it.
    fn database(&self) -> Result<String> {
        let mut server = self.server.borrow_mut();
        server.ask("SET client_min_messages = warning")?;
        server.ask("DROP DATABASE IF EXISTS history WITH (FORCE)")?;
        server.ask("CREATE DATABASE history")?;
        server.ask("CHECKPOINT")?;
        let url = server.url();
        Ok(format!("{}/history", url.trim_end_matches("/postgres")))
    }
}
