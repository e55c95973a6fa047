//! The audit trail on both databases: what is added, what is refused, and what tampering is found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod place;

use std::collections::BTreeSet;

use lovage_core::Timestamp;
use lovage_core::audit::{AuditEvent, EventDraft, Finding, Head};
use lovage_ledger::{AuditWriter, Chain, Kept, Ledger, LedgerError, Pruned, SigningKey, Verified, migrate, status};
use uuid::Uuid;

use place::{Place, places};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

fn event(tenant: &str, number: u128) -> AuditEvent {
    let text = format!(
        r#"{{"actor":"user:{number}","action":"order.refund","target":"订单:{number}","ip":"2001:DB8::1","before":{{"b": 1.00}},
            "metadata":{{"text":"\u0000"}}}}"#
    );
    let mut draft: EventDraft = serde_json::from_str(&text).unwrap();
    draft.tenant = Some(tenant).filter(|name| !name.is_empty()).map(|name| name.parse().unwrap());
    draft.complete(Uuid::from_u128(number), NOW).unwrap()
}

fn events(tenant: &str, numbers: std::ops::RangeInclusive<u128>) -> Vec<AuditEvent> {
    numbers.map(|number| event(tenant, number)).collect()
}

async fn chain(ledger: &Ledger, tenant: &str) -> Chain {
    let chains = ledger.chains(None, 100).await.unwrap();
    chains.into_iter().find(|chain| chain.tenant == tenant).unwrap()
}

async fn verify(ledger: &Ledger, tenant: &str, anchored: Vec<Head>) -> Verified {
    let chain = chain(ledger, tenant).await;
    ledger.verify(&chain, anchored).await.unwrap()
}

#[tokio::test]
async fn events_are_numbered_in_their_tenants_chain_and_read_back_as_they_were() {
    for place in places().await {
        let ledger = place.ledger().await;
        let mixed = vec![event("acme", 1), event("", 2), event("acme", 3), event("globex", 1)];
        let kept = ledger.append(&mixed).await.unwrap();
        assert_eq!(kept, [Kept::New(1), Kept::New(1), Kept::New(2), Kept::New(1)]);
        assert_eq!(ledger.append(&[event("acme", 4)]).await.unwrap(), [Kept::New(3)]);
        let names: Vec<String> = ledger.chains(None, 10).await.unwrap().into_iter().map(|chain| chain.tenant).collect();
        assert_eq!(names, ["", "acme", "globex"]);
        assert_eq!(ledger.chains(Some("acme"), 10).await.unwrap().len(), 1);
        let records = ledger.records("acme", 1, u64::MAX, 10).await.unwrap();
        let stored: Vec<&AuditEvent> = records.iter().map(|record| &record.event).collect();
        assert_eq!(stored, [&mixed[0], &mixed[2], &event("acme", 4)]);
        assert_eq!(stored[0].to_draft().unwrap().complete(Uuid::nil(), NOW).unwrap(), mixed[0]);
        let verified = verify(&ledger, "acme", Vec::new()).await;
        assert_eq!((verified.records, verified.finding, verified.head.seq), (3, None, 3));
    }
}

/// A server that takes connections and then says nothing. The clock stands still but for what is waited for.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("postgres://lovage@{}/lovage", silent.local_addr().unwrap()).parse().unwrap();
    let error = Ledger::open(&address).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 10 s"), "{error}");
}

/// Chains that many make at the same time, which PostgreSQL may lock in another order than the rest.
#[tokio::test]
async fn tenants_that_are_new_to_several_writers_at_once_get_one_chain_each() {
    for place in places().await {
        let ledger = place.ledger().await;
        let writers = (0..8_u128).map(|writer| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for round in 0..6_u128 {
                    // Overlapping halves, so that some chains are there already and others are not.
                    let tenants = (0..12).filter(|tenant| (tenant + writer + round) % 3 != 0);
                    let batch: Vec<AuditEvent> = tenants
                        .map(|tenant| event(&format!("r{round}t{tenant:02}"), 1 + writer * 100 + tenant))
                        .collect();
                    ledger.append(&batch).await.unwrap();
                }
            })
        });
        futures::future::try_join_all(writers).await.unwrap();
        let mut records = 0;
        for chain in ledger.chains(None, 100).await.unwrap() {
            let verified = ledger.verify(&chain, Vec::new()).await.unwrap();
            assert_eq!(verified.finding, None, "{place:?}");
            records += verified.records;
        }
        assert_eq!(records, 8 * 6 * 8);
    }
}

