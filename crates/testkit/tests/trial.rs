//! A trial finds out what a handler does in each trouble: one that can bear to be repeated, and one that cannot.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lovage_core::State;
use lovage_testkit::{Trial, TrialReport, Trouble};
use lovage_worker::{Handler, JobContext, JobError};

/// Sends one mail a run, with a pause before and after; looks at nothing.
struct Careless(Arc<AtomicUsize>);

impl Handler for Careless {
    type Args = String;
    type Output = ();
    const KIND: &'static str = "careless";
    async fn run(&self, _to: String, _: JobContext) -> Result<(), JobError> {
        tokio::task::yield_now().await;
        self.0.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// The same with an outbox that knows each job, and an ear for its token.
struct Careful(Arc<Mutex<BTreeSet<String>>>);

impl Handler for Careful {
    type Args = String;
    type Output = ();
    const KIND: &'static str = "careful";
    async fn run(&self, _to: String, job: JobContext) -> Result<(), JobError> {
        tokio::task::yield_now().await;
        if job.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        self.0.lock().unwrap().insert(job.id().to_string());
        tokio::task::yield_now().await;
        Ok(())
    }
}

fn facts(report: &TrialReport, trouble: Trouble) -> (State, usize, usize) {
    let outcome = report.outcome(trouble);
    (outcome.state, outcome.runs, outcome.effects)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_careless_handler_is_found_out() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let report = Trial::of(Careless(sent), &"ada").effects(move || counted.load(Ordering::SeqCst)).run().await;
    for once in [Trouble::None, Trouble::KilledBeforeStart, Trouble::KilledAtPause(1), Trouble::BrokerAway] {
        assert!(report.outcome(once).is_once(), "{report}");
    }
    assert_eq!(facts(&report, Trouble::AnswerLost), (State::Completed, 1, 1), "{report}");
    for twice in [Trouble::KilledAtPause(2), Trouble::KilledAfterEnd, Trouble::LeaseLost, Trouble::Panic] {
        assert_eq!(facts(&report, twice), (State::Completed, 2, 2), "{report}");
    }
    let problem = std::panic::catch_unwind(|| report.assert_once()).unwrap_err();
    let text = problem.downcast_ref::<String>().unwrap();
    assert!(text.contains("[KilledAfterEnd, LeaseLost, Panic, KilledAtPause(2)]"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_careful_handler_passes_everything() {
    let sent: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let counted = Arc::clone(&sent);
    let report = Trial::of(Careful(sent), &"ada").effects(move || counted.lock().unwrap().len()).run().await;
    report.assert_once();
    assert_eq!(facts(&report, Trouble::KilledBeforeStart), (State::Completed, 2, 1), "{report}");
    assert_eq!(facts(&report, Trouble::KilledAfterEnd), (State::Completed, 2, 1), "{report}");
    assert_eq!(facts(&report, Trouble::LeaseLost), (State::Completed, 2, 1), "{report}");
    assert_eq!(facts(&report, Trouble::Cancelled), (State::Cancelled, 1, 0), "{report}");
    assert_eq!(facts(&report, Trouble::TimedOut), (State::Completed, 2, 1), "{report}");
    assert_eq!(facts(&report, Trouble::Shutdown), (State::Completed, 2, 1), "{report}");
    assert_eq!((report.outcome(Trouble::Shutdown).failed, report.outcome(Trouble::Shutdown).lost), (0, 0));
    assert_eq!((report.outcome(Trouble::KilledAfterEnd).failed, report.outcome(Trouble::KilledAfterEnd).lost), (0, 1));
    assert_eq!(report.outcome(Trouble::TimedOut).failed, 1);
    assert!(report.outcome(Trouble::Panic).errors[0].contains("a panic of the trial"), "{report:?}");
}

/// Fails whatever happens.
struct Hopeless;

impl Handler for Hopeless {
    type Args = String;
    type Output = ();
    const KIND: &'static str = "hopeless";
    async fn run(&self, _: String, _: JobContext) -> Result<(), JobError> {
        Err(JobError::Retry(anyhow::anyhow!("no such mailbox")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_always_fails_ends_too() {
    let outcome = Trial::of(Hopeless, &"ada").meet(Trouble::None).await;
    assert_eq!((outcome.state, outcome.effects), (State::Discarded, 0));
    assert_eq!(outcome.runs, outcome.failed as usize);
    assert!(outcome.errors.iter().all(|error| error.contains("no such mailbox")), "{:?}", outcome.errors);
}
