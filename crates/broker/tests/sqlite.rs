//! What only the embedded broker can get wrong: its file, its group commit, its locks between processes.
//!
//! Some tests need a second process. It is this same test binary, started with the one test `child`, in a folder that
//! holds the database and a file `role` that says what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    BrokerError, BulkAction, Control, EnqueueOutcome, Finish, HeldLease, LeaseStatus, NewPause, Operator as _,
    Producer as _, Reader as _, SqliteBroker, SqliteConfig, Wake, WorkerSide as _,
};
use lovage_core::{
    AttemptError, ErrorClass, Hold, JobId, Limits, ManualClock, NewJob, QueueName, Rate, State, Timestamp, Transition,
    Unique, WorkerId, WorkerState, WorkerView,
};
use lovage_testkit::{Process, Signal, eventually};
use sqlx::Connection as _;

const LEASE: Duration = Duration::from_secs(30);
/// Longer than anything here may take; only a broken build waits so long.
const LONG: Duration = Duration::from_mins(1);
const FILE: &str = "lovage.db";

fn queue() -> QueueName {
    "exports".parse().unwrap()
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

fn job(n: usize) -> NewJob {
    NewJob::new(queue(), "debug.noop".parse().unwrap(), &serde_json::json!({ "n": n })).unwrap()
}

async fn open(folder: &Path) -> SqliteBroker {
    SqliteBroker::open(SqliteConfig::new(folder.join(FILE))).await.unwrap()
}

async fn add(broker: &SqliteBroker, job: NewJob) -> JobId {
    broker.enqueue(vec![job]).await.unwrap().remove(0).id().unwrap().clone()
}

async fn raw(folder: &Path) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join(FILE)).create_if_missing(true);
    sqlx::SqliteConnection::connect_with(&options).await.unwrap()
}

async fn slots(broker: &SqliteBroker, subject: &str, count: u32) {
    let limits = Limits { concurrency: Some(count), ..Limits::default() };
    broker.limit(&queue(), &subject.parse().unwrap(), &limits).await.unwrap();
}

fn complete(lease: HeldLease) -> Finish {
    Finish { lease, transition: Transition::Complete { result: None } }
}

/// Claims and completes until the queue is empty; answers the ids in order.
async fn drain(broker: &SqliteBroker, batch: usize) -> Vec<JobId> {
    let mut done = Vec::new();
    loop {
        let jobs = broker.claim(&queue(), &worker(), batch, LEASE).await.unwrap().jobs;
        if jobs.is_empty() {
            return done;
        }
        done.extend(jobs.iter().map(|job| job.id.clone()));
        let items = jobs.into_iter().map(|job| complete(HeldLease { id: job.id, token: job.token })).collect();
        let statuses = broker.finish(&queue(), &worker(), items).await.unwrap();
        assert!(statuses.into_iter().all(|status| status == LeaseStatus::Held));
    }
}

// ------------------------------------------------------------------------------------------- several processes

/// The second process.
#[tokio::test]
async fn child() {
    let Ok(role) = std::fs::read_to_string("role") else { return };
    match role.as_str() {
        "drain" => {
            let broker = open(Path::new(".")).await;
            broker.wait(&["start".parse().unwrap()], &worker(), LONG).await.unwrap();
            drain(&broker, 7).await.iter().for_each(|id| println!("id {id}"));
        }
        "enqueue" => {
            let broker = open(Path::new(".")).await;
            for n in 0.. {
                println!("id {}", add(&broker, job(n)).await);
            }
        }
        "one" => println!("id {}", add(&open(Path::new(".")).await, job(1)).await),
        "read-only" => {
            let error = match SqliteBroker::open(SqliteConfig::new(FILE)).await {
                Ok(broker) => broker.enqueue(vec![job(1)]).await.unwrap_err(),
                Err(error) => error,
            };
            println!("transient {}: {error}", error.is_transient());
        }
        other => panic!("no such role: {other}"),
    }
}

fn start_child(folder: &Path, role: &str) -> Process {
    std::fs::write(folder.join("role"), role).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).current_dir(folder);
    Process::start(command, &folder.join("child.log"))
}

