//! What a report over 1,000,000 rows takes: `measure make FOLDER`, then `measure group|rows|convert FOLDER`.
//!
//! Two steps, so that making the file is not measured. `group` groups by two keys into a workbook, `rows` writes all rows
//! into one, `convert` turns Parquet into CSV. Prints the wall time and the largest resident size of the process.

#![expect(clippy::print_stdout, reason = "a program may print")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use lovage_artifacts::{ArtifactStore, Keep, StoreConfig};
use lovage_broker::SystemClock;
use lovage_payloads::{ExportReport, ReportFormat, ReportInput, ReportSheet};
use lovage_reports::{ExportReportHandler, ReportLimits, Services};
use lovage_worker::Handler as _;
use lovage_worker::testing::DetachedJob;
use polars::prelude::{DataType, IntoLazy as _, ParquetWriter, col, df};

const ROWS: u64 = 1_000_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(folder)) = (arguments.next(), arguments.next()) else {
        bail!("usage: measure make|group|rows|convert FOLDER");
    };
    let folder = PathBuf::from(folder);
    let totals = |sql: &str| ReportSheet { totals: vec!["amount".to_owned()], ..ReportSheet::new("Sheet", sql) };
    let report = match what.as_str() {
        "make" => return make(&folder),
        "group" => ExportReport::new(vec![totals(
            "select account, month, sum(amount) as amount, count(*) as entries from ledger group by account, month",
        )]),
        "rows" => ExportReport::new(vec![totals("select * from ledger")]),
        "convert" => {
            let sheet = ReportSheet::new("Sheet", "select * from ledger");
            ExportReport { format: ReportFormat::Csv, ..ExportReport::new(vec![sheet]) }
        }
        other => bail!("unknown: {other}"),
    };
    let artifacts = ArtifactStore::open(&StoreConfig::new(folder.display().to_string()))?;
    let (clock, limits) = (Arc::new(SystemClock), ReportLimits::default());
    let handler =
        ExportReportHandler::new(Services { artifacts, datasets: None, clock, limits, keep: Keep::default() });
    let job = DetachedJob::new(
        "q".parse()?,
        "export.report".parse()?,
        format!("{what}-{}", std::process::id()).parse()?,
        1,
        1,
    );
    let started = tokio::time::Instant::now();
    let report = report.with_input("ledger", ReportInput::files("raw/ledger.parquet"));
    let result = handler.run(report, job.context()).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let took = started.elapsed();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).context("the kernel tells VmHWM")?;
    println!("{what}: {} rows, {} bytes, {took:.2?}, {peak}", result.rows, result.bytes);
    Ok(())
}

/// Five columns: text with few values, text with many, days, exact amounts, whole numbers.
fn make(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder.join("raw"))?;
    let rows = || 0..ROWS;
    let frame = df!(
        "id" => rows().map(|n| n as i64).collect::<Vec<_>>(),
        "account" => rows().map(|n| format!("{:04}", n * 7_919 % 500)).collect::<Vec<_>>(),
        "month" => rows().map(|n| format!("2024-{:02}", n * 104_729 % 12 + 1)).collect::<Vec<_>>(),
        "note" => rows().map(|n| format!("订单 {n}")).collect::<Vec<_>>(),
        "cents" => rows().map(|n| (n * 1_299_709 % 250_000) as i64).collect::<Vec<_>>(),
    )?;
    let amount =
        (col("cents").cast(DataType::Decimal(18, 2)) / polars::prelude::lit(100)).cast(DataType::Decimal(18, 2));
    let mut frame = frame.lazy().with_columns([amount.alias("amount")]).collect()?;
    let file = std::fs::File::create(folder.join("raw/ledger.parquet"))?;
    let bytes = ParquetWriter::new(file).finish(&mut frame)?;
    println!("{ROWS} rows, {bytes} bytes");
    Ok(())
}
