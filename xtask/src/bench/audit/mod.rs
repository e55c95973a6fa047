//! `cargo xtask bench audit`: our audit trail beside Celery and psycopg, into one private PostgreSQL that commits for real.

mod cases;
mod events;
mod measures;
mod peers;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Result, ensure};
use serde_json::json;

use self::cases::Bench;
use self::measures::{CELERY, COPY, MEASURES, ROWS};
use super::export::lovage::{Home, Lovage};
use super::export::peers::Python;
use super::export::postgres::{self, Postgres};
use super::options::{self, Options};
use super::samples::shown;
use super::{case, report, table};

/// Builds, installs, writes the files of events, measures and prints.
pub fn audit(words: &[&str]) -> Result<()> {
    let options = Options::read(words, &options::AUDIT)?;
    let lovage = options.lovage.as_deref().map_or_else(Lovage::build, Lovage::at)?;
    let python = options.peers.then(|| Python::install("audit", &peers::PACKAGES)).transpose()?;
    let mut server = Postgres::start()?;
    server.ask("SET client_min_messages = warning")?;
    let durable = server.ask("SELECT current_setting('fsync'), current_setting('synchronous_commit')")?;
    ensure!(durable == "on|on", "(fsync, synchronous_commit) are {durable}; a commit must be one");
    // Holds the files, and gives `migrate` its settings.
    let home = Home::with("audit-files", &format!("[ledger]\nurl = {:?}\n", server.url()))?;
    lovage.ask(&home, &["migrate", "up"])?;
    let (file, job_file) = (home.artifacts().join("events.ndjson"), home.artifacts().join("jobs.ndjson"));
    let bench = Bench { lovage, server: RefCell::new(server), events: options.size, file, job_file };
    events::write_events(&bench.file, bench.events)?;
    events::write_jobs(&bench.job_file, bench.jobs())?;

    let theirs = python.as_ref().map(|python| cases::theirs(&bench, python)).unwrap_or_default();
    let mut cases = case::beside(cases::ours(&bench), theirs);
    cases.retain(|case| options.wants(&case.name));
    ensure!(!cases.is_empty(), "no case is called {}", options.only.join(", "));
    let (samples, failed) = case::measure(options.runs, &cases);
    drop(cases);

    let names: &[&'static str] = if options.peers { &[CELERY, COPY, ROWS] } else { &[] };
    let mut text = format!("{}\n\n{}", about(&options, &bench)?, table::table(&samples, MEASURES, names));
    for note in &failed {
        let _ = write!(text, "\n- {note}");
    }
    let versions = if options.peers { peers::versions() } else { String::new() };
    let facts = json!({ "events": options.size, "peers": versions, "notes": failed });
    report(&options, "audit", &text, &facts, &samples)?;
    ensure!(failed.is_empty(), "{} could not be measured; the notes say why", failed.len());
    Ok(())
}

/// What was measured where, above the table.
fn about(options: &Options, bench: &Bench) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let bytes = fs::metadata(&bench.file)?.len() / bench.events;
    let mut text = format!(
        "Medians of {} interleaved runs: {} events of {bytes} bytes of JSON from a file, {} through the queue; {cores} cores for \
         everything, PostgreSQL {} on loopback, fsync and synchronous_commit on, Redis with an append-only file flushed every \
         second.",
        options.runs,
        shown(bench.events as f64),
        shown(bench.jobs() as f64),
        postgres::version()?,
    );
    if options.peers {
        let _ = write!(text, " Peers: {}. In brackets how many times better Lovage is.", peers::versions());
    }
    Ok(text)
}