fn printed(child: &Process) -> Vec<JobId> {
    // The last line may be half of one.
    let output = child.output();
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.split_once("id ")?.1.parse().ok()).collect()
}

/// Row 01: two processes drain one queue, each job once.
#[tokio::test]
async fn row_01_two_processes_share_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let outcomes = broker.enqueue((0..2_000).map(job).collect()).await.unwrap();
    let all: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.id().unwrap().clone()).collect();
    let mut child = start_child(folder.path(), "drain");
    let mut go = job(0);
    go.queue = "start".parse().unwrap();
    add(&broker, go).await;
    let mine = drain(&broker, 7).await;
    assert!(child.ended(LONG).await.success(), "{}", child.output());
    let theirs = printed(&child);
    assert_eq!(mine.len() + theirs.len(), all.len(), "none twice");
    assert_eq!(mine.into_iter().chain(theirs).collect::<BTreeSet<_>>(), all, "none lost");
    assert_eq!(broker.queue(&queue()).await.unwrap().counts.completed, 2_000);
}

/// Row 01: what was answered is there after a kill -9, and the file is sound.
#[tokio::test]
async fn row_01_a_killed_process_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start_child(folder.path(), "enqueue");
    eventually("the child enqueues", LONG, async || (printed(&child).len() >= 50).then_some(())).await;
    child.signal(Signal::Kill);
    child.ended(LONG).await;
    let broker = open(folder.path()).await;
    let ids = printed(&child);
    for id in &ids {
        assert_eq!(broker.job(None, id).await.unwrap().unwrap().state, State::Available);
    }
    let available = broker.queue(&queue()).await.unwrap().counts.available;
    assert!(available >= ids.len() as u64, "at most the unanswered one more");
    assert_eq!(drain(&broker, 100).await.len() as u64, available, "the count is that of the rows");
    let findings = broker.diagnose().await.unwrap();
    assert!(findings.iter().any(|(name, finding, _)| name == "integrity" && finding == "ok"), "{findings:?}");
}

#[tokio::test]
async fn a_job_from_another_process_wakes_a_waiting_worker() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let mut child = start_child(folder.path(), "one");
    assert_eq!(broker.wait(&[queue()], &worker(), LONG).await.unwrap(), Wake::Queue(queue()));
    assert!(child.ended(LONG).await.success());
    let claimed = broker.claim(&queue(), &worker(), 1, LEASE).await.unwrap().jobs;
    assert_eq!(claimed[0].id, printed(&child)[0]);
}

/// The superuser may write everywhere, so the child runs as nobody.
#[tokio::test]
async fn a_read_only_file_is_unavailable_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    let file = folder.path().join(FILE);
    // The writer ends a moment after its broker; what it still has open cannot be opened by somebody else.
    let log = folder.path().join(format!("{FILE}-wal"));
    eventually("the writer ends", LONG, async || (!log.exists()).then_some(())).await;
    std::fs::write(folder.path().join("role"), "read-only").unwrap();
    let binary = folder.path().join("test-binary");
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o444)).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let mut command = Command::new(&binary);
    command.args(["--exact", "child", "--nocapture"]).current_dir(folder.path());
    if std::fs::File::options().write(true).open(&file).is_ok() {
        command.uid(65_534).gid(65_534);
    }
    let mut child = Process::start(command, &folder.path().join("child.log"));
    child.ended(LONG).await;
    let output = child.output();
    assert!(output.contains("transient true: the broker is unavailable") && output.contains("read-only"), "{output}");
}

// ---------------------------------------------------------------------------------------------- group commit

#[tokio::test]
async fn commands_of_one_group_answer_each_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let nobody: JobId = "nobody".parse().unwrap();
    let calls = (0..300).map(|n| {
        let (broker, nobody) = (&broker, &nobody);
        async move {
            if n % 3 == 0 {
                let error = broker.cancel(&queue(), nobody).await.unwrap_err();
                assert!(matches!(error, BrokerError::NotFound { .. }), "{error}");
                None
            } else {
                Some(add(broker, job(n)).await)
            }
        }
    });
    let ids: BTreeSet<_> = futures::future::join_all(calls).await.into_iter().flatten().collect();
    assert_eq!(ids.len(), 200);
    assert!(drain(&broker, 1_000).await.into_iter().collect::<BTreeSet<_>>() == ids, "each call that was answered");
}

