//! `lovage demo`: real exports of a sample database, in every format, through queue, worker and storage, and an audit trail
//! that is written and verified, from nothing; and a schedule that fires meanwhile.

mod sample;
mod schedule;
mod trail;

use std::time::Duration;

use clap::Args;
use lovage_core::{JobId, JobView, State};
use lovage_payloads::{ExportCompression, ExportFormat, ExportQuery, ExportResult};
use serde::Serialize;
use tokio::time::Instant;

use super::Context;
use super::job::{PrivateQueue, Work, conclude};
use crate::error::{Failure, Outcome};
use crate::output::Table;
use crate::rooms;

/// The name under which the export finds the sample database.
const SOURCE: &str = "demo";
/// What is exported: how it would stand in `lovage.toml`.
const DATASET: &str = include_str!("dataset.toml");
/// The files that are made.
const FILES: [(&str, ExportFormat, ExportCompression); 7] = [
    ("csv", ExportFormat::Csv, ExportCompression::None),
    ("csv, packed", ExportFormat::Csv, ExportCompression::Zstd),
    ("csv for Excel", ExportFormat::ExcelCsv, ExportCompression::None),
    ("jsonl", ExportFormat::Jsonl, ExportCompression::None),
    ("xlsx", ExportFormat::Xlsx, ExportCompression::None),
    ("parquet", ExportFormat::Parquet, ExportCompression::None),
    ("arrow", ExportFormat::Arrow, ExportCompression::None),
];

/// Options of `lovage demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Orders in the sample database
    #[arg(long, value_name = "COUNT", default_value_t = sample::ROWS, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rows: u32,
}

/// What the demo did.
#[derive(Debug, Serialize)]
struct Shown {
    files: Vec<Made>,
    audit: trail::Trail,
    schedule: schedule::Ticked,
    duration_ms: u64,
    /// A command that reads the first file again.
    verify: String,
}

/// One file.
#[derive(Debug, Serialize)]
struct Made {
    what: &'static str,
    job: JobId,
    artifact: String,
    rows: u64,
    bytes: u64,
    sha256: String,
    duration_ms: u64,
}

/// Runs the demo.
pub async fn run(context: &Context, args: &DemoArgs) -> Outcome {
    let mut config = context.config().clone();
    let note = |text: &str| context.output.note(text);
    note(&format!("Lovage {} demo", env!("CARGO_PKG_VERSION")));
    let sample = sample::prepare(&config.data_dir, args.rows).await?;
    note(&format!("  sample   {} orders in {}", args.rows, sample.display()));
    note(&format!("  broker   {}", rooms::broker_name(&config)));
    note(&format!("  storage  {}", config.storage()));

    let begun = Instant::now();
    let ticking = schedule::start(&config).await?;
    let broker = context.broker().await?;
    let mut sources = rooms::sources(&config)?;
    sources.add(SOURCE, &format!("sqlite:{}", sample.display()))?;
    config.datasets = crate::config::read_datasets(DATASET).map_err(|error| Failure::Failed(error.to_string()))?;
    let settings = rooms::worker_config(&config)?;
    // Private, because only this process knows the sample database by its name.
    let private = PrivateQueue::take(&broker, "demo", settings.id.as_str()).await?;
    let mut files = Vec::with_capacity(FILES.len());
    for (what, format, compression) in FILES {
        let export =
            ExportQuery { format: Some(format), compression, ..ExportQuery::dataset("orders", serde_json::Map::new()) };
        let job = export.into_job(private.queue.clone())?;
        let work = Work {
            broker: &broker,
            settings: settings.clone(),
            handlers: rooms::handlers(&config, sources.clone(), None, true)?,
            limit: None,
            cancels: true,
            announce: None,
        };
        let started = Instant::now();
        let view = match work.run(context, job).await {
            Ok(view) if view.state == State::Completed => view,
            other => {
                private.give_back().await;
                return conclude(context.output, other?);
            }
        };
        files.push(Made::new(what, &view, started.elapsed())?);
    }
    private.give_back().await;
    let first = files.first().map(|file| file.artifact.clone()).unwrap_or_default();
    let verify = format!("{} artifact verify {}", program(), quoted(&first));
    let audit = trail::write(&config).await?;
    let schedule = ticking.ended().await?;
    let shown = Shown { files, audit, schedule, duration_ms: begun.elapsed().as_millis() as u64, verify };
    context.output.one(&shown, || shown.text())
}

impl Made {
    fn new(what: &'static str, view: &JobView, took: Duration) -> Outcome<Self> {
        let result = view.result.as_ref().and_then(|result| serde_json::from_str::<ExportResult>(result.get()).ok());
        let result =
            result.ok_or_else(|| Failure::Failed(format!("job {} completed without saying what it wrote", view.id)))?;
        Ok(Self {
            what,
            job: view.id.clone(),
            artifact: result.location,
            rows: result.rows,
            bytes: result.bytes,
            sha256: result.sha256,
            duration_ms: took.as_millis() as u64,
        })
    }
}

impl Shown {
    fn text(&self) -> String {
        let mut table = Table::new(&["format", "rows", "bytes", "time", "file"], "");
        for file in &self.files {
            table.row(vec![
                file.what.to_owned(),
                file.rows.to_string(),
                file.bytes.to_string(),
                format!("{:.2} s", Duration::from_millis(file.duration_ms).as_secs_f64()),
                file.artifact.clone(),
            ]);
        }
        let total = Duration::from_millis(self.duration_ms).as_secs_f64();
        format!(
            "{}\n{}\n{}\nAll in {total:.2} s. Check a file against its manifest:\n  {}",
            table.render(),
            self.audit.text(),
            self.schedule.text(),
            self.verify
        )
    }
}

/// How this program was called, so that the shown command can be pasted as it is.
fn program() -> String {
    std::env::args().next().filter(|name| !name.is_empty()).map_or_else(|| "lovage".to_owned(), |name| quoted(&name))
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:+=@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted() {
        assert_eq!(quoted("/srv/订单/a-1.csv"), "/srv/订单/a-1.csv");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
