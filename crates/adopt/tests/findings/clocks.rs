//! Row: heartbeats are sent from the task that also polls for work; who is dead is decided by the clients' clocks.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apalis_core::backend::TaskSink as _;
use apalis_redis::Config;
use lovage_testkit::{Process, eventually, skewed};
use tokio::sync::mpsc;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage, storage, task, work};

/// What the worker with the wrong clock says when it has the job.
const TAKEN: &str = "the job is taken";

fn config(missed: usize) -> Config {
    Config::default().queue("jobs").heartbeat_interval(Duration::from_secs(1)).missed_heartbeats(missed)
}

#[tokio::test]
async fn a_busy_worker_looks_dead_and_its_job_runs_twice() {
    let stage = Stage::with(config(2));
    let mut pushed = stage.storage().await;
    pushed.push_task(task(1).build()).await.unwrap();
    let busy = Arc::new(AtomicBool::new(false));
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let (url, config, at_work) = (stage.server.url(), stage.config.clone(), busy.clone());
    // A runtime of its own, as a process of its own would have.
    let first = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let handler = move |_| {
                let (at_work, gate) = (at_work.clone(), gate.clone());
                async move {
                    at_work.store(true, Ordering::SeqCst);
                    // Busy with something that does not yield.
                    let _ = gate.lock().unwrap().recv();
                    at_work.store(false, Ordering::SeqCst);
                    Ok(())
                }
            };
            work(storage(&url, &config).await, "busy", handler).await
        })
    });
    eventually("the job runs", PATIENCE, async || busy.load(Ordering::SeqCst).then_some(())).await;
    let (started, mut starts) = mpsc::unbounded_channel();
    let handler = move |number| {
        started.send(number).unwrap();
        async { Ok(()) }
    };
    let second = tokio::spawn(work(stage.storage().await, "idle", handler));
    let again = tokio::time::timeout(PATIENCE, starts.recv()).await.expect(OUT_OF_DATE);
    assert_eq!(again, Some(1));
    assert!(busy.load(Ordering::SeqCst), "{OUT_OF_DATE}: while the first run goes on");
    second.abort();
    drop(release);
    // Whatever it answers: its acknowledgement is not expected any more.
    let _ = first.join();
}

/// A worker whose clock is ten minutes ahead takes the job of one that is alive. It runs in a process of its own: this
/// test starts itself again with the address in its environment.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how a test process tells its child what to be")]
async fn a_wrong_clock_takes_the_job_of_a_living_worker() {
    if let Ok(url) = std::env::var("FINDING_REDIS") {
        let handler = |_| async {
            println!("{TAKEN}");
            Ok(())
        };
        let _ = work(storage(&url, &config(60)).await, "ahead", handler).await;
        return;
    }
    let stage = Stage::with(config(60));
    stage.storage().await.push_task(task(1).build()).await.unwrap();
    let (started, mut starts) = mpsc::unbounded_channel();
    let handler = move |number| {
        started.send(number).unwrap();
        std::future::pending()
    };
    let alive = tokio::spawn(work(stage.storage().await, "alive", handler));
    assert_eq!(tokio::time::timeout(PATIENCE, starts.recv()).await.unwrap(), Some(1));

    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["clocks::a_wrong_clock_takes_the_job_of_a_living_worker", "--exact", "--nocapture"]);
    command.env("FINDING_REDIS", stage.server.url());
    let folder = tempfile::tempdir().unwrap();
    let ahead = Process::start(skewed(command, "+600s"), &folder.path().join("ahead.log"));
    let taken = async || ahead.output().contains(TAKEN).then_some(());
    eventually(OUT_OF_DATE, PATIENCE, taken).await;
    // The living one, heard of every second and at its job, is told that it does not exist.
    let error = tokio::time::timeout(PATIENCE, alive).await.expect(OUT_OF_DATE).unwrap().expect_err(OUT_OF_DATE);
    assert!(error.contains("worker not registered"), "{error}");
}
