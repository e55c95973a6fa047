//! Datasets as inputs, read by a stand-in: what it is asked, what its rows become, and how its errors come out.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use lovage_artifacts::{Column, ManifestFile, Origin};
use lovage_core::{Invalid, Progress};
use lovage_payloads::{DatasetInput, ExportReport, ReportFormat, ReportInput, ReportSheet};
use lovage_reports::{DatasetReader, ReportLimits};
use lovage_testkit::eventually;
use lovage_worker::{Handler as _, JobContext, JobError};
use polars::prelude::{DataFrame, DataType, IntoLazy as _, ParquetWriter, col, df};
use serde_json::{Map, Value, json};

use crate::bench::{Bench, discarded, job, one, retried};

const WAIT: Duration = Duration::from_mins(1);

type Fault = fn() -> JobError;

/// Answers every question with the same rows, or with an error.
#[derive(Debug)]
pub struct Shop {
    rows: DataFrame,
    /// Whether it has no end: it writes, then waits for a cancel.
    endless: bool,
    error: Option<Fault>,
    /// Tenant, dataset, values and room of each question.
    asked: Mutex<Vec<(String, DatasetInput, u64)>>,
}

impl Shop {
    pub fn new() -> Self {
        let rows = df!("customer" => [1_i64, 1, 2], "amount" => ["0.10", "0.20", "99999999999999.99"]).unwrap();
        let rows = rows.lazy().with_columns([col("amount").cast(DataType::Decimal(18, 2))]).collect().unwrap();
        Self { rows, endless: false, error: None, asked: Mutex::default() }
    }

    fn write(&self, file: &Path) -> u64 {
        ParquetWriter::new(std::fs::File::create(file).unwrap()).finish(&mut self.rows.clone()).unwrap();
        std::fs::metadata(file).unwrap().len()
    }
}

impl DatasetReader for Shop {
    fn read<'a>(
        &'a self,
        job: &'a JobContext,
        input: &'a DatasetInput,
        file: &'a Path,
        max_bytes: u64,
        beyond: Invalid,
    ) -> BoxFuture<'a, Result<ManifestFile, JobError>> {
        Box::pin(async move {
            let tenant = job.tenant().map_or(String::new(), ToString::to_string);
            self.asked.lock().unwrap().push((tenant, input.clone(), max_bytes));
            if let Some(error) = self.error {
                return Err(error());
            }
            let bytes = self.write(file);
            if self.endless {
                job.progress(Progress { done: 3, unit: "rows".into(), phase: "read".into(), ..Progress::default() });
                job.cancelled().cancelled().await;
                tokio::task::yield_now().await;
                // Still there: nobody takes the folder away from somebody who may write into it.
                self.write(file);
                return Err(JobError::Cancelled);
            }
            if bytes > max_bytes {
                return Err(JobError::Discard(beyond.into()));
            }
            Ok(described(bytes))
        })
    }
}

fn described(bytes: u64) -> ManifestFile {
    let origin = Origin {
        source: "shop".into(),
        engine: "postgres".into(),
        snapshot: Some("7:7:".into()),
        query_sha256: Some("ab12".into()),
    };
    ManifestFile {
        name: "orders.parquet".into(),
        key: String::new(),
        bytes,
        sha256: String::new(),
        content_type: "application/vnd.apache.parquet".into(),
        rows: Some(3),
        columns: vec![Column { name: "customer".into(), type_name: "INT8".into() }],
        origin: Some(origin),
        notes: vec!["a column is text".into()],
    }
}

fn orders() -> ReportInput {
    ReportInput::dataset("orders", Map::from_iter([("from".to_owned(), Value::from("2024-06-01"))]))
}

