//! Three workers that run the same jobs at once (rows 28 and 29).

use futures::TryStreamExt as _;
use lovage_artifacts::{ArtifactStore, StoreConfig};
use lovage_core::State;
use lovage_testkit::{S3Server, Signal, eventually};

use super::table::{Exported, Table, export, wide};
use crate::stage::{PATIENCE, Stage};

/// Formats that are put together in memory and those that stream both write parts before they are complete.
const FORMS: [(&str, &str); 2] = [("xlsx", "none"), ("parquet", "none")];
const GATE: i64 = 1;

fn bucket(server: &S3Server) -> ArtifactStore {
    let config = StoreConfig::new("s3://files/exports");
    let config = server.settings().into_iter().fold(config, |config, (name, value)| config.with(name, value));
    ArtifactStore::open(&config).expect("a bucket")
}

/// What jobs have put there.
fn objects(server: &S3Server) -> Vec<String> {
    server.keys().into_iter().filter(|key| key.contains("/jobs/")).collect()
}

/// Each worker is frozen in the middle of its uploads until its leases have run out and the next one is as far; then all
/// three go on at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_28_and_29_three_workers_at_once_leave_one_object_one_manifest_and_no_parts() {
    let (stage, table, server) = (Stage::open().await, Table::start().await, S3Server::start("files"));
    super::settings(stage.folder.path());
    let mut ids = Vec::new();
    for form in FORMS {
        ids.push(stage.add(stage.job("export.query", &export(form, wide(form), 100, GATE))).await);
    }
    let gate = table.hold(GATE).await;
    let mut workers = Vec::new();
    for attempt in 1..=3 {
        let mut command = stage.worker(FORMS.len());
        command.env("DATABASE_URL", table.url()).env("LOVAGE_STORAGE_URL", "s3://files/exports");
        // Long enough that no lease is lost that is not meant to be, however busy this machine is.
        command.envs(server.settings()).env("LOVAGE_LEASE_SECONDS", "8");
        let worker = stage.start(command, &format!("worker-{attempt}"));
        let jobs = FORMS.len() * attempt;
        eventually(&format!("attempt {attempt} has uploads of its own and waits"), PATIENCE, async || {
            for id in &ids {
                let view = stage.view(id).await;
                assert!(view.lost < attempt as u32, "lost before its time: {view:?}; {}", worker.output());
            }
            let uploads = (server.unfinished_uploads(), server.unfinished_parts());
            (gate.waiting().await >= jobs as i64 && uploads.0 == jobs && uploads.1 >= jobs).then_some(())
        })
        .await;
        if attempt < 3 {
            worker.signal(Signal::Stop);
        }
        workers.push(worker);
    }
    assert!(objects(&server).is_empty(), "nothing is there before it is whole: {:?}", objects(&server));
    drop(gate);
    for worker in &workers[..2] {
        worker.signal(Signal::Cont);
    }
    for id in &ids {
        let view = stage.until_state(id, State::Completed).await;
        assert_eq!((view.attempt, view.lost, view.failed), (3, 2, 0), "{:?}", view.errors);
    }
    // Whoever comes second cleans up behind itself: no sweeper runs here.
    eventually("only what is visible is left", PATIENCE, async || {
        (server.unfinished_uploads() == 0 && objects(&server).len() == 2 * FORMS.len()).then_some(())
    })
    .await;

    let store = bucket(&server);
    let mut exported = Vec::new();
    for (id, (format, packing)) in ids.iter().zip(FORMS) {
        let mut manifest = store.existing(&stage.queue, id).await.expect("a readable store").expect("a manifest");
        assert_eq!((manifest.attempt, manifest.files.len()), (3, 1));
        let file = manifest.files.remove(0);
        store.verify(&file.key).await.expect("the file is whole");
        let path = stage.folder.path().join(&file.name);
        let content = store.read(&file.key).await.expect("there").try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        });
        std::fs::write(&path, content.await.expect("readable")).expect("written");
        exported.push(Exported { format, packing, width: wide((format, packing)), file, path });
    }
    table.assert_exported(&exported).await;
}
