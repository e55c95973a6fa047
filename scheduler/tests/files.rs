//! Files that nobody needs any more, and files that must not go. Rows 28 and 29 of the failures, done by the leader.
//!
//! The clock stands still until a test moves it, so each file that a test writes is given its time of change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each file of tests uses a part of it")]
mod bench;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use bench::{Bench, benches, retry};
use lovage_artifacts::{
    ArtifactStore, AttemptKey, LeaseCheck, LeaseLost, MANIFEST_VERSION, Manifest, Staged, StoreConfig,
};
use lovage_broker::{Broker, BrokerError, ClaimedJob, Connect};
use lovage_core::audit::AuditEvent;
use lovage_core::{JobId, Timestamp, Transition};
use lovage_scheduler::{Duty as _, DutyError, Files, Metrics, Scheduler};
use lovage_testkit::{Fault, FaultyBroker, Point, eventually};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A bench with a store of files.
struct Room {
    bench: Bench,
    store: ArtifactStore,
    folder: TempDir,
}

async fn rooms() -> Vec<Room> {
    let room = |bench| {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(&StoreConfig::new(folder.path().to_str().unwrap())).unwrap();
        Room { bench, store, folder }
    };
    let benches = benches().await;
    for bench in &benches {
        assert_eq!(bench.ledger.begin_term().await.unwrap(), 1);
    }
    benches.into_iter().map(room).collect()
}

/// A duty and what it counts.
struct Duty {
    files: Files,
    metrics: Metrics,
    registry: prometheus::Registry,
}

impl Duty {
    fn new(room: &Room, connect: &Connect) -> Self {
        Self::silent(room, &room.store, connect).map(|files| files.recorded_as("scheduler:here"))
    }

    /// One that records nothing.
    fn silent(room: &Room, store: &ArtifactStore, connect: &Connect) -> Self {
        let registry = prometheus::Registry::new();
        let metrics = Metrics::new(&registry, room.bench.clock.clone()).unwrap();
        let files = Files::new(store.clone(), connect.clone(), room.bench.ledger.clone(), metrics.clone());
        Self { files, metrics, registry }
    }

    fn map(self, change: impl FnOnce(Files) -> Files) -> Self {
        Self { files: change(self.files), ..self }
    }

    async fn run(&self) -> Result<Duration, DutyError> {
        self.files.run_once(1).await
    }

    fn number(&self, name: &str) -> u64 {
        number(&self.registry, name)
    }

    /// Orphans of the last sweep, and files that retention has deleted since the start.
    fn numbers(&self) -> (u64, u64) {
        (self.number("lovage_upload_orphans"), self.number("lovage_artifacts_expired_total"))
    }
}

fn number(registry: &prometheus::Registry, name: &str) -> u64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let metric = &family.get_metric()[0];
    (metric.get_gauge().get_value() + metric.get_counter().get_value()) as u64
}

struct Held;

#[async_trait::async_trait]
impl LeaseCheck for Held {
    async fn confirm(&self) -> Result<(), LeaseLost> {
        Ok(())
    }
}

impl Room {
    fn duty(&self) -> Duty {
        Duty::new(self, &self.bench.connect)
    }

    fn owner(&self, job: &str, token: u64) -> AttemptKey {
        AttemptKey { queue: self.bench.queue.clone(), job: job.parse().unwrap(), attempt: 1, token }
    }

    /// Has a worker claim a job of this id.
    async fn claimed(&self, id: &str) -> ClaimedJob {
        self.bench.enqueue([id.to_owned()]).await;
        self.bench.claim(1).await.remove(0)
    }

    /// Writes a file of five bytes that is not published, now by the clock of the bench.
    async fn staged(&self, job: &str, token: u64) -> Staged {
        let staged = stage(&self.store, &self.owner(job, token)).await;
        let now = UNIX_EPOCH + Duration::from_millis(self.bench.clock_now().as_millis());
        std::fs::File::options().write(true).open(self.path(&staged.key)).unwrap().set_modified(now).unwrap();
        staged
    }