#[tokio::test]
async fn an_id_is_kept_once_a_tenant_and_its_second_content_is_refused() {
    for place in places().await {
        let ledger = place.ledger().await;
        ledger.append(&events("acme", 1..=3)).await.unwrap();
        let other = AuditEvent { actor: "user:other".into(), ..event("acme", 2) };
        let again = vec![event("acme", 1), event("acme", 9), event("acme", 9), other, event("globex", 1)];
        let kept = ledger.append(&again).await.unwrap();
        assert_eq!(kept, [Kept::Duplicate(1), Kept::New(4), Kept::Duplicate(4), Kept::Conflict(2), Kept::New(1)]);
        let verified = verify(&ledger, "acme", Vec::new()).await;
        assert_eq!((verified.records, verified.finding), (4, None));
    }
}

#[tokio::test]
async fn writers_at_once_leave_one_chain_without_gaps() {
    for place in places().await {
        let ledger = place.ledger().await;
        let writers = (0..8_u128).map(|writer| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    let first = 1 + writer * 1_000 + round * 7;
                    // In different orders of tenants, as two workers would.
                    let mut batch = events("acme", first..=first + 6);
                    batch.extend(events("globex", first..=first + 6));
                    if writer % 2 == 0 {
                        batch.reverse();
                    }
                    ledger.append(&batch).await.unwrap();
                }
            })
        });
        futures::future::try_join_all(writers).await.unwrap();
        for tenant in ["acme", "globex"] {
            let verified = verify(&ledger, tenant, Vec::new()).await;
            assert_eq!((verified.records, verified.finding), (560, None), "{place:?}");
        }
    }
}

#[tokio::test]
async fn one_event_that_the_database_refuses_does_not_hold_up_the_others() {
    for place in places().await {
        let ledger = place.ledger().await;
        place.refuse("user:13").await;
        let writer = AuditWriter::start(ledger.clone());
        let all = events("acme", 1..=40).into_iter().map(|event| writer.write(event));
        let results = futures::future::join_all(all).await;
        let refused: Vec<usize> =
            results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(index, _)| index + 1).collect();
        assert_eq!(refused, [13]);
        let Err(LedgerError::Refused(problem)) = &results[12] else { panic!("{:?}", results[12]) };
        assert!(problem.contains("not this one"), "{problem}");
        let seqs: BTreeSet<u64> = results
            .iter()
            .flatten()
            .map(|kept| match kept {
                Kept::New(seq) => *seq,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seqs, (1..=39).collect());
        assert_eq!(verify(&ledger, "acme", Vec::new()).await.records, 39);
    }
}

#[tokio::test]
async fn json_that_is_nested_too_deeply_for_the_server_is_that_events_fault_alone() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for place in places().await {
        let ledger = place.ledger().await;
        let nested = AuditEvent { after: Some(deep.clone()), ..event("acme", 2) };
        let kept = ledger.append_each(&[event("acme", 1), nested, event("acme", 3)]).await;
        assert!(kept[0].is_ok() && kept[2].is_ok(), "{place:?} {kept:?}");
        // SQLite keeps it as text and does not mind; PostgreSQL's parser has a limit.
        assert!(matches!(kept[1], Ok(_) | Err(LedgerError::Refused(_))), "{place:?} {:?}", kept[1]);
        assert_eq!(verify(&ledger, "acme", Vec::new()).await.finding, None);
    }
}

#[tokio::test]
async fn a_head_that_was_taken_away_is_no_events_fault() {
    for place in places().await {
        let ledger = place.ledger().await;
        ledger.append(&events("acme", 1..=3)).await.unwrap();
        place.tamper("DELETE FROM audit_chains").await;
        let kept = ledger.append_each(&events("acme", 4..=5)).await;
        for result in kept {
            let Err(LedgerError::Unavailable(problem)) = result else { panic!("{place:?} {result:?}") };
            assert!(problem.contains("lovage audit verify"), "{problem}");
        }
    }
}

