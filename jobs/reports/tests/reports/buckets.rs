//! Reports whose inputs and output lie in a real S3 server.

use std::sync::Arc;

use lovage_payloads::{ExportReport, ReportFormat, ReportInput};
use lovage_testkit::S3Server;
use serde_json::json;

use crate::bench::{Bench, job, one};
use crate::datasets::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_reads_artifacts_files_and_a_dataset_and_is_published_in_a_bucket() {
    let server = S3Server::start("files");
    let bench = Bench::in_a_bucket(&server, Arc::new(Shop::new()));
    for (month, amount) in [("2024-01", "0.10"), ("2024-02", "0.20")] {
        let key = format!("shared/raw/orders/{month}.csv");
        server.put(&key, format!("customer,amount\n1,{amount}\n2,7.00\n").as_bytes());
    }
    // The file of another job, which is a report of its own.
    let names = one("select 1 as id, 'Bär & Söhne' as name union all select 2 as id, '青木商店' as name");
    let names = bench.report("names", ExportReport { format: ReportFormat::Parquet, ..names }).await.unwrap();
    assert_eq!(names.location, format!("s3://files/shared/{}", names.key));

    let sql = "select c.name, sum(f.amount) as filed, max(o.total) as ordered from filed as f join customers as c on \
               f.customer = c.id join (select customer, sum(amount) as total from orders group by customer) as o on \
               o.customer = c.id group by c.name order by filed";
    let filed = ReportInput::files("raw/orders/*.csv").with_type("amount", "decimal(18,2)");
    let report = one(sql)
        .with_input("filed", filed)
        .with_input("customers", ReportInput::artifact("reports".parse().unwrap(), "names".parse().unwrap()))
        .with_input("orders", ReportInput::dataset("orders", serde_json::Map::new()));
    let job = job("joined", 1, 1);
    let result = bench.run(&job, report).await.unwrap();
    assert_eq!(result.location, format!("s3://files/shared/{}", result.key));
    let sheets = bench.sheets(&result).await;
    assert_eq!(
        sheets[0]["cells"],
        json!([["name", "filed", "ordered"], ["Bär & Söhne", 0.3, 0.3], ["青木商店", 14, "99999999999999.99"]])
    );
    assert!(server.keys().contains(&format!("shared/{}", result.key)), "{:?}", server.keys());
    assert_eq!((server.unfinished_uploads(), bench.temporary_folders()), (0, 0));
    let file = bench.manifest("joined").await.unwrap().files.remove(0);
    assert_eq!(file.origin.unwrap().source, "artifacts, shop");
}
