//! How writing and publishing hold up against a store that misbehaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use lovage_core::Timestamp;
use object_store::ObjectStore;

use crate::awkward::{Awkward, Put};
use crate::config::{Address, Scheme};
use crate::open::{Objects, Opened};
use crate::{
    ArtifactError, ArtifactStore, ArtifactWriter, AttemptKey, DeleteOptions, DeletedBy, Deletion, ExpireOptions,
    LeaseCheck, LeaseLost, MANIFEST_VERSION, Manifest, Published, SweepOptions,
};

const MIB: usize = 1024 * 1024;

struct Held;

#[async_trait]
impl LeaseCheck for Held {
    async fn confirm(&self) -> Result<(), LeaseLost> {
        Ok(())
    }
}

/// The store with this plan; as a bucket it is probed before the first publish, as memory it is not.
fn store(objects: Arc<Awkward>, address: Address) -> ArtifactStore {
    ArtifactStore::from_opened(Opened { objects: Objects::unsigned(objects as Arc<dyn ObjectStore>), address })
}

fn bucket() -> Address {
    Address::Bucket { scheme: Scheme::S3, bucket: "b".into(), prefix: String::new() }
}

fn owner(token: u64) -> AttemptKey {
    AttemptKey { queue: "q".parse().unwrap(), job: "j".parse().unwrap(), attempt: 1, token }
}

fn writer(store: &ArtifactStore, token: u64) -> ArtifactWriter {
    begin(store, &owner(token))
}

fn begin(store: &ArtifactStore, owner: &AttemptKey) -> ArtifactWriter {
    store.create(owner, &"a.bin".parse().unwrap(), "application/octet-stream").unwrap()
}

async fn run(store: &ArtifactStore, token: u64) -> Result<Published, ArtifactError> {
    run_as(store, owner(token), None).await
}

async fn run_as(
    store: &ArtifactStore,
    owner: AttemptKey,
    expires_at: Option<Timestamp>,
) -> Result<Published, ArtifactError> {
    let staged = begin(store, &owner).finish().await.unwrap();
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        queue: owner.queue,
        job: owner.job,
        kind: "k".parse().unwrap(),
        attempt: owner.attempt,
        token: owner.token,
        producer: "test".into(),
        created_at: Timestamp::default(),
        expires_at,
        tenant: None,
        dataset: None,
        request_sha256: None,
        chunked: false,
        files: vec![staged.into_file(None, Vec::new(), None)],
    };
    store.publish(manifest, &Held).await
}

fn request() -> DeleteOptions {
    DeleteOptions { by: DeletedBy::Request, reason: None, now: Timestamp::from_millis(7) }
}

async fn delete(store: &ArtifactStore) -> Result<Deletion, ArtifactError> {
    store.delete(&owner(1).queue, &owner(1).job, &request()).await
}

async fn data(store: &ArtifactStore) -> bool {
    store.read("jobs/q/j/1-1/a.bin").await.is_ok()
}

#[tokio::test]
async fn a_manifest_whose_answer_got_lost_is_recognised_as_ones_own() {
    let store = store(Awkward::planned(vec![Put::AnswerLost]), Address::Memory);
    assert!(matches!(run(&store, 1).await.unwrap(), Published::New(_)));
    assert!(matches!(run(&store, 2).await.unwrap(), Published::Existing(found) if found.token == 1));
    store.verify("jobs/q/j/manifest.json").await.unwrap();
}

/// Row 28: a put that may still arrive must find its file when it does.
#[tokio::test]
async fn row_28_after_an_unclear_answer_the_file_stays_for_the_sweeper() {
    let store = store(Awkward::planned(vec![Put::Timeout]), Address::Memory);
    let error = run(&store, 1).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("the connection was cut"), "{error}");
    assert!(store.read("jobs/q/j/1-1/a.bin").await.is_ok());
    assert!(matches!(run(&store, 2).await.unwrap(), Published::New(found) if found.token == 2));
}