    /// Publishes a file that is to be kept until then; answers its key.
    async fn published(&self, job: &str, until: Option<Timestamp>) -> String {
        let staged = self.staged(job, 1).await;
        publish(&self.store, self.owner(job, 1), staged, until).await
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    fn there(&self, key: &str) -> bool {
        self.path(key).exists()
    }

    /// Actor, action, target and details of each record of the audit trail.
    async fn trail(&self) -> Vec<(String, String, String, String)> {
        let records = self.bench.ledger.records("", 1, u64::MAX >> 1, 100).await.unwrap();
        let shown = |event: AuditEvent| {
            (event.actor, event.action, event.target.unwrap_or_default(), event.metadata.unwrap_or_default())
        };
        records.into_iter().map(|record| shown(record.event)).collect()
    }

    async fn discard(&self, job: &str) {
        self.bench.broker.discard(&self.bench.queue, &job.parse().unwrap()).await.unwrap();
    }
}

async fn stage(store: &ArtifactStore, owner: &AttemptKey) -> Staged {
    let mut writer = store.create(owner, &"data.csv".parse().unwrap(), "text/csv").unwrap();
    writer.write("1,2,3".into()).await.unwrap();
    writer.finish().await.unwrap()
}

async fn publish(store: &ArtifactStore, owner: AttemptKey, staged: Staged, until: Option<Timestamp>) -> String {
    let key = staged.key.clone();
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        queue: owner.queue,
        job: owner.job,
        kind: "export.query".parse().unwrap(),
        attempt: owner.attempt,
        token: owner.token,
        producer: "test".to_owned(),
        created_at: Timestamp::default(),
        expires_at: until,
        tenant: None,
        dataset: None,
        request_sha256: None,
        chunked: false,
        files: vec![staged.into_file(Some(1), Vec::new(), None)],
    };
    store.publish(manifest, &Held).await.unwrap();
    key
}

fn record(details: &str) -> (String, String, String, String) {
    ("scheduler:here".to_owned(), "artifact.expire".to_owned(), "artifacts".to_owned(), details.to_owned())
}

#[tokio::test]
async fn what_a_killed_attempt_left_goes_when_it_is_old_and_its_job_has_ended() {
    for room in rooms().await {
        let (killed, lost, failed) =
            (room.claimed("killed").await, room.claimed("lost").await, room.claimed("failed").await);
        let orphan = room.staged("killed", killed.token).await.key;
        let of_live = [room.staged("lost", lost.token).await.key, room.staged("failed", failed.token).await.key];
        let of_none = room.staged("never-heard-of", 1).await.key;
        let published = room.published("done", None).await;
        // Another attempt has ended the job; that one left nothing.
        room.bench.finish(&killed, Transition::Complete { result: None }).await;
        room.bench.finish(&failed, retry("again")).await;

        let duty = room.duty();
        assert_eq!(duty.run().await.unwrap(), 6 * HOUR, "{}", room.bench.name);
        room.bench.advance(DAY);
        assert_eq!(duty.run().await.unwrap(), 6 * HOUR);
        assert!(room.there(&orphan) && room.there(&of_none), "they are a day old, not older");
        assert_eq!(duty.numbers(), (0, 0));

        room.bench.advance(HOUR);
        duty.run().await.unwrap();
        assert!(!room.there(&orphan) && !room.there(&of_none));
        assert!(of_live.iter().all(|key| room.there(key)), "one runs as far as anybody knows, one is tried again");
        assert!(room.there(&published));
        assert_eq!(duty.numbers(), (2, 0));
        duty.run().await.unwrap();
        assert_eq!(duty.numbers(), (0, 0), "the second time finds nothing");

        room.discard("failed").await;
        room.duty().run().await.unwrap();
        assert_eq!(of_live.map(|key| room.there(&key)), [true, false], "it has ended meanwhile");
        assert!(room.there(&published));
        assert_eq!(room.trail().await, [], "nobody's published file went");
    }
}

