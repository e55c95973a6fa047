//! What is measured of exports, case by case. Every file is read again, by a reader that shares no code with ours, before
//! its time counts.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lovage::{Home, Lovage};
use super::measures::{CANCEL, FORMATS, Format, TWO};
use super::peers::{Python, Way};
use super::postgres::{Content, Postgres};
use super::process::{Watched, bytes_below, together, watched};
use crate::bench::case::Case;
use crate::bench::samples::{LOVAGE, Samples};

/// What all ours and theirs export.
const ALL: &str = "SELECT * FROM orders";
const MIB: f64 = 1_048_576.0;

/// What all cases need.
pub struct Bench {
    pub lovage: Lovage,
    pub python: Python,
    pub server: RefCell<Postgres>,
    pub content: Content,
    /// Files of peers whose sums differ from the table's.
    pub odd: RefCell<BTreeSet<String>>,
}

/// Our cases.
pub fn ours(bench: &Bench) -> Vec<Case<'_>> {
    let export = |format: &'static Format| {
        Case::new(format.name, LOVAGE, move |samples: &mut Samples| bench.export(format, samples))
    };
    let mut cases: Vec<Case<'_>> = FORMATS.iter().map(export).collect();
    cases.push(Case::new("two", LOVAGE, |samples: &mut Samples| bench.two(samples)));
    cases.push(Case::new("cancel", LOVAGE, |samples: &mut Samples| {
        samples.add(CANCEL, LOVAGE, bench.lovage.cancel(&mut bench.server.borrow_mut(), bench.content.rows)?);
        Ok(())
    }));
    cases
}

/// A peer's case.
pub fn theirs(bench: &Bench, way: Way, slow_runs: usize) -> Case<'_> {
    let case = Case::new(way.format, way.subject, move |samples: &mut Samples| bench.peer(way, samples));
    if way.slow { case.at_most(slow_runs) } else { case }
}

impl Bench {
    fn export(&self, format: &Format, samples: &mut Samples) -> Result<()> {
        let home = Home::make(format.name, &self.server.borrow().url(), ALL)?;
        let words = [&["export", "run", "orders"], format.options].concat();
        let before = self.server.borrow_mut().cpu_seconds()?;
        let took = watched(self.lovage.command(&home, &words), &home.artifacts())?;
        let server = self.server.borrow_mut().cpu_seconds()? - before;
        let file = self.made(format.name, &took)?;
        add(samples, LOVAGE, format, &took, server, &file)?;
        samples.add(format.growth.name, LOVAGE, took.growth);
        Ok(())
    }

    /// The file that an export of ours made, read and found right.
    fn made(&self, format: &str, took: &Watched) -> Result<PathBuf> {
        let made: Value = serde_json::from_str(&took.said).with_context(|| format!("`{}` is no JSON", took.said))?;
        let file = PathBuf::from(made["link"].as_str().with_context(|| format!("an export without a link: {made}"))?);
        let odd = self.python.check(format, &file, &self.content)?;
        ensure!(odd.is_empty(), "the {} in our {format} differ from the table's", odd.join(" and "));
        Ok(file)
    }

    fn peer(&self, way: Way, samples: &mut Samples) -> Result<()> {
        let format = FORMATS.iter().find(|format| format.name == way.format).context("a way without a format")?;
        let folder = std::env::temp_dir().join(format!("lovage-bench-peer-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("orders.{}", way.format));
        let measured = self.peer_in(way, format, &folder, &file, samples);
        fs::remove_dir_all(&folder)?;
        measured
    }

    fn peer_in(&self, way: Way, format: &Format, folder: &Path, file: &Path, samples: &mut Samples) -> Result<()> {
        let command = way.command(&self.python, &self.server.borrow(), file)?;
        let before = self.server.borrow_mut().cpu_seconds()?;
        let took = watched(command, folder)?;
        let server = self.server.borrow_mut().cpu_seconds()? - before;
        for odd in self.python.check(way.format, file, &self.content)? {
            self.odd
                .borrow_mut()
                .insert(format!("the {odd} in the {} of {} differ from the table's", way.format, way.subject));
        }
        add(samples, way.subject, format, &took, server, file)
    }

    /// Two exports at the same time, each a process of its own.
    fn two(&self, samples: &mut Samples) -> Result<()> {
        let url = self.server.borrow().url();
        let homes = [Home::make("first", &url, ALL)?, Home::make("second", &url, ALL)?];
        let folders = [homes[0].artifacts(), homes[1].artifacts()];
        let words = ["export", "run", "orders", "--format", "csv"];
        let commands =
            homes.iter().zip(&folders).map(|(home, folder)| (self.lovage.command(home, &words), folder.as_path()));
        for took in together(commands.collect())? {
            self.made("csv", &took)?;
            samples.add(TWO, LOVAGE, took.seconds);
        }
        Ok(())
    }
}

fn add(
    samples: &mut Samples,
    subject: &'static str,
    format: &Format,
    took: &Watched,
    server: f64,
    file: &Path,
) -> Result<()> {
    samples.add(format.wall.name, subject, took.seconds);
    samples.add(format.cpu.name, subject, took.cpu_seconds);
    samples.add(format.server.name, subject, server);
    samples.add(format.peak.name, subject, took.peak);
    samples.add(format.size.name, subject, fs::metadata(file)?.len() as f64 / MIB);
    // A small file may come whole between the last two looks.
    let first = took.first_byte.or_else(|| (bytes_below(file.parent()?) > 0).then_some(took.seconds));
    samples.add(format.first.name, subject, first.context("nothing was written")?);
    Ok(())
}
