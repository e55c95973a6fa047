//! `lovage worker --adopt-apalis`: real workers beside a real apalis-redis producer, killed in the middle.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use apalis_core::backend::TaskSink as _;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use lovage_broker::{Reader as _, RedisBroker, RedisConfig};
use lovage_core::{Counts, EventKind, QueueName, State};
use lovage_testkit::{Process, Proxy, RedisServer, Signal, eventually};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(2);
const ADOPT: &str = "shop::Email@emails=debug.noop";

struct Stage {
    server: RedisServer,
    folder: tempfile::TempDir,
    queue: QueueName,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { server: RedisServer::start(), folder, queue: "emails".parse().expect("a valid name") }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        command.args(args).current_dir(self.folder.path());
        // The queue remembers every id of a test, and every event.
        let settings = [("LOVAGE_RETENTION__COMPLETED_COUNT", "100000"), ("LOVAGE_EVENTS_KEPT", "1000000")];
        command.envs(settings).env("REDIS_URL", self.server.url());
        command.env("LOVAGE_DEBUG_KINDS", "true").env("LOVAGE_LEASE_SECONDS", "2");
        command
    }

    fn worker(&self, name: &str) -> Process {
        let args = ["worker", "--queues", "emails", "--concurrency", "50", "--adopt-apalis", ADOPT];
        let log = self.folder.path().join(name).with_extension("log");
        Process::start(self.command(&args), &log)
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    async fn push(&self, count: u32) {
        let connection = connect(&self.server.url()).await;
        let config = Config::default().queue("shop::Email");
        let mut storage = RedisStorage::<Value>::new(connection).with_config(config);
        let task = |id: u32| TaskBuilder::new(json!({ "number": id })).task_id(TaskId::from_int(id.into())).build();
        // apalis sends what it is given in one script.
        for first in (0..count).step_by(500) {
            let tasks = (first..count.min(first + 500)).map(task);
            storage.push_all(futures::stream::iter(tasks)).await.expect("pushed");
        }
    }

    async fn broker(&self) -> RedisBroker {
        let config = RedisConfig { url: self.server.url(), ..RedisConfig::default() };
        RedisBroker::connect(config).await.expect("the broker opens")
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
        let broker = self.broker().await;
        let look =
            async || broker.queue(&self.queue).await.ok().map(|view| view.counts).filter(|counts| wanted(counts));
        eventually(what, PATIENCE, look).await
    }

    /// How often each kind of event happened to each job.
    async fn history(&self) -> HashMap<(EventKind, String), u32> {
        let broker = self.broker().await;
        let (mut counts, mut cursor) = (HashMap::new(), None);
        loop {
            let page = broker.events(&self.queue, cursor.as_deref(), 1_000).await.expect("events answer");
            assert!(!page.gap, "every event is still there");
            for event in &page.events {
                *counts.entry((event.kind, event.id.to_string())).or_insert(0) += 1;
            }
            if page.events.is_empty() {
                return counts;
            }
            cursor = page.next;
        }
    }
}

/// As `apalis_redis::connect`, with more than half a second for an answer: tests share their machine.
async fn connect(url: &str) -> ConnectionManager {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    redis::Client::open(url)
        .expect("an address")
        .get_connection_manager_with_config(config)
        .await
        .expect("Redis answers")
}

/// Rows 01 and 02: workers that adopt are killed with -9 under load, again and again, while others go on; each of
/// 20,000 tasks becomes one job, and each job ends.
#[tokio::test]
async fn row_01_row_02_kill_9_while_adopting_loses_nothing_and_doubles_nothing() {
    let stage = Stage::new();
    stage.push(20_000).await;
    for round in 1..=2 {
        let mut killed = stage.worker("killed");
        let mut other = stage.worker("other");
        let here = |counts: &Counts| counts.completed + counts.unfinished() >= 2_000 * round;
        stage.until("some have arrived", here).await;
        killed.signal(Signal::Kill);
        other.signal(Signal::Kill);
        killed.ended(PATIENCE).await;
        other.ended(PATIENCE).await;
        let broker = stage.broker().await;
        let here = broker.queue(&stage.queue).await.expect("queue answers").counts;
        assert!(here.completed + here.unfinished() < 20_000, "the kill struck in the middle");
    }
    let _workers = [stage.worker("first"), stage.worker("second"), stage.worker("third")];
    stage.until("all have ended", |counts| counts.completed == 20_000).await;
    let history = stage.history().await;
    let entered: Vec<_> = history.iter().filter(|((kind, _), _)| *kind == EventKind::Enqueued).collect();
    assert_eq!(entered.len(), 20_000);
    assert!(entered.iter().all(|(_, count)| **count == 1), "no task became a job twice");
    let ended = history.iter().filter(|((kind, _), count)| *kind == EventKind::Finished && **count == 1).count();
    assert_eq!(ended, 20_000, "and no job ended twice");
}

