//! Every type of Postgres in every text format. The second opinion on CSV is the server's own `COPY … (FORMAT csv)`.

use futures::TryStreamExt as _;
use lovage_payloads::{ExportFormat, ExportQuery};
use lovage_testkit::PostgresServer;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::bench::{Bench, discarded, job};

/// One column of each kind of type, with ordinary, extreme and missing values.
const TABLE: &str = r#"
    create type mood as enum ('glad', 'so, so', '"');
    create type pair as (a int, b text);
    create domain price as numeric(18, 2);
    create table kinds (
        id bigint, small smallint, whole int, ok bool, ratio float8, share float4, exact numeric, price price,
        cash money, name text, code char(5), short varchar(10), letter "char", sys name, data bytea, day date, clock time,
        clock_tz timetz, local timestamp, at timestamptz, span interval, uid uuid, doc json, docb jsonb, feeling mood,
        combo pair, list int[], words text[], moments timestamptz[], reach int4range,
        host inet, net cidr, mac macaddr, bits bit(4), flags varbit, spot point, path xml, vec tsvector, reg regclass,
        num oid
    );
    insert into kinds select from generate_series(1, 1);
    insert into kinds values
        (9223372036854775807, -32768, 2147483647, true, 0.1, 0.1, 12345678901234567890.123456789, 1234.50,
        12.34, '订单, "1"', 'ab', '', 'x', 'sys', '\x00ff', '2024-02-29', '23:59:59.999999',
        '12:00:00+08', '2024-02-29 12:00:00.1', '2024-02-29 12:00:00+08', '1 year 2 days 03:04:05.6',
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b" : 0.20000000000000000000, "a": [1]}', '{"b": 1.0, "a": null}',
        'so, so', '(7,"a ""b""")', '{1,NULL,3}', '{"a,b",NULL,"c\"d"}', '{2024-02-29 12:00:00+08}', '[1,5)',
        '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', B'0101', B'1', '(1,2)', '<a>1</a>', 'a b'::tsvector, 'kinds',
        4294967295),
        (-1, 0, 0, false, 'NaN', 'Infinity', 'NaN', -0.01, -1, '', '', null, null, null, '', 'infinity', '24:00',
        null, '-infinity', 'infinity', '-1 day', null, 'null', '[]', 'glad', '(,)', '{}', '{}', '{}', 'empty',
        '::1', null, null, B'0000', B'', null, null, '', null, 0),
        (0, 0, 0, false, 1e15, 1e6, 'Infinity', 0, 0, E'a\nb\r\nc\\.', 'é', '\.', '"', null, null, '0044-03-15 BC', '00:00',
        null, '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', null, null, E'{\n"a":\n1}', '"x"', '"',
        null, '{{1,2},{3,4}}', '{"\\"}', null, null, null, null, null, null, null, null, null, null, null, null),
        (0, 0, 0, false, 1e-5, 123456.7, -0.00001, 99999999999999.99, 0, '=1+1', 'é', ',', '"', null, null, '1900-01-01',
        '00:00', null, '1999-12-31 23:59:59.999999', '1900-01-01 00:00:00+00', null, null, 'true', '"x"', '"', null, null,
        null, null, null, null, null, null, null, null, null, null, null, null, null);
"#;

async fn copied(connection: &mut PgConnection, zone: &str) -> String {
    connection.execute(sqlx::AssertSqlSafe(format!("set timezone = '{zone}'"))).await.unwrap();
    let copy = "copy (select * from kinds) to stdout (format csv, header)";
    let pieces: Vec<bytes::Bytes> = connection.copy_out_raw(copy).await.unwrap().try_collect().await.unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_type_of_postgres() {
    let server = PostgresServer::start();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    connection.execute(TABLE).await.unwrap();
    let bench = Bench::new(&server.url());
    let export = async |id: &str, zone: &str, format| {
        let query = ExportQuery {
            format: Some(format),
            zone: Some(zone.to_owned()),
            ..ExportQuery::sql("select * from kinds")
        };
        let result = bench.run(&job(id, 1, 1), query).await.unwrap();
        bench.read(&result).await
    };
    let error = discarded(bench.export("multi", "select int4multirange() as reaches").await);
    assert!(error.contains("cast the column to text in the query"), "{error}");
    for zone in ["UTC", "Asia/Shanghai", "America/St_Johns"] {
        let ours = export(&zone.replace('/', "-"), zone, ExportFormat::Csv).await;
        let theirs = copied(&mut connection, zone).await;
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert_eq!(ours, theirs, "in {zone}");
        }
        assert_eq!(ours, theirs, "in {zone}");
    }
    let lines = export("jsonl", "Asia/Shanghai", ExportFormat::Jsonl).await;
    let records: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 5);
    assert!(records[0].as_object().unwrap().values().all(serde_json::Value::is_null), "{}", records[0]);
    let first = &records[1];
    for (column, value) in [
        ("id", "9223372036854775807"),
        ("exact", r#""12345678901234567890.123456789""#),
        ("price", r#""1234.50""#),
        ("share", "0.1"),
        ("at", r#""2024-02-29T12:00:00+08:00""#),
        ("local", r#""2024-02-29T12:00:00.1""#),
        ("list", "[1,null,3]"),
        ("words", r#"["a,b",null,"c\"d"]"#),
        ("combo", r#"{"a":7,"b":"a \"b\""}"#),
        ("moments", r#"["2024-02-29T12:00:00+08:00"]"#),
        ("span", r#""1 year 2 days 03:04:05.6""#),
        ("data", r#""\\x00ff""#),
        ("ok", "true"),
        ("host", r#""10.0.0.1/8""#),
    ] {
        assert_eq!(first[column].to_string(), value, "{column}");
    }
    assert!(lines.contains(r#""doc":{"b" : 0.20000000000000000000, "a": [1]}"#), "digits of JSON stay as they are");
    assert_eq!((records[2]["ratio"].as_str(), records[2]["share"].as_str()), (Some("NaN"), Some("Infinity")));
    assert_eq!(records[3]["doc"].to_string(), r#"{"a":1}"#, "JSON over several lines is one line");
}
