//! `cargo xtask bench queue`: our queue beside its peers, in one run, as a table of medians and ratios.
//!
//! Never part of the tests: a number that depends on the machine proves nothing about the code. `docs/benchmarks.md`
//! says how things are counted. Every program that is measured is started here and runs one verb: ours is
//! `worker/benches/queue`, the peers' lie in `xtask/peers`.

mod cases;
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
use serde_json::json;

use cases::Case;
use lovage::Lovage;
use options::Options;
use program::Watch;
use samples::Samples;

use crate::step::{output, program as tool};

/// Builds, installs, measures and prints.
pub fn queue(words: &[&str]) -> Result<()> {
    let options = Options::read(words)?;
    let lovage = Lovage::build()?;
    let (peers, versions) = if options.peers { peers::install()? } else { (Vec::new(), String::new()) };
    let mut cases: Vec<(&'static str, Case<'_>)> = Vec::new();
    let mut theirs: Vec<_> = peers
        .iter()
        .flat_map(|peer| cases::theirs(peer, options.jobs).into_iter().map(|case| (peer.name, case)))
        .collect();
    for case in cases::ours(&lovage, options.jobs) {
        let name = case.name.clone();
        cases.push((samples::LOVAGE, case));
        // Beside each other, so that the same moments of the machine meet both.
        let (same, rest) = theirs.into_iter().partition(|(_, case)| case.name == name);
        theirs = rest;
        cases.extend::<Vec<_>>(same);
    }
    cases.retain(|(_, case)| options.wants(&case.name));
    ensure!(!cases.is_empty(), "no case is called {}", options.only.join(", "));
    let (samples, failed) = measure(&options, &cases);

    let names: Vec<&'static str> = peers.iter().map(|peer| peer.name).collect();
    let text = format!("{}\n\n{}", about(&options, &versions)?, table::table(&samples, &names));
    println!("\n{text}");
    if let Some(path) = &options.markdown {
        table::write(path, &text)?;
    }
    if let Some(path) = &options.json {
        let all = json!({ "runs": options.runs, "jobs": options.jobs, "peers": versions, "samples": samples.json() });
        fs::write(path, format!("{all:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(failed.is_empty(), "could not be measured: {}", failed.join("; "));
    Ok(())
}

/// Calls every case, run after run. One that fails costs the others nothing; it is named at the end.
fn measure(options: &Options, cases: &[(&'static str, Case<'_>)]) -> (Samples, Vec<String>) {
    let (mut samples, mut failed) = (Samples::default(), Vec::new());
    for run in 1..=options.runs {
        for (subject, case) in cases {
            let watch = Watch::start();
            let done = (case.measure)(&mut samples);
            println!("run {run}: {subject}, {}: {:.1} s", case.name, watch.seconds());
            if let Err(error) = done {
                println!("  failed: {error:#}");
                failed.push(format!("run {run}: {subject}, {}: {error:#}", case.name));
            }
        }
    }
    (samples, failed)
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
        samples::shown(options.jobs as f64),
    ))
}
