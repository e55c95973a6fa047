//! `cargo xtask bench`: our queue (here), our exports (`export`), our audit trail (`audit`) and our history (`history`) beside their peers, in
//! one run, as a table of medians and ratios.
//!
//! Never part of the tests: a number that depends on the machine proves nothing about the code. `docs/benchmarks.md`
//! says how things are counted. Every program that is measured is started here and runs one verb: for the
//! queue ours is `worker/benches/queue`, the peers' lie in `xtask/peers`.

mod audit;
mod case;
mod cases;
mod export;
mod history;
mod lovage;
mod measures;
mod options;
mod peers;
mod program;
mod redis;
mod samples;
mod table;

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

pub use audit::audit;
pub use export::export;
pub use history::history;
use lovage::Lovage;
use measures::MEASURES;
use options::Options;
use samples::Samples;

use crate::step::{output, program as tool};

/// Builds, installs, measures and prints.
pub fn queue(words: &[&str]) -> Result<()> {
    let options = Options::read(words, &options::QUEUE)?;
    let lovage = Lovage::build()?;
    let (peers, versions) = if options.peers { peers::install()? } else { (Vec::new(), String::new()) };
    let theirs = peers.iter().flat_map(|peer| cases::theirs(peer, options.size)).collect();
    let mut cases = case::beside(cases::ours(&lovage, options.size), theirs);
    cases.retain(|case| options.wants(&case.name));
    ensure!(!cases.is_empty(), "no case is called {}", options.only.join(", "));
    let (samples, failed) = case::measure(options.runs, &cases);

    let names: Vec<&'static str> = peers.iter().map(|peer| peer.name).collect();
    let text = format!("{}\n\n{}", about(&options, &versions)?, table::table(&samples, MEASURES, &names));
    report(&options, "measured", &text, &json!({ "jobs": options.size, "peers": versions }), &samples)?;
    ensure!(failed.is_empty(), "could not be measured: {}", failed.join("; "));
    Ok(())
}

/// Prints the text and writes the files that were asked for; `mark` names the text's place in the page.
fn report(options: &Options, mark: &str, text: &str, facts: &Value, samples: &Samples) -> Result<()> {
    println!("\n{text}");
    if let Some(path) = &options.markdown {
        table::write(path, mark, text)?;
    }
    if let Some(path) = &options.json {
        let mut all = facts.clone();
        all["runs"] = options.runs.into();
        all["samples"] = samples.json();
        fs::write(path, format!("{all:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What was measured where, above the table.
fn about(options: &Options, versions: &str) -> Result<String> {
    let redis = output(&mut tool("redis-server", &["--version"]))?;
    let redis = redis.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned();
    let cores = std::thread::available_parallelism()?;
    let peers = if versions.is_empty() { String::new() } else { format!(" Peers: {versions}.") };
    Ok(format!(
        "Medians of {} interleaved runs, drains of {} jobs; {cores} cores for everything, Redis {redis} with an append-only \
         file flushed every second.{peers} In brackets how many times better Lovage is.",
        options.runs,
        samples::shown(options.size as f64),
    ))
}
