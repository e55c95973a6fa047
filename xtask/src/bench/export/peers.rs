//! The peers, and the independent reader that counts what is in each file. Both live in one virtual environment of Python,
//! installed once into the cache folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::measures::{PANDAS, PSQL, PSYCOPG};
use super::postgres::{Content, Postgres};
use super::process::said;
use crate::bench::peers::{cache, installed};
use crate::step::{program, root, run};

/// What is installed, by exact version.
pub const PACKAGES: [&str; 6] = [
    "pandas==3.1.1",
    "psycopg[binary]==3.3.9",
    "SQLAlchemy==2.1.9",
    "XlsxWriter==3.3.1",
    "pyarrow==26.0.1",
    "zstandard==0.25.0",
];
/// Rows beyond which pandas is left out: the JSON of a million takes it more than eight gigabytes.
pub const MOST_FOR_PANDAS: u64 = 1_000_000;

/// The installed environment.
pub struct Python {
    program: PathBuf,
}

/// How a peer makes a file.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Its column.
    pub subject: &'static str,
    /// The format, by the name of the case.
    pub format: &'static str,
    /// What the peers' program calls it; psql has none.
    verb: &'static str,
    /// Whether it takes minutes.
    pub slow: bool,
}

/// All ways of the peers for a table of so many rows.
pub fn ways(rows: u64) -> Vec<Way> {
    let way = |subject, format, verb| Way { subject, format, verb, slow: verb == "pandas-xlsx" };
    let mut ways = vec![way(PSQL, "csv", ""), way(PSYCOPG, "csv", "psycopg-csv")];
    if rows <= MOST_FOR_PANDAS {
        ways.extend([
            way(PANDAS, "csv", "pandas-csv"),
            way(PANDAS, "jsonl", "pandas-jsonl"),
            way(PANDAS, "parquet", "pandas-parquet"),
            way(PANDAS, "xlsx", "pandas-xlsx"),
        ]);
    }
    ways
}

impl Way {
    /// The program that writes the table into a file.
    pub fn command(&self, python: &Python, server: &Postgres, file: &Path) -> Result<Command> {
        if self.subject == PSQL {
            let mut command = server.psql()?;
            command.arg("-c").arg(format!("\\copy (SELECT * FROM orders) TO '{}' CSV HEADER", file.display()));
            return Ok(command);
        }
        let mut command = python.script("export_peer.py");
        command.args([self.verb, &server.url()]).arg(file);
        Ok(command)
    }
}

impl Python {
    /// Installs these packages under a name of their own, unless they are there.
    pub fn install(name: &str, packages: &[&str]) -> Result<Self> {
        let folder = cache()?.join(name);
        let python = folder.join("venv/bin/python");
        installed(&folder, &packages.join(" "), || {
            run(program("python3", &["-m", "venv", "--clear"]).arg(folder.join("venv")))?;
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))
        })?;
        Ok(Self { program: python })
    }

    /// The peers' names with their versions, for people.
    pub fn versions() -> String {
        PACKAGES[..5].join(", ").replace("==", " ").replace("[binary]", "")
    }

    /// A command of one of the peers' programs.
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(root().join("xtask/peers").join(name));
        command
    }

    /// Counts what is in a file; answers what differs from the table besides the number of records, which must not.
    pub fn check(&self, format: &str, file: &Path, wanted: &Content) -> Result<Vec<&'static str>> {
        let mut command = self.script("export_reader.py");
        command.arg(format).arg(file);
        let said = said(command).with_context(|| format!("the reader of {format}"))?;
        let found: Value = serde_json::from_str(&said).with_context(|| format!("the reader said `{said}`"))?;
        let rows = found["rows"].as_u64().with_context(|| format!("the reader counted nothing: {found}"))?;
        ensure!(rows == wanted.rows, "the file has {rows} records, the table {}", wanted.rows);
        let sums = [("ids", &wanted.ids), ("amounts", &wanted.amounts), ("letters", &wanted.letters)];
        let differs = |name: &str, wanted: &str| found[name].as_str().is_some_and(|sum| sum != wanted);
        Ok(sums.into_iter().filter(|(name, wanted)| differs(name, wanted)).map(|(name, _)| name).collect())
    }
}
