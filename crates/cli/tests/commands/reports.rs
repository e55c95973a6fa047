//! Reports over datasets, as the binary makes them: real databases, a real workbook. Only in a build with the feature.

use std::process::Command;

use lovage_testkit::PostgresServer;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::place::{Place, Ran};

const TABLES: &str = "
    create type kind as enum ('shop', 'web');
    create table orders (id uuid, tenant text, customer integer, day date, at timestamptz, amount numeric(18, 2), kind kind,
        doc jsonb, data bytea, clock time, tags text[], share double precision, open boolean);
    insert into orders values
        ('018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6a', 'acme', 1, '2024-06-01', '2024-06-01 12:00+08', 0.10, 'shop',
            '{\"a\": 1}', '\\x00ff', '09:30', '{x,y}', 0.5, true),
        ('018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6b', 'acme', 1, '2024-06-02', '2024-06-02 12:00+08', 0.20, 'web',
            null, null, null, null, null, false),
        ('018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6c', 'acme', 2, '2024-07-01', null, 9999999999999999.99, null,
            null, null, null, null, null, null),
        ('018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6d', 'acme', 2, '2024-05-31', null, 7.00, null, null, null, null, null, null, null),
        ('018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6e', 'globex', 1, '2024-06-01', null, 500.00, null, null, null, null, null, null, null)";

const SETTINGS: &str = r#"
[sources.shop]
url = "POSTGRES"
[sources.crm]
url = "sqlite:crm.db"

[reports]
temp_dir = "temporary"

[datasets.orders]
source = "shop"
sql = "select * from orders where tenant = :tenant and day >= :from order by day"
tenants = ["acme", "globex"]
formats = ["xlsx"]
params.from = { type = "date" }
columns.amount = { label = "Amount (CNY)" }

[datasets.all]
source = "shop"
sql = "select id, amount, doc from orders order by id"

[datasets.customers]
source = "crm"
sql = "select id, name, quota from customer"
columns.quota = { type = "decimal(18,2)" }

[datasets.endless]
source = "crm"
sql = "with recursive n(i) as (select 1 union all select i + 1 from n) select i, hex(randomblob(500)) as noise from n"
"#;

struct Shop {
    place: Place,
    _server: PostgresServer,
}

impl Shop {
    async fn open() -> Self {
        let (place, server) = (Place::new(), PostgresServer::start());
        PgConnection::connect(&server.url()).await.expect("a connection").execute(TABLES).await.expect("the tables");
        place.file("lovage.toml", &SETTINGS.replace("POSTGRES", &server.url()));
        let sql = "create table customer (id integer, name text, quota numeric(18,2)); \
                   insert into customer values (1, 'Bär & Söhne', 10.5), (2, '青木商店', 20)";
        let made = Command::new("sqlite3").arg(place.path().join("crm.db")).arg(sql).status();
        assert!(made.expect("sqlite3 is missing: install it with `apt-get install sqlite3`").success());
        std::fs::create_dir(place.path().join("temporary")).expect("a folder");
        Self { place, _server: server }
    }

    fn run(&self, tenant: &str, id: &str, args: &Value) -> Ran {
        let args = args.to_string();
        let command = ["job", "run", "export.report", "--queue", "reports", "--id", id, "--args", &args];
        let ran = self.place.run(&[&["--json"], &command[..], &["--tenant", tenant]].concat());
        let left = std::fs::read_dir(self.place.path().join("temporary")).expect("the folder").count();
        assert_eq!(left, 0, "no temporary files are left");
        ran
    }

    /// The text of a report in CSV.
    fn text(&self, tenant: &str, id: &str, inputs: &Value, sql: &str) -> String {
        let args = json!({"inputs": inputs, "sheets": [{"name": "s", "sql": sql}], "format": "csv"});
        let made = self.run(tenant, id, &args).ok().value();
        std::fs::read_to_string(self.location(&made)).expect("the file")
    }

    fn location(&self, made: &Value) -> std::path::PathBuf {
        self.place.path().join(made["result"]["location"].as_str().expect("a path"))
    }
}