/// A full disk, played by a limit of the file's size.
#[tokio::test]
async fn a_full_store_is_unavailable_and_nothing_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig { max_bytes: Some(1024 * 1024), ..SqliteConfig::new(folder.path().join(FILE)) };
    let broker = SqliteBroker::open(config).await.unwrap();
    let large = |n: usize| {
        let mut job = job(n);
        job.args = serde_json::value::to_raw_value(&"x".repeat(50_000)).unwrap();
        job
    };
    let small_first = add(&broker, job(0)).await;
    // In one group: pairs of large jobs, more than fit, and between them calls that need no room.
    let pairs = futures::future::join_all((0..20).map(|n| broker.enqueue(vec![large(n), large(n)])));
    let (queue, worker) = (queue(), worker());
    let reads = futures::future::join_all((0..20).map(|_| broker.claim(&queue, &worker, 0, LEASE)));
    let (pairs, claims) = futures::join!(pairs, reads);
    assert!(claims.into_iter().all(|claim| claim.is_ok()), "who needs no room is not harmed");
    let stored = pairs.iter().filter(|pair| pair.is_ok()).count() as u64;
    let refused = pairs.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(stored > 0 && !refused.is_empty(), "some fit, some do not");
    assert!(refused.iter().all(|error| error.is_transient() && error.to_string().contains("full")), "{refused:?}");
    let counts = broker.queue(&queue).await.unwrap().counts;
    assert_eq!(counts.available, 1 + 2 * stored, "whole pairs only");
    let mut conn = raw(folder.path()).await;
    for table in ["SELECT count(*) FROM job", "SELECT count(*) FROM spec"] {
        let rows: i64 = sqlx::query_scalar(table).fetch_one(&mut conn).await.unwrap();
        assert_eq!(rows as u64, counts.available, "{table}");
    }
    // Room again: work goes on.
    broker.bulk(&queue, State::Available, BulkAction::Delete, None).await.unwrap();
    assert!(broker.job(None, &small_first).await.unwrap().is_none());
    add(&broker, large(1)).await;
    assert_eq!(drain(&broker, 10).await.len(), 1);
}

#[tokio::test]
async fn a_batch_of_large_jobs_goes_in_whole() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let args = serde_json::value::to_raw_value(&"\u{0}\"\\naïve 中文".repeat(2_000)).unwrap();
    let jobs = (0..300).map(|n| NewJob { args: args.clone(), ..job(n) }).collect();
    let outcomes = broker.enqueue(jobs).await.unwrap();
    let claimed = broker.claim(&queue(), &worker(), 1_000, LEASE).await.unwrap().jobs;
    assert_eq!(claimed.len(), 300);
    for (outcome, job) in outcomes.iter().zip(claimed) {
        assert_eq!(outcome, &EnqueueOutcome::Enqueued(job.id));
        assert_eq!(lovage_core::JobSpec::decode(&job.spec).unwrap().args.get(), args.get());
    }
}

// ------------------------------------------------------------------------------------------------- the file