fn by(shop: Shop) -> (Arc<Shop>, Bench) {
    let shop = Arc::new(shop);
    let bench = Bench::with_datasets(Arc::clone(&shop) as Arc<dyn DatasetReader>, ReportLimits::default());
    (shop, bench)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_is_a_table_beside_files_and_its_sums_are_exact() {
    let (shop, bench) = by(Shop::new());
    bench.put("raw/customers.csv", "id,name\n1,Bär & Söhne\n2,青木商店\n");
    let sql = "select c.name, sum(o.amount) as amount from orders as o join customers as c on o.customer = c.id \
               group by c.name order by amount";
    let sheet = ReportSheet { totals: vec!["amount".into()], ..ReportSheet::new("Customers", sql) };
    let report = ExportReport::new(vec![sheet])
        .with_input("orders", orders())
        .with_input("customers", ReportInput::files("raw/customers.csv"));
    let job = job("1", 1, 1).with_tenant("acme".parse().unwrap());
    let result = bench.run(&job, report).await.unwrap();
    let sheets = bench.sheets(&result).await;
    assert_eq!(
        sheets[0]["cells"],
        json!([
            ["name", "amount"],
            ["Bär & Söhne", 0.3],
            // More digits than a spreadsheet adds up.
            ["青木商店", "99999999999999.99"],
            ["Total", "100000000000000.29"]
        ])
    );
    let asked = shop.asked.lock().unwrap().remove(0);
    let params = Map::from_iter([("from".to_owned(), Value::from("2024-06-01"))]);
    assert_eq!((asked.0.as_str(), asked.1), ("acme", DatasetInput { dataset: "orders".into(), params }));
    // Which state the rows are of.
    let file = bench.manifest("1").await.unwrap().files.remove(0);
    let told = "orders: 3 rows of dataset orders, source shop (postgres), snapshot 7:7:, query SHA-256 ab12";
    assert_eq!(file.notes, [told, "orders: a column is text"]);
    assert_eq!(job.lines()[0].text, told);
    let origin = file.origin.unwrap();
    assert_eq!((origin.source.as_str(), origin.engine.as_str()), ("artifacts, shop", "polars"));
    assert_eq!(bench.temporary_folders(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_inputs_of_a_report_share_one_bound() {
    let shop = Arc::new(Shop::new());
    let room = shop.write(&tempfile::tempdir().unwrap().path().join("t")) + 4;
    let bench = |room| {
        let limits = ReportLimits { max_input_bytes: room, ..ReportLimits::default() };
        let bench = Bench::with_datasets(Arc::clone(&shop) as Arc<dyn DatasetReader>, limits);
        bench.put("raw/t.csv", "n\n1\n");
        bench
    };
    let report = || {
        one("select count(*) as n from orders cross join t")
            .with_input("orders", orders())
            .with_input("t", ReportInput::files("raw/t.csv"))
    };
    bench(room).report("1", report()).await.unwrap();
    assert_eq!(shop.asked.lock().unwrap().remove(0).2, room - 4, "the file has its place");
    let narrow = bench(room - 1);
    let error = discarded(narrow.report("2", report()).await);
    let (left, most) = (room - 5, room - 1);
    assert_eq!(
        error,
        format!(
            "inputs.orders.bytes: are more than {left}, and the inputs of one report have at most {most} together; narrow \
             it with its parameters, or raise reports.max_input_bytes"
        )
    );
    narrow.nothing_is_left_of("2").await;
    let twice = || report().with_input("again", orders());
    assert!(discarded(bench(room).report("3", twice()).await).starts_with("inputs.orders.bytes: "), "two are too many");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_cancelled_while_a_dataset_is_read_waits_for_its_end_and_leaves_nothing() {
    let (_, bench) = by(Shop { endless: true, ..Shop::new() });
    let bench = Arc::new(bench);
    let job = job("1", 1, 1);
    let (inner, context) = (Arc::clone(&bench), job.context());
    let report = one("select * from orders").with_input("orders", orders());
    let running = tokio::spawn(async move { inner.handler.run(report, context).await });
    let reading = || job.progress().is_some_and(|progress| progress.phase == "read" && progress.unit == "rows");
    // bounded wait: for the reader to begin
    eventually("the dataset is read", WAIT, || async { reading().then_some(()) }).await;
    job.cancel();
    assert!(matches!(running.await.unwrap(), Err(JobError::Cancelled)));
    bench.nothing_is_left_of("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_dataset_is_said_with_its_place_in_the_arguments() {
    let errors: [(Fault, &str); 5] = [
        (|| refused("dataset"), "inputs.orders.dataset: is wrong; mend it"),
        (|| refused("params.from"), "inputs.orders.params.from: is wrong; mend it"),
        (|| refused("rows"), "inputs.orders.rows: is wrong; mend it"),
        (|| refused("tenant"), "tenant: is wrong; mend it"),
        (
            || JobError::Discard(anyhow::anyhow!("source shop: relation \"x\" does not exist")),
            "inputs.orders: source shop: relation \"x\" does not exist",
        ),
    ];
    let report = || one("select * from orders").with_input("orders", orders());
    for (error, text) in errors {
        let (_, bench) = by(Shop { error: Some(error), ..Shop::new() });
        assert_eq!(discarded(bench.report("1", report()).await), text);
        bench.nothing_is_left_of("1").await;
    }
    let away: Fault = || JobError::Retry(anyhow::anyhow!("source shop cannot be reached: refused"));
    let (_, bench) = by(Shop { error: Some(away), ..Shop::new() });
    let error = retried(bench.report("1", report()).await);
    assert_eq!(error, "inputs.orders: source shop cannot be reached: refused");
    let error = discarded(Bench::new().report("1", report()).await);
    assert!(error.starts_with("inputs.orders.dataset: is not read by this worker"), "{error}");
}

/// What is built with polars keeps the keys of JSON as they came; a second call with them in another order asks for the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_datasets_values_makes_no_other_report() {
    let (_, bench) = by(Shop::new());
    let report = |values: [(&str, i32); 2]| {
        let params = values.map(|(name, value)| (name.to_owned(), Value::from(value)));
        one("select count(*) as n from t").with_input("t", ReportInput::dataset("orders", Map::from_iter(params)))
    };
    let first = bench.report("1", report([("a", 1), ("b", 2)])).await.unwrap();
    assert_eq!(bench.run(&job("1", 2, 9), report([("b", 2), ("a", 1)])).await.unwrap(), first);
    let other = discarded(bench.run(&job("1", 3, 11), report([("a", 2), ("b", 1)])).await);
    assert!(other.starts_with("id: was used before"), "{other}");
}

fn refused(field: &str) -> JobError {
    JobError::Discard(Invalid::new(field, "is wrong", "mend it").into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_dataset_is_found_before_anything_is_downloaded() {
    let (shop, bench) = by(Shop { error: Some(|| refused("dataset")), ..Shop::new() });
    bench.put("raw/broken.parquet", "no parquet");
    let report = one("select * from orders").with_input("orders", orders());
    let report = ExportReport { format: ReportFormat::Csv, ..report };
    let error =
        discarded(bench.report("1", report.clone().with_input("a", ReportInput::files("raw/broken.parquet"))).await);
    assert!(error.starts_with("inputs.orders.dataset: "), "{error}");
    // Files that are not there at all are found even earlier.
    let error = discarded(bench.report("1", report.with_input("a", ReportInput::files("raw/nothere.csv"))).await);
    assert!(error.starts_with("inputs.a.files: "), "{error}");
    assert_eq!(shop.asked.lock().unwrap().len(), 1);
}