/// One call that takes over what is there, runs it and ends; what it did is in its log.
#[tokio::test]
async fn a_worker_takes_over_what_is_there_and_ends() {
    let stage = Stage::new();
    stage.push(300).await;
    let doctor = stage.run(&["--set", &format!("adopt.apalis={ADOPT}"), "--json", "doctor"]);
    let findings: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let finding = findings.as_array().expect("a list").iter().find(|one| one["check"] == "apalis shop::Email");
    let text = finding.expect("a line about it")["finding"].as_str().expect("a text");
    assert_eq!(text, "300 tasks wait for queue emails, 0 are dead in shop::Email:dead");

    let ran = stage.run(&["worker", "--queues", "emails", "--exit-when-empty", "--adopt-apalis", ADOPT]);
    let log = String::from_utf8(ran.stderr).expect("text") + &String::from_utf8(ran.stdout).expect("text");
    assert!(ran.status.success(), "{log}");
    stage.until("all have ended", |counts| counts.completed == 300).await;
    assert!(log.contains("adopted=300"), "{log}");
    let broker = stage.broker().await;
    let id = "shop::Email:7".parse().expect("a valid id");
    let job = broker.job(Some(&stage.queue), &id).await.expect("job answers").expect("it is there");
    assert_eq!((job.state, job.metadata["apalis_id"].as_str()), (State::Completed, "7"));
}

/// A worker that takes over what is there hears a signal meanwhile; what it leaves is the next one's.
#[tokio::test]
async fn a_worker_that_is_to_stop_ends_with_the_batch_that_it_is_at() {
    let stage = Stage::new();
    stage.push(20_000).await;
    // Each batch takes some round trips of half a second.
    let proxy = Proxy::start(stage.server.address()).await;
    proxy.delay(Duration::from_millis(500));
    let args = ["worker", "--queues", "emails", "--exit-when-empty", "--adopt-apalis", ADOPT];
    let mut command = stage.command(&args);
    command.env("LOVAGE_ADOPT__REDIS_URL", format!("redis://{}/", proxy.address()));
    let mut worker = Process::start(command, &stage.folder.path().join("stopped.log"));
    stage.until("the first batch has arrived", |counts| counts.unfinished() > 0).await;
    worker.signal(Signal::Term);
    let ended = worker.ended(PATIENCE).await;
    let (log, here) = (worker.output(), stage.until("it answers", |_| true).await);
    assert!(ended.success(), "{log}");
    assert!(here.completed + here.unfinished() < 10_000, "it took over all the same: {log}");
    proxy.delay(Duration::ZERO);
    let _next = stage.worker("next");
    stage.until("all have ended", |counts| counts.completed == 20_000).await;
}

/// apalis' Redis need not be ours: here our queue is the embedded file.
#[tokio::test]
async fn apalis_may_have_a_redis_of_its_own() {
    let stage = Stage::new();
    stage.push(40).await;
    let mut command = stage.command(&["worker", "--queues", "emails", "--exit-when-empty", "--adopt-apalis", ADOPT]);
    command.env_remove("REDIS_URL").env("LOVAGE_ADOPT__REDIS_URL", stage.server.url());
    let ran = command.output().expect("the binary runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut command = stage.command(&["--json", "job", "get", "shop::Email:39"]);
    let got = command.env_remove("REDIS_URL").output().expect("the binary runs");
    let job: Value = serde_json::from_slice(&got.stdout).expect("JSON");
    assert_eq!((&job["state"], &job["queue"]), (&json!("completed"), &json!("emails")));
}

/// What was written wrongly is said before anything runs.
#[test]
fn what_cannot_be_adopted_is_said() {
    let said = |folder: &Path, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        let ran = command.args(args).current_dir(folder).env_remove("REDIS_URL").output().expect("the binary runs");
        (ran.status.code(), String::from_utf8(ran.stderr).expect("text"))
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (code, text) = said(folder.path(), &["worker", "--adopt-apalis", "emails"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--adopt-apalis") && text.contains("\"emails\" has no `=KIND`"), "{text}");
    let (code, text) = said(folder.path(), &["worker", "--adopt-apalis", "emails=email.send"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there is no Redis to adopt emails=email.send from; set redis_url"), "{text}");
}
