//! Datasets as files on this machine, which reports read: the rules of exports hold, and so does a bound of bytes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lovage_artifacts::ManifestFile;
use lovage_core::{Invalid, Tenant};
use lovage_jobs::{Most, read_dataset};
use lovage_payloads::DatasetInput;
use lovage_testkit::{PostgresServer, eventually};
use lovage_worker::JobError;
use lovage_worker::testing::DetachedJob;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::bench::{Bench, job};

const LIMIT: Duration = Duration::from_secs(20);

const TABLE: &str = "create table orders (id bigint, tenant text, day date, amount numeric(18, 2));
    insert into orders values (1, 'acme', '2024-02-29', 0.10), (2, 'acme', '2024-06-01', 0.20),
        (3, 'other', '2024-06-01', 999.99), (4, 'acme', '2024-06-02', 1234567.89);";

// What is said of files for people does not matter here: formats, labels, how long they are kept, chunks.
const DATASETS: &str = r#"
    [datasets.mine]
    sql = "select id, day, amount from orders where tenant = :tenant and day >= :from order by id"
    tenants = ["acme", "globex"]
    formats = ["xlsx"]
    keep = "1s"
    params.from = { type = "date", default = "2024-01-01" }
    columns.id = { label = "Order no." }
    columns.amount = { type = "decimal(18,2)" }
    [datasets.mine.chunks]
    key = "id"
    rows = 1

    [datasets.few]
    sql = "select id from orders"
    row_limit = 3

    [datasets.wrong]
    sql = "select id from nowhere"

    [datasets.endless]
    sql = "ENDLESS"
"#;

/// Never ends, and cannot be packed.
const ENDLESS_SQLITE: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select i, hex(randomblob(500)) as noise from n";
/// In the select list, because a function in the place of a table would first be written to a file as a whole.
const ENDLESS_POSTGRES: &str =
    "select i, md5(i::text) || md5((-i)::text) as noise from (select generate_series(1, 4000000000) as i) as n";

/// Where a report would have its files.
struct Tables {
    folder: TempDir,
    bench: Bench,
}

impl Tables {
    fn new(bench: Bench) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), bench }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("orders.parquet")
    }

    async fn read(&self, job: &DetachedJob, name: &str, params: Value, bytes: u64) -> Result<ManifestFile, JobError> {
        let input = DatasetInput { dataset: name.to_owned(), params: params.as_object().unwrap().clone() };
        let most = Most { bytes, beyond: Invalid::new("bytes", "are too many", "read less") };
        read_dataset(self.bench.services(), &job.context(), &input, &self.file(), most).await
    }

    /// What somebody else reads in the file.
    async fn text(&self, job: &DetachedJob, params: Value) -> (ManifestFile, Value) {
        let described = self.read(job, "mine", params, 1 << 20).await.unwrap();
        assert_eq!(std::fs::metadata(self.file()).unwrap().len(), described.bytes);
        (described, parquet(&self.file()))
    }

    async fn discarded(&self, job: &DetachedJob, name: &str, params: Value) -> String {
        match self.read(job, name, params, 1 << 20).await {
            Err(JobError::Discard(error)) => format!("{error:#}"),
            other => panic!("expected to be discarded: {other:?}"),
        }
    }
}

