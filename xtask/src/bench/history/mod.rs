//! `cargo xtask bench history`: how fast the recorder brings jobs from Redis into PostgreSQL, and how long searching a history
//! of many jobs takes. The programs are examples of the crates; the server commits for real.

mod cases;
mod measures;
mod search;

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::cases::Bench;
use self::measures::MEASURES;
use self::search::Searches;
use super::export::postgres::{self, Postgres};
use super::options::{self, Options};
use super::samples::shown;
use super::{case, report, table};
use crate::step::{cargo, output};

/// What the server has instead of its defaults: the cache of a small server.
const SETTINGS: &[&str] = &["shared_buffers=1GB"];

/// Builds, measures and prints.
pub fn history(words: &[&str]) -> Result<()> {
    let options = Options::read(words, &options::HISTORY)?;
    ensure!(!options.peers, "nobody else keeps such a history here; leave --peers out");
    let (loader, recorder) = (example("lovage-ledger", "history")?, example("lovage-scheduler", "recorder")?);
    let mut server = Postgres::start_with(SETTINGS)?;
    let durable = server.ask("SELECT current_setting('fsync'), current_setting('synchronous_commit')")?;
    ensure!(durable == "on|on", "(fsync, synchronous_commit) are {durable}; a commit must be one");
    let bench = Bench {
        loader,
        recorder,
        server: RefCell::new(server),
        jobs: options.size,
        searches: RefCell::new(Searches::default()),
    };
    let mut cases = cases::all(&bench);
    cases.retain(|case| options.wants(&case.name));
    ensure!(!cases.is_empty(), "no case is called {}", options.only.join(", "));
    let (samples, failed) = case::measure(options.runs, &cases);
    drop(cases);

    let searches = bench.searches.borrow();
    let text = format!("{}\n\n{}\n{}", about(&options)?, table::table(&samples, MEASURES, &[]), searches.table());
    let facts = json!({ "jobs": options.size, "notes": failed, "searches": searches.json() });
    report(&options, "history", &text, &facts, &samples)?;
    ensure!(failed.is_empty(), "could not be measured: {}", failed.join("; "));
    Ok(())
}

/// What was measured where, above the tables.
fn about(options: &Options) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "Medians of {} interleaved runs; {cores} cores for everything, PostgreSQL {} on loopback with 1 GB of shared buffers and \
         otherwise its defaults (fsync and synchronous_commit on), Redis with an append-only file flushed every second. Searches \
         in a history of {} jobs over twelve months.",
        options.runs,
        postgres::version()?,
        shown(options.size as f64),
    ))
}

/// Builds an example; answers where it is.
fn example(package: &str, name: &str) -> Result<PathBuf> {
    println!("building the example {name} of {package}");
    let arguments = ["build", "--release", "--package", package, "--example", name, "--locked", "--quiet"];
    let messages = output(cargo(&arguments).arg("--message-format=json-render-diagnostics"))?;
    let read = |line: &str| serde_json::from_str::<Value>(line).ok();
    let path = messages.lines().filter_map(read).find_map(|message| {
        let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    path.context("cargo did not say where it put the example")
}
