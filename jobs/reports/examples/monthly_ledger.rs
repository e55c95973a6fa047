//! A monthly ledger report for each of three tenants, through a real worker and the embedded broker:
//! `cargo run --release -p lovage-reports --example monthly_ledger -- [FOLDER]`.
//!
//! Makes a ledger as Parquet, one file a month, in the artifact store's folder `raw/ledger`, enqueues one `export.report` a
//! tenant and prints where the workbooks are.

#![expect(clippy::print_stdout, reason = "a program may print")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lovage_artifacts::{ArtifactStore, Keep, StoreConfig};
use lovage_broker::{Broker, Connect, OsEntropy, SqliteBroker, SqliteConfig, SystemClock};
use lovage_core::{JobId, QueueName, Tenant};
use lovage_payloads::{
    ChartKind, ExportReport, ReportChart, ReportInput, ReportParam, ReportPivot, ReportResult, ReportSheet,
};
use lovage_reports::{ExportReportHandler, ReportLimits, Services};
use lovage_worker::{Registry, Shutdown, Worker, WorkerConfig};
use polars::prelude::{DataFrame, DataType, IntoLazy as _, ParquetWriter, StrptimeOptions, col, df};

/// Tenants and the title of their report.
const TENANTS: [(&str, &str); 3] =
    [("acme", "Ledger of ACME"), ("qingmu", "青木商店 账目"), ("umbrella", "Ledger of Umbrella")];
const ACCOUNTS: [(&str, &str); 5] =
    [("4000", "Sales"), ("4100", "Services 服务"), ("5000", "Purchases"), ("6000", "Wages"), ("6100", "Rent")];
/// Entries of one account of one tenant in one month.
const ENTRIES: u32 = 40;
const MONTHS: u32 = 6;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("ledger-example"), PathBuf::from);
    let files = folder.join("artifacts");
    std::fs::create_dir_all(files.join("raw/ledger"))?;
    for month in 1..=MONTHS {
        write_month(&files, month).with_context(|| format!("write month {month}"))?;
    }
    let store = ArtifactStore::open(&StoreConfig::new(files.display().to_string()))?;
    let services = Services {
        artifacts: store,
        datasets: None,
        clock: Arc::new(SystemClock),
        limits: ReportLimits::default(),
        keep: Keep::default(),
    };
    let database = SqliteConfig::new(folder.join("lovage.db"));
    let connect: Connect = Arc::new(move || {
        let open = SqliteBroker::open(database.clone());
        Box::pin(async move { Ok(Arc::new(open.await?) as Arc<dyn Broker>) })
    });
    let queue: QueueName = "reports".parse()?;
    let broker = connect().await?;
    let registry = Registry::new().with(ExportReportHandler::new(services));
    let config = WorkerConfig::new("ledger-worker".parse()?, vec![(queue.clone(), 1)]);
    let worker = Worker::new(config, connect, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
    let shutdown = Shutdown::new();
    let running = tokio::spawn(worker.run(shutdown.clone()));
    for (tenant, title) in TENANTS {
        println!("{tenant}: {}", one_report(&*broker, &queue, tenant, title).await?);
    }
    shutdown.drain.cancel();
    running.await??;
    Ok(())
}

/// Entries of all tenants in one month: text, exact amounts, days.
fn write_month(files: &Path, month: u32) -> anyhow::Result<()> {
    let (mut tenants, mut accounts, mut titles, mut days, mut amounts) = (vec![], vec![], vec![], vec![], vec![]);
    for (tenant_number, (tenant, _)) in (0_u32..).zip(TENANTS) {
        for (account_number, (account, title)) in (0_u32..).zip(ACCOUNTS) {
            for entry in 0..ENTRIES {
                // Any numbers that differ; the same in every run.
                let cents = (entry * 7_919 + month * 104_729 + account_number * 1_299_709 + tenant_number * 15_485_863)
                    % 250_000;
                let sign = if account.starts_with('4') { "" } else { "-" };
                tenants.push(tenant);
                accounts.push(account);
                titles.push(title);
                days.push(format!("2024-{month:02}-{:02}", entry % 28 + 1));
                amounts.push(format!("{sign}{}.{:02}", cents / 100, cents % 100));
            }
        }
    }
    let text = df!("tenant" => tenants, "account" => accounts, "title" => titles, "day" => days, "amount" => amounts)?;
    let mut frame: DataFrame = text
        .lazy()
        .with_columns([
            col("day").str().to_date(StrptimeOptions::default()),
            col("amount").cast(DataType::Decimal(18, 2)),
        ])
        .collect()?;
    let file = std::fs::File::create(files.join(format!("raw/ledger/2024-{month:02}.parquet")))?;
    ParquetWriter::new(file).finish(&mut frame)?;
    Ok(())
}

/// The report of one tenant.
fn report(tenant: &str, title: &str) -> ExportReport {
    let mut by_account = ReportSheet::new(
        "By account",
        "select account, title, count(*) as entries, sum(amount) as amount, min(day) as first_day, max(day) as last_day \
         from ledger where tenant in (select tenant from params) group by account, title order by account",
    );
    by_account.totals = vec!["entries".to_owned(), "amount".to_owned()];
    by_account.chart = Some(ReportChart {
        kind: ChartKind::Column,
        category: "title".to_owned(),
        values: vec!["amount".to_owned()],
        title: Some(title.to_owned()),
    });
    let mut by_month = ReportSheet::new(
        "By month 按月",
        "select account, title, strftime(day, '%Y-%m') as month, amount from ledger \
         where tenant in (select tenant from params) order by account",
    );
    by_month.pivot = Some(ReportPivot {
        rows: vec!["account".to_owned(), "title".to_owned()],
        columns: "month".to_owned(),
        values: "amount".to_owned(),
        aggregate: lovage_payloads::Aggregate::Sum,
    });
    by_month.totals = vec!["*".to_owned()];
    by_month.chart = Some(ReportChart {
        kind: ChartKind::Bar,
        category: "title".to_owned(),
        values: vec!["*".to_owned()],
        title: Some(format!("{title}: months")),
    });
    let report = ExportReport::new(vec![by_account, by_month])
        .with_input("ledger", ReportInput::files("raw/ledger/*.parquet"))
        .with_param("tenant", ReportParam::Text(tenant.to_owned()));
    ExportReport { name: Some(format!("{title}.xlsx")), ..report }
}

/// Enqueues the report and waits for it.
async fn one_report(broker: &dyn Broker, queue: &QueueName, tenant: &str, title: &str) -> anyhow::Result<String> {
    let mut job = report(tenant, title).into_job(queue.clone())?;
    // The same id is the same job: a second run of this example finds the reports of the first.
    let id: JobId = format!("ledger-2024-{tenant}").parse()?;
    job.id = Some(id.clone());
    job.tenant = Some(tenant.parse::<Tenant>()?);
    broker.enqueue(vec![job]).await?;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    loop {
        pace.tick().await;
        let view = broker.job(Some(queue), &id).await?.context("the job is in the broker")?;
        if view.state.is_final() {
            let result =
                view.result.with_context(|| format!("the job ended as {:?}: {:?}", view.state, view.errors))?;
            let result: ReportResult = serde_json::from_str(result.get())?;
            return Ok(result.location);
        }
    }
}
