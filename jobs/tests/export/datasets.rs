//! Datasets: the normal way to name what is exported.

use lovage_core::Tenant;
use lovage_payloads::{ExportFormat, ExportQuery};
use lovage_testkit::PostgresServer;
use lovage_worker::testing::DetachedJob;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::bench::{Bench, discarded, job};

const TABLE: &str = "create table orders (id bigint, tenant text, status text, day date, amount numeric(18, 2), open boolean);
    insert into orders values (1, 'acme', 'it''s', '2024-02-29', 12.50, true), (2, 'acme', 'paid', '2024-03-01', 7, false),
        (3, 'other', 'paid', '2024-03-01', 1, false), (9007199254740993, 'acme', 'a\\b''); drop table orders; --', null, 0, null);";

const DATASETS: &str = r#"
    [datasets.orders]
    sql = "select id, status from orders where (day >= :from or :from is null) and status IN_LIST order by id -- done"
    formats = ["jsonl", "csv"]
    row_limit = 3
    [datasets.orders.params.from]
    type = "date"
    nullable = true
    [datasets.orders.params.status]
    type = "text"
    list = true
    default = ["it's", "paid", "a\\b'); drop table orders; --"]

    [datasets.mine]
    sql = "select id, amount from orders where tenant = :tenant order by id"
    tenants = ["acme"]
    columns.id = { type = "text", label = "Order" }
    columns.amount = { type = "decimal(10,2)" }

    [datasets.rounded]
    sql = "select id, amount / 8 as share from orders order by id"
    columns.share = { type = "decimal(18,2)" }

    [datasets.since]
    sql = "select count(*) as n from orders where SINCE"
    params.from = { type = "timestamp" }
    params.names = { type = "text", list = true, nullable = true }

    [datasets.exactly]
    sql = "select count(*) as n from orders where id = :id and open = :open"
    params.id = { type = "integer" }
    params.open = { type = "boolean" }
    count = "exact"
"#;

// A list that is null is one, too.
const SINCE_POSTGRES: &str = "day >= :from and (status = any(:names) or :names is null)";
// The column has times as SQLite writes them.
const SINCE_SQLITE: &str = "day || ' 12:00:00' >= :from and (:names is null)";

fn sent(values: &Value) -> serde_json::Map<String, Value> {
    values.as_object().unwrap().clone()
}

fn of(tenant: &str, id: &str) -> DetachedJob {
    job(id, 1, 1).with_tenant(tenant.parse::<Tenant>().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datasets_of_postgres() {
    let server = PostgresServer::start();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    connection.execute(TABLE).await.unwrap();
    // However the server quotes texts, a value stays one value.
    for (index, quirk) in ["", "?options=-c%20standard_conforming_strings%3Doff"].iter().enumerate() {
        let bench = Bench::new(&format!("{}{quirk}", server.url()));
        let bench =
            bench.with_datasets(&DATASETS.replace("IN_LIST", "= any(:status)").replace("SINCE", SINCE_POSTGRES));
        values_stay_values(&bench, &format!("postgres-{index}")).await;
    }
}

#[tokio::test]
async fn datasets_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap().execute(TABLE).await.unwrap();
    let bench = Bench::new(&format!("sqlite:{}", file.display()));
    let bench = bench.with_datasets(
        &DATASETS.replace("IN_LIST", "in (select value from json_each(:status))").replace("SINCE", SINCE_SQLITE),
    );
    values_stay_values(&bench, "sqlite").await;
}

async fn values_stay_values(bench: &Bench, id: &str) {
    let run = async |job: DetachedJob, dataset: &str, params: Value, format| {
        let query = ExportQuery { format, ..ExportQuery::dataset(dataset, sent(&params)) };
        bench.run(&job, query).await
    };
    let text = async |name: &str, dataset: &str, params: Value| {
        let result = run(of("acme", &format!("{id}-{name}")), dataset, params, Some(ExportFormat::Csv)).await.unwrap();
        bench.read(&result).await
    };
    let hostile = json!({"status": ["a\\b'); drop table orders; --"]});
    assert_eq!(
        text("hostile", "orders", hostile).await,
        "id,status\n9007199254740993,a\\b'); drop table orders; --\n",
        "a value is a value, whatever it says"
    );
    let since = json!({"from": "2024-03-01", "status": ["paid", "it's"]});
    assert_eq!(text("since", "orders", since).await, "id,status\n2,paid\n3,paid\n");
    assert_eq!(text("none", "orders", json!({"status": []})).await, "id,status\n");
    assert_eq!(text("later", "since", json!({"from": "2024-03-01T12:00:00Z"})).await.lines().count(), 2);
    assert_eq!(
        text("same-day", "since", json!({"from": "2024-02-29 00:00:00", "names": null})).await,
        "n\n3\n",
        "an instant compares with the texts of the database"
    );
    assert_eq!(text("typed", "exactly", json!({"id": "1", "open": "true"})).await, "n\n1\n");
    assert_eq!(
        text("mine", "mine", json!({})).await,
        "Order,amount\n1,12.50\n2,7.00\n9007199254740993,0.00\n",
        "only the job's tenant, with the labels and types that the dataset asks for"
    );
    // Too many, forbidden, unknown.
    let refused = async |job: DetachedJob, dataset: &str, params: Value, format| {
        discarded(run(job, dataset, params, format).await)
    };
    let all = refused(of("acme", &format!("{id}-all")), "orders", json!({}), None).await;
    assert!(all.starts_with("rows: are more than 3, the dataset's row_limit; narrow it"), "{all}");
    let format = refused(of("acme", "f"), "orders", json!({}), Some(ExportFormat::Xlsx)).await;
    assert_eq!(format, "format: xlsx is not allowed for dataset \"orders\"; use one of: jsonl, csv");
    let stranger = refused(of("other", "s"), "mine", json!({}), None).await;
    assert!(stranger.starts_with("dataset: \"mine\" may not be exported by tenant other"), "{stranger}");
    let nobody = refused(job("n", 1, 1), "mine", json!({}), None).await;
    assert!(nobody.contains("may not be exported by a job without a tenant"), "{nobody}");
    let unknown = refused(of("acme", "u"), "ordres", json!({}), None).await;
    assert!(unknown.starts_with("dataset: \"ordres\" is not configured on this worker; use one of: "), "{unknown}");
    let wrong = refused(of("acme", "w"), "orders", json!({"from": "soon"}), None).await;
    assert_eq!(wrong, "params.from: is \"soon\"; send a date, e.g. 2024-02-29");
    let extra = refused(of("acme", "e"), "orders", json!({"form": "2024-01-01"}), None).await;
    assert_eq!(extra, "params.form: is not a parameter of the dataset; use one of: from, status");
    let rounded = refused(of("acme", &format!("{id}-round")), "rounded", json!({}), None).await;
    assert!(rounded.contains("\"share\" of record 1") && rounded.contains("decimal(18,2)"), "{rounded}");
    let raw = discarded(bench.run(&job("r", 1, 1), ExportQuery::sql("select 1")).await);
    assert!(raw.starts_with("sql: is not accepted by this worker"), "{raw}");
    bench.nothing_is_left_of(&format!("{id}-all")).await;
}
