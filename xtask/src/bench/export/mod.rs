//! `cargo xtask bench export`: our exports beside psql, pandas and psycopg, out of one table of one private PostgreSQL.

mod cases;
pub mod lovage;
mod measures;
pub mod peers;
pub mod postgres;
pub mod process;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde_json::json;

use self::cases::Bench;
use self::lovage::Lovage;
use self::measures::{PANDAS, PSQL, PSYCOPG};
use self::peers::Python;
use self::postgres::Postgres;
use super::options::{self, Options};
use super::samples::shown;
use super::{case, report, table};

/// Builds, installs, fills a table, measures and prints.
pub fn export(words: &[&str]) -> Result<()> {
    let options = Options::read(words, &options::EXPORT)?;
    let lovage = options.lovage.as_deref().map_or_else(Lovage::build, Lovage::at)?;
    let python = Python::install("export", &peers::PACKAGES)?;
    let mut server = Postgres::start()?;
    println!("making the table of {} rows", shown(options.size as f64));
    let content = server.fill(options.size)?;
    let bench = Bench { lovage, python, server: RefCell::new(server), content, odd: RefCell::new(BTreeSet::new()) };
    let ways = if options.peers { peers::ways(options.size) } else { Vec::new() };
    let theirs = ways.into_iter().map(|way| cases::theirs(&bench, way, options.slow_runs)).collect();
    let mut cases = case::beside(cases::ours(&bench), theirs);
    cases.retain(|case| options.wants(&case.name));
    ensure!(!cases.is_empty(), "no case is called {}", options.only.join(", "));
    let (samples, failed) = case::measure(options.runs, &cases);
    drop(cases);

    let names: &[&'static str] = if options.peers { &[PSQL, PANDAS, PSYCOPG] } else { &[] };
    let mut text = format!("{}\n\n{}", about(&options)?, table::table(&samples, &measures::all(), names));
    let notes = bench.odd.borrow().iter().chain(&failed).cloned().collect::<Vec<_>>();
    for note in &notes {
        let _ = write!(text, "\n- {note}");
    }
    let versions = if options.peers { Python::versions() } else { String::new() };
    let facts = json!({ "rows": options.size, "peers": versions, "notes": notes });
    report(&options, "exports", &text, &facts, &samples)?;
    ensure!(failed.is_empty(), "{} could not be measured; the notes say why", failed.len());
    Ok(())
}

/// What was measured where, above the table.
fn about(options: &Options) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let mut text = format!(
        "Medians of {} interleaved runs, {} orders of 14 columns; {cores} cores for everything, PostgreSQL {} on loopback.",
        options.runs,
        shown(options.size as f64),
        postgres::version()?,
    );
    if options.peers {
        let _ = write!(text, " Peers: {}.", Python::versions());
        if options.size > peers::MOST_FOR_PANDAS {
            text.push_str(" pandas was left out: it would need more memory than there is.");
        } else if options.slow_runs < options.runs {
            let slow = if options.slow_runs == 1 { "once".to_owned() } else { format!("{} times", options.slow_runs) };
            let _ = write!(text, " pandas' xlsx takes minutes and was measured {slow}.");
        }
        text.push_str(" In brackets how many times better Lovage is.");
    }
    Ok(text)
}
