//! `lovage outbox` and `lovage job enqueue --spool`: real relays between a real PostgreSQL, a file and a real Redis, killed
//! in the middle.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::process::{Command, Output};
use std::time::Duration;

use lovage_broker::{Reader as _, RedisBroker, RedisConfig};
use lovage_core::{Counts, EventKind, QueueName};
use lovage_testkit::{PostgresServer, Process, RedisServer, Signal, eventually};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const PATIENCE: Duration = Duration::from_mins(2);

struct Stage {
    redis: RedisServer,
    postgres: Option<PostgresServer>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { redis: RedisServer::start(), postgres: None, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn with_postgres() -> Self {
        Self { postgres: Some(PostgresServer::start()), ..Self::new() }
    }

    fn url(&self) -> String {
        self.postgres.as_ref().expect("it has one").url()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        command.args(args).current_dir(self.folder.path());
        let settings = [("LOVAGE_RETENTION__COMPLETED_COUNT", "100000"), ("LOVAGE_EVENTS_KEPT", "1000000")];
        command.envs(settings).env("REDIS_URL", self.redis.url()).env("LOVAGE_DEBUG_KINDS", "true");
        if let Some(postgres) = &self.postgres {
            command.env("LOVAGE_OUTBOX__URL", postgres.url());
        }
        command
    }

    fn start(&self, name: &str, args: &[&str]) -> Process {
        Process::start(self.command(args), &self.folder.path().join(name).with_extension("log"))
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// Runs a command that must end with this code, and answers its JSON.
    fn json(&self, code: i32, args: &[&str]) -> Value {
        let ran = self.run(&[&["--json"], args].concat());
        let told = format!("{args:?}: {} {}", text(&ran.stdout), text(&ran.stderr));
        assert_eq!(ran.status.code(), Some(code), "{told}");
        if ran.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    async fn sql(&self, sql: String) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("PostgreSQL answers");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("it is done");
    }

    async fn broker(&self) -> RedisBroker {
        let config = RedisConfig { url: self.redis.url(), ..RedisConfig::default() };
        RedisBroker::connect(config).await.expect("the broker opens")
    }

    async fn until(&self, what: &str, queue: &str, wanted: impl Fn(&Counts) -> bool) {
        let (broker, queue): (_, QueueName) = (self.broker().await, queue.parse().expect("a valid name"));
        let look = async || broker.queue(&queue).await.ok().map(|view| view.counts).filter(|counts| wanted(counts));
        eventually(what, PATIENCE, look).await;
    }

    /// How often each job was enqueued.
    async fn enqueued(&self, queue: &str) -> HashMap<String, u32> {
        let (broker, queue): (_, QueueName) = (self.broker().await, queue.parse().expect("a valid name"));
        let (mut counts, mut cursor) = (HashMap::new(), None);
        loop {
            let page = broker.events(&queue, cursor.as_deref(), 1_000).await.expect("events answer");
            assert!(!page.gap, "every event is still there");
            for event in page.events.iter().filter(|event| event.kind == EventKind::Enqueued) {
                *counts.entry(event.id.to_string()).or_insert(0) += 1;
            }
            if page.events.is_empty() {
                return counts;
            }
            cursor = page.next;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Row 01: two relays are killed with -9 in the middle, again and again; each of 10,000 rows becomes one job, and every
/// job runs.
#[tokio::test]
async fn row_01_kill_9_of_relays_loses_no_row_and_doubles_none() {
    let stage = Stage::with_postgres();
    stage.json(0, &["outbox", "init"]);
    stage
        .sql(
            "INSERT INTO lovage_outbox (id, queue, kind)
             SELECT 'row-' || n, 'mail', 'debug.noop' FROM generate_series(1, 10000) n"
                .into(),
        )
        .await;
    for round in 0..3 {
        let mut relays = [stage.start("one", &["outbox", "relay"]), stage.start("two", &["outbox", "relay"])];
        stage.until("some have arrived", "mail", |counts| counts.available > round * 2_000).await;
        for relay in &mut relays {
            relay.signal(Signal::Kill);
            relay.ended(PATIENCE).await;
        }
    }
    stage.until("the kills struck in the middle", "mail", |counts| counts.available < 10_000).await;
    let mut last = [stage.start("three", &["outbox", "relay"]), stage.start("four", &["outbox", "relay"])];
    stage.until("all have arrived", "mail", |counts| counts.available == 10_000).await;
    let empty = async || (stage.json(0, &["outbox", "status"])["waiting"] == 0).then_some(());
    eventually("the table is empty", PATIENCE, empty).await;
    for relay in &mut last {
        relay.signal(Signal::Term);
        assert!(relay.ended(PATIENCE).await.success(), "{}", relay.output());
    }
    let enqueued = stage.enqueued("mail").await;
    assert_eq!(enqueued.len(), 10_000);
    assert!(enqueued.values().all(|count| *count == 1), "no row became a job twice");
    let args = ["worker", "--queues", "mail", "--concurrency", "200", "--exit-when-empty"];
    assert!(stage.run(&args).status.success());
    stage.until("all have run", "mail", |counts| counts.completed == 10_000).await;
}

/// Row 18: Redis is not there when the service inserts and when the relay starts; the relay outlives the outage.
#[tokio::test]
async fn row_18_a_relay_outlives_an_outage_of_redis_and_ends_cleanly() {
    let mut stage = Stage::with_postgres();
    stage.json(0, &["outbox", "init"]);
    stage.redis.stop();
    let mut relay = stage.start("relay", &["outbox", "relay"]);
    stage.sql("INSERT INTO lovage_outbox (id, queue, kind) VALUES ('a', 'mail', 'debug.noop')".into()).await;
    let said = async || relay.output().contains("cannot relay for now").then_some(());
    eventually("the outage is said", PATIENCE, said).await;
    assert_eq!(stage.json(6, &["outbox", "relay", "--once"]), Value::Null);
    stage.redis.restart();
    stage.until("it has arrived", "mail", |counts| counts.available == 1).await;
    relay.signal(Signal::Term);
    assert!(relay.ended(PATIENCE).await.success(), "{}", relay.output());
    assert!(relay.output().contains("relaying again"), "{}", relay.output());
}

/// What a script reads: exit codes, and no password in any output.
#[tokio::test]
async fn a_script_can_tell_what_became_of_the_rows() {
    let stage = Stage::with_postgres();
    assert_eq!(stage.json(3, &["outbox", "status"]), Value::Null);
    let made = stage.json(0, &["outbox", "init"]);
    assert_eq!(made, stage.json(0, &["outbox", "init"]), "a second time changes nothing");
    assert_eq!(made["table"], "lovage_outbox");
    let done = stage.json(0, &["outbox", "relay", "--once"]);
    assert_eq!(done["enqueued"], 0);

    stage
        .sql(
            r#"INSERT INTO lovage_outbox (id, queue, kind, options) VALUES
        ('bad', 'mail', 'k', '{"priorty": 1}'), ('good', 'mail', 'k', '{"priority": 1}')"#
                .into(),
        )
        .await;
    let done = stage.json(1, &["outbox", "relay", "--once"]);
    assert_eq!((&done["enqueued"], &done["failed"]), (&json!(1), &json!(1)));
    let status = stage.json(0, &["outbox", "status"]);
    assert_eq!((&status["waiting"], &status["failed"], &status["oldest_ms"]), (&json!(0), &json!(1), &Value::Null));
    assert!(status["failures"][0]["error"].as_str().expect("a text").contains("unknown field `priorty`"), "{status}");
    let doctor = text(&stage.run(&["--json", "doctor"]).stdout);
    assert!(doctor.contains("1 rows cannot become jobs; `lovage outbox status` shows why"), "{doctor}");

    stage.sql("UPDATE lovage_outbox SET options = '{}'".into()).await;
    assert_eq!(stage.json(3, &["outbox", "retry", "--id", "none"]), Value::Null);
    assert_eq!(stage.json(0, &["outbox", "retry"])["retried"], 1);
    assert_eq!(stage.json(0, &["outbox", "relay", "--once"])["enqueued"], 1);

    stage.json(0, &["queue", "limit", "narrow", "--depth", "1"]);
    stage.sql("INSERT INTO lovage_outbox (queue, kind) VALUES ('narrow', 'k'), ('narrow', 'k')".into()).await;
    let done = stage.json(6, &["outbox", "relay", "--once"]);
    assert_eq!((&done["enqueued"], &done["full"]), (&json!(1), &json!(1)));
    assert!(done["retry_after_ms"].as_u64() >= Some(1_000), "{done}");

    let secret = stage.url().replace("postgres@127.0.0.1", "app:s3cret@localhost:1/shop?x=");
    for args in [["outbox", "status", &secret], ["outbox", "init", &secret], ["outbox", "status", "mysql://a:s3cret@b"]]
    {
        let ran = stage.run(&args);
        let told = text(&ran.stdout) + &text(&ran.stderr);
        assert!(!ran.status.success() && !told.contains("s3cret"), "{args:?}: {told}");
    }
}

/// The SQL for migrations of one's own needs no database.
#[test]
fn the_sql_is_printed_for_either_database() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let printed = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        let ran = command.args(args).current_dir(folder.path()).env_remove("LOVAGE_OUTBOX__URL").output();
        text(&ran.expect("the binary runs").stdout)
    };
    assert!(printed(&["outbox", "init", "--print"]).contains("bigint GENERATED ALWAYS AS IDENTITY"));
    assert!(printed(&["outbox", "init", "--print", "spool.db"]).contains("AUTOINCREMENT"));
    assert!(!folder.path().join("spool.db").exists());
}

/// A worker may relay beside its work.
#[tokio::test]
async fn a_worker_relays_what_is_there_and_runs_it() {
    let stage = Stage::with_postgres();
    stage.json(0, &["outbox", "init"]);
    stage.sql("INSERT INTO lovage_outbox (id, queue, kind) VALUES ('a', 'mail', 'debug.noop')".into()).await;
    let ran = stage.run(&["worker", "--queues", "mail", "--relay-outbox", "--exit-when-empty"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert_eq!(stage.json(0, &["job", "get", "a"])["state"], "completed");
}

/// A producer's job survives an outage of Redis, and a relay that is killed while it sends the spool doubles none.
#[tokio::test]
async fn row_18_a_spooled_job_is_sent_when_redis_is_back() {
    let mut stage = Stage::new();
    let enqueue = ["job", "enqueue", "debug.noop", "-Q", "mail", "--spool", "spool.db"];
    let direct = stage.json(0, &enqueue);
    assert_eq!(direct["status"], "enqueued");
    stage.redis.stop();
    let spooled = stage.json(0, &enqueue);
    assert_eq!(spooled["status"], "spooled");
    let told = text(&stage.run(&[&enqueue[..], &["--id", "mine"]].concat()).stdout);
    assert!(
        told.contains("Job mine for queue mail is spooled, it will be sent by `lovage outbox relay spool.db`"),
        "{told}"
    );
    let bad = stage.run(&[&enqueue[..], &["--timeout", "0s"]].concat());
    assert_eq!(bad.status.code(), Some(2), "a mistake is told at once: {}", text(&bad.stderr));
    assert_eq!(stage.json(0, &["outbox", "status", "spool.db"])["waiting"], 2);
    stage.redis.restart();
    assert_eq!(stage.json(0, &enqueue)["status"], "spooled", "it goes behind what waits");
    assert_eq!(stage.json(0, &["outbox", "relay", "spool.db", "--once"])["enqueued"], 3);
    let enqueued = stage.enqueued("mail").await;
    assert_eq!((enqueued.len(), enqueued["mine"]), (3, 1));
    assert!(enqueued.contains_key(spooled["id"].as_str().expect("an id")));
}

/// Row 01: kill -9 in the middle of the replay of a spool.
#[tokio::test]
async fn row_01_kill_9_while_a_spool_is_sent_doubles_nothing() {
    let stage = Stage::new();
    stage.json(0, &["outbox", "init", "spool.db"]);
    let rows: Vec<_> = (0..10_000).map(|n| format!("('row-{n}', 'mail', 'debug.noop')")).collect();
    let sql = format!("INSERT INTO lovage_outbox (id, queue, kind) VALUES {}", rows.join(", "));
    let url = format!("sqlite:{}", stage.folder.path().join("spool.db").display());
    let mut file = sqlx::SqliteConnection::connect(&url).await.expect("the file opens");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut file).await.expect("inserted");
    for round in 1..=3 {
        let mut relay = stage.start("killed", &["outbox", "relay", "spool.db"]);
        stage.until("some have arrived", "mail", |counts| counts.available >= round * 2_000).await;
        relay.signal(Signal::Kill);
        relay.ended(PATIENCE).await;
    }
    stage.until("the kills struck in the middle", "mail", |counts| counts.available < 10_000).await;
    stage.json(0, &["outbox", "relay", "spool.db", "--once"]);
    let enqueued = stage.enqueued("mail").await;
    assert!(enqueued.len() == 10_000 && enqueued.values().all(|count| *count == 1), "{}", enqueued.len());
}

/// Row 16: with `outbox.confirm_after` a job that Redis has confirmed and lost is enqueued again.
#[tokio::test]
async fn row_16_a_confirmed_job_that_redis_lost_is_sent_again() {
    let mut stage = Stage::with_postgres();
    stage.json(0, &["outbox", "init"]);
    stage.sql("INSERT INTO lovage_outbox (id, queue, kind) VALUES ('a', 'mail', 'debug.noop')".into()).await;
    let relay = ["--set", "outbox.confirm_after=1h", "outbox", "relay", "--once"];
    assert_eq!(stage.json(0, &relay)["enqueued"], 1);
    assert_eq!(stage.json(0, &["outbox", "status"])["unconfirmed"], 1);
    stage.redis.restart();
    assert_eq!(stage.json(3, &["job", "get", "a", "-Q", "mail"]), Value::Null, "it is lost");
    assert_eq!(stage.json(0, &relay)["resent"], 0, "the hour is not over");
    stage.sql("UPDATE lovage_outbox SET due_at = now()".into()).await;
    assert_eq!(stage.json(0, &relay)["resent"], 1);
    assert_eq!(stage.json(0, &["outbox", "status"])["unconfirmed"], 0, "it is not asked for a third time");
    assert_eq!(stage.enqueued("mail").await["a"], 1);
}