#[tokio::test]
async fn a_collision_is_tried_again_and_ends() {
    let once = store(Awkward::planned(vec![Put::Collides]), Address::Memory);
    assert!(matches!(run(&once, 1).await.unwrap(), Published::New(_)));
    let always = store(Awkward::planned(vec![Put::Collides; 100]), Address::Memory);
    let error = run(&always, 1).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_service_that_overwrites_is_refused_before_it_can_do_harm() {
    let store = store(Awkward::planned(vec![Put::Overwrites; 100]), bucket());
    let error = run(&store, 1).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Misconfigured(_)) && error.to_string().contains("If-None-Match"), "{error}");
    assert_eq!(store.existing(&owner(1).queue, &owner(1).job).await.unwrap(), None);
}

#[tokio::test]
async fn an_honest_service_is_probed_once() {
    let objects = Awkward::planned(Vec::new());
    let store = store(Arc::clone(&objects), bucket());
    run(&store, 1).await.unwrap();
    run(&store, 2).await.unwrap();
    let puts = objects.puts.load(Ordering::SeqCst);
    assert_eq!(puts, 4, "two for the probe, one for each manifest");
}

#[tokio::test]
async fn a_slow_store_holds_the_writer_back_and_its_memory_stays_bounded() {
    let objects = Awkward::with_closed_gate();
    let store = store(Arc::clone(&objects), Address::Memory);
    let mut writer = writer(&store, 1);
    // Two parts of 8 MiB are on their way and one is full; one byte more has to wait.
    writer.write(Bytes::from(vec![0; 24 * MIB])).await.unwrap();
    assert_eq!(objects.begun.load(Ordering::SeqCst), 2);
    {
        let mut more = Box::pin(writer.write(Bytes::from_static(b"x")));
        assert!(more.as_mut().now_or_never().is_none(), "no third part before the first has arrived");
        objects.gate.add_permits(1);
        more.await.unwrap();
    }
    assert_eq!(objects.begun.load(Ordering::SeqCst), 3);
    objects.gate.add_permits(100);
    assert_eq!(writer.finish().await.unwrap().bytes, 24 * MIB as u64 + 1);
}