#[tokio::test]
async fn files_go_when_their_time_is_over_and_the_audit_trail_says_so() {
    for room in rooms().await {
        let start = room.bench.clock_now();
        let soon =
            [room.published("a", Some(start.plus(HOUR))).await, room.published("b", Some(start.plus(HOUR))).await];
        let later = room.published("c", Some(start.plus(2 * HOUR))).await;
        let ever = room.published("d", None).await;
        let held = room.published("e", Some(start)).await;
        room.store.hold(&room.bench.queue, &"e".parse().unwrap(), Some("case 7"), start).await.unwrap();
        let newer = room.published("f", Some(start)).await;
        let manifest = room.path("jobs/exports/f/manifest.json");
        let text = std::fs::read_to_string(&manifest).unwrap().replace("\"version\": 1", "\"version\": 2");
        std::fs::write(&manifest, text).unwrap();

        let duty = room.duty();
        duty.run().await.unwrap();
        assert!(soon.iter().chain([&later, &ever, &held, &newer]).all(|key| room.there(key)), "{}", room.bench.name);
        assert_eq!((duty.numbers(), room.trail().await), ((0, 0), vec![]));

        room.bench.advance(HOUR);
        duty.run().await.unwrap();
        assert!(soon.iter().all(|key| !room.there(key)));
        assert!([&later, &ever, &held, &newer].iter().all(|key| room.there(key)));
        let first = record(r#"{"bytes":10,"jobs":2}"#);
        assert_eq!((duty.numbers(), room.trail().await), ((0, 2), vec![first.clone()]));
        // By the next leader, too.
        duty.run().await.unwrap();
        room.duty().run().await.unwrap();
        assert_eq!(room.trail().await, std::slice::from_ref(&first), "the second time adds nothing");

        room.bench.advance(HOUR);
        duty.run().await.unwrap();
        assert_eq!([&later, &ever, &held, &newer].map(|key| room.there(key)), [false, true, true, true]);
        assert_eq!(room.trail().await, [first, record(r#"{"bytes":5,"jobs":1}"#)]);
        assert_eq!(duty.numbers(), (0, 3));
    }
}

#[tokio::test]
async fn without_an_audit_trail_files_go_all_the_same() {
    for room in rooms().await {
        let file = room.published("a", Some(room.bench.clock_now())).await;
        let duty = Duty::silent(&room, &room.store, &room.bench.connect);
        duty.run().await.unwrap();
        assert!(!room.there(&file));
        assert_eq!(room.trail().await, []);
    }
}

#[tokio::test]
async fn an_empty_store_is_no_error() {
    for room in rooms().await {
        let duty = room.duty();
        assert_eq!(duty.run().await.unwrap(), 6 * HOUR);
        assert_eq!(duty.numbers(), (0, 0));
    }
}

/// Row 29 the other way round: whoever does not know whether a job runs leaves its files alone.
#[tokio::test]
async fn a_broker_that_does_not_answer_keeps_files_and_is_not_asked_again() {
    for room in rooms().await {
        let orphans = [room.staged("dead-1", 1).await.key, room.staged("dead-2", 1).await.key];
        let over = room.published("over", Some(room.bench.clock_now())).await;
        room.bench.advance(2 * DAY);
        let asked = Arc::new(AtomicUsize::new(0));
        let (inner, count) = (Arc::clone(&room.bench.broker), Arc::clone(&asked));
        let deaf: Connect = Arc::new(move || {
            let (inner, count) = (Arc::clone(&inner), Arc::clone(&count));
            let plan = Arc::new(move |point| match point {
                Point::BeforeLook => {
                    count.fetch_add(1, Ordering::Relaxed);
                    Fault::Unavailable
                }
                _ => Fault::None,
            });
            Box::pin(async move { Ok(Arc::new(FaultyBroker::new(inner, plan)) as Arc<dyn Broker>) })
        });
        let duty = Duty::new(&room, &deaf);
        let error = duty.run().await.unwrap_err();
        assert!(matches!(error, DutyError::Broker(BrokerError::Unavailable(_))), "{error}");
        assert!(orphans.iter().all(|key| room.there(key)), "{}", room.bench.name);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "a broker that is away need not be waited for a thousand times");
        assert!(!room.there(&over), "retention has no question to the broker");

        let away: Connect =
            Arc::new(|| Box::pin(async { Err(BrokerError::Unavailable("it is not there".to_owned())) }));
        let error = Duty::new(&room, &away).run().await.unwrap_err();
        assert!(matches!(error, DutyError::Broker(BrokerError::Unavailable(_))), "{error}");
        assert!(orphans.iter().all(|key| room.there(key)));

        let duty = room.duty();
        duty.run().await.unwrap();
        assert!(orphans.iter().all(|key| !room.there(key)));
        assert_eq!(room.trail().await, [record(r#"{"bytes":5,"jobs":1}"#)]);
    }
}

/// A broker that answers nonsense about one job can be asked about the others.
#[tokio::test]
async fn a_damaged_job_keeps_its_files_and_no_others() {
    for room in rooms().await.into_iter().filter(|room| room.bench.can_forget()) {
        room.bench.enqueue(["damaged".to_owned()]).await;
        room.bench.damage("damaged");
        let kept = room.staged("damaged", 1).await.key;
        let orphan = room.staged("dead", 1).await.key;
        room.bench.advance(2 * DAY);
        let error = room.duty().run().await.unwrap_err();
        assert!(matches!(error, DutyError::Broker(BrokerError::Protocol(_))), "{error}");
        assert_eq!((room.there(&kept), room.there(&orphan)), (true, false));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_deleted_keeps_no_other_and_is_told() {
    for room in rooms().await {
        let now = room.bench.clock_now();
        let stuck = room.published("stuck", Some(now)).await;
        let hold = room.path("jobs/exports/stuck/hold.json");
        std::fs::write(&hold, "nobody can read this").unwrap();
        let free = room.published("free", Some(now)).await;

        let duty = room.duty();
        let error = duty.run().await.unwrap_err();
        assert!(matches!(&error, DutyError::Other(text) if text.contains("exports/stuck")), "{error}");
        assert_eq!((room.there(&stuck), room.there(&free)), (true, false), "{}", room.bench.name);
        assert_eq!(room.trail().await, [record(r#"{"bytes":5,"jobs":1}"#)]);

        // The leader does not have the whole store read again at once.
        assert_eq!(duty.files.after_failure(), Duration::from_mins(5));
        std::fs::remove_file(&hold).unwrap();
        duty.run().await.unwrap();
        assert!(!room.there(&stuck));
        assert_eq!(room.trail().await.len(), 2);
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_deleted_and_what_was_deleted_is_recorded_later() {
    for room in rooms().await {
        let now = room.bench.clock_now();
        let first = room.published("first", Some(now)).await;
        room.bench.rename_ledger_table("audit_chains", "mislaid").await;
        let error = room.duty().run().await.unwrap_err();
        assert!(error.to_string().contains("the audit trail") && room.there(&first), "{}: {error}", room.bench.name);
        room.bench.rename_ledger_table("mislaid", "audit_chains").await;

        // It goes away between the deletion and its record.
        room.bench.rename_ledger_table("audit_events", "mislaid").await;
        let duty = room.duty();
        let error = duty.run().await.unwrap_err();
        assert!(error.to_string().contains("the audit trail") && !room.there(&first), "{error}");
        room.bench.rename_ledger_table("mislaid", "audit_events").await;
        let second = room.published("second", Some(now)).await;
        duty.run().await.unwrap();
        assert!(!room.there(&second));
        let one = record(r#"{"bytes":5,"jobs":1}"#);
        assert_eq!(room.trail().await, [one.clone(), one], "that of the first run and that of this one");
    }
}

/// The number of one who led once would stay for ever beside that of who leads now.
#[tokio::test]
async fn a_scheduler_that_leads_no_longer_shows_no_orphans() {
    for room in rooms().await {
        let orphan = room.staged("dead", 1).await.key;
        room.bench.advance(2 * DAY);
        let Duty { files, metrics, registry } = room.duty();
        let orphans = || number(&registry, "lovage_upload_orphans");
        let (connect, ledger) = (room.bench.connect.clone(), room.bench.ledger.clone());
        let scheduler = Scheduler::new("here", connect, ledger, metrics).with(Arc::new(files));
        let stop = CancellationToken::new();
        let running = tokio::spawn(scheduler.run(stop.clone()));
        eventually("the orphan is shown", 10 * SECOND, async || (orphans() > 0).then_some(())).await;
        assert!(!room.there(&orphan));
        stop.cancel();
        running.await.unwrap();
        assert_eq!(orphans(), 0);
    }
}

/// Slices end at a thousand.
#[tokio::test]
async fn more_than_a_slice_is_done_at_once_and_each_is_recorded() {
    for room in rooms().await {
        let store = ArtifactStore::open(&StoreConfig::new("memory:")).unwrap();
        // What lies in memory is as old as the machine's clock says.
        room.bench.advance(50 * 365 * DAY);
        for number in 0..10_001 {
            stage(&store, &room.owner("dead", number)).await;
            let owner = room.owner(&format!("over-{number}"), 1);
            let staged = stage(&store, &owner).await;
            publish(&store, owner, staged, Some(Timestamp::default())).await;
        }
        let duty = Duty::silent(&room, &store, &room.bench.connect).map(|files| files.recorded_as("scheduler:here"));
        duty.run().await.unwrap();
        assert_eq!(duty.numbers(), (10_001, 10_001), "{}", room.bench.name);
        let expected = [record(r#"{"bytes":50000,"jobs":10000}"#), record(r#"{"bytes":5,"jobs":1}"#)];
        assert_eq!(room.trail().await, expected);
    }
}

/// A leader may be lost at any moment: this one is dropped at each place where it waits, one after the other.
#[tokio::test]
async fn a_run_that_is_broken_off_anywhere_is_ended_by_the_next() {
    for room in rooms().await {
        let now = room.bench.clock_now();
        let live = room.claimed("live").await;
        let mut go = vec![room.staged("dead-1", 1).await.key, room.staged("dead-2", 1).await.key];
        let mut stay = vec![room.staged("live", live.token).await.key];
        for job in ["over-1", "over-2", "over-3"] {
            go.push(room.published(job, Some(now)).await);
        }
        stay.push(room.published("ever", None).await);
        room.bench.advance(2 * DAY);

        let duty = room.duty();
        let mut waits = 0;
        while unless_it_waits(waits, duty.run()).await.is_none() {
            waits += 1;
        }
        assert!(waits > 5, "{}: it was broken off often enough to mean something", room.bench.name);
        assert!(go.iter().all(|key| !room.there(key)) && stay.iter().all(|key| room.there(key)));
        for job in ["over-1", "over-2", "over-3"] {
            let job: JobId = job.parse().unwrap();
            assert!(room.store.deleted(&room.bench.queue, &job).await.unwrap().is_some(), "each has its record");
        }
        assert!(room.trail().await.len() <= 3, "nothing is told twice");
        duty.run().await.unwrap();
        assert_eq!(duty.number("lovage_upload_orphans"), 0);
    }
}

/// Drops the future when it waits for the `most`th time.
async fn unless_it_waits<T>(most: usize, future: impl Future<Output = Result<T, DutyError>>) -> Option<T> {
    let mut future = pin!(future);
    let mut waited = 0;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done.unwrap())),
        Poll::Pending if waited == most => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}
