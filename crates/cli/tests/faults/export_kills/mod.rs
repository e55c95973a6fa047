//! Exports whose workers die (rows 01, 28, 29 and 30), in every format, while the table that they read keeps changing. What is
//! left is one file that is cell by cell one state of the table, and before it is whole nobody sees it.
//!
//! No point is hit by luck. Exports of all formats run in one process (this test binary, started again with the point in its
//! environment) and come to a stop at the point: at a gate in their query, or in a call to the broker that does not return.
//! When all of them are there, as the database, the store and the broker show, the process is killed.

mod chunks;
mod race;
mod table;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lovage_artifacts::{ArtifactStore, StoreConfig, SweepOptions};
use lovage_broker::{Broker, Connect, OsEntropy, RedisBroker, RedisConfig, SystemClock};
use lovage_core::{Clock as _, JobId, NewJob, QueueName, State};
use lovage_jobs::{Dataset, Datasets, ExportRules, Services, Sources, registry};
use lovage_testkit::{Fault, FaultyBroker, Plan, Point, Process, Signal, eventually};
use lovage_worker::{Shutdown, Worker, WorkerConfig};
use serde_json::Value;

use self::table::{Exported, FORMS, Table, export, wide};
use crate::stage::{PATIENCE, Stage, files};

/// Where the exports of a process are when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    /// The jobs are claimed, nothing has begun.
    Claimed,
    /// So many percent of the rows are read, and the next one never comes.
    Rows(u64),
    /// All rows but the last, and a part of the file lies in the store.
    Parts,
    /// The file is complete, the lease is not confirmed yet.
    Uploaded,
    /// The lease is confirmed, the manifest is not written.
    Confirmed,
    /// The manifest is written, the broker does not know it.
    Published,
}

/// The two with long leases come first, so that these run out while the others are killed.
const SPOTS: [Spot; 10] = [
    Spot::Uploaded,
    Spot::Confirmed,
    Spot::Claimed,
    Spot::Rows(0),
    Spot::Rows(25),
    Spot::Rows(50),
    Spot::Rows(75),
    Spot::Rows(100),
    Spot::Parts,
    Spot::Published,
];

/// Characters that fill each row where no part is wanted: several batches and pieces of a file.
const NARROW: u64 = 450;
/// A part of a file in the store.
const PART: u64 = 8 << 20;
/// A lease in whose first half, when nobody renews it, an export comes to its end.
const LONG: Duration = Duration::from_secs(18);
const SHORT: Duration = Duration::from_secs(3);

impl Spot {
    fn queue(self) -> QueueName {
        format!("{self:?}").to_lowercase().replace(['(', ')'], "_").trim_end_matches('_').parse().expect("a valid name")
    }

    fn percent(self) -> u64 {
        match self {
            Self::Rows(percent) => percent,
            Self::Parts => 100,
            _ => 50,
        }
    }

    fn width(self, form: (&str, &str)) -> u64 {
        if self == Self::Parts { wide(form) } else { NARROW }
    }

    /// In which call to the broker a process comes to a stop.
    fn point(self) -> Option<Point> {
        match self {
            Self::Claimed => Some(Point::AfterClaim),
            Self::Uploaded => Some(Point::BeforeRenew),
            Self::Confirmed => Some(Point::AfterRenew),
            Self::Published => Some(Point::BeforeFinish),
            Self::Rows(_) | Self::Parts => None,
        }
    }

    /// How long leases are, and how often they are renewed. Where the confirmation of one is the point, nothing else may renew
    /// it before.
    fn lease(self) -> (Duration, Duration) {
        match self {
            Self::Uploaded | Self::Confirmed => (LONG, LONG / 2),
            _ => (SHORT, SHORT / 4),
        }
    }
}

/// Where everything is.
#[derive(Clone)]
struct Place {
    redis: String,
    postgres: String,
    folder: PathBuf,
}

