//! What a person may ask of the benchmark.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// What differs from one benchmark to the other.
pub struct Defaults {
    size: &'static str,
    usual: u64,
    least: u64,
    runs: usize,
    /// The options that only this one has.
    own: &'static [&'static str],
}

/// `cargo xtask bench queue`: the size is that of a drain, everything else is in proportion.
pub const QUEUE: Defaults = Defaults { size: "--jobs", usual: 200_000, least: 1_000, runs: 5, own: &[] };
/// `cargo xtask bench export`: the size is that of the table.
pub const EXPORT: Defaults =
    Defaults { size: "--rows", usual: 1_000_000, least: 1_000, runs: 3, own: &["--slow-runs", "--lovage"] };
/// `cargo xtask bench audit`: the size is that of the import, everything else is in proportion.
pub const AUDIT: Defaults = Defaults { size: "--events", usual: 500_000, least: 10_000, runs: 3, own: &["--lovage"] };
/// `cargo xtask bench history`: the size is that of the history that is searched, and of the backlog up to a million.
pub const HISTORY: Defaults = Defaults { size: "--jobs", usual: 1_000_000, least: 10_000, runs: 3, own: &[] };

/// Options of a benchmark.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Measure the peers too.
    pub peers: bool,
    /// How often everything is measured.
    pub runs: usize,
    /// Only cases whose name begins so.
    pub only: Vec<String>,
    /// Jobs, rows or events.
    pub size: u64,
    /// How often what takes minutes is measured.
    pub slow_runs: usize,
    /// A program to measure instead of a fresh release build.
    pub lovage: Option<PathBuf>,
    /// Where the samples go as JSON.
    pub json: Option<PathBuf>,
    /// Where the table goes as Markdown: between the marks if the file has them.
    pub markdown: Option<PathBuf>,
}

impl Options {
    /// Reads the words behind `bench queue`, `bench export`, `bench audit` or `bench history`.
    pub fn read(words: &[&str], defaults: &Defaults) -> Result<Self> {
        let mut options = Self {
            peers: false,
            runs: defaults.runs,
            only: Vec::new(),
            size: defaults.usual,
            slow_runs: 1,
            lovage: None,
            json: None,
            markdown: None,
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word {
                "--peers" => options.peers = true,
                "--runs" => options.runs = number(word, value()?)? as usize,
                size if size == defaults.size => options.size = number(word, value()?)?,
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--slow-runs" if defaults.has(word) => options.slow_runs = number(word, value()?)? as usize,
                "--lovage" if defaults.has(word) => options.lovage = Some(PathBuf::from(value()?)),
                "--json" => options.json = Some(PathBuf::from(value()?)),
                "--markdown" => options.markdown = Some(PathBuf::from(value()?)),
                other => bail!(
                    "unknown option {other}; use --peers, --runs N, --only NAME[,NAME], --json FILE, --markdown FILE, {}",
                    [&[defaults.size], defaults.own].concat().join(", ")
                ),
            }
        }
        let (name, least) = (defaults.size, defaults.least);
        ensure!(options.size >= least, "{name} is {}; use at least {least}", options.size);
        Ok(options)
    }

    /// Whether the case called `name` was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }
}

impl Defaults {
    fn has(&self, option: &str) -> bool {
        self.own.contains(&option)
    }
}

fn number(option: &str, text: &str) -> Result<u64> {
    let number = text.replace('_', "").parse().with_context(|| format!("{option} is {text}; use a whole number"))?;
    ensure!(number > 0, "{option} is 0; use at least 1");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_a_wrong_one_is_named() {
        let options =
            Options::read(&["--peers", "--runs", "3", "--only", "drain,bulk", "--jobs", "10_000"], &QUEUE).unwrap();
        assert_eq!((options.peers, options.runs, options.size), (true, 3, 10_000));
        assert!(options.wants("drain 50 slots") && options.wants("bulk") && !options.wants("single"));
        let wrong = |words: &[&str]| Options::read(words, &QUEUE).unwrap_err().to_string();
        assert_eq!(wrong(&["--runs", "no"]), "--runs is no; use a whole number");
        assert_eq!(wrong(&["--json"]), "--json needs a value");
        assert!(wrong(&["--fast"]).contains("unknown option --fast"));
        assert!(wrong(&["--jobs", "10"]).contains("at least 1000"));
    }

    #[test]
    fn each_benchmark_has_its_own_options() {
        let options = Options::read(&["--rows", "20000", "--slow-runs", "2", "--lovage", "a/lovage"], &EXPORT).unwrap();
        assert_eq!((options.size, options.runs, options.slow_runs), (20_000, 3, 2));
        assert_eq!(options.lovage, Some(PathBuf::from("a/lovage")));
        for foreign in ["--rows", "--slow-runs", "--lovage"] {
            assert!(Options::read(&[foreign, "5000"], &QUEUE).is_err(), "{foreign}");
        }
        assert!(Options::read(&["--jobs", "5000"], &EXPORT).is_err());
        assert_eq!(Options::read(&["--events", "1000000"], &AUDIT).unwrap().size, 1_000_000);
    }
}
