//! Rows that the broker does not take: they hinder nobody, and somebody can see them.

use std::time::Duration;

use lovage_core::{Limits, Subject};
use lovage_outbox::Batch;

use crate::stage::Stage;

async fn a_poison_row_stays_with_its_reason_and_hinders_nobody(stage: Stage) {
    let large = "x".repeat(70_000);
    stage
        .sql(&format!(
            r#"INSERT INTO lovage_outbox (id, kind, args, options) VALUES
               ('odd', 'k', '{{}}', '{{"priorty": 1}}'),
               ('low', 'k', '{{}}', '{{"priority": 12}}'),
               ('large', 'k', '{{"text": "{large}"}}', '{{}}'),
               ('taken', 'k', '{{"n": 1}}', '{{}}'),
               ('taken', 'k', '{{"n": 2}}', '{{}}'),
               ('twice', 'k', '{{}}', '{{"kind": "other"}}'),
               ('good', 'k', '{{}}', '{{}}')"#
        ))
        .await;
    let batch = stage.relay().drain().await.unwrap();
    assert_eq!(batch, Batch { enqueued: 2, failed: 5, ..Batch::default() });
    assert_eq!(stage.enqueued("default").await, ["taken", "good"]);
    let status = stage.status().await;
    assert_eq!((status.waiting, status.failed), (0, 5));
    for ((id, part), failed) in [
        ("odd", "unknown field `priorty`"),
        ("low", "priority"),
        ("large", "args: is 70012 bytes long; insert at most 65536 bytes"),
        ("taken", "already belongs to a job with different args"),
        ("twice", "options: contains \"kind\""),
    ]
    .into_iter()
    .zip(&status.failures)
    {
        assert!(failed.id == id && failed.error.contains(part), "{id}: {failed:?}");
    }
    assert_eq!(stage.relay().drain().await.unwrap(), Batch::default(), "it is not tried again and again");
}

async fn a_mended_row_is_tried_again(stage: Stage) {
    let bad = r#"{"priority": 12}"#;
    stage.sql(&format!("INSERT INTO lovage_outbox (id, kind, options) VALUES ('a', 'k', '{bad}')")).await;
    stage.sql(&format!("INSERT INTO lovage_outbox (id, kind, options) VALUES ('b', 'k', '{bad}')")).await;
    assert_eq!(stage.relay().drain().await.unwrap().failed, 2);
    stage.sql("UPDATE lovage_outbox SET options = '{}' WHERE id = 'a'").await;
    assert_eq!(stage.outbox().retry(Some(&["a".into(), "c".into()])).await.unwrap(), 1);
    assert_eq!(stage.relay().drain().await.unwrap(), Batch { enqueued: 1, ..Batch::default() });
    assert_eq!(stage.outbox().retry(None).await.unwrap(), 1);
    assert_eq!(stage.relay().drain().await.unwrap(), Batch { failed: 1, ..Batch::default() });
}

fn depth(depth: u64) -> Limits {
    Limits { depth: Some(depth), ..Limits::default() }
}

async fn a_full_queue_keeps_its_rows_in_order_and_holds_up_no_other(stage: Stage) {
    let queue = "narrow".parse().unwrap();
    stage.broker.limit(&queue, &Subject::Queue, &depth(2)).await.unwrap();
    let rows: Vec<_> = (0..6).map(|n| format!("('n{n}', 'narrow', 'k'), ('w{n}', 'wide', 'k')")).collect();
    stage.sql(&format!("INSERT INTO lovage_outbox (id, queue, kind) VALUES {}", rows.join(", "))).await;
    let mut relay = stage.relay();
    let batch = relay.drain().await.unwrap();
    assert_eq!((batch.enqueued, batch.full, batch.failed), (8, 4, 0));
    assert!(batch.retry_after >= Some(Duration::from_secs(1)), "{batch:?}");
    assert_eq!((stage.left().await, stage.enqueued("wide").await.len()), ((4, 0, 0), 6));

    // There is room now; this relay has been told to wait, another one has not.
    stage.broker.limit(&queue, &Subject::Queue, &depth(100)).await.unwrap();
    assert_eq!(relay.drain().await.unwrap(), Batch::default());
    assert_eq!(stage.relay().drain().await.unwrap().enqueued, 4);
    assert_eq!(stage.enqueued("narrow").await, ["n0", "n1", "n2", "n3", "n4", "n5"]);
}

/// More rows of a full tenant than a batch has stand in front of another tenant's.
async fn a_full_tenant_holds_up_no_other(stage: Stage) {
    let queue = "shared".parse().unwrap();
    stage.broker.limit(&queue, &"tenant:big".parse().unwrap(), &depth(10)).await.unwrap();
    let row = |n: u32, tenant: &str| format!("('{tenant}-{n:04}', 'shared', 'k', '{{\"tenant\": \"{tenant}\"}}')");
    let rows: Vec<_> = (0..1_100).map(|n| row(n, "big")).chain([row(0, "small")]).collect();
    stage.sql(&format!("INSERT INTO lovage_outbox (id, queue, kind, options) VALUES {}", rows.join(", "))).await;
    let mut relay = stage.relay();
    let (mut steps, mut total) = (0, 0);
    while stage.job("shared", "small-0000").await.is_none() {
        total += relay.step().await.unwrap().enqueued;
        steps += 1;
        assert!(steps < 10, "it comes through");
    }
    assert_eq!((total, stage.left().await), (11, (1_090, 0, 0)));
    assert_eq!(relay.step().await.unwrap(), Batch::default(), "set aside until there may be room");
    stage.broker.limit(&queue, &"tenant:big".parse().unwrap(), &depth(10_000)).await.unwrap();
    let long_ago = if stage.is_postgres() { "now()" } else { "0" };
    stage.sql(&format!("UPDATE lovage_outbox SET due_at = {long_ago}")).await;
    assert_eq!(relay.drain().await.unwrap().enqueued, 1_090);
}

crate::on_both!(
    a_poison_row_stays_with_its_reason_and_hinders_nobody,
    a_mended_row_is_tried_again,
    a_full_queue_keeps_its_rows_in_order_and_holds_up_no_other,
    a_full_tenant_holds_up_no_other,
);
