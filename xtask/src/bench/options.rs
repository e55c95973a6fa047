//! What a person may ask of the benchmark.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// Options of `cargo xtask bench queue`.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Measure the peers too.
    pub peers: bool,
    /// How often everything is measured.
    pub runs: usize,
    /// Only cases whose name begins so.
    pub only: Vec<String>,
    /// Jobs of a drain; everything else is in proportion.
    pub jobs: u64,
    /// Where the samples go as JSON.
    pub json: Option<PathBuf>,
    /// Where the table goes as Markdown: between the marks if the file has them.
    pub markdown: Option<PathBuf>,
}

impl Options {
    /// Reads the words behind `bench queue`.
    pub fn read(words: &[&str]) -> Result<Self> {
        let mut options = Self { peers: false, runs: 5, only: Vec::new(), jobs: 200_000, json: None, markdown: None };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word {
                "--peers" => options.peers = true,
                "--runs" => options.runs = number(word, value()?)? as usize,
                "--jobs" => options.jobs = number(word, value()?)?,
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--json" => options.json = Some(PathBuf::from(value()?)),
                "--markdown" => options.markdown = Some(PathBuf::from(value()?)),
                other => bail!(
                    "unknown option {other}; use --peers, --runs N, --only NAME[,NAME], --jobs N, --json FILE, --markdown FILE"
                ),
            }
        }
        ensure!(options.jobs >= 1_000, "--jobs is {}; use at least 1000", options.jobs);
        Ok(options)
    }

    /// Whether the case called `name` was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
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
        let options = Options::read(&["--peers", "--runs", "3", "--only", "drain,bulk", "--jobs", "10_000"]).unwrap();
        assert_eq!((options.peers, options.runs, options.jobs), (true, 3, 10_000));
        assert!(options.wants("drain 50 slots") && options.wants("bulk") && !options.wants("single"));
        let wrong = |words: &[&str]| Options::read(words).unwrap_err().to_string();
        assert_eq!(wrong(&["--runs", "no"]), "--runs is no; use a whole number");
        assert_eq!(wrong(&["--json"]), "--json needs a value");
        assert!(wrong(&["--fast"]).contains("unknown option --fast"));
        assert!(wrong(&["--jobs", "10"]).contains("at least 1000"));
    }
}