#[tokio::test]
async fn the_file_and_its_folder_are_made_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some/where/lovage.db");
    let broker = SqliteBroker::open(SqliteConfig::new(&path)).await.unwrap();
    add(&broker, job(1)).await;
    for file in ["lovage.db", "lovage.db-wal", "lovage.db-shm"] {
        let mode = std::fs::metadata(path.with_file_name(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

async fn refusal(folder: &Path) -> String {
    let error = SqliteBroker::open(SqliteConfig::new(folder.join(FILE))).await.unwrap_err();
    assert!(matches!(error, BrokerError::Misconfigured(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(FILE), "names the file: {text}");
    text
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let content = "this is not a database, but it is longer than a header".repeat(100);
    std::fs::write(folder.path().join(FILE), &content).unwrap();
    assert!(refusal(folder.path()).await.contains("not a SQLite database"));
    assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), content);
}

/// Row 26: after a rolling upgrade an old release must not touch what a newer one wrote.
#[tokio::test]
async fn row_26_a_newer_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    sqlx::query("PRAGMA user_version = 99").execute(&mut raw(folder.path()).await).await.unwrap();
    let text = refusal(folder.path()).await;
    assert!(text.contains("version 99") && text.contains("newer release"), "{text}");
}

/// Row 26: a file of the release before is taken over with all that is in it.
#[tokio::test]
async fn row_26_a_file_of_version_1_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = raw(folder.path()).await;
    sqlx::raw_sql(include_str!("golden/sqlite-v1.sql")).execute(&mut conn).await.unwrap();
    // 0 is available without a tenant, 1 and 2 are a tenant's, 3 is scheduled, 4 cannot be read, 5 is done.
    sqlx::raw_sql(
        r#"INSERT INTO queue (key, name, place, scheduled, available, completed) VALUES (1, 'exports', 100, 1, 4, 1);
           INSERT INTO job (seq, queue, id, state, sort, place, priority, enqueued_at, since)
           VALUES (1, 1, 'job-0', 1, 11, 11, 0, 0, 0), (2, 1, 'job-1', 1, 12, 12, 0, 0, 0),
                  (3, 1, 'job-2', 1, 13, 13, 0, 0, 0), (4, 1, 'job-3', 0, 1, 14, 0, 0, 0),
                  (5, 1, 'job-4', 1, 15, 15, 0, 0, 0), (6, 1, 'job-5', 4, 16, 16, 0, 0, 0);
           INSERT INTO spec (seq, text) VALUES
           (1, '{"v":1,"kind":"debug.noop","args":{}}'),
           (2, '{"v":1,"kind":"debug.noop","args":{},"tenant":"acme"}'),
           (3, '{"v":1,"kind":"debug.noop","args":{},"tenant":"acme"}'),
           (4, '{"v":1,"kind":"debug.noop","args":{},"tenant":"acme"}'),
           (5, 'garbage'), (6, '{"v":1,"kind":"debug.noop","args":{},"tenant":"acme"}');"#,
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
    let broker = open(folder.path()).await;
    slots(&broker, "tenant:acme", 1).await;
    let flow = broker.flow(&queue(), None, 10).await.unwrap();
    assert_eq!((flow[0].used, flow[0].waiting), (Some(0), Some(3)));
    let claim = broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap().jobs;
    let ids: BTreeSet<_> = claim.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["job-0", "job-1", "job-4"]), "the tenant has one slot");
    slots(&broker, "tenant:acme", 5).await;
    assert_eq!(broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap().jobs.len(), 2, "the scheduled one is due");
    let counts = broker.queue(&queue()).await.unwrap().counts;
    assert_eq!((counts.available, counts.running, counts.completed), (0, 5, 1));
    drop(broker);
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut raw(folder.path()).await).await.unwrap();
    assert_eq!(version, 4);
}

/// Row 26: the same for version 2, where tenants have lanes.
#[tokio::test]
async fn row_26_a_file_of_version_2_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = raw(folder.path()).await;
    sqlx::raw_sql(include_str!("golden/sqlite-v2.sql")).execute(&mut conn).await.unwrap();
    // 0 is available without a tenant, 1 is a tenant's, 2 waits for a retry of its, 3 runs with a slot of its key.
    sqlx::raw_sql(
        r#"INSERT INTO queue (key, name, place, token, available, running, retryable, laned)
           VALUES (1, 'exports', 100, 1, 2, 1, 1, 1);
           INSERT INTO lane (key, queue, tenant, gate, jobs, waiting, ready) VALUES (1, 1, 'acme', '', 1, 2, 1);
           INSERT INTO job (seq, queue, id, state, sort, place, priority, token, enqueued_at, since, kind, tenant, flow_key,
           lane, slot) VALUES (1, 1, 'job-0', 1, 11, 11, 0, 0, 0, 0, 'debug.noop', NULL, NULL, 0, 0),
                  (2, 1, 'job-1', 7, 12, 12, 0, 0, 0, 0, 'debug.noop', 'acme', NULL, 1, 0),
                  (3, 1, 'job-2', 3, 1, 13, 0, 0, 0, 0, 'debug.noop', 'acme', NULL, 0, 0),
                  (4, 1, 'job-3', 2, 9000000000000, 14, 0, 1, 0, 0, 'debug.noop', NULL, 'k', 0, 1);
           INSERT INTO spec (seq, text) VALUES (1, '{"v":1,"kind":"debug.noop","args":{}}'),
           (2, '{"v":1,"kind":"debug.noop","args":{},"tenant":"acme"}'),
           (3, '{"v":1,"kind":"debug.noop","args":{},"tenant":"acme"}'),
           (4, '{"v":1,"kind":"debug.noop","args":{},"key":"k"}');"#,
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
    let broker = open(folder.path()).await;
    let claim = broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap().jobs;
    let ids: BTreeSet<_> = claim.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["job-0", "job-1", "job-2"]));
    let held = HeldLease { id: "job-3".parse().unwrap(), token: 1 };
    let ends = vec![Finish { lease: held, transition: Transition::Complete { result: None } }];
    assert_eq!(broker.finish(&queue(), &worker(), ends).await.unwrap(), [LeaseStatus::Held]);
    drop(broker);
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut raw(folder.path()).await).await.unwrap();
    assert_eq!(version, 4);
}

