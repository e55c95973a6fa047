//! What breaks between two queues loses nothing and doubles nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use apalis_core::backend::TaskSink as _;
use lovage_adopt::{AdoptError, Batch, Step};
use lovage_core::State;
use lovage_testkit::{Fault, FaultyBroker, Point, eventually};
use tokio_util::sync::CancellationToken;

use crate::stage::{PATIENCE, SOURCE, Stage, email};

/// The worst moment: the jobs are in, apalis does not know it, the adopter is gone. The next one finds the jobs there.
#[tokio::test]
async fn row_02_a_break_between_enqueue_and_acknowledgement_doubles_nothing() {
    let stage = Stage::open().await;
    stage.storage().await.push_bulk((0..1_200).map(email).collect()).await.unwrap();
    let fault = |point| if point == Point::AfterEnqueue { Fault::Unavailable } else { Fault::None };
    let broken = Arc::new(FaultyBroker::new(stage.broker.clone(), Arc::new(fault)));
    let mut first = stage.adopter_into("a", broken);
    assert!(matches!(first.step().await, Err(AdoptError::Broker(_))));
    let waiting = stage.counts().await.available;
    assert!(waiting > 0 && stage.left().await.3 == waiting, "{waiting} are in both places");

    // Somebody else does not touch them as long as the first one may come back.
    assert_eq!(stage.adopter("b").step().await.unwrap(), Step::Standby);
    assert_eq!(stage.adopter("b").drain().await.unwrap(), None);
    let done = stage.adopter("a").drain().await.unwrap().unwrap();
    assert_eq!(done, Batch { adopted: 1_200 - waiting, known: waiting, dead: 0 });
    assert_eq!(stage.numbers(State::Available).await.len(), 1_200);
    assert_eq!(stage.left().await, (0, 0, 0, 0));
}

/// Nothing is taken for settled that was never enqueued.
#[tokio::test]
async fn row_02_a_broker_that_is_away_loses_nothing() {
    let stage = Stage::open().await;
    stage.storage().await.push_bulk((0..1_200).map(email).collect()).await.unwrap();
    let calls = AtomicU32::new(0);
    let plan = move |point| {
        let away = point == Point::BeforeEnqueue && calls.fetch_add(1, Ordering::Relaxed) < 2;
        if away { Fault::Unavailable } else { Fault::None }
    };
    let broken = Arc::new(FaultyBroker::new(stage.broker.clone(), Arc::new(plan)));
    let stop = CancellationToken::new();
    let running = tokio::spawn(stage.adopter_into("a", broken).run(stop.clone()));
    eventually("all are settled", PATIENCE, async || (stage.left().await == (0, 0, 0, 0)).then_some(())).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(stage.numbers(State::Available).await.len(), 1_200);
}

/// An adopter that was frozen while another one took over writes nothing into apalis' keys.
#[tokio::test]
async fn row_05_an_adopter_that_wakes_up_too_late_settles_nothing() {
    let stage = Stage::open().await;
    stage.storage().await.push_bulk((0..10).map(email).collect()).await.unwrap();
    let owner = format!("{SOURCE}:lovage:owner");
    let url = stage.server.url();
    // The first one's ownership passes on while its jobs are on their way.
    let plan = move |point| {
        if point == Point::AfterEnqueue {
            let mut connection = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
            redis::cmd("SET").arg(&owner).arg("b").exec(&mut connection).unwrap();
        }
        Fault::None
    };
    let broker = Arc::new(FaultyBroker::new(stage.broker.clone(), Arc::new(plan)));
    assert!(matches!(stage.adopter_into("a", broker).step().await, Err(AdoptError::Overtaken)));
    assert_eq!(stage.left().await, (0, 0, 10, 10), "still to be settled, by whoever owns the queue");
    assert_eq!(stage.adopter("b").drain().await.unwrap().unwrap(), Batch { adopted: 0, known: 10, dead: 0 });
    assert_eq!(stage.counts().await.available, 10);
}

/// The Redis of apalis goes away and comes back: the adopter goes on by itself.
#[tokio::test]
async fn row_18_a_lost_connection_stops_nothing() {
    let mut stage = Stage::open().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(stage.adopter("a").run(stop.clone()));
    stage.storage().await.push(email(1)).await.unwrap();
    eventually("the first arrives", PATIENCE, async || (stage.counts().await.available == 1).then_some(())).await;
    stage.server.restart();
    stage.storage().await.push(email(2)).await.unwrap();
    let arrived = async || stage.broker.queue(&stage.queue).await.is_ok_and(|view| view.counts.available == 1);
    eventually("the second arrives in the emptied server", PATIENCE, async || arrived().await.then_some(())).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
}

/// Row 20: a full Redis refuses before anything has moved.
#[tokio::test]
async fn row_20_out_of_memory_moves_nothing() {
    let stage = Stage::open().await;
    stage.storage().await.push_bulk((0..10).map(email).collect()).await.unwrap();
    let _: () = stage.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(matches!(stage.adopter("a").step().await, Err(AdoptError::Source { .. })));
    assert_eq!(stage.left().await, (0, 10, 10, 0));
    let _: () = stage.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(stage.adopter("a").drain().await.unwrap().unwrap().adopted, 10);
}

/// An adopter that is told to stop hands the queue over; nobody waits for its ownership to run out.
#[tokio::test]
async fn an_adopter_that_stops_hands_the_queue_over() {
    let stage = Stage::open().await;
    let stop = CancellationToken::new();
    let first = tokio::spawn(stage.adopter("a").run(stop.clone()));
    stage.storage().await.push(email(1)).await.unwrap();
    eventually("the first arrives", PATIENCE, async || (stage.counts().await.available == 1).then_some(())).await;
    stage.storage().await.push(email(2)).await.unwrap();
    stop.cancel();
    first.await.unwrap();
    let owned: bool = stage.ask(&["EXISTS", &format!("{SOURCE}:lovage:owner")]).await;
    assert!(!owned);
    stage.adopter("b").drain().await.unwrap().unwrap();
    assert_eq!(stage.counts().await.available, 2);
}
