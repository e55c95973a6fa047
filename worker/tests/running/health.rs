//! What a worker says of itself while it works, drains, and while its broker is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lovage_broker::{Broker, Connect};
use lovage_core::{Check, Probed as _};
use lovage_testkit::{Fault, FaultyBroker, Point, eventually};
use lovage_worker::{Registry, WorkerEvent};
use serde_json::json;

use crate::bench::{Bench, LONG, start};
use crate::handlers::{Echo, Gate};

fn failing(checks: Vec<Check>) -> Vec<&'static str> {
    checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
}

pub async fn a_draining_worker_is_alive_and_not_ready(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!({})).await;
    let mut run = bench.start(Registry::new().with(gate.clone()));
    run.started(&id).await;
    let health = run.health();
    assert_eq!(failing(health.started()), [""; 0]);
    assert_eq!(failing(health.ready()), [""; 0]);
    run.shutdown.drain.cancel();
    run.until(WorkerEvent::Draining).await;
    assert_eq!(failing(health.ready()), ["claiming"]);
    assert_eq!(failing(health.live()), [""; 0], "a restart now would waste the job");
    gate.0.notify_one();
    run.end().await.unwrap();
}

pub async fn a_quiet_worker_is_not_ready(bench: Bench) {
    let mut run = bench.start(Registry::new().with(Echo));
    run.ready().await;
    let health = run.health();
    run.shutdown.quiet.cancel();
    run.until(WorkerEvent::Quiet).await;
    assert_eq!(failing(health.ready()), ["claiming"]);
    run.drain().await;
}

pub async fn a_worker_is_ready_again_when_its_broker_is(bench: Bench) {
    let away = Arc::new(AtomicBool::new(false));
    let (inner, down) = (Arc::clone(&bench.connect), Arc::clone(&away));
    let connect: Connect = Arc::new(move || {
        let (inner, down) = (Arc::clone(&inner), Arc::clone(&down));
        Box::pin(async move {
            let plan = Arc::new(move |point| match point {
                Point::BeforeHeartbeat | Point::BeforeRenew if down.load(Ordering::Acquire) => Fault::Unavailable,
                _ => Fault::None,
            });
            Ok(Arc::new(FaultyBroker::new(inner().await?, plan)) as Arc<dyn Broker>)
        })
    });
    let mut config = bench.config("w1");
    config.renew_every = std::time::Duration::from_millis(50);
    let gate = Gate::default();
    let id = bench.add("gate", json!({})).await;
    let mut run = start(config, connect, Registry::new().with(gate.clone()));
    run.started(&id).await;
    let health = run.health();
    assert_eq!(failing(health.ready()), [""; 0]);
    away.store(true, Ordering::Release);
    eventually("its broker is missed", LONG, async || (failing(health.ready()) == ["broker"]).then_some(())).await;
    assert_eq!(failing(health.live()), [""; 0], "a restart would not bring it back");
    away.store(false, Ordering::Release);
    eventually("its broker is back", LONG, async || failing(health.ready()).is_empty().then_some(())).await;
    gate.0.notify_one();
    run.drain().await;
}
