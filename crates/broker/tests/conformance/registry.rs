//! Workers and leaders.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_broker::{Control, Wake};
use lovage_core::{Clock as _, WorkerState, WorkerView};

use crate::bench::{Bench, seconds};

fn view(bench: &Bench, id: &str) -> WorkerView {
    WorkerView {
        id: id.parse().unwrap(),
        host: "box-1".into(),
        pid: 7,
        version: "0.1.0".into(),
        queues: BTreeMap::from([(bench.queue.clone(), 4)]),
        slots: 8,
        busy: 3,
        state: WorkerState::Running,
        started_at: bench.clock.now(),
        seen_at: bench.clock.now(),
    }
}

pub async fn a_worker_is_listed_while_it_is_heard_of(bench: Bench) {
    bench.broker.heartbeat(&view(&bench, "w2")).await.unwrap();
    bench.broker.heartbeat(&view(&bench, "w1")).await.unwrap();
    let listed = bench.broker.workers().await.unwrap();
    assert_eq!(listed.iter().map(|worker| worker.id.as_str()).collect::<Vec<_>>(), ["w1", "w2"]);
    assert_eq!(listed[0], view(&bench, "w1"));
    bench.clock.advance(seconds(50));
    let mut again = view(&bench, "w1");
    again.state = WorkerState::Quiet;
    bench.broker.heartbeat(&again).await.unwrap();
    bench.clock.advance(seconds(20));
    let listed = bench.broker.workers().await.unwrap();
    assert_eq!(listed.len(), 1, "w2 was not heard of for 70 s");
    assert_eq!(listed[0].state, WorkerState::Quiet);
    bench.broker.unregister(&listed[0].id).await.unwrap();
    assert!(bench.broker.workers().await.unwrap().is_empty());
}

pub async fn a_message_reaches_its_worker_once(bench: Bench) {
    assert!(!bench.broker.control(&bench.worker, Control::Quiet).await.unwrap(), "nobody of that name");
    bench.broker.heartbeat(&view(&bench, "w1")).await.unwrap();
    assert!(bench.broker.control(&bench.worker, Control::Quiet).await.unwrap());
    assert!(bench.broker.control(&bench.worker, Control::Stop).await.unwrap());
    let wait = async |most| bench.broker.wait(&[], &bench.worker, most).await.unwrap();
    assert_eq!(wait(seconds(20)).await, Wake::Control(Control::Quiet));
    assert_eq!(wait(seconds(20)).await, Wake::Control(Control::Stop));
    assert_eq!(wait(Duration::from_millis(50)).await, Wake::Timeout);
}

/// Row 12: a leader that was paused past its time cannot go on with its old term.
pub async fn row_12_leadership_changes_hands_with_a_new_term(bench: Bench) {
    let lead = async |holder: &str| bench.broker.lead("scheduler", holder, seconds(15)).await.unwrap();
    let first = lead("a").await.expect("nobody leads yet");
    assert_eq!(lead("b").await, None);
    bench.clock.advance(seconds(10));
    assert_eq!(lead("a").await, Some(first), "kept under the same term");
    bench.clock.advance(seconds(10));
    assert_eq!(lead("b").await, None, "it was renewed");
    bench.clock.advance(seconds(6));
    let second = lead("b").await.expect("a's time is over");
    assert!(second.term > first.term);
    assert_eq!(lead("a").await, None);
    bench.broker.resign("scheduler", "a").await.unwrap();
    assert_eq!(lead("a").await, None, "only the holder can resign");
    bench.broker.resign("scheduler", "b").await.unwrap();
    let third = lead("a").await.expect("free again");
    assert!(third.term > second.term);
    assert!(bench.broker.lead("other", "z", seconds(15)).await.unwrap().is_some(), "names are apart");
}
