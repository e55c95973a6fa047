//! Our side: the program, a home with its settings for each export, and an export that is cancelled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::postgres::Postgres;
use super::process::{bytes_below, said};
use crate::bench::program::{Program, Watch, pass};
use crate::step::{cargo, output};

/// The program `lovage`.
pub struct Lovage {
    path: PathBuf,
}

/// A folder with a `lovage.toml`; the embedded broker and the files go below it. Gone with its handle.
pub struct Home {
    folder: PathBuf,
}

impl Lovage {
    /// A program that is already built.
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self { path: fs::canonicalize(path).with_context(|| format!("no program at {}", path.display()))? })
    }

    /// Builds it.
    pub fn build() -> Result<Self> {
        println!("building the release binary of lovage");
        let arguments = ["build", "--release", "--package", "lovage-cli", "--bin", "lovage", "--locked", "--quiet"];
        let messages = output(cargo(&arguments).arg("--message-format=json-render-diagnostics"))?;
        let read = |line: &str| serde_json::from_str::<Value>(line).ok();
        let path = messages.lines().filter_map(read).find_map(|message| {
            let ours = message["reason"] == "compiler-artifact" && message["target"]["name"] == "lovage";
            message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
        });
        Ok(Self { path: path.context("cargo did not say where it put lovage")? })
    }

    /// A command of it in a home, without any setting of the environment.
    pub fn command(&self, home: &Home, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.env_clear().current_dir(&home.folder).args(["--json", "--quiet"]).args(words);
        command
    }

    /// What a command answers.
    pub fn ask(&self, home: &Home, words: &[&str]) -> Result<Value> {
        let said = said(self.command(home, words)).with_context(|| format!("lovage {}", words.join(" ")))?;
        serde_json::from_str(&said).with_context(|| format!("lovage answered `{said}`, which is no JSON"))
    }

    /// Cancels an export half way; answers the seconds from the command until the job is cancelled and the server reads
    /// no more for it. Fails if something of the file stays.
    pub fn cancel(&self, server: &mut Postgres, rows: u64) -> Result<f64> {
        const READING: &str = "SELECT coalesce(max(tuples_processed), -1) FROM pg_stat_progress_copy";
        // Half of a small table is over before anybody could cancel it.
        let times = 2_000_000_u64.div_ceil(rows);
        let sql = format!("SELECT o.* FROM generate_series(1, {times}) AS again CROSS JOIN orders AS o");
        let home = Home::make("cancel", &server.url(), &sql)?;
        let mut worker = self.command(&home, &["worker", "--queues", "exports", "--concurrency", "1"]);
        worker.stderr(home.log_file()?);
        let worker = Program::start(worker)?;
        let job = self.ask(&home, &["export", "new", "orders", "--format", "csv"])?;
        let id = job["id"].as_str().with_context(|| format!("an export without an id: {job}"))?;
        let watch = Watch::start();
        while server.ask(READING)?.parse::<i64>()? < i64::try_from(times * rows / 2)? {
            ensure!(watch.seconds() < 600.0, "no export was half way in ten minutes: {}", home.log());
            pass(Duration::from_millis(5));
        }
        let watch = Watch::start();
        self.ask(&home, &["job", "cancel", id, "--queue", "exports"])?;
        loop {
            let state = self.ask(&home, &["job", "get", id, "--queue", "exports"])?["state"].take();
            if state == "cancelled" && server.ask(READING)? == "-1" {
                break;
            }
            ensure!(state == "running" || state == "cancelled", "the cancelled export is {state}");
            ensure!(watch.seconds() < 60.0, "a minute after the cancel the export is {state}");
        }
        let seconds = watch.seconds();
        while bytes_below(&home.artifacts()) > 0 {
            ensure!(watch.seconds() < 60.0, "a minute after the cancel there is still something in the store");
            pass(Duration::from_millis(5));
        }
        worker.kill()?;
        Ok(seconds)
    }
}

impl Home {
    /// Makes one, with the dataset `orders`.
    pub fn make(name: &str, database: &str, sql: &str) -> Result<Self> {
        Self::with(name, &format!("database_url = {database:?}\n\n[datasets.orders]\nsql = {sql:?}\n"))
    }

    /// Makes one with these settings, lines of TOML.
    pub fn with(name: &str, settings: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lovage-bench-home-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("data/artifacts"))?;
        fs::write(folder.join("lovage.toml"), format!("data_dir = \"data\"\n{settings}"))?;
        Ok(Self { folder })
    }

    /// The store of files.
    pub fn artifacts(&self) -> PathBuf {
        self.folder.join("data/artifacts")
    }

    /// The file for the standard error of a program that runs beside.
    pub fn log_file(&self) -> Result<fs::File> {
        Ok(fs::File::create(self.folder.join("log"))?)
    }

    /// What a program wrote into the home's log, see [`Self::log_file`].
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
