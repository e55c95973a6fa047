//! What time does to a queue.

use std::time::Duration;

use lovage_core::{Clock as _, DiscardReason, Priority, State};

use crate::bench::{Bench, seconds};

pub async fn due_jobs_become_available_in_order(bench: Bench) {
    let mut ids = Vec::new();
    for delay_ms in [3_000, 1_000, 2_000] {
        let mut job = bench.job(delay_ms);
        job.delay_ms = Some(delay_ms);
        ids.push(bench.add(job).await);
    }
    let mut urgent = bench.job(4);
    urgent.delay_ms = Some(3_500);
    urgent.priority = Priority::try_from(1).unwrap();
    let urgent = bench.add(urgent).await;
    bench.clock.advance(seconds(4));
    let swept = bench.broker.sweep(&bench.queue).await.unwrap();
    assert_eq!((swept.promoted, swept.more), (4, false));
    let order: Vec<_> = bench.claim(10).await.into_iter().map(|job| job.id).collect();
    assert_eq!(order, [&urgent, &ids[1], &ids[2], &ids[0]].map(Clone::clone));
}

pub async fn an_expired_job_is_discarded_and_says_so(bench: Bench) {
    let mut job = bench.job(1);
    job.delay_ms = Some(60_000);
    job.expires_at = Some(bench.clock.now().plus(seconds(90)));
    let id = bench.add(job).await;
    bench.clock.advance(seconds(89));
    assert_eq!(bench.broker.sweep(&bench.queue).await.unwrap().expired, 0);
    assert_eq!(bench.state(&id).await, State::Available);
    bench.clock.advance(seconds(1));
    assert_eq!(bench.broker.sweep(&bench.queue).await.unwrap().expired, 1);
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.reason), (State::Discarded, Some(DiscardReason::Expired)));
}

/// Row 02: between the scheduled set and the line no job is lost, at whatever step one looks.
pub async fn row_02_a_promotion_conserves_every_job(bench: Bench) {
    let jobs = (0..5_000)
        .map(|n| {
            let mut job = bench.job(n);
            job.delay_ms = Some(1 + n % 10);
            job
        })
        .collect();
    bench.broker.enqueue(jobs).await.unwrap();
    let other = (bench.connect)().await.unwrap();
    bench.clock.advance(Duration::from_millis(20));
    let mut claimed = 0;
    while claimed < 5_000 {
        let (swept, jobs) = tokio::join!(other.sweep(&bench.queue), bench.claim(333));
        swept.unwrap();
        claimed += jobs.len() as u64;
        let counts = bench.broker.queue(&bench.queue).await.unwrap().counts;
        assert_eq!(counts.unfinished(), 5_000, "{counts:?}");
        assert_eq!(counts.running, claimed);
    }
}

/// Row 03: a huge crowd due at one instant neither breaks nor blocks the promotion; it goes in slices.
pub async fn row_03_a_crowd_of_due_jobs_is_promoted_in_slices(bench: Bench) {
    let jobs = (0..9_000)
        .map(|n| {
            let mut job = bench.job(n);
            job.delay_ms = Some(1_000);
            job
        })
        .collect();
    bench.broker.enqueue(jobs).await.unwrap();
    bench.clock.advance(seconds(1));
    let mut promoted = 0;
    let mut calls = 0;
    loop {
        let swept = bench.broker.sweep(&bench.queue).await.unwrap();
        assert!(swept.promoted <= 1_000, "a slice is bounded");
        promoted += swept.promoted;
        calls += 1;
        if !swept.more {
            break;
        }
    }
    assert_eq!(promoted, 9_000);
    assert!(calls >= 9);
    assert_eq!(bench.broker.queue(&bench.queue).await.unwrap().counts.available, 9_000);
}

pub async fn a_sweep_tells_what_is_next(bench: Bench) {
    assert_eq!(bench.broker.sweep(&bench.queue).await.unwrap().next_in, None);
    let mut job = bench.job(1);
    job.delay_ms = Some(700);
    let id = bench.add(job).await;
    assert_eq!(bench.broker.sweep(&bench.queue).await.unwrap().next_in, Some(Duration::from_millis(700)));
    bench.clock.advance(Duration::from_millis(700));
    assert_eq!(bench.broker.sweep(&bench.queue).await.unwrap().next_in, Some(Duration::ZERO));
    assert_eq!(bench.state(&id).await, State::Available);
}
