//! Workbooks as another program reads them: cells, totals, charts, names.

use lovage_payloads::{
    Aggregate, ChartKind, ExportReport, ReportChart, ReportInput, ReportParam, ReportPivot, ReportSheet,
};
use lovage_worker::Handler as _;
use polars::prelude::{DataType, IntoLazy as _, TimeUnit, TimeZone, col, df};
use serde_json::{Value, json};

use crate::bench::{Bench, discarded, job, numbers, one};

/// Three tables that belong together, each written in another way.
fn shop() -> (Bench, ExportReport) {
    let bench = Bench::new();
    bench.put(
        "raw/orders/2024.csv",
        "customer,account,month,amount,tenant\n\
         1,0100,2024-01,0.10,acme\n\
         1,0100,2024-02,0.20,acme\n\
         2,0200,2024-02,1234567.89,acme\n\
         2,0100,2024-01,-3.00,acme\n\
         3,0100,2024-01,999.99,umbrella\n",
    );
    let customers = df!("id" => [1_i64, 2, 3], "name" => ["青木商店", "Bär & Söhne", "Umbrella"]).unwrap();
    bench.put_parquet("raw/customers.parquet", customers);
    bench.put(
        "raw/accounts.jsonl",
        "{\"account\": \"0100\", \"title\": \"Sales\"}\n{\"account\": \"0200\", \"title\": \"=cmd|'/c calc'!A0\"}\n",
    );
    let orders =
        ReportInput::files("raw/orders/*.csv").with_type("account", "text").with_type("amount", "decimal(18,2)");
    let report = ExportReport::new(Vec::new())
        .with_input("orders", orders)
        .with_input("customers", ReportInput::files("raw/customers.parquet"))
        .with_input("accounts", ReportInput::files("raw/accounts.jsonl"))
        .with_param("tenant", ReportParam::Text("acme".to_owned()));
    (bench, report)
}

fn chart(kind: ChartKind, category: &str, values: &[&str]) -> ReportChart {
    let values = values.iter().map(ToString::to_string).collect();
    ReportChart { kind, category: category.into(), values, title: Some("一览".into()) }
}

#[tokio::test]
async fn three_formats_are_joined_grouped_and_pivoted_into_sheets_with_totals_and_charts() {
    let (bench, mut report) = shop();
    let joined = "select c.name as customer, a.title, sum(o.amount) as amount, count(*) as orders from orders as o \
                  join customers as c on o.customer = c.id join accounts as a on o.account = a.account \
                  where o.tenant in (select tenant from params) group by c.name, a.title order by amount";
    let mut by_customer = ReportSheet::new("By customer", joined);
    by_customer.totals = vec!["amount".into(), "orders".into()];
    by_customer.chart = Some(chart(ChartKind::Column, "customer", &["amount"]));
    let monthly =
        "select account, month, amount from orders where tenant in (select tenant from params) order by account";
    let mut by_month = ReportSheet::new("按月汇总", monthly);
    by_month.pivot = Some(ReportPivot {
        rows: vec!["account".into()],
        columns: "month".into(),
        values: "amount".into(),
        aggregate: Aggregate::Sum,
    });
    by_month.totals = vec!["*".into()];
    by_month.chart = Some(chart(ChartKind::Line, "account", &["*"]));
    report.sheets = vec![by_customer, by_month];
    report.name = Some("月度报表.xlsx".into());

    let result = bench.report("1", report).await.unwrap();
    assert_eq!((result.name.as_str(), result.rows), ("月度报表.xlsx", 5));
    let sheets = bench.sheets(&result).await;
    assert_eq!(sheets.len(), 2);
    let first = &sheets[0];
    assert_eq!(
        first["cells"],
        json!([
            ["customer", "title", "amount", "orders"],
            ["Bär & Söhne", "Sales", -3, 1],
            ["青木商店", "Sales", 0.3, 2],
            ["Bär & Söhne", "=cmd|'/c calc'!A0", 1_234_567.89, 1],
            ["Total", null, 1_234_565.19, 4],
        ])
    );
    assert_eq!(first["formulas"], json!(["=SUM(C2:C4)", "=SUM(D2:D4)"]), "text that begins with = is no formula");
    assert_eq!(first["formats"], json!(["@", "@", "#,##0.00", "0"]));
    assert_eq!((&first["frozen"], &first["filter"]), (&json!("A2"), &json!("A1:D4")));
    assert_eq!(first["charts"], json!([{"kind": "BarChart", "series": ["'By customer'!$C$2:$C$4"]}]));
    let second = &sheets[1];
    assert_eq!(second["name"], "按月汇总");
    assert_eq!(
        second["cells"],
        json!([
            ["account", "2024-01", "2024-02"],
            ["0100", -2.9, 0.2],
            ["0200", 0, 1_234_567.89],
            ["Total", -2.9, 1_234_568.09],
        ])
    );
    assert_eq!(second["charts"][0]["kind"], "LineChart");
    assert_eq!(second["charts"][0]["series"].as_array().unwrap().len(), 2);
    assert_eq!(bench.temporary_folders(), 0);
}

