//! Queues that no worker looks after.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod bench;

use std::time::Duration;

use lovage_core::State;
use lovage_scheduler::Sweeper;

use bench::{benches, retry};

/// Rows 2 and 3 without a worker: what is due becomes available, what a dead worker had comes back, what expires is told.
#[tokio::test]
async fn what_time_does_to_a_queue_needs_no_worker() {
    for bench in benches().await {
        let sweeper = Sweeper::new(bench.connect.clone());
        let stands =
            async |id: &str| bench.broker.job(Some(&bench.queue), &id.parse().unwrap()).await.unwrap().unwrap().state;
        bench.enqueue(["fails".to_owned()]).await;
        let claimed = bench.claim(1).await;
        bench.finish(&claimed[0], retry("again")).await;
        bench.enqueue(["dies".to_owned()]).await;
        assert_eq!(bench.claim(1).await.len(), 1);
        let mut later = bench.job("later");
        later.delay_ms = Some(5_000);
        let mut stale = bench.job("stale");
        stale.expires_at = Some(bench.clock_now().plus(Duration::from_secs(10)));
        bench.broker.enqueue(vec![later, stale]).await.unwrap();

        assert!(!sweeper.sweep().await.unwrap());
        assert_eq!(
            (stands("fails").await, stands("later").await),
            (State::Retryable, State::Scheduled),
            "{}",
            bench.name
        );
        bench.advance(Duration::from_secs(6));
        sweeper.sweep().await.unwrap();
        assert_eq!((stands("fails").await, stands("later").await), (State::Available, State::Available));
        bench.advance(Duration::from_mins(1));
        sweeper.sweep().await.unwrap();
        assert_eq!((stands("dies").await, stands("stale").await), (State::Available, State::Discarded));
    }
}
