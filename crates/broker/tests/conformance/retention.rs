//! Ended jobs do not stay for ever. Row 19 of the thirty failures.

use lovage_broker::Finish;
use lovage_core::{DiscardReason, State, Transition};

use crate::bench::{Bench, failure, held, seconds};

pub async fn swept(bench: &Bench) -> u64 {
    let mut pruned = 0;
    loop {
        let swept = bench.broker.sweep(&bench.queue).await.unwrap();
        assert!(swept.pruned <= 3_000, "a slice is bounded");
        pruned += swept.pruned;
        if !swept.more {
            return pruned;
        }
    }
}

/// Completes whatever can be claimed.
pub async fn complete_all(bench: &Bench) {
    loop {
        let jobs = bench.claim(1_000).await;
        if jobs.is_empty() {
            return;
        }
        let end = |job| Finish { lease: held(job), transition: Transition::Complete { result: None } };
        bench.broker.finish(&bench.queue, &bench.worker, jobs.iter().map(end).collect()).await.unwrap();
    }
}

pub async fn ended_jobs_go_by_age(bench: Bench) {
    let ids = bench.add_many(3).await;
    let jobs = bench.claim(3).await;
    bench.complete(&jobs[0]).await;
    bench.finish(&jobs[1], Transition::Cancel).await;
    bench.finish(&jobs[2], Transition::Discard { reason: DiscardReason::Rejected, error: failure("no") }).await;
    bench.clock.advance(seconds(3_599));
    assert_eq!(swept(&bench).await, 0);
    bench.clock.advance(seconds(2));
    assert_eq!(swept(&bench).await, 2, "completed and cancelled after an hour");
    assert_eq!(bench.state(&ids[2]).await, State::Discarded);
    bench.clock.advance(seconds(3_600));
    assert_eq!(swept(&bench).await, 1, "discarded after two");
    for id in &ids {
        assert!(bench.broker.job(None, id).await.unwrap().is_none());
    }
}

pub async fn ended_jobs_go_by_count_oldest_first(bench: Bench) {
    // The suite keeps 20,000 of a state.
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend(bench.add_many(7_000).await);
        complete_all(&bench).await;
        bench.clock.advance(seconds(1));
    }
    assert_eq!(swept(&bench).await, 1_000);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.completed, 20_000);
    assert!(bench.broker.job(None, &ids[0]).await.unwrap().is_none(), "the oldest went");
    assert!(bench.broker.job(None, &ids[20_999]).await.unwrap().is_some(), "the newest stays");
}