#[tokio::test]
async fn values_keep_their_kind_and_all_their_digits() {
    let bench = Bench::new();
    let sql = "select date '2024-02-29' as day, timestamp '2024-02-29 13:14:15' as at, date '1899-12-31' as old, true as flag, 1234567890123456789 as id, 0.1 as float, \
               cast(12345678901234.5 as decimal(20,1)) as fits, cast('1234567890123456.78' as decimal(20,2)) as long, \
               null as nothing, '' as empty, 'a\u{1}b' as control";
    let result = bench.report("1", one(sql)).await.unwrap();
    let sheet = bench.sheets(&result).await.remove(0);
    assert_eq!(
        sheet["cells"][1],
        json!([
            "2024-02-29T00:00:00",
            "2024-02-29T13:14:15",
            "1899-12-31",
            true,
            "1234567890123456789",
            0.1,
            12_345_678_901_234.5,
            "1234567890123456.78",
            null,
            null,
            "a_x0001_b",
        ])
    );
    assert_eq!(sheet["formats"][0], "yyyy-mm-dd");
    assert_eq!(sheet["formats"][1], "yyyy-mm-dd hh:mm:ss");
}

#[tokio::test]
async fn totals_that_a_spreadsheet_cannot_add_are_written_out() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "id,amount\n1,999999999999999.99\n2,0.02\n");
    let input = ReportInput::files("raw/t.csv").with_type("amount", "decimal(20,2)");
    let mut sheet = ReportSheet::new("Sums", "select * from t order by id");
    sheet.totals = vec!["amount".into()];
    let result = bench.report("1", ExportReport::new(vec![sheet]).with_input("t", input)).await.unwrap();
    let sheet = bench.sheets(&result).await.remove(0);
    assert_eq!(
        sheet["cells"],
        json!([["id", "amount"], [1, "999999999999999.99"], [2, 0.02], ["Total", "1000000000000000.01"]])
    );
    assert_eq!(sheet["formulas"], json!([]));
}

#[tokio::test]
async fn a_sheet_without_rows_has_a_header_and_no_chart() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "name,n\na,1\n");
    let mut sheet = ReportSheet::new("Empty", "select * from t where n > 1");
    sheet.totals = vec!["n".into()];
    sheet.chart = Some(chart(ChartKind::Pie, "name", &["n"]));
    let report = ExportReport::new(vec![sheet]).with_input("t", ReportInput::files("raw/t.csv"));
    let result = bench.report("1", report).await.unwrap();
    let sheet = bench.sheets(&result).await.remove(0);
    assert_eq!((&sheet["cells"], &sheet["charts"]), (&json!([["name", "n"], ["Total", 0]]), &json!([])));
}

#[tokio::test]
async fn text_that_is_too_long_for_a_cell_is_cut_and_the_log_says_so() {
    let bench = Bench::new();
    bench.put("raw/t.csv", format!("a\n{}\nshort\n", "单".repeat(40_000)));
    let job = job("1", 1, 1);
    let report = one("select a from t").with_input("t", ReportInput::files("raw/t.csv"));
    let result = bench.run(&job, report).await.unwrap();
    let sheet = bench.sheets(&result).await.remove(0);
    assert_eq!(sheet["cells"][1][0].as_str().unwrap().chars().count(), 32_767);
    let lines: Vec<String> = job.lines().into_iter().map(|line| line.text).collect();
    assert_eq!(lines[0], "sheet \"Sheet\": 1 texts were longer than a cell and are cut");
}