/// Row 29: whoever forgets a writer (a cancelled handler) leaves no upload open.
#[tokio::test]
async fn row_29_a_dropped_writer_aborts_its_upload() {
    let objects = Awkward::with_closed_gate();
    let store = store(Arc::clone(&objects), Address::Memory);
    let mut writer = writer(&store, 1);
    writer.write(Bytes::from(vec![0; 9 * MIB])).await.unwrap();
    assert_eq!(objects.begun.load(Ordering::SeqCst), 1);
    drop(writer);
    objects.aborted.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn a_file_of_exactly_one_part_is_a_single_put() {
    let objects = Awkward::with_closed_gate();
    let store = store(Arc::clone(&objects), Address::Memory);
    let mut writer = writer(&store, 1);
    writer.write(Bytes::from(vec![0; 8 * MIB])).await.unwrap();
    assert_eq!(writer.finish().await.unwrap().bytes, 8 * MIB as u64);
    assert_eq!(objects.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_deletion_that_died_half_way_is_closed_at_once_and_ended_by_the_next_expiry() {
    let objects = Awkward::planned(Vec::new());
    let store = store(Arc::clone(&objects), Address::Memory);
    run(&store, 1).await.unwrap();
    objects.fail_removal_after(0);
    let error = delete(&store).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(data(&store).await, "the file is still there, but nobody is given it");
    let closed = store.published(&owner(1).queue, &owner(1).job).await.unwrap_err();
    assert_eq!(closed.to_string(), "the files of job j in queue q were deleted on 1970-01-01 on request");

    let later = ExpireOptions::at(Timestamp::from_millis(9));
    let rehearsal = store.expire(ExpireOptions { dry_run: true, ..later }).await.unwrap();
    assert!(data(&store).await, "a rehearsal removes nothing");
    let report = store.expire(later).await.unwrap();
    assert_eq!((report.deleted.len(), &report), (1, &rehearsal));
    assert!(!data(&store).await);
    let record = store.deleted(&owner(1).queue, &owner(1).job).await.unwrap().unwrap();
    assert_eq!((record.deleted_at.as_millis(), record.by), (7, DeletedBy::Request), "the first record stays");
    assert_eq!(store.expire(later).await.unwrap().examined, 0, "what is done is not looked at again");
}

/// Whoever keeps a trail of deletions would not hear of it.
#[tokio::test]
async fn an_expiry_that_breaks_off_tells_what_it_had_deleted() {
    let objects = Awkward::planned(Vec::new());
    let store = store(Arc::clone(&objects), Address::Memory);
    let job = |name: &str| AttemptKey { job: name.parse().unwrap(), ..owner(1) };
    for name in ["j", "k"] {
        run_as(&store, job(name), Some(Timestamp::from_millis(5))).await.unwrap();
    }
    let later = ExpireOptions::at(Timestamp::from_millis(9));
    objects.cut_off("jobs/q/k/manifest.json");
    let report = store.expire(later).await.unwrap();
    assert_eq!((report.deleted.len(), report.deleted[0].job.as_str(), report.more), (1, "j", false));
    assert_eq!(report.failed.len(), 1);
    assert!(report.failed[0].contains("the connection was cut"), "{:?}", report.failed);
}

/// Neither what cannot be removed nor whose manifest cannot be read keeps anything else.
#[tokio::test]
async fn what_cannot_be_read_or_removed_keeps_nothing_else() {
    let objects = Awkward::planned(Vec::new());
    let store = store(Arc::clone(&objects), Address::Memory);
    let job = |name: &str| AttemptKey { job: name.parse().unwrap(), ..owner(1) };
    for name in ["a", "b", "c"] {
        run_as(&store, job(name), Some(Timestamp::from_millis(5))).await.unwrap();
        begin(&store, &AttemptKey { token: 2, ..job(name) }).finish().await.unwrap();
    }
    let tomorrow = Timestamp::from_millis(u64::MAX / 4);
    let swept =
        async || store.sweep_orphans(SweepOptions::at(tomorrow), |_, _| std::future::ready(false)).await.unwrap();
    objects.cut_off("jobs/q/a/manifest.json");
    objects.fail_removal_after(0);
    let report = swept().await;
    assert_eq!((report.removed.len(), report.failed.len()), (1, 2), "{report:?}");
    assert!(report.failed.iter().all(|problem| problem.contains("q/a") || problem.contains("q/b")), "{report:?}");
    let report = swept().await;
    assert_eq!((report.removed.len(), report.failed.len()), (1, 1), "{report:?}");

    let report = store.expire(ExpireOptions::at(tomorrow)).await.unwrap();
    assert_eq!((report.deleted.len(), report.failed.len()), (2, 1), "{report:?}");
    let report = store.expire(ExpireOptions::at(tomorrow)).await.unwrap();
    assert_eq!((report.deleted.len(), report.failed.len()), (0, 1), "{report:?}");
}

#[tokio::test]
async fn a_deletion_whose_record_is_in_doubt_removes_nothing_without_it() {
    let lost = store(Awkward::planned(vec![Put::Honest, Put::AnswerLost]), Address::Memory);
    run(&lost, 1).await.unwrap();
    delete(&lost).await.unwrap();
    assert!(!data(&lost).await, "the record had arrived");

    let never = store(Awkward::planned(vec![Put::Honest, Put::Timeout]), Address::Memory);
    run(&never, 1).await.unwrap();
    let error = delete(&never).await.unwrap_err();
    assert!(error.is_transient() && data(&never).await, "{error}");
    assert_eq!(never.deleted(&owner(1).queue, &owner(1).job).await.unwrap(), None);
    delete(&never).await.unwrap();
    assert!(!data(&never).await);
}

#[tokio::test]
async fn a_hold_that_was_granted_while_a_deletion_began_keeps_the_files() {
    let store = store(Awkward::planned(vec![Put::Honest, Put::HeldBefore]), Address::Memory);
    let (queue, job) = (owner(1).queue, owner(1).job);
    run(&store, 1).await.unwrap();
    let error = delete(&store).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Held { .. }), "{error}");
    let report = store.expire(ExpireOptions::at(Timestamp::from_millis(9))).await.unwrap();
    assert_eq!((report.deleted.len(), report.held.len()), (0, 1));
    assert!(data(&store).await);
    let error = store.hold(&queue, &job, None, Timestamp::default()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Deleted(_)), "a second hold comes too late: {error}");

    store.release(&queue, &job).await.unwrap().unwrap();
    assert_eq!(store.expire(ExpireOptions::at(Timestamp::from_millis(9))).await.unwrap().deleted.len(), 1);
    assert!(!data(&store).await);
}
