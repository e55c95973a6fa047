//! Taking jobs out of the line.

use std::collections::BTreeSet;
use std::time::Duration;

use lovage_broker::NewPause;
use lovage_core::{Clock as _, DiscardReason, Priority, State, Subject};

use crate::bench::{Bench, LEASE, seconds};

pub async fn the_line_is_ordered_by_priority_then_age(bench: Bench) {
    let mut ids = Vec::new();
    for (n, level) in [5, 9, 0, 5, 0].into_iter().enumerate() {
        let mut job = bench.job(n as u64);
        job.priority = Priority::try_from(level).unwrap();
        ids.push(bench.add(job).await);
    }
    let order: Vec<_> = bench.claim(10).await.into_iter().map(|job| job.id).collect();
    assert_eq!(order, [&ids[2], &ids[4], &ids[0], &ids[3], &ids[1]].map(Clone::clone));
}

pub async fn a_claim_is_bounded(bench: Bench) {
    bench.add_many(5).await;
    assert!(bench.claim(0).await.is_empty());
    assert_eq!(bench.claim(3).await.len(), 3);
    let counts = bench.broker.queue(&bench.queue).await.unwrap().counts;
    assert_eq!((counts.available, counts.running), (2, 3));
}

/// Row 01: taking and owning are one step, so two workers that claim at once share the jobs without a gap or overlap.
pub async fn nobody_claims_a_job_twice(bench: Bench) {
    let ids: BTreeSet<_> = bench.add_many(300).await.into_iter().collect();
    let other = (bench.connect)().await.unwrap();
    let other_worker = "w2".parse().unwrap();
    let mut seen = Vec::new();
    loop {
        let (mine, theirs) = tokio::join!(bench.claim(7), other.claim(&bench.queue, &other_worker, 7, LEASE));
        let theirs = theirs.unwrap().jobs;
        if mine.is_empty() && theirs.is_empty() {
            break;
        }
        seen.extend(mine.into_iter().chain(theirs).map(|job| job.id));
    }
    assert_eq!(seen.len(), 300, "each once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), ids);
}

pub async fn tokens_grow_with_every_claim(bench: Bench) {
    bench.add_many(3).await;
    let first = bench.claim(2).await;
    let second = bench.claim(1).await;
    assert!(first[0].token > 0 && first[1].token > first[0].token && second[0].token > first[1].token);
    assert_eq!((first[0].attempt, first[0].failed, first[0].lost), (1, 0, 0));
    let view = bench.view(&first[0].id).await;
    assert_eq!((view.state, view.attempt, view.worker.as_ref()), (State::Running, 1, Some(&bench.worker)));
    assert_eq!(view.started_at, Some(bench.clock.now()));
    assert_eq!(view.lease_until, Some(bench.clock.now().plus(LEASE)));
}

pub async fn the_answer_says_when_to_come_back(bench: Bench) {
    let claim = async |max| bench.broker.claim(&bench.queue, &bench.worker, max, LEASE).await.unwrap();
    assert_eq!(claim(1).await.next_in, None, "nothing at all");
    bench.add_many(2).await;
    assert_eq!(claim(1).await.next_in, Some(Duration::ZERO), "more waits");
    assert_eq!(claim(1).await.next_in, Some(LEASE), "the leases are next");
    let mut later = bench.job(9);
    later.delay_ms = Some(1_234);
    bench.add(later).await;
    assert_eq!(claim(1).await.next_in, Some(Duration::from_millis(1_234)));
}

pub async fn an_expired_job_is_never_claimed(bench: Bench) {
    let mut job = bench.job(1);
    job.expires_at = Some(bench.clock.now().plus(seconds(10)));
    let id = bench.add(job).await;
    bench.clock.advance(seconds(10));
    assert!(bench.claim(1).await.is_empty());
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Expired)));
}

pub async fn a_paused_queue_gives_nothing_until_it_is_resumed(bench: Bench) {
    bench.add_many(1).await;
    let pause = bench
        .broker
        .pause(
            &bench.queue,
            &Subject::Queue,
            &NewPause { by: "ada".into(), why: "database upgrade".into(), until: None },
        )
        .await
        .unwrap();
    assert_eq!(pause.since, bench.clock.now());
    assert!(bench.claim(1).await.is_empty());
    let seen = bench.broker.queue(&bench.queue).await.unwrap().paused.unwrap();
    assert_eq!((seen.by.as_str(), seen.why.as_str(), seen.until), ("ada", "database upgrade", None));
    assert!(bench.broker.resume(&bench.queue, &Subject::Queue).await.unwrap());
    assert!(!bench.broker.resume(&bench.queue, &Subject::Queue).await.unwrap(), "it was not paused any more");
    assert_eq!(bench.claim(1).await.len(), 1);
}

pub async fn a_pause_ends_by_itself(bench: Bench) {
    bench.add_many(1).await;
    let until = bench.clock.now().plus(seconds(60));
    bench
        .broker
        .pause(&bench.queue, &Subject::Queue, &NewPause { by: "ada".into(), why: "lunch".into(), until: Some(until) })
        .await
        .unwrap();
    bench.clock.advance(seconds(59));
    assert!(bench.claim(1).await.is_empty());
    bench.clock.advance(seconds(1));
    assert_eq!(bench.claim(1).await.len(), 1);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().paused, None);
}