#[tokio::test]
async fn times_with_a_zone_show_its_clocks_and_the_header_says_which() {
    let bench = Bench::new();
    let shanghai = || {
        let utc = df!("paid_at" => [1_704_139_200_000_000_i64]).unwrap().lazy();
        let zone = |name: &str| DataType::Datetime(TimeUnit::Microseconds, TimeZone::opt_try_new(Some(name)).unwrap());
        utc.with_columns([col("paid_at").cast(zone("UTC")).cast(zone("Asia/Shanghai"))]).collect().unwrap()
    };
    bench.put_parquet("raw/t.parquet", std::thread::spawn(shanghai).join().unwrap());
    let report = one("select * from t").with_input("t", ReportInput::files("raw/t.parquet"));
    let result = bench.report("1", report).await;
    let Ok(result) = result else { panic!("{result:?}") };
    let sheet = bench.sheets(&result).await.remove(0);
    assert_eq!(sheet["cells"], json!([["paid_at (Asia/Shanghai)"], ["2024-01-02T04:00:00"]]));
}

#[tokio::test]
async fn parts_that_name_columns_which_are_not_there_are_refused() {
    let (bench, report) = shop();
    let sheet = || ReportSheet::new("Sheet", "select account, month, amount from orders");
    let with = |change: &dyn Fn(&mut ReportSheet)| {
        let mut sheet = sheet();
        change(&mut sheet);
        ExportReport { sheets: vec![sheet], ..report.clone() }
    };
    let pivot = |rows: &str, columns: &str| ReportPivot {
        rows: vec![rows.into()],
        columns: columns.into(),
        values: "amount".into(),
        aggregate: Aggregate::Sum,
    };
    for (report, part) in [
        (with(&|sheet| sheet.totals = vec!["sum".into()]), "sheets[0].totals: the result has no column \"sum\""),
        (with(&|sheet| sheet.totals = vec!["month".into()]), "\"month\" is no column of numbers"),
        (with(&|sheet| sheet.chart = Some(chart(ChartKind::Bar, "day", &["amount"]))), "sheets[0].chart.category: "),
        (with(&|sheet| sheet.chart = Some(chart(ChartKind::Bar, "month", &["account"]))), "sheets[0].chart.values: "),
        (
            with(&|sheet| sheet.pivot = Some(pivot("nope", "month"))),
            "sheets[0].pivot: the result has no column \"nope\"",
        ),
    ] {
        let error = discarded(bench.report("bad", report).await);
        assert!(error.contains(part), "{error}");
    }
    bench.nothing_is_left_of("bad").await;
}

#[tokio::test]
async fn a_pivot_by_a_column_like_an_id_is_refused() {
    let bench = Bench::new();
    bench.put("raw/t.csv", numbers(1_500));
    let mut sheet = ReportSheet::new("Wide", "select 'a' as name, n as id, 1 as n from t");
    sheet.pivot = Some(ReportPivot {
        rows: vec!["name".into()],
        columns: "id".into(),
        values: "n".into(),
        aggregate: Aggregate::Count,
    });
    let report = ExportReport::new(vec![sheet]).with_input("t", ReportInput::files("raw/t.csv"));
    let error = discarded(bench.report("1", report).await);
    assert!(error.contains("\"id\" has 1500 different values"), "{error}");
}

#[tokio::test]
async fn every_aggregate_fills_the_cells_of_a_pivot() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "name,month,n\na,2,1\na,1,2\na,1,6\nb,1,\n");
    let mut sheets = Vec::new();
    for (name, aggregate) in [
        ("sum", Aggregate::Sum),
        ("count", Aggregate::Count),
        ("mean", Aggregate::Mean),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
    ] {
        let mut sheet = ReportSheet::new(name, "select * from t");
        sheet.pivot =
            Some(ReportPivot { rows: vec!["name".into()], columns: "month".into(), values: "n".into(), aggregate });
        sheets.push(sheet);
    }
    let report = ExportReport::new(sheets).with_input("t", ReportInput::files("raw/t.csv"));
    let result = bench.report("1", report).await.unwrap();
    let cells: Vec<Value> = bench.sheets(&result).await.into_iter().map(|sheet| sheet["cells"].clone()).collect();
    let table = |a: [Value; 2], b: [Value; 2]| json!([["name", "1", "2"], ["a", a[0], a[1]], ["b", b[0], b[1]]]);
    assert_eq!(cells[0], table([json!(8), json!(1)], [json!(0), json!(0)]));
    assert_eq!(cells[1], table([json!(2), json!(1)], [json!(0), json!(0)]));
    assert_eq!(cells[2], table([json!(4), json!(1)], [json!(null), json!(null)]));
    assert_eq!(cells[3], table([json!(2), json!(1)], [json!(null), json!(null)]));
    assert_eq!(cells[4], table([json!(6), json!(1)], [json!(null), json!(null)]));
}

#[test]
fn one_report_runs_at_a_time() {
    let bench = Bench::new();
    assert_eq!(bench.handler.options().max_running, Some(1));
}