fn parquet(file: &Path) -> Value {
    let script = "import json, sys; import pyarrow.parquet as p; t = p.read_table(sys.argv[1]); \
                  print(json.dumps([[f'{f.name} {f.type}' for f in t.schema]] + [[str(v) for v in r.values()] for r in t.to_pylist()]))";
    let python = lovage_testkit::s3::ensure_installed();
    let output = Command::new(python).args(["-c", script]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn of(tenant: &str) -> DetachedJob {
    job("report", 1, 7).with_tenant(tenant.parse::<Tenant>().unwrap())
}

async fn sqlite(folder: &TempDir) -> Tables {
    let file = folder.path().join("shop.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap().execute(TABLE).await.unwrap();
    let bench = Bench::new(&format!("sqlite:{}", file.display()));
    Tables::new(bench.with_datasets(&DATASETS.replace("ENDLESS", ENDLESS_SQLITE)))
}

async fn postgres(server: &PostgresServer) -> Tables {
    PgConnection::connect(&server.url()).await.unwrap().execute(TABLE).await.unwrap();
    Tables::new(Bench::new(&server.url()).with_datasets(&DATASETS.replace("ENDLESS", ENDLESS_POSTGRES)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let tables = sqlite(&folder).await;
    the_rules_of_exports_hold(&tables, "sqlite", "day string").await;
    a_bound_holds_while_bytes_come(&tables).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_postgres() {
    let server = PostgresServer::start();
    let tables = postgres(&server).await;
    the_rules_of_exports_hold(&tables, "postgres", "day date32[day]").await;
    a_bound_holds_while_bytes_come(&tables).await;
    a_cancelled_job_stops_the_server(&tables, &server).await;
    drop(server);
    match tables.read(&of("acme"), "mine", json!({}), 1 << 20).await {
        Err(JobError::Retry(error)) => assert!(format!("{error:#}").starts_with("source default cannot be reached: ")),
        other => panic!("expected to be tried again: {other:?}"),
    }
}

async fn the_rules_of_exports_hold(tables: &Tables, engine: &str, day: &str) {
    let (acme, globex) = (of("acme"), of("globex"));
    let (described, rows) = tables.text(&acme, json!({"from": "2024-06-01"})).await;
    assert_eq!(
        rows,
        json!([
            ["id int64", day, "amount decimal128(18, 2)"],
            ["2", "2024-06-01", "0.20"],
            ["4", "2024-06-02", "1234567.89"]
        ])
    );
    assert_eq!(described.rows, Some(2));
    let origin = described.origin.unwrap();
    assert_eq!((origin.source.as_str(), origin.engine.as_str()), ("default", engine));
    assert!(origin.snapshot.is_some() && origin.query_sha256.is_some());
    let progress = acme.progress().unwrap();
    assert_eq!((progress.phase.as_str(), progress.unit.as_str(), progress.done), ("read", "rows", 2));
    assert_eq!(tables.text(&globex, json!({})).await.0.rows, Some(0), "nothing of another tenant");
    assert_eq!(tables.bench.orphans().await, Vec::<String>::new(), "nothing goes to the store");
    // In the words of `export.query`.
    let stranger = tables.discarded(&of("other"), "mine", json!({})).await;
    assert!(stranger.starts_with("dataset: \"mine\" may not be exported by tenant other"), "{stranger}");
    let unknown = tables.discarded(&acme, "ordres", json!({})).await;
    assert!(unknown.starts_with("dataset: \"ordres\" is not configured on this worker; use one of: "), "{unknown}");
    let wrong = tables.discarded(&acme, "mine", json!({"from": "soon"})).await;
    assert_eq!(wrong, "params.from: is \"soon\"; send a date, e.g. 2024-02-29");
    let sent = tables.discarded(&acme, "mine", json!({"tenant": "other"})).await;
    assert!(sent.starts_with("params.tenant: is not a parameter of the dataset"), "{sent}");
    let many = tables.discarded(&acme, "few", json!({})).await;
    assert!(many.starts_with("rows: are more than 3, the dataset's row_limit"), "{many}");
    let broken = tables.discarded(&acme, "wrong", json!({})).await;
    assert!(broken.starts_with("source default: ") && broken.contains("nowhere"), "{broken}");
}

/// The query never ends: whoever counts afterwards does not come to it.
async fn a_bound_holds_while_bytes_come(tables: &Tables) {
    let error = tables.discarded(&of("acme"), "endless", json!({})).await;
    assert_eq!(error, "bytes: are too many; read less");
    let exact = tables.read(&of("acme"), "mine", json!({}), 1 << 20).await.unwrap().bytes;
    assert!(tables.read(&of("acme"), "mine", json!({}), exact).await.is_ok(), "exactly as many as may come");
    let error = tables.read(&of("acme"), "mine", json!({}), exact - 1).await;
    assert!(matches!(error, Err(JobError::Discard(_))), "{error:?}");
}

async fn a_cancelled_job_stops_the_server(tables: &Tables, server: &PostgresServer) {
    const RUNNING: &str =
        "select count(*) from pg_stat_activity where state = 'active' and query like 'COPY (%generate_series%'";
    let watcher = tokio::sync::Mutex::new(PgConnection::connect(&server.url()).await.unwrap());
    let running =
        || async { sqlx::query_scalar::<_, i64>(RUNNING).fetch_one(&mut *watcher.lock().await).await.unwrap() };
    let cancelled = of("acme");
    let reading = tables.read(&cancelled, "endless", json!({}), u64::MAX);
    let cancelling = async {
        // bounded wait: for a query of the server
        eventually("the server works on the query", LIMIT, async || (running().await == 1).then_some(())).await;
        cancelled.cancel();
    };
    let (ended, ()) = tokio::join!(reading, cancelling);
    assert!(matches!(ended, Err(JobError::Cancelled)), "{ended:?}");
    // bounded wait: the server is told through another connection
    eventually("the server has stopped", LIMIT, async || (running().await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_ends_the_query_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let tables = sqlite(&folder).await;
    let cancelled = of("acme");
    let reading = tables.read(&cancelled, "endless", json!({}), u64::MAX);
    let rows = || cancelled.progress().is_some_and(|progress| progress.done > 0);
    let cancelling = async {
        // bounded wait: for the first rows
        eventually("rows come", LIMIT, async || rows().then_some(())).await;
        cancelled.cancel();
    };
    let (ended, ()) = tokio::join!(reading, cancelling);
    assert!(matches!(ended, Err(JobError::Cancelled)), "{ended:?}");
    assert!(!tables.file().exists());
}