/// A job and what it was told.
struct Told {
    spot: Spot,
    id: JobId,
    format: &'static str,
    packing: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_28_29_and_30_an_export_that_is_killed_at_ten_points_is_one_whole_file_in_every_format() {
    let (stage, table) = (Stage::open().await, Table::start().await);
    let place = Place { redis: stage.server.url(), postgres: table.url(), folder: stage.folder.path().to_owned() };
    let mut jobs = Vec::new();
    for (gate, spot) in SPOTS.into_iter().enumerate() {
        let told = enqueue(&stage, spot, gate as i64 + 1).await;
        killed(&place, &stage, &table, (spot, gate as i64 + 1), &told).await;
        jobs.extend(told);
    }
    // A lease has to run out before anybody may take its job over.
    for spot in SPOTS {
        eventually(&format!("{spot:?}: the jobs are taken back"), PATIENCE, async || {
            stage.broker.sweep(&spot.queue()).await.expect("swept");
            let counts = stage.broker.queue(&spot.queue()).await.expect("queue answers").counts;
            (counts.running == 0).then_some(())
        })
        .await;
    }
    let before = table.version().await;
    place.work(None).await;
    assert!(table.version().await > before + 2, "the table was written to while it was read");
    let exported = one_file_each(&place, &stage, &jobs).await;
    table.assert_exported(&exported).await;
}

/// The process that is killed; without a point in its environment there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how a test process tells its child what to be")]
async fn process_to_be_killed() {
    let var = |name: &str| std::env::var(name).ok();
    let Some(spot) = var("KILLS_SPOT") else { return };
    let (Some(redis), Some(postgres), Some(folder)) = (var("KILLS_REDIS"), var("KILLS_POSTGRES"), var("KILLS_FOLDER"))
    else {
        panic!("the place of {spot} is not told");
    };
    let spot = SPOTS.into_iter().find(|known| format!("{known:?}") == spot).expect("a known spot");
    Place { redis, postgres, folder: folder.into() }.work(Some(spot)).await;
    panic!("the worker outlived {spot:?}");
}

/// A job of each form, in the queue of the spot.
async fn enqueue(stage: &Stage, spot: Spot, gate: i64) -> Vec<Told> {
    let kind: lovage_core::Kind = "export.query".parse().expect("a valid kind");
    let job = |form| {
        let args = export(form, spot.width(form), spot.percent(), gate);
        NewJob::new(spot.queue(), kind.clone(), &args).expect("plain arguments")
    };
    let outcomes = stage.broker.enqueue(FORMS.into_iter().map(job).collect()).await.expect("enqueue answers");
    let ids = outcomes.iter().map(|outcome| outcome.id().expect("enqueued").clone());
    ids.zip(FORMS).map(|(id, (format, packing))| Told { spot, id, format, packing }).collect()
}

/// Starts a worker, waits until all jobs are at the spot, kills it, and looks at what somebody else can see now.
async fn killed(place: &Place, stage: &Stage, table: &Table, (spot, gate): (Spot, i64), jobs: &[Told]) {
    let held = if spot.point().is_none() { Some(table.hold(gate).await) } else { None };
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command
        .args(["export_kills::process_to_be_killed", "--exact", "--nocapture"])
        .env("KILLS_REDIS", &place.redis)
        .env("KILLS_POSTGRES", &place.postgres)
        .env("KILLS_FOLDER", &place.folder)
        .env("KILLS_SPOT", format!("{spot:?}"));
    let mut child = Process::start(command, &stage.log(spot.queue().as_str()));
    if let Some(gate) = &held {
        gate.until(jobs.len() as i64, &format!("{spot:?}")).await;
    }
    eventually(&format!("{spot:?} is reached"), PATIENCE, async || {
        assert!(!child.output().contains("panicked"), "{}", child.output());
        let counts = stage.broker.queue(&spot.queue()).await.expect("queue answers").counts;
        assert_eq!(counts.unfinished(), jobs.len() as u64, "none ends by itself; {}", child.output());
        place.is_reached(stage, spot, jobs.len()).await.then_some(())
    })
    .await;
    child.signal(Signal::Kill);
    let status = child.ended(PATIENCE).await;
    assert!(status.code().is_none(), "killed by a signal at {spot:?}: {status}; {}", child.output());

    let store = place.store();
    for job in jobs {
        let manifest = store.existing(&spot.queue(), &job.id).await.expect("a readable store");
        assert_eq!(manifest.is_some(), spot == Spot::Published, "{spot:?}: visible once it is whole, and not before");
        if let Some(manifest) = manifest {
            store.verify(&manifest.files[0].key).await.expect("what is visible is whole");
        }
    }
}

/// Each job has ended well, once, and left one file and one manifest.
async fn one_file_each(place: &Place, stage: &Stage, jobs: &[Told]) -> Vec<Exported> {
    let store = place.store();
    let later = SystemClock.now().plus(Duration::from_hours(48));
    let report = store.sweep_orphans(SweepOptions::at(later), |_, _| async { false }).await.expect("swept");
    assert!(!report.more, "everything was looked at");
    let mut expected = Vec::new();
    let mut exported = Vec::new();
    for Told { spot, id, format, packing } in jobs {
        let what = format!("{spot:?} {format} {packing}");
        let view = stage.broker.job(Some(&spot.queue()), id).await.expect("job answers").expect("the job is there");
        assert_eq!((view.state, view.failed), (State::Completed, 0), "{what}: {:?}", view.errors);
        assert_eq!((view.attempt, view.lost), (2, 1), "{what}");
        let result: Value = serde_json::from_str(view.result.expect("a result").get()).expect("JSON");
        let mut manifest = store.existing(&spot.queue(), id).await.expect("a readable store").expect("a manifest");
        assert_eq!(manifest.files.len(), 1, "{what}");
        assert_eq!(manifest.attempt, if *spot == Spot::Published { 1 } else { 2 }, "{what}");
        let file = manifest.files.remove(0);
        let verified = store.verify(&file.key).await.expect("the file is whole");
        assert_eq!((&verified.files[0].sha256, &result["sha256"]), (&file.sha256, &file.sha256.clone().into()));
        assert_eq!((&result["key"], &result["rows"]), (&file.key.clone().into(), &file.rows.into()), "{what}");
        let path = store.local_path(&file.key).expect("a local store");
        expected.push(PathBuf::from(store.manifest_key(&spot.queue(), id)));
        expected.push(PathBuf::from(&file.key));
        exported.push(Exported { format, packing, width: spot.width((format, packing)), file, path });
    }
    expected.sort();
    assert_eq!(files(&stage.storage()), expected, "a file and a manifest each, and nothing else");
    exported
}

impl Place {
    fn store(&self) -> ArtifactStore {
        let url = self.folder.join("artifacts").display().to_string();
        ArtifactStore::open(&StoreConfig::new(url)).expect("a local store")
    }