/// Row 26: the same for version 3, which knows nothing of recorders.
#[tokio::test]
async fn row_26_a_file_of_version_3_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = raw(folder.path()).await;
    sqlx::raw_sql(include_str!("golden/sqlite-v3.sql")).execute(&mut conn).await.unwrap();
    // 0 is done since 1970, 1 is available, and both have their events.
    sqlx::raw_sql(
        r#"INSERT INTO queue (key, name, place, token, event, available, completed) VALUES (1, 'exports', 100, 1, 4, 1, 1);
           INSERT INTO job (seq, queue, id, state, sort, place, priority, attempt, token, enqueued_at, since)
           VALUES (1, 1, 'job-0', 4, 11, 11, 0, 1, 1, 0, 0), (2, 1, 'job-1', 1, 12, 12, 0, 0, 0, 0, 0);
           INSERT INTO spec (seq, text) VALUES (1, '{"v":1,"kind":"debug.noop","args":{}}'),
           (2, '{"v":1,"kind":"debug.noop","args":{}}');
           INSERT INTO event (queue, last, count, at, body) VALUES
           (1, 2, 2, 5, '[["job-0","enqueued","available",0,null,null],["job-1","enqueued","available",0,null,null]]'),
           (1, 4, 2, 7, '[["job-0","claimed","running",1,"w1",null],["job-0","finished","completed",1,"w1",null]]');"#,
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
    let broker = open(folder.path()).await;
    assert_eq!(broker.events(&queue(), None, 10).await.unwrap().events.len(), 4);
    broker.recorded(&queue(), "2").await.unwrap();
    assert_eq!(broker.sweep(&queue()).await.unwrap().pruned, 0, "its end is not recorded");
    broker.recorded(&queue(), "4").await.unwrap();
    assert_eq!(broker.sweep(&queue()).await.unwrap().pruned, 1);
    assert_eq!(broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap().jobs.len(), 1);
    drop(broker);
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut raw(folder.path()).await).await.unwrap();
    assert_eq!(version, 4);
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    sqlx::query("CREATE TABLE customers (id INTEGER)").execute(&mut raw(folder.path()).await).await.unwrap();
    assert!(refusal(folder.path()).await.contains("another program"));
}

#[tokio::test]
async fn many_handles_may_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let brokers = futures::future::join_all((0..8).map(|_| open(folder.path()))).await;
    let added = futures::future::join_all(brokers.iter().enumerate().map(|(n, broker)| add(broker, job(n)))).await;
    assert_eq!(drain(&brokers[3], 100).await.into_iter().collect::<BTreeSet<_>>(), added.into_iter().collect());
}

// ---------------------------------------------------------------------------------------------- what is stored

#[tokio::test]
async fn a_job_that_cannot_be_read_is_handed_out_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let id = add(&broker, job(1)).await;
    sqlx::query("UPDATE spec SET text = 'garbage'").execute(&mut raw(folder.path()).await).await.unwrap();
    let view = broker.job(None, &id).await.unwrap().unwrap();
    assert!(view.kind.is_none() && view.args.is_none());
    assert_eq!(broker.claim(&queue(), &worker(), 1, LEASE).await.unwrap().jobs[0].spec, "garbage");
}

