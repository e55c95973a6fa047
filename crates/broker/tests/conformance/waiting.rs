//! Idle workers block and are woken; they do not poll.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_broker::{Control, Wake};
use lovage_core::{Clock as _, WorkerState, WorkerView};

use crate::bench::{Bench, held};

/// Longer than any test may take: a wait that is not woken shows as a failure, not as a slow pass.
const LONG: Duration = Duration::from_secs(20);

fn worker_view(bench: &Bench) -> WorkerView {
    WorkerView {
        id: bench.worker.clone(),
        host: "box-1".into(),
        pid: 7,
        version: "0.1.0".into(),
        queues: BTreeMap::new(),
        slots: 8,
        busy: 0,
        state: WorkerState::Running,
        started_at: bench.clock.now(),
        seen_at: bench.clock.now(),
    }
}

pub async fn a_new_job_wakes_a_waiting_worker(bench: Bench) {
    let other = (bench.connect)().await.unwrap();
    for n in 0..5 {
        // The wait may begin before or after the enqueue; both must wake it.
        let queues = [bench.queue.clone()];
        let (woken, ()) = tokio::join!(other.wait(&queues, &bench.worker, LONG), async {
            bench.add(bench.job(n)).await;
        });
        assert_eq!(woken.unwrap(), Wake::Queue(bench.queue.clone()));
        assert_eq!(bench.claim(10).await.len(), 1);
    }
}

pub async fn a_waiting_worker_hears_a_cancel(bench: Bench) {
    let view = worker_view(&bench);
    bench.broker.heartbeat(&view).await.unwrap();
    let id = bench.add(bench.job(1)).await;
    let job = bench.claim_one().await;
    let other = (bench.connect)().await.unwrap();
    let (woken, cancelled) = tokio::join!(other.wait(&[], &bench.worker, LONG), bench.broker.cancel(&bench.queue, &id));
    cancelled.unwrap();
    let expected = Control::Cancel { queue: bench.queue.clone(), lease: held(&job) };
    assert_eq!(woken.unwrap(), Wake::Control(expected));
}

/// A waiter that is busy claiming must not swallow what its worker's other ear waits for.
pub async fn a_wait_for_jobs_leaves_messages_alone(bench: Bench) {
    let view = worker_view(&bench);
    bench.broker.heartbeat(&view).await.unwrap();
    bench.broker.control(&bench.worker, Control::Stop).await.unwrap();
    let queues = [bench.queue.clone()];
    let woken = bench.broker.wait(&queues, &bench.worker, Duration::from_millis(20)).await.unwrap();
    assert_eq!(woken, Wake::Timeout);
    assert_eq!(bench.broker.wait(&[], &bench.worker, LONG).await.unwrap(), Wake::Control(Control::Stop));
}

pub async fn waiting_ends_when_the_time_is_over(bench: Bench) {
    let queues = [bench.queue.clone()];
    let woken = bench.broker.wait(&queues, &bench.worker, Duration::from_millis(20)).await.unwrap();
    assert_eq!(woken, Wake::Timeout);
}
