//! A part of a chain, by when its batches were committed, on both databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod place;

use lovage_core::Timestamp;
use lovage_core::audit::{AuditEvent, EventDraft, Finding, Head};
use lovage_ledger::{Chain, Ledger, Range, Verified};
use uuid::Uuid;

use place::{Place, places};

fn event(number: u128) -> AuditEvent {
    let draft = EventDraft::new(format!("user:{number}"), "order.refund");
    let draft = EventDraft { tenant: "acme".parse().ok(), ..draft };
    draft.complete(Uuid::from_u128(number), Timestamp::from_millis(1_700_000_000_000)).unwrap()
}

/// Four batches of three records, written at seconds 10, 20, 30 and 40; the heads before each and behind the last.
async fn trail(place: &Place) -> (Ledger, Vec<Head>) {
    let ledger = place.ledger().await;
    let mut heads = vec![Head::before_first("acme")];
    for batch in 0..4_u128 {
        let events: Vec<AuditEvent> = (1..=3).map(|record| event(batch * 3 + record)).collect();
        ledger.append(&events).await.unwrap();
        heads.push(chain(&ledger).await.head);
    }
    place.written("first_seq * 10000 / 3 + 6667").await;
    (ledger, heads)
}

async fn chain(ledger: &Ledger) -> Chain {
    ledger.chain("acme").await.unwrap().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

async fn verify(ledger: &Ledger, range: Range, anchored: &[Head]) -> Verified {
    let chain = chain(ledger).await;
    ledger.verify_range(&chain, range, anchored.to_vec()).await.unwrap()
}

#[tokio::test]
async fn a_range_is_the_batches_that_were_committed_in_its_time() {
    for place in places().await {
        let (ledger, heads) = trail(&place).await;
        let chain = chain(&ledger).await;
        for (from, to, expected) in [
            (None, None, Some((0, 4))),
            (Some(at(20)), Some(at(40)), Some((1, 3))),
            (Some(at(11)), Some(at(20)), None),
            (Some(at(20)), Some(at(20)), None),
            (Some(at(15)), Some(at(21)), Some((1, 2))),
            (Some(at(40)), None, Some((3, 4))),
            (None, Some(at(10)), None),
            (Some(at(41)), None, None),
            (Some(at(30)), Some(at(20)), None),
        ] {
            let expected = expected.map(|(before, after)| Range { before: heads[before], after: heads[after] });
            assert_eq!(ledger.range(&chain, from, to).await.unwrap(), expected, "{place:?} {from:?} {to:?}");
        }
        let batch = ledger.batch_of("acme", 5).await.unwrap().unwrap();
        assert_eq!((batch.seal.first, batch.seal.last), (4, 6));
        assert_eq!(ledger.batch_of("globex", 5).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_clock_that_went_back_leaves_no_batch_out() {
    for place in places().await {
        let (ledger, heads) = trail(&place).await;
        // The second batch says 40, the last one 20.
        place
            .written("CASE first_seq WHEN 4 THEN 40000 WHEN 10 THEN 20000 ELSE first_seq * 10000 / 3 + 6667 END")
            .await;
        let range = ledger.range(&chain(&ledger).await, Some(at(35)), Some(at(45))).await.unwrap();
        assert_eq!(range, Some(Range { before: heads[1], after: heads[4] }));
        assert_eq!(verify(&ledger, range.unwrap(), &heads[1..]).await.finding, None);
    }
}

#[tokio::test]
async fn only_the_range_is_followed_and_compared_with_the_anchors_in_it() {
    for place in places().await {
        let (ledger, heads) = trail(&place).await;
        let range = Range { before: heads[1], after: heads[3] };
        let verified = verify(&ledger, range, &heads[1..]).await;
        assert_eq!((verified.records, verified.finding, verified.head), (6, None, heads[3]), "{place:?}");

        place.tamper("UPDATE audit_events SET actor = 'nobody' WHERE seq IN (2, 11)").await;
        assert_eq!(verify(&ledger, range, &heads[1..]).await.finding, None, "what lies outside is not looked at");
        place.tamper("UPDATE audit_events SET actor = 'nobody' WHERE seq = 8").await;
        assert_eq!(verify(&ledger, range, &[]).await.finding, Some(Finding::Changed { seq: 8 }));
    }
}

#[tokio::test]
async fn a_range_that_begins_or_ends_elsewhere_than_was_anchored_is_found() {
    for place in places().await {
        let (ledger, heads) = trail(&place).await;
        let range = Range { before: heads[1], after: heads[4] };
        let other = |head: Head| Head { batch: [9; 32], ..head };
        let found = verify(&ledger, range, &[other(heads[1])]).await.finding;
        assert_eq!(found, Some(Finding::Rewritten { after: 0, anchored: 3 }));
        let found = verify(&ledger, range, &[heads[2], other(heads[3])]).await.finding;
        assert_eq!(found, Some(Finding::Rewritten { after: 6, anchored: 9 }));
        let beyond = Head { seq: 15, ..heads[4] };
        assert_eq!(verify(&ledger, range, &[beyond]).await.finding, Some(Finding::Truncated { after: 12, last: 15 }));
        // The batch before the range was taken away: the range still begins where that one ended.
        place.tamper("DELETE FROM audit_batches WHERE first_seq = 4").await;
        let range = ledger.range(&chain(&ledger).await, Some(at(30)), None).await.unwrap().unwrap();
        assert_eq!(verify(&ledger, range, &[]).await.finding, Some(Finding::Missing { first: 4, last: 6 }));
    }
}