/// Row 19: a job that fails for ever does not grow for ever.
#[tokio::test]
async fn row_19_the_last_errors_of_a_job_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let id = add(&broker, job(1)).await;
    for attempt in 1..=40 {
        let job = broker.claim(&queue(), &worker(), 1, LEASE).await.unwrap().jobs.remove(0);
        let error = AttemptError::new(ErrorClass::Failed, &format!("failure {attempt} with a \0 in it"));
        let transition = Transition::Retry { delay: Duration::ZERO, error };
        let items = vec![Finish { lease: HeldLease { id: job.id, token: job.token }, transition }];
        broker.finish(&queue(), &worker(), items).await.unwrap();
    }
    let errors = broker.job(None, &id).await.unwrap().unwrap().errors;
    assert_eq!(errors.iter().map(|error| error.attempt).collect::<Vec<_>>(), (16..=40).collect::<Vec<_>>());
    assert_eq!(errors[24].message, "failure 40 with a \0 in it");
}

/// Rows 19 and 22: a key that is held for its time leaves nothing behind.
#[tokio::test]
async fn row_22_a_lock_that_outlives_its_job_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_772_323_200_000)));
    let config = SqliteConfig { clock: clock.clone(), ..SqliteConfig::new(folder.path().join(FILE)) };
    let broker = SqliteBroker::open(config).await.unwrap();
    let mut once = job(1);
    once.unique = Some(Unique { hold: Hold::Ttl, ttl_ms: 60_000, ..Unique::key("daily") });
    add(&broker, once).await;
    drain(&broker, 1).await;
    let mut conn = raw(folder.path()).await;
    let mut locks = async || sqlx::query_scalar("SELECT count(*) FROM unique_lock").fetch_one(&mut conn).await.unwrap();
    broker.sweep(&queue()).await.unwrap();
    let left: i64 = locks().await;
    assert_eq!(left, 1, "its time is not over");
    clock.advance(Duration::from_mins(1));
    broker.sweep(&queue()).await.unwrap();
    let left: i64 = locks().await;
    assert_eq!(left, 0);
}

/// Row 21: a claim looks at a bounded number of jobs that are held back, and no claim looks at them again.
#[tokio::test]
async fn row_21_what_is_held_back_is_put_aside_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    slots(&broker, "key:smtp", 0).await;
    for chunk in 0..3 {
        let jobs = (0..3_000).map(|n| NewJob { key: Some("smtp".parse().unwrap()), ..job(3_000 * chunk + n) });
        broker.enqueue(jobs.collect()).await.unwrap();
    }
    let mut conn = raw(folder.path()).await;
    let mut aside = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM job WHERE state = 7").fetch_one(&mut conn).await.unwrap()
    };
    let mut before = 0;
    while before < 9_000 {
        let claim = broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap();
        let now = aside().await;
        assert!(claim.jobs.is_empty() && now > before && now - before <= 4_000, "{before} to {now}");
        before = now;
    }
    let claim = broker.claim(&queue(), &worker(), 10, LEASE).await.unwrap();
    assert!(claim.jobs.is_empty() && claim.next_in.is_none(), "nothing but an edit lets them go on");
    let free = add(&broker, job(0)).await;
    assert_eq!(drain(&broker, 10).await, [free]);
    slots(&broker, "key:smtp", 1_000).await;
    assert_eq!(drain(&broker, 1_000).await.len(), 9_000);
}

