//! `lovage queue move`: real moves killed with -9 while real workers take jobs from both queues.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use lovage_broker::{Broker, Operator as _, Producer as _, Reader as _, RedisBroker, RedisConfig};
use lovage_core::{Counts, EventKind, Limits, NewJob, QueueName, Rate, Subject};
use lovage_testkit::{Process, RedisServer, Signal, eventually};
use serde_json::json;

const PATIENCE: Duration = Duration::from_mins(2);
const JOBS: usize = 3_000;

struct Stage {
    server: RedisServer,
    folder: tempfile::TempDir,
}

fn queue(name: &str) -> QueueName {
    name.parse().expect("a valid name")
}

impl Stage {
    fn start(&self, log: &str, args: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        command.args(args).current_dir(self.folder.path()).env("REDIS_URL", self.server.url());
        // The queues remember every id of a test, and every event.
        command.env("LOVAGE_RETENTION__COMPLETED_COUNT", "100000").env("LOVAGE_EVENTS_KEPT", "1000000");
        command.env("LOVAGE_DEBUG_KINDS", "true");
        Process::start(command, &self.folder.path().join(log).with_extension("log"))
    }

    async fn broker(&self) -> RedisBroker {
        let config = RedisConfig { url: self.server.url(), ..RedisConfig::default() };
        RedisBroker::connect(config).await.expect("the broker opens")
    }
}

async fn until(broker: &dyn Broker, what: &str, name: &str, wanted: impl Fn(&Counts) -> bool) {
    let name = queue(name);
    let look = async || broker.queue(&name).await.ok().map(|view| view.counts).filter(|counts| wanted(counts));
    eventually(what, PATIENCE, look).await;
}

/// How often each job began and ended in a queue.
async fn count(broker: &dyn Broker, name: &str, counts: &mut HashMap<(EventKind, String), u32>) {
    let (name, mut cursor) = (queue(name), None);
    loop {
        let page = broker.events(&name, cursor.as_deref(), 1_000).await.expect("events answer");
        for event in &page.events {
            *counts.entry((event.kind, event.id.to_string())).or_insert(0) += 1;
        }
        if page.events.is_empty() {
            return;
        }
        cursor = page.next;
    }
}

/// Rows 01 and 02: nothing is lost on the way, and nothing runs on both sides.
#[tokio::test]
async fn row_01_row_02_kill_9_while_moving_loses_nothing_and_doubles_nothing() {
    let stage = Stage { server: RedisServer::start(), folder: tempfile::tempdir().expect("a temporary folder") };
    let broker = stage.broker().await;
    let job = |n: usize| {
        let job =
            NewJob::new(queue("mail"), "debug.noop".parse().expect("a valid name"), &json!({ "n": n })).expect("a job");
        NewJob { id: Some(format!("job-{n}").parse().expect("a valid id")), ..job }
    };
    broker.enqueue((0..JOBS).map(job).collect()).await.expect("enqueued");
    // Slow enough that the moves have something to do.
    let slow = Limits { rate: Some(Rate::per_second(50)), ..Limits::default() };
    broker.limit(&queue("mail"), &Subject::Queue, &slow).await.expect("limited");
    let _workers =
        [stage.start("one", &["worker", "--queues", "mail"]), stage.start("two", &["worker", "--queues", "bulk"])];
    until(&broker, "the first has run", "mail", |counts| counts.completed > 0).await;
    for round in 1..=2_u64 {
        let mut moving = stage.start("move", &["queue", "move", "mail", "bulk", "--rate", "1000/s"]);
        let here = |counts: &Counts| counts.completed + counts.unfinished() > 200 * round;
        until(&broker, "some have arrived", "bulk", here).await;
        moving.signal(Signal::Kill);
        moving.ended(PATIENCE).await;
        let left = broker.queue(&queue("mail")).await.expect("it answers").counts.available;
        assert!(left > 0, "the kill struck in the middle");
    }
    let mut moving = stage.start("last", &["queue", "move", "mail", "bulk"]);
    assert!(moving.ended(PATIENCE).await.success(), "{}", moving.output());
    until(&broker, "all have left", "mail", |counts| counts.unfinished() == 0).await;
    until(&broker, "all have ended", "bulk", |counts| counts.unfinished() == 0).await;
    let mut counts = HashMap::new();
    count(&broker, "mail", &mut counts).await;
    count(&broker, "bulk", &mut counts).await;
    for n in 0..JOBS {
        let of = |kind| counts.get(&(kind, format!("job-{n}"))).copied().unwrap_or(0);
        assert_eq!((of(EventKind::Claimed), of(EventKind::Finished)), (1, 1), "job-{n} ran once: {}", moving.output());
    }
}
