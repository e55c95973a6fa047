//! What cannot become a job is set aside with its reason, and what dead workers held is not forgotten.

use std::time::Duration;

use apalis_core::backend::TaskSink as _;
use lovage_adopt::{Adopter, Backlog, Batch};

use crate::stage::{SOURCE, Stage, email, task};

/// A payload that is not JSON, one that is too large, one that is gone: each is dead with its reason and what it
/// carried, and none is looked at again. The tasks beside them arrive.
#[tokio::test]
async fn what_cannot_become_a_job_is_set_aside_with_its_reason() {
    let stage = Stage::open().await;
    let mut storage = stage.storage().await;
    for id in ["good", "binary", "gone", "strange"] {
        storage.push_task(task(id, 1).build()).await.unwrap();
    }
    let mut large = email(1);
    large.to = "x".repeat(100_000);
    storage.push(large).await.unwrap();
    let data = format!("{SOURCE}:data");
    let _: u32 = stage.ask(&["HSET", &data, "binary", "\u{92}not json"]).await;
    let _: u32 = stage.ask(&["HDEL", &data, "gone"]).await;
    // The id belongs to another job already.
    let other = task("strange", 2).build();
    let mut adopter = stage.adopter("a");
    assert_eq!(adopter.drain().await.unwrap().unwrap(), Batch { adopted: 2, known: 0, dead: 3 });
    storage.push_task(other).await.unwrap();
    assert_eq!(adopter.drain().await.unwrap().unwrap(), Batch { adopted: 0, known: 0, dead: 1 });
    assert_eq!(adopter.drain().await.unwrap().unwrap(), Batch::default(), "none goes round in circles");
    assert_eq!(adopter.backlog().await.unwrap(), Backlog { waiting: 0, dead: 4 });

    for (id, part) in [("binary", "not JSON"), ("gone", "is gone"), ("strange", "different args")] {
        let reason = stage.meta(id, "result").await.unwrap();
        assert!(reason.contains(part), "{id}: {reason}");
        assert_eq!(stage.meta(id, "status").await.as_deref(), Some("Killed"));
    }
    let kept: Vec<String> = stage.ask(&["HKEYS", &data]).await;
    assert_eq!(kept.len(), 3, "what they carried is kept: {kept:?}");
}

/// The way back that the guide describes.
#[tokio::test]
async fn a_dead_task_that_was_mended_can_be_put_back() {
    let stage = Stage::open().await;
    stage.storage().await.push_task(task("broken", 1).build()).await.unwrap();
    let data = format!("{SOURCE}:data");
    let _: u32 = stage.ask(&["HSET", &data, "broken", "{"]).await;
    let mut adopter = stage.adopter("a");
    assert_eq!(adopter.drain().await.unwrap().unwrap().dead, 1);
    let _: u32 = stage.ask(&["HSET", &data, "broken", r#"{"to":"a","number":1}"#]).await;
    let _: u32 = stage.ask(&["SREM", &format!("{SOURCE}:dead"), "broken"]).await;
    let _: u32 = stage.ask(&["RPUSH", &format!("{SOURCE}:active"), "broken"]).await;
    assert_eq!(adopter.drain().await.unwrap().unwrap().adopted, 1);
    assert_eq!(adopter.backlog().await.unwrap(), Backlog { waiting: 0, dead: 0 });
}

/// Tasks that a dead apalis worker held come too, however many; those of a living one stay with it.
#[tokio::test]
async fn row_01_what_a_dead_apalis_worker_held_is_adopted() {
    let stage = Stage::open().await;
    let mut storage = stage.storage().await;
    for number in 0..1_300 {
        storage.push_task(task(&format!("t{number}"), number).build()).await.unwrap();
    }
    // As after a fetch: out of the line, into the sets of two workers, one of them silent for a day.
    let _: u32 = stage.ask(&["DEL", &format!("{SOURCE}:scheduled")]).await;
    let ids: Vec<String> = (0..1_300).map(|number| format!("t{number}")).collect();
    for (worker, ids, silent) in [("dead", &ids[..1_290], 86_400), ("alive", &ids[1_290..], 5)] {
        let (now, _): (i64, i64) = stage.ask(&["TIME"]).await;
        let _: u32 = stage.ask(&["ZADD", &format!("{SOURCE}:workers"), &(now - silent).to_string(), worker]).await;
        let set = format!("{SOURCE}:inflight:{worker}");
        let words: Vec<&str> = ["SADD", &set].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let _: u32 = stage.ask(&words).await;
    }
    let mut config = stage.config("a");
    config.orphaned_after = Duration::from_mins(5);
    let mut adopter = Adopter::new(config, stage.broker.clone()).unwrap();
    let mut count = 0;
    for _ in 0..10 {
        count += adopter.drain().await.unwrap().unwrap().adopted;
    }
    assert_eq!(count, 1_290);
    assert_eq!(stage.numbers(lovage_core::State::Available).await.len(), 1_290);
    let (alive, dead): (u32, u32) = (
        stage.ask(&["SCARD", &format!("{SOURCE}:inflight:alive")]).await,
        stage.ask(&["SCARD", &format!("{SOURCE}:inflight:dead")]).await,
    );
    assert_eq!((alive, dead), (10, 0));
    let workers: Vec<String> = stage.ask(&["ZRANGE", &format!("{SOURCE}:workers"), "0", "-1"]).await;
    assert_eq!(workers, ["alive"]);
}
