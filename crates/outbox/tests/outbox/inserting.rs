//! What a service does with plain SQL, and what comes of it.

use lovage_core::State;
use lovage_outbox::Batch;

use crate::stage::{Service, Stage};

async fn a_row_with_defaults_only_becomes_a_job(stage: Stage) {
    stage.sql("INSERT INTO lovage_outbox (kind) VALUES ('debug.noop')").await;
    let batch = stage.relay().drain().await.unwrap();
    assert_eq!(batch, Batch { enqueued: 1, ..Batch::default() });
    let ids = stage.enqueued("default").await;
    let job = stage.job("default", &ids[0]).await.unwrap();
    assert_eq!(
        (job.kind.unwrap().as_str(), job.state, job.args.unwrap().get()),
        ("debug.noop", State::Available, "{}")
    );
    assert_eq!(stage.left().await, (0, 0, 0));
}

async fn a_row_says_everything_that_a_job_can_be(stage: Stage) {
    let options = r#"{"priority": 2, "tenant": "acme", "tags": ["a"], "metadata": {"user": "7"}, "delay_ms": 3600000}"#;
    let sql = format!(
        "INSERT INTO lovage_outbox (id, queue, kind, args, options)
         VALUES ('order:7', 'mail', 'email.send', '{{\"n\":  12345678901234567890.50}}', '{options}')"
    );
    stage.sql(&sql).await;
    stage.relay().drain().await.unwrap();
    let job = stage.job("mail", "order:7").await.unwrap();
    assert_eq!(job.args.unwrap().get(), r#"{"n":  12345678901234567890.50}"#, "byte for byte");
    assert_eq!((job.state, job.priority.level(), job.metadata["user"].as_str()), (State::Scheduled, 2, "7"));
}

async fn nothing_is_enqueued_before_the_commit_and_nothing_after_a_rollback(stage: Stage) {
    let mut service = stage.service().await;
    service.sql("BEGIN; INSERT INTO lovage_outbox (id, kind) VALUES ('a', 'k')").await;
    assert_eq!(stage.relay().drain().await.unwrap(), Batch::default());
    service.sql("ROLLBACK").await;
    assert_eq!(stage.relay().drain().await.unwrap(), Batch::default());
    service.sql("BEGIN; INSERT INTO lovage_outbox (id, kind) VALUES ('b', 'k'); COMMIT").await;
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 1);
    assert_eq!(stage.enqueued("default").await, ["b"]);
}

async fn an_id_that_is_inserted_again_is_the_job_that_is_there(stage: Stage) {
    let insert = "INSERT INTO lovage_outbox (id, kind) VALUES ('a', 'k')";
    stage.sql(&format!("{insert}; {insert}")).await;
    assert_eq!(stage.relay().drain().await.unwrap(), Batch { enqueued: 1, existing: 1, ..Batch::default() });
    stage.sql(insert).await;
    assert_eq!(stage.relay().drain().await.unwrap(), Batch { existing: 1, ..Batch::default() });
    assert_eq!(stage.enqueued("default").await, ["a"]);
}

async fn a_mistake_that_the_table_can_see_stops_the_service_itself(stage: Stage) {
    let mut service = stage.service().await;
    for (column, value) in [("queue", "Mail"), ("args", "{"), ("options", "{"), ("id", "")] {
        let sql = format!("INSERT INTO lovage_outbox (kind, {column}) VALUES ('k', '{value}')");
        assert!(service.try_sql(&sql).await.is_err(), "{sql}");
    }
    assert_eq!(stage.left().await, (0, 0, 0));
}

async fn a_table_is_made_once(stage: Stage) {
    stage.sql("INSERT INTO lovage_outbox (id, kind) VALUES ('a', 'k')").await;
    let (one, two) = (stage.outbox(), stage.outbox());
    let (one, two) = tokio::join!(one.init(), two.init());
    one.unwrap();
    two.unwrap();
    assert_eq!(stage.left().await, (1, 0, 0), "what is in it stays");
    stage.sql(stage.outbox().address().sql()).await;
}

async fn a_queue_keeps_its_order_and_no_queue_waits_for_another(stage: Stage) {
    let mut service = stage.service().await;
    for first in 0..3 {
        let rows: Vec<_> = (0..400).map(|n| format!("('long-{first}-{n:03}', 'long', 'k')")).collect();
        service.sql(&format!("INSERT INTO lovage_outbox (id, queue, kind) VALUES {}", rows.join(", "))).await;
    }
    service.sql("INSERT INTO lovage_outbox (id, queue, kind) VALUES ('short', 'short', 'k')").await;
    let mut relay = stage.relay();
    relay.step().await.unwrap();
    assert_eq!(stage.enqueued("short").await, ["short"], "it did not wait for 1,200 rows of another queue");
    relay.drain().await.unwrap();
    let ids = stage.enqueued("long").await;
    assert_eq!(ids.len(), 1_200);
    assert!(ids.is_sorted(), "{ids:?}");
}

