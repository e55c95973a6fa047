//! A Postgres whose table is changed all the time, and what an export of it has to hold.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lovage_artifacts::ManifestFile;
use lovage_testkit::{PostgresServer, eventually};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinHandle;

use crate::stage::PATIENCE;

/// The settings of the datasets, as they stand in a `lovage.toml`.
pub const DATASETS: &str = include_str!("datasets.toml");

/// The forms of a file: format and packing.
pub const FORMS: [(&str, &str); 8] = [
    ("csv", "none"),
    ("excel_csv", "none"),
    ("jsonl", "none"),
    ("xlsx", "none"),
    ("parquet", "none"),
    ("arrow", "none"),
    ("csv", "gzip"),
    ("csv", "zip"),
];

/// A server with the table, and the writer that changes it until this is dropped.
pub struct Table {
    server: PostgresServer,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

/// A file that was exported from the table.
pub struct Exported {
    pub format: &'static str,
    pub packing: &'static str,
    pub width: u64,
    pub file: ManifestFile,
    pub path: PathBuf,
}

impl Table {
    pub async fn start() -> Self {
        let server = PostgresServer::start();
        let stop = Arc::new(AtomicBool::new(false));
        let mut connection = PgConnection::connect(&server.url()).await.expect("the server is there");
        connection.execute(include_str!("table.sql")).await.expect("a table");
        let stopped = Arc::clone(&stop);
        let writer = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                connection.execute("SELECT change()").await.expect("changed");
                // The server is left some time for others: this is a busy table, not a test of its speed.
                connection.execute("SELECT pg_sleep(0.01)").await.expect("rested");
            }
        });
        Self { server, stop, writer: Some(writer) }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.server.url()).await.expect("the server is there")
    }

    /// How many versions there were.
    pub async fn version(&self) -> i64 {
        let sql = "SELECT max(version) FROM journal";
        sqlx::query_scalar(sql).fetch_one(&mut self.connect().await).await.expect("a version")
    }

    /// Holds the gate: exports that come to it wait there until this is closed or dropped.
    pub async fn hold(&self, gate: i64) -> Gate {
        let mut connection = self.connect().await;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(gate).execute(&mut connection).await.expect("locked");
        Gate { key: gate, connection: tokio::sync::Mutex::new(connection) }
    }

    /// Every cell of every file is what the table held in the snapshot that its manifest names.
    pub async fn assert_exported(mut self, files: &[Exported]) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.await.expect("the writer did not fail");
        }
        let mut connection = self.connect().await;
        let mut lines = Vec::new();
        for exported in files {
            let snapshot = exported.file.origin.as_ref().and_then(|origin| origin.snapshot.as_deref());
            let sql =
                "SELECT max(version), count(*) FROM journal WHERE txid_visible_in_snapshot(txid, $1::txid_snapshot)";
            let found = sqlx::query_as::<_, (i64, i64)>(sql).bind(snapshot).fetch_one(&mut connection).await;
            let (version, count) = found.expect("the manifest names a snapshot");
            assert_eq!(count, version + 1, "versions follow each other");
            let Exported { format, packing, width, path, .. } = exported;
            writeln!(lines, "{format}\t{packing}\t{version}\t{width}\t{}", path.display()).expect("a text takes all");
        }
        let python = lovage_testkit::s3::ensure_installed();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/export_kills/read.py");
        let mut reader = Command::new(python);
        reader.arg(script).env("PYTHONUTF8", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut reader = reader.spawn().expect("Python starts");
        reader.stdin.take().expect("a pipe").write_all(&lines).expect("the reader reads");
        let output = reader.wait_with_output().expect("it ends");
        let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{failed}");
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.abort();
        }
    }
}

/// A gate that is held.
pub struct Gate {
    key: i64,
    connection: tokio::sync::Mutex<PgConnection>,
}

impl Gate {
    /// How many exports wait at it.
    pub async fn waiting(&self) -> i64 {
        // Two halves of a key of 64 bits; ours fit into the lower one.
        let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = $1 AND NOT granted";
        let connection = &mut *self.connection.lock().await;
        sqlx::query_scalar(sql).bind(self.key).fetch_one(connection).await.expect("the server answers")
    }

    /// Waits until so many exports wait at it.
    pub async fn until(&self, exports: i64, what: &str) {
        let what = format!("{exports} exports are at the gate: {what}");
        eventually(&what, PATIENCE, async || (self.waiting().await >= exports).then_some(())).await;
    }
}

/// The arguments of an export of the table that comes to `gate` once it has sent `percent` of the rows.
pub fn export((format, packing): (&str, &str), width: u64, percent: u64, gate: i64) -> Value {
    json!({
        "dataset": "records",
        "format": format,
        "compression": packing,
        "params": { "width": width, "percent": percent, "gate": gate },
    })
}

/// How wide the rows have to be for more than a part of 8 MiB to be on its way before the last row is read. What packs gets
/// more, and Parquet first completes a row group.
pub fn wide((format, packing): (&str, &str)) -> u64 {
    match (format, packing) {
        ("parquet", _) => 30_000,
        ("arrow", _) => 20_000,
        (_, "gzip" | "zip") => 12_500,
        _ => 9_500,
    }
}
