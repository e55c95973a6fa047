//! What a worker says of itself while it works, drains, and while its broker is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    eventually("its broker is missed", LONG, async || failing(health.ready()).contains(&"broker").then_some(())).await;
    assert_eq!(failing(health.live()), [""; 0], "a restart would not bring it back");
    away.store(false, Ordering::Release);
    eventually("its broker is back", LONG, async || failing(health.ready()).is_empty().then_some(())).await;
    gate.0.notify_one();
    run.drain().await;
}

/// As when one node of a cluster is away, and the one with the list of workers is not.
pub async fn a_worker_whose_renewals_fail_is_not_ready_whatever_its_heartbeats_say(bench: Bench) {
    let (down, beats) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (inner, failing_now, beaten) = (Arc::clone(&bench.connect), Arc::clone(&down), Arc::clone(&beats));
    let connect: Connect = Arc::new(move || {
        let (inner, down, beats) = (Arc::clone(&inner), Arc::clone(&failing_now), Arc::clone(&beaten));
        Box::pin(async move {
            let plan = Arc::new(move |point| {
                if point == Point::BeforeHeartbeat {
                    beats.fetch_add(1, Ordering::AcqRel);
                }
                let strikes = point == Point::BeforeRenew && down.load(Ordering::Acquire);
                if strikes { Fault::Unavailable } else { Fault::None }
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
    down.store(true, Ordering::Release);
    let both = async || (failing(health.ready()) == ["broker", "lease_keeper"]).then_some(());
    eventually("the renewals are missed", LONG, both).await;
    // The second one begins when the first is answered.
    let before = beats.load(Ordering::Acquire);
    let more = async || (beats.load(Ordering::Acquire) >= before + 2).then_some(());
    eventually("heartbeats go on", LONG, more).await;
    assert_eq!(failing(health.ready()), ["broker", "lease_keeper"], "an answered heartbeat renews nothing");
    assert_eq!(failing(health.live()), [""; 0], "a restart would not bring the node back");
    down.store(false, Ordering::Release);
    eventually("leases are renewed", LONG, async || failing(health.ready()).is_empty().then_some(())).await;
    gate.0.notify_one();
    run.drain().await;
}