#[tokio::test]
async fn what_is_pruned_while_somebody_verifies_is_no_finding() {
    let key = SigningKey::parse(&"07".repeat(32)).unwrap();
    for place in places().await {
        let ledger = place.ledger().await;
        ledger.append(&events("acme", 1..=5)).await.unwrap();
        ledger.append(&events("acme", 6..=9)).await.unwrap();
        let before = chain(&ledger, "acme").await;
        let chains = ledger.chains_to_anchor(10).await.unwrap();
        let anchor = key.anchor(ledger.last_anchor().await.unwrap(), &chains, NOW);
        ledger.record_anchor(&anchor).await.unwrap();
        ledger.prune("acme", Timestamp::from_millis(u64::from(u32::MAX) * 1_000)).await.unwrap();
        let verified = ledger.verify(&before, Vec::new()).await.unwrap();
        assert_eq!((verified.finding, verified.pruned), (None, 9));
    }
}

/// What somebody with the right to write could do, and what is found then.
#[tokio::test]
async fn each_kind_of_tampering_is_found_and_the_record_named() {
    let cases: &[(&[&str], Finding)] = &[
        (&["UPDATE audit_events SET actor = 'nobody' WHERE seq = 7"], Finding::Changed { seq: 7 }),
        (&["UPDATE audit_events SET before = NULL WHERE seq = 1"], Finding::Changed { seq: 1 }),
        (&["UPDATE audit_events SET tenant = 'acme2' WHERE seq = 12"], Finding::Missing { first: 12, last: 12 }),
        (&["DELETE FROM audit_events WHERE seq BETWEEN 8 AND 9"], Finding::Missing { first: 8, last: 9 }),
        (
            &["DELETE FROM audit_events WHERE seq > 5", "DELETE FROM audit_batches WHERE first_seq > 5"],
            Finding::Truncated { after: 5, last: 15 },
        ),
        (
            &[
                "UPDATE audit_events SET seq = 1000 WHERE seq = 12",
                "UPDATE audit_events SET seq = 12 WHERE seq = 14",
                "UPDATE audit_events SET seq = 14 WHERE seq = 1000",
            ],
            Finding::Reordered { seq: 12, with: 14 },
        ),
        (
            &["INSERT INTO audit_events (tenant, seq, id, time, actor, action, hash)
               SELECT tenant, 16, {id}, time, actor, action, hash FROM audit_events WHERE seq = 15"],
            Finding::Inserted { seq: 16 },
        ),
        (
            &["UPDATE audit_batches SET root = record_hash WHERE first_seq = 6"],
            Finding::BatchChanged { first: 6, last: 10 },
        ),
        (&["DELETE FROM audit_batches WHERE first_seq = 6"], Finding::Missing { first: 6, last: 10 }),
        (
            &["DELETE FROM audit_events WHERE seq BETWEEN 6 AND 10", "UPDATE audit_chains SET pruned_seq = 10"],
            Finding::NotPruned { first: 1, last: 5 },
        ),
        (
            &["UPDATE audit_batches SET last_seq = 1000000000 WHERE first_seq = 6"],
            Finding::BatchChanged { first: 6, last: 1_000_000_000 },
        ),
    ];
    for place in places().await {
        for (statements, expected) in cases {
            let fresh = place.fresh().await;
            let ledger = fresh.ledger().await;
            for batch in 0..3 {
                ledger.append(&events("acme", batch * 5 + 1..=batch * 5 + 5)).await.unwrap();
            }
            for statement in *statements {
                fresh.tamper(statement).await;
            }
            let verified = verify(&ledger, "acme", Vec::new()).await;
            assert_eq!(verified.finding.as_ref(), Some(expected), "{place:?} {statements:?}");
        }
    }
}

#[tokio::test]
async fn an_end_that_is_cut_off_with_its_head_is_found_by_a_head_from_elsewhere() {
    for place in places().await {
        let ledger = place.ledger().await;
        ledger.append(&events("acme", 1..=5)).await.unwrap();
        let early = chain(&ledger, "acme").await.head;
        ledger.append(&events("acme", 6..=9)).await.unwrap();
        let late = chain(&ledger, "acme").await.head;
        assert_eq!(verify(&ledger, "acme", vec![early, late]).await.finding, None);
        place.tamper("DELETE FROM audit_events WHERE seq > 5").await;
        place.tamper("DELETE FROM audit_batches WHERE first_seq > 5").await;
        place
            .tamper(
                "UPDATE audit_chains SET seq = 5,
                     record_hash = (SELECT record_hash FROM audit_batches WHERE last_seq = 5),
                     batch_hash = (SELECT batch_hash FROM audit_batches WHERE last_seq = 5)",
            )
            .await;
        assert_eq!(verify(&ledger, "acme", vec![early]).await.finding, None);
        let found = verify(&ledger, "acme", vec![early, late]).await.finding;
        assert_eq!(found, Some(Finding::Truncated { after: 5, last: 9 }));
    }
}

#[tokio::test]
async fn a_ledger_without_the_newest_schema_is_not_opened() {
    for place in Place::all() {
        let refused = Ledger::open(&place.address).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(" pending migrations (next: 0001_audit); run `lovage migrate up`"), "{text}");
        assert!(status(&place.address).await.unwrap().iter().all(|step| !step.applied));
        let (first, second) = tokio::join!(migrate(&place.address), migrate(&place.address));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(!first.is_empty() || !second.is_empty());
        assert!(status(&place.address).await.unwrap().iter().all(|step| step.applied));
        assert_eq!(migrate(&place.address).await.unwrap(), []);
        Ledger::open(&place.address).await.unwrap();
        place.tamper("UPDATE migrations SET version = 99 WHERE version = 1").await;
        let newer = Ledger::open(&place.address).await.unwrap_err();
        assert!(matches!(newer, LedgerError::Newer { version: 99, .. }), "{newer}");
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_an_error_that_says_so_and_no_password() {
    let address = "postgres://app:s3cret@127.0.0.1:1/lovage".parse().unwrap();
    let error = Ledger::open(&address).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable(_)) && !error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn what_is_old_and_anchored_goes_and_the_rest_can_still_be_followed() {
    let key = SigningKey::parse(&"07".repeat(32)).unwrap();
    let (past, future) = (Timestamp::from_millis(1), Timestamp::from_millis(u64::from(u32::MAX) * 1_000));
    for place in places().await {
        let ledger = place.ledger().await;
        for batch in 0..3 {
            ledger.append(&events("acme", batch * 5 + 1..=batch * 5 + 5)).await.unwrap();
        }
        let none = Pruned { records: 0, last: 0, unanchored: true };
        assert_eq!(ledger.prune("acme", future).await.unwrap(), none, "nothing is anchored yet");
        let chains = ledger.chains_to_anchor(10).await.unwrap();
        let anchor = key.anchor(ledger.last_anchor().await.unwrap(), &chains, NOW);
        ledger.record_anchor(&anchor).await.unwrap();
        assert_eq!(ledger.chains_to_anchor(10).await.unwrap(), []);
        ledger.append(&events("acme", 16..=18)).await.unwrap();
        assert_eq!(ledger.prune("acme", past).await.unwrap(), Pruned::default(), "nothing is so old");
        assert_eq!(ledger.prune("nobody", future).await.unwrap(), Pruned::default());
        let pruned = ledger.prune("acme", future).await.unwrap();
        assert_eq!((pruned.records, pruned.last), (15, 15));
        assert_eq!(ledger.prune("acme", future).await.unwrap(), Pruned { records: 0, last: 0, unanchored: true });
        let verified = verify(&ledger, "acme", vec![anchor.chains[0].head()]).await;
        assert_eq!((verified.records, verified.pruned, verified.finding), (3, 15, None));
        // More than retention has removed is missing.
        place.tamper("DELETE FROM audit_events WHERE seq <= 16").await;
        let found = verify(&ledger, "acme", Vec::new()).await.finding;
        assert_eq!(found, Some(Finding::Missing { first: 16, last: 16 }));
    }
}