    /// Where a process notes each call in which it stops.
    fn marks(&self, spot: Spot) -> PathBuf {
        self.folder.join(format!("{}.marks", spot.queue()))
    }

    /// Whether all jobs are at the spot, as everybody but the worker sees it.
    async fn is_reached(&self, stage: &Stage, spot: Spot, jobs: usize) -> bool {
        let folder = stage.storage().join("jobs").join(spot.queue().as_str());
        let found = files(&folder);
        let is = |path: &PathBuf, part: &str| path.to_string_lossy().contains(part);
        let manifests = found.iter().filter(|path| is(path, "manifest.json") && !is(path, "#")).count();
        let whole = found.iter().filter(|path| !is(path, "manifest.json") && !is(path, "#")).count();
        let length = |path: &PathBuf| std::fs::metadata(folder.join(path)).map_or(0, |found| found.len());
        let parts = found.iter().filter(|path| is(path, "#") && length(path) >= PART).count();
        let marks = std::fs::read(self.marks(spot)).map_or(0, |marks| marks.len());
        if stage.broker.queue(&spot.queue()).await.expect("queue answers").counts.running != jobs as u64 {
            return false;
        }
        match spot {
            Spot::Claimed => found.is_empty() && marks > 0,
            Spot::Rows(_) => whole == 0,
            Spot::Parts => whole == 0 && parts == jobs,
            Spot::Uploaded => (whole, manifests) == (jobs, 0),
            Spot::Confirmed => (whole, manifests, marks) == (jobs, 0, jobs),
            Spot::Published => (whole, manifests) == (jobs, jobs) && marks > 0,
        }
    }

    /// A worker in this process: runs the jobs of one spot and comes to a stop there, or all that there are, to their end.
    async fn work(&self, spot: Option<Spot>) {
        let point = spot.and_then(Spot::point);
        let marks = spot.map(|spot| std::fs::File::options().create(true).append(true).open(self.marks(spot)));
        let marks = Arc::new(marks.transpose().expect("a file"));
        let plan: Plan = Arc::new(move |at| {
            let Some(mut marks) = marks.as_ref().as_ref().filter(|_| point == Some(at)) else { return Fault::None };
            marks.write_all(b".").expect("noted");
            Fault::Stall
        });
        let config = RedisConfig { url: self.redis.clone(), ..RedisConfig::default() };
        let connect: Connect = Arc::new(move || {
            let (config, plan) = (config.clone(), Arc::clone(&plan));
            Box::pin(async move {
                let inner = Arc::new(RedisBroker::connect(config).await?);
                Ok(Arc::new(FaultyBroker::new(inner, plan)) as Arc<dyn Broker>)
            })
        });
        let spots = spot.map_or(SPOTS.to_vec(), |spot| vec![spot]);
        let id = format!("killed-{}", std::process::id()).parse().expect("a valid id");
        let (lease, renew_every) = spot.map_or((SHORT * 5, SHORT), Spot::lease);
        let config = WorkerConfig {
            exit_when_empty: spot.is_none(),
            slots: if spot.is_some() { FORMS.len() } else { 3 },
            ..WorkerConfig::new(id, spots.into_iter().map(|spot| (spot.queue(), 1)).collect()).lease(lease)
        };
        let config = WorkerConfig { renew_every, ..config };
        let registry = registry(services(self.store(), &self.postgres), false);
        let worker = Worker::new(config, connect, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
        worker.run(Shutdown::new()).await.expect("the worker ends well");
    }
}

fn services(artifacts: ArtifactStore, postgres: &str) -> Services {
    #[derive(serde::Deserialize)]
    struct File {
        datasets: BTreeMap<String, Dataset>,
    }
    let mut sources = Sources::new();
    sources.add("default", postgres).expect("a valid address");
    let file: File = toml::from_str(table::DATASETS).expect("valid settings");
    let datasets = Datasets::new(file.datasets, &sources).expect("valid datasets");
    let rules = ExportRules::default();
    Services { artifacts, sources, datasets, rules, audit: None, clock: Arc::new(SystemClock) }
}

/// The settings of workers that are processes of the real binary, in the folder where they run.
fn settings(folder: &Path) {
    std::fs::write(folder.join("lovage.toml"), table::DATASETS).expect("written");
}