/// Row 19: lanes of tenants and keys that are gone, full buckets and pauses that are over leave nothing behind.
#[tokio::test]
async fn row_19_flow_control_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_772_323_200_000)));
    let config = SqliteConfig { clock: clock.clone(), ..SqliteConfig::new(folder.path().join(FILE)) };
    let broker = SqliteBroker::open(config).await.unwrap();
    for star in ["tenant:*", "key:*"] {
        let rate = Some(Rate { count: 1, per_ms: 1_000, burst: None });
        broker.limit(&queue(), &star.parse().unwrap(), &Limits { rate, ..Limits::default() }).await.unwrap();
    }
    let until = Some(Timestamp::from_millis(1_772_323_200_500));
    let pause = NewPause { by: "ada".into(), why: "a reason".into(), until };
    broker.pause(&queue(), &"kind:other".parse().unwrap(), &pause).await.unwrap();
    let jobs = (0..400).map(|n| NewJob {
        tenant: Some(format!("t{}", n / 2).parse().unwrap()),
        key: Some(format!("k{}", n / 2).parse().unwrap()),
        ..job(n)
    });
    broker.enqueue(jobs.collect()).await.unwrap();
    assert_eq!(drain(&broker, 100).await.len(), 200, "one of each tenant");
    clock.advance(Duration::from_secs(1));
    assert_eq!(drain(&broker, 100).await.len(), 200);
    let mut conn = raw(folder.path()).await;
    let mut rows = async |table: &'static str| -> i64 { sqlx::query_scalar(table).fetch_one(&mut conn).await.unwrap() };
    assert_eq!(rows("SELECT count(*) FROM bucket").await, 400);
    clock.advance(Duration::from_secs(1));
    broker.sweep(&queue()).await.unwrap();
    assert_eq!(rows("SELECT count(*) FROM bucket").await, 0);
    assert_eq!(rows("SELECT count(*) FROM flow").await, 2, "the two limits");
    assert_eq!(rows("SELECT count(*) FROM lane WHERE tenant <> ''").await, 0);
}

/// Row 09: a clock that is set back reorders nothing and makes nobody wait for the lost time.
#[tokio::test]
async fn row_09_time_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let start = Timestamp::from_millis(1_772_323_200_000);
    let clock = Arc::new(ManualClock::starting_at(start));
    let config = SqliteConfig { clock: clock.clone(), ..SqliteConfig::new(folder.path().join(FILE)) };
    let broker = SqliteBroker::open(config).await.unwrap();
    let first = add(&broker, job(1)).await;
    clock.set(Timestamp::from_millis(start.as_millis() - 3_600_000));
    let second = add(&broker, job(2)).await;
    assert_eq!(broker.job(None, &second).await.unwrap().unwrap().enqueued_at, start);
    let jobs = broker.claim(&queue(), &worker(), 2, LEASE).await.unwrap().jobs;
    assert_eq!([&jobs[0].id, &jobs[1].id], [&first, &second]);
    assert!(jobs[1].token > jobs[0].token);
}

// ----------------------------------------------------------------------------------------------------- waiting

/// A wait that is dropped half-way (a `select!` took another branch) takes no message with it.
#[tokio::test]
async fn a_dropped_wait_loses_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let view = WorkerView {
        id: worker(),
        host: "box-1".into(),
        pid: 7,
        version: "0.1.0".into(),
        queues: std::collections::BTreeMap::new(),
        slots: 1,
        busy: 0,
        state: WorkerState::Running,
        started_at: Timestamp::from_millis(0),
        seen_at: Timestamp::from_millis(0),
    };
    broker.heartbeat(&view).await.unwrap();
    broker.control(&worker(), Control::Quiet).await.unwrap();
    for polls in 1..30 {
        let worker = worker();
        let wait = broker.wait(&[], &worker, LONG);
        tokio::pin!(wait);
        for _ in 0..polls {
            if let std::task::Poll::Ready(wake) = futures::poll!(&mut wait) {
                assert_eq!(wake.unwrap(), Wake::Control(Control::Quiet));
                let next = broker.wait(&[], &worker, Duration::from_millis(20)).await.unwrap();
                assert_eq!(next, Wake::Timeout, "once only");
                return;
            }
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(broker.wait(&[], &worker(), LONG).await.unwrap(), Wake::Control(Control::Quiet));
}

#[tokio::test]
async fn a_job_that_becomes_due_wakes_a_waiting_worker() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let (queues, worker) = ([queue()], worker());
    let waiting = broker.wait(&queues, &worker, LONG);
    let enqueueing = async {
        let mut later = job(1);
        later.delay_ms = Some(100);
        add(&broker, later).await
    };
    let (woken, id) = futures::join!(waiting, enqueueing);
    assert_eq!(woken.unwrap(), Wake::Queue(queue()));
    let claimed = broker.claim(&queue(), &worker, 1, LEASE).await.unwrap().jobs;
    assert_eq!(claimed[0].id, id, "it is due, not early");
}