/// More queues than one batch looks at.
async fn every_queue_has_its_turn(stage: Stage) {
    let rows: Vec<_> = (0..200).map(|n| format!("('q{n:03}', 'k')")).collect();
    stage.sql(&format!("INSERT INTO lovage_outbox (queue, kind) VALUES {}", rows.join(", "))).await;
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 200);
}

/// A number of a sequence is drawn at the insert, not at the commit: whoever remembers the highest one that he saw
/// never sees what commits late.
#[tokio::test]
async fn a_late_committer_is_not_skipped() {
    let stage = Stage::postgres().await;
    let (mut slow, mut quick) = (stage.service().await, stage.service().await);
    slow.sql("BEGIN; INSERT INTO lovage_outbox (id, kind) VALUES ('slow', 'k')").await;
    quick.sql("INSERT INTO lovage_outbox (id, kind) VALUES ('quick', 'k')").await;
    let mut relay = stage.relay();
    assert_eq!(relay.drain().await.unwrap().enqueued, 1);
    slow.sql("COMMIT").await;
    assert_eq!(relay.drain().await.unwrap().enqueued, 1);
    assert_eq!(stage.enqueued("default").await, ["quick", "slow"]);
}

/// The statement of the guide, as `SQLAlchemy` would send it.
#[tokio::test]
async fn the_insert_of_the_guide_works() {
    let stage = Stage::postgres().await;
    let guide = include_str!("../../../../docs/guide/outbox.md");
    let mut sql = guide.split("\"\"\"").nth(1).unwrap().to_owned();
    for (number, name) in [":queue", ":kind", ":args", ":options"].into_iter().enumerate() {
        assert!(sql.contains(name), "{sql}");
        sql = sql.replace(name, &format!("${}", number + 1));
    }
    let Service::Postgres(mut service) = stage.service().await else { panic!("it is PostgreSQL") };
    let insert = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind("mail").bind("email.send");
    let insert = insert.bind(r#"{"order": 7}"#).bind(r#"{"tenant": "acme", "metadata": {"request_id": "r"}}"#);
    let id: String = insert.fetch_one(&mut service).await.unwrap();
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 1);
    assert_eq!(stage.job("mail", &id).await.unwrap().tenant.unwrap().as_str(), "acme");
}

/// A database whose transactions see one state throughout does not make relays see an old one.
#[tokio::test]
async fn another_isolation_by_default_changes_nothing() {
    let stage = Stage::postgres().await;
    stage.sql("ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'").await;
    let rows: Vec<_> = (0..3_000).map(|n| format!("('row-{n}', 'k')")).collect();
    stage.sql(&format!("INSERT INTO lovage_outbox (id, kind) VALUES {}", rows.join(", "))).await;
    let (mut one, mut two) = (stage.relay(), stage.relay());
    let (one, two) = tokio::join!(one.drain(), two.drain());
    assert_eq!(one.unwrap().moved() + two.unwrap().moved(), 3_000);
    assert_eq!(stage.enqueued("default").await.len(), 3_000);
}

/// A service may insert and nothing else; a relay needs no ownership of the table.
#[tokio::test]
async fn a_service_needs_no_more_than_insert() {
    let stage = Stage::postgres().await;
    stage.sql("CREATE ROLE app LOGIN; GRANT INSERT, SELECT (id) ON lovage_outbox TO app").await;
    stage.sql("CREATE ROLE relay LOGIN; GRANT SELECT, UPDATE, DELETE ON lovage_outbox TO relay").await;
    let as_user = |user: &str| stage.url.replace("postgres@", &format!("{user}@"));
    let app = Stage {
        url: as_user("app"),
        broker: stage.broker.clone(),
        folder: tempfile::tempdir().unwrap(),
        server: stage.server,
    };
    let mut service = app.service().await;
    assert!(matches!(service, Service::Postgres(_)));
    service.sql("INSERT INTO lovage_outbox (id, kind) VALUES ('a', 'k') RETURNING id").await;
    let refused = app.relay().drain().await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("permission denied"), "{refused}");
    let url = app.url.replace("app@", "relay@");
    let relay = Stage { url, ..app };
    assert_eq!(relay.relay().drain().await.unwrap().enqueued, 1);
}

crate::on_both!(
    a_row_with_defaults_only_becomes_a_job,
    a_row_says_everything_that_a_job_can_be,
    nothing_is_enqueued_before_the_commit_and_nothing_after_a_rollback,
    an_id_that_is_inserted_again_is_the_job_that_is_there,
    a_mistake_that_the_table_can_see_stops_the_service_itself,
    a_table_is_made_once,
    a_queue_keeps_its_order_and_no_queue_waits_for_another,
    every_queue_has_its_turn,
);