fn workbook(file: &std::path::Path) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../jobs/reports/tests/reports/workbook.py");
    let output = Command::new(lovage_testkit::s3::ensure_installed()).arg(script).arg(file).output().expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workbook_joins_two_databases_and_shows_one_tenant_its_own() {
    let shop = Shop::open().await;
    let report = json!({
        "inputs": {
            "orders": {"dataset": "orders", "params": {"from": "2024-06-01"}},
            "customers": {"dataset": "customers"}
        },
        "sheets": [{
            "name": "Customers",
            "sql": "select c.name, sum(o.amount) as amount, max(c.quota) as quota, count(*) as orders from orders as o \
                    join customers as c on o.customer = c.id group by c.name order by orders desc",
            "totals": ["amount", "quota"]
        }]
    });
    let made = shop.run("acme", "june", &report).ok().value();
    let sheets = workbook(&shop.location(&made));
    // Read back by somebody else, to the cent, though the second sum has more digits than a double.
    assert_eq!(
        sheets[0]["cells"],
        json!([
            ["name", "amount", "quota", "orders"],
            ["Bär & Söhne", 0.3, 10.5, 2],
            ["青木商店", "9999999999999999.99", 20, 1],
            ["Total", "10000000000000000.29", 30.5, null]
        ])
    );
    let made = shop.run("globex", "june-of-globex", &report).ok().value();
    assert_eq!(workbook(&shop.location(&made))[0]["cells"][1], json!(["Bär & Söhne", 500, 10.5, 1]));
    // Which states of which databases that was.
    let manifest = shop.place.path().join("lovage-data/artifacts/jobs/reports/june/manifest.json");
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(manifest).expect("a manifest")).expect("JSON");
    let file = &manifest["files"][0];
    assert_eq!(file["origin"]["source"], "crm, shop");
    let notes: Vec<&str> = file["notes"].as_array().expect("notes").iter().filter_map(Value::as_str).collect();
    assert!(
        notes[0].starts_with("customers: 2 rows of dataset customers, source crm (sqlite), snapshot "),
        "{notes:?}"
    );
    assert!(notes[1].starts_with("orders: 3 rows of dataset orders, source shop (postgres), snapshot "), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_the_database_has_one_in_the_sql_of_a_report() {
    let shop = Shop::open().await;
    let report = json!({
        "inputs": {"orders": {"dataset": "orders", "params": {"from": "2024-06-01"}}},
        // A UUID is the text that people write.
        "sheets": [{"name": "s", "sql": "select * from orders where id = '018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6a'"}]
    });
    let made = shop.run("acme", "types", &report).ok().value();
    assert_eq!(
        workbook(&shop.location(&made))[0]["cells"],
        json!([
            [
                "id", "tenant", "customer", "day", "at (UTC)", "amount", "kind", "doc", "data", "clock", "tags",
                "share", "open"
            ],
            [
                "018f3f0e-5c2a-7b7e-8d2c-1f2e3d4c5b6a",
                "acme",
                1,
                "2024-06-01T00:00:00",
                "2024-06-01T04:00:00",
                0.1,
                "shop",
                "{\"a\": 1}",
                "\\x00ff",
                "09:30:00",
                "[\"x\",\"y\"]",
                0.5,
                true
            ]
        ]),
        "with the names of the query: labels are for people"
    );
}

/// An export keeps the types that Arrow has for UUIDs and JSON, which polars has not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parquet_file_of_an_export_is_read_whatever_types_it_has() {
    let shop = Shop::open().await;
    let args = r#"{"dataset": "all", "format": "parquet"}"#;
    shop.place.run(&["job", "run", "export.query", "--queue", "exports", "--id", "all", "--args", args]).ok();
    let inputs = json!({"orders": {"artifact": {"queue": "exports", "job": "all"}}});
    let sql = "select doc, sum(amount) as amount, count(distinct id) as n from orders group by doc order by n";
    let text = shop.text("acme", "of-a-file", &inputs, sql);
    assert_eq!(text, "doc,amount,n\n\"{\"\"a\"\": 1}\",0.10,1\n,10000000000000507.19,4\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_ends_the_report_with_its_place() {
    let shop = Shop::open().await;
    let refused = |tenant: &str, id: &str, input: Value, parts: &[&str]| {
        let args = json!({"inputs": {"orders": input}, "sheets": [{"name": "s", "sql": "select * from orders"}]});
        let ran = shop.run(tenant, id, &args).failed(1, parts);
        assert_eq!(shop.place.state(id), "discarded", "{}", ran.err);
    };
    let dataset = |params: Value| json!({"dataset": "orders", "params": params});
    refused("acme", "unknown", json!({"dataset": "ordres"}), &["inputs.orders.dataset: \"ordres\" is not configured"]);
    refused("acme", "missing", dataset(json!({})), &["inputs.orders.params.from: is missing; send a date"]);
    refused(
        "acme",
        "wrong",
        dataset(json!({"from": "soon"})),
        &["inputs.orders.params.from: is \"soon\"; send a date"],
    );
    refused(
        "umbrella",
        "stranger",
        dataset(json!({"from": "2024-06-01"})),
        &["inputs.orders.dataset: \"orders\" may not be exported by tenant umbrella"],
    );
    refused(
        "acme",
        "typed",
        json!({"dataset": "orders", "types": {"a": "text"}}),
        &["takes no `format` and no `types`"],
    );
    let settings = shop.place.path().join("lovage.toml");
    let text = std::fs::read_to_string(&settings).expect("the settings");
    let bounded = text.replace("[reports]", "[reports]\nmax_input_bytes = 1000000");
    std::fs::write(settings, bounded).expect("the settings");
    refused(
        "acme",
        "endless",
        json!({"dataset": "endless"}),
        &["inputs.orders.bytes: are more than 1000000", "raise reports.max_input_bytes"],
    );
}
