//! SQL and places that reach beyond the inputs. What SQL is refused in which form: `src/statement.rs`.

use lovage_payloads::{ExportReport, ReportFormat, ReportInput, ReportParam};

use crate::bench::{Bench, discarded, one};

#[tokio::test]
async fn no_file_of_the_machine_is_read() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "a\n1\n");
    let outside = bench.temporary.path().join("outside.csv");
    std::fs::write(&outside, "secret\n42\n").unwrap();
    let path = outside.display();
    for sql in [
        format!("select * from read_csv('{path}')"),
        format!("select * from t, read_csv('{path}') as s"),
        format!("with x as (select * from read_csv('{path}')) select * from x"),
        format!("select * from t where a in (select secret from read_csv('{path}'))"),
        format!("select * from '{path}'"),
        format!("select * from \"{path}\""),
        format!("copy t to '{path}'"),
        "create table x as select * from t".to_owned(),
    ] {
        let report = one(&sql).with_input("t", ReportInput::files("raw/t.csv"));
        let error = discarded(bench.report("hostile", report).await);
        assert!(error.starts_with("sheets[0].sql: "), "{sql}: {error}");
        assert!(!error.contains("42"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "secret\n42\n");
}

#[tokio::test]
async fn no_object_beyond_the_places_for_inputs_is_read() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "a\n1\n");
    bench.put("jobs/exports/1/1-1/other.csv", "a\n1\n");
    for place in ["jobs/exports/1/1-1/other.csv", "../raw/t.csv", "raw/../jobs/exports/1/1-1/*", "/etc/passwd", "*"] {
        let report = one("select * from t").with_input("t", ReportInput::files(place));
        let error = discarded(bench.report("hostile", report).await);
        assert!(error.starts_with("inputs.t.files: "), "{place}: {error}");
    }
}

#[tokio::test]
async fn a_parameter_is_a_value_and_never_sql() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "tenant,amount\nacme,1\n\"x' OR '1'='1\",2\n");
    let report = |tenant: &str| ExportReport {
        format: ReportFormat::Csv,
        ..one("select amount from t where tenant in (select tenant from params)")
            .with_input("t", ReportInput::files("raw/t.csv"))
            .with_param("tenant", ReportParam::Text(tenant.to_owned()))
    };
    for (id, tenant, rows) in [("1", "acme", "1\n"), ("2", "x' OR '1'='1", "2\n"), ("3", "'; DROP TABLE t; --", "")] {
        let result = bench.report(id, report(tenant)).await.unwrap();
        let text = String::from_utf8(bench.read(&result).await).unwrap();
        assert_eq!(text, format!("amount\n{rows}"), "{tenant}");
    }
}

#[tokio::test]
async fn parameters_of_all_kinds_can_be_compared() {
    let bench = Bench::new();
    bench.put("raw/t.csv", "day,amount,paid\n2024-01-31,10,true\n2024-02-01,20,true\n2024-02-02,30,false\n");
    let sql = "select t.amount from t cross join params where t.day >= date(params.since) \
               and t.amount > params.least and t.paid = params.paid";
    let report = ExportReport { format: ReportFormat::Csv, ..one(sql) }
        .with_input("t", ReportInput::files("raw/t.csv"))
        .with_param("since", ReportParam::Text("2024-02-01".to_owned()))
        .with_param("least", ReportParam::Number(9.5))
        .with_param("paid", ReportParam::Bool(true));
    let result = bench.report("1", report).await.unwrap();
    assert_eq!(String::from_utf8(bench.read(&result).await).unwrap(), "amount\n20\n");
}
