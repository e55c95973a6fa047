//! Inputs and plain files: which objects are read and how, and what comes out as CSV, JSON lines and Parquet.

use lovage_payloads::{ExportReport, InputFormat, ReportFormat, ReportInput};
use lovage_reports::ReportLimits;
use polars::prelude::{DataType, ParquetReader, SerReader as _, df};

use crate::bench::{Bench, discarded, job, numbers, one, retried};

const ORDERS: &str = "account,amount,day\n00123,0.10,2024-01-31\n00123,0.20,2024-02-01\n订单,1e3,\n";

fn orders() -> ReportInput {
    ReportInput::files("raw/orders.csv").with_type("account", "text").with_type("amount", "decimal(18,2)")
}

#[tokio::test]
async fn types_that_are_said_keep_zeros_and_cents() {
    let bench = Bench::new();
    bench.put("raw/orders.csv", ORDERS.replace("1e3", "999999999999999.99"));
    let sql = "select account, sum(amount) as amount, min(day) as day from t group by account order by account";
    let text = bench.text("1", orders(), sql, ReportFormat::Csv).await;
    assert_eq!(text, "account,amount,day\n00123,0.30,2024-01-31\n订单,999999999999999.99,\n");
}

#[tokio::test]
async fn csv_becomes_parquet_and_parquet_json_lines() {
    let bench = Bench::new();
    bench.put("raw/orders.csv", ORDERS.replace("1e3", "7.5"));
    let report = one("select *, cast(day as timestamp) as at from t").with_input("t", orders());
    let report = ExportReport { format: ReportFormat::Parquet, name: Some("订单.parquet".into()), ..report };
    let result = bench.report("1", report).await.unwrap();
    let bytes = bench.read(&result).await;
    let frame = ParquetReader::new(std::io::Cursor::new(&bytes)).finish().unwrap();
    assert_eq!((frame.height(), result.rows, result.name.as_str()), (3, 3, "订单.parquet"));
    assert_eq!(frame.column("amount").unwrap().dtype(), &DataType::Decimal(18, 2));
    let file = bench.manifest("1").await.unwrap().files.remove(0);
    assert_eq!(file.content_type, "application/vnd.apache.parquet");
    let columns: Vec<(String, String)> = file.columns.into_iter().map(|c| (c.name, c.type_name)).collect();
    assert_eq!(columns[1], ("amount".to_owned(), "decimal[18,2]".to_owned()));

    bench.put("raw/orders.parquet", bytes);
    let text = bench.text("2", ReportInput::files("raw/orders.parquet"), "select * from t", ReportFormat::Jsonl).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r#"{"account":"00123","amount":"0.10","day":"2024-01-31","at":"2024-01-31T00:00:00.000000"}"#);
    assert_eq!(lines[2], r#"{"account":"订单","amount":"7.50","day":null,"at":null}"#);
}

#[tokio::test]
async fn json_lines_are_read_with_the_types_that_are_said() {
    let bench = Bench::new();
    let lines = [r#"{"id": "007", "price": "12.30", "n": 1, "day": "2024-01-31"}"#, r#"{"id": "008", "price": 0.05}"#];
    bench.put("raw/a.jsonl", lines.join("\n"));
    let input = ReportInput::files("raw/a.jsonl").with_type("price", "decimal(10,2)").with_type("day", "date");
    let sql = "select id, price, n, extract(month from day) as month from t order by id";
    let text = bench.text("1", input, sql, ReportFormat::Csv).await;
    assert_eq!(text, "id,price,n,month\n007,12.30,1,1\n008,0.05,,\n");
}

#[tokio::test]
async fn a_star_reads_several_files_in_the_order_of_their_keys() {
    let bench = Bench::new();
    for (key, value) in
        [("raw/[a]/o-2.csv", 2), ("raw/[a]/o-1.csv", 1), ("raw/[a]/x.csv", 9), ("raw/[a]/below/o-3.csv", 9)]
    {
        bench.put(key, format!("n\n{value}\n"));
    }
    let text = bench.text("1", ReportInput::files("raw/[a]/o-*.csv"), "select * from t", ReportFormat::Csv).await;
    assert_eq!(text, "n\n1\n2\n");
}

#[tokio::test]
async fn the_file_of_another_job_is_read_once_it_is_published() {
    for bench in [Bench::new(), Bench::in_memory(ReportLimits::default())] {
        let artifact = || ReportInput::artifact("reports".parse().unwrap(), "first".parse().unwrap());
        let second = || one("select n + 1 as n from t").with_input("t", artifact());
        let error = retried(bench.report("second", second()).await);
        assert_eq!(error, "inputs.t: job first of queue reports has not published a file");
        for (format, id) in
            [(ReportFormat::Jsonl, "jsonl"), (ReportFormat::Parquet, "parquet"), (ReportFormat::Csv, "first")]
        {
            bench.report(id, ExportReport { format, ..one("select 41 as n") }).await.unwrap();
        }
        let result = bench.report("second", ExportReport { format: ReportFormat::Csv, ..second() }).await.unwrap();
        assert_eq!(bench.read(&result).await, b"n\n42\n");
        for id in ["jsonl", "parquet"] {
            let input = ReportInput::artifact("reports".parse().unwrap(), id.parse().unwrap());
            let text = bench.text(&format!("of-{id}"), input, "select n from t", ReportFormat::Csv).await;
            assert_eq!(text, "n\n41\n", "{id}");
        }
        assert_eq!(bench.temporary_folders(), 0);
    }
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_read() {
    let small = ReportLimits { max_input_bytes: 3, ..ReportLimits::default() };
    let bench = Bench::with_limits(small.clone());
    bench.put("raw/t.csv", "n\n1\n");
    let report = |sql: &str| one(sql).with_input("t", ReportInput::files("raw/t.csv"));
    let error = discarded(bench.report("1", report("select * from t")).await);
    assert_eq!(
        error,
        "inputs: have 4 bytes or more, and this worker reads at most 3; read fewer files or rows, or raise \
         reports.max_input_bytes"
    );
    let few = ReportLimits { max_rows: 5, ..ReportLimits::default() };
    let bench = Bench::with_limits(few);
    bench.put("raw/t.csv", numbers(1_000));
    for format in [ReportFormat::Xlsx, ReportFormat::Csv, ReportFormat::Jsonl, ReportFormat::Parquet] {
        let all = ExportReport { format, ..report("select * from t") };
        let error = discarded(bench.report("1", all).await);
        assert!(error.starts_with("sheets[0].sql: gives more than 5 rows"), "{error}");
        bench.nothing_is_left_of("1").await;
    }
    let result = bench.report("2", report("select sum(n) as n from t")).await.unwrap();
    assert_eq!(result.rows, 1, "what a query reads is not what it gives");
}

#[tokio::test]
async fn what_no_attempt_can_mend_is_final_and_says_what_is_wrong() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "n,name\n1,a\n");
    bench.put("raw/broken.parquet", "no parquet");
    bench.put("raw/late.csv", format!("n\n{}oops\n", "1\n".repeat(20_000)));
    bench.put("raw/t.dat", "n\n1\n");
    let table = ReportInput::files("raw/t.csv");
    let unknown = ReportInput { format: Some(InputFormat::Csv), ..ReportInput::files("raw/t.dat") };
    for (input, sql, part) in [
        (table.clone(), "select * from nothere", "relation 'nothere' was not found"),
        (table.clone(), "select nope from t", "nope"),
        (table.clone(), "select nofunction(n) from t", "nofunction"),
        (table.clone(), "select sum(name) from t group by", "sheets[0].sql: "),
        (table.clone(), "select cast(name as date) from t", "sheets[0].sql: "),
        (table.clone().with_type("x", "text"), "select * from t", "inputs.t.types.x: there is no such column"),
        (ReportInput::files("raw/no-*.csv"), "select * from t", "no object of the artifact store fits it"),
        (ReportInput::files("raw/t.dat"), "select * from t", "say `format`"),
        (ReportInput::files("raw/broken.parquet"), "select * from t", "inputs.t: "),
        (ReportInput::files("raw/late.csv"), "select sum(n) as n from t", "oops"),
    ] {
        let report = one(sql).with_input("t", input);
        let error = discarded(bench.report("bad", report).await);
        assert!(error.contains(part) && !error.contains('\n'), "{sql}: {error}");
        bench.nothing_is_left_of("bad").await;
    }
    let text = bench.text("ok", unknown, "select n from t", ReportFormat::Csv).await;
    assert_eq!(text, "n\n1\n");
}

#[tokio::test]
async fn a_result_without_rows_has_its_header() {
    let bench = Bench::new();
    bench.put_parquet("raw/t.parquet", df!("a" => [1_i64], "b" => ["x"]).unwrap());
    let input = || ReportInput::files("raw/t.parquet");
    assert_eq!(bench.text("1", input(), "select * from t where a > 1", ReportFormat::Csv).await, "a,b\n");
    assert_eq!(bench.text("2", input(), "select * from t where a > 1", ReportFormat::Jsonl).await, "");
    let empty = ExportReport { format: ReportFormat::Parquet, ..one("select * from t where a > 1") };
    let result = bench.report("3", empty.with_input("t", input())).await.unwrap();
    let frame = ParquetReader::new(std::io::Cursor::new(bench.read(&result).await)).finish().unwrap();
    assert_eq!((frame.height(), frame.width(), result.rows), (0, 2, 0));
}

#[tokio::test]
async fn the_job_tells_what_it_did() {
    let bench = Bench::in_memory(ReportLimits::default());
    bench.report("first", ExportReport { format: ReportFormat::Csv, ..one("select 41 as n") }).await.unwrap();
    let job = job("second", 1, 1);
    let input = ReportInput::artifact("reports".parse().unwrap(), "first".parse().unwrap());
    let result = bench.run(&job, one("select n from t").with_input("t", input)).await.unwrap();
    assert_eq!(result.rows, 1);
    let lines: Vec<String> = job.lines().into_iter().map(|line| line.text).collect();
    assert!(lines[0].starts_with("1 rows, "), "{lines:?}");
    let progress = job.progress().unwrap();
    assert_eq!((progress.phase.as_str(), progress.done), ("done", 1));
}
