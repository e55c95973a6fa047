//! Runs a handler of yours through the troubles that a job can meet, and says how often its effect happened.
//!
//! A job runs at least once: a worker may die after the effect and before it could say so, and a frozen one may wake up
//! when another has long taken over. What a handler leaves outside has to bear that. A [`Trial`] shows whether it does,
//! without servers and without waiting: each trouble gets a private embedded broker whose clock the trial moves.
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::sync::{Arc, Mutex};
//!
//! use lovage_testkit::{Trial, Trouble};
//! use lovage_worker::{Handler, JobContext, JobError};
//!
//! /// Pays an invoice; the bank ignores a payment whose reference it knows.
//! struct Pay {
//!     bank: Arc<Mutex<BTreeSet<String>>>,
//! }
//!
//! impl Handler for Pay {
//!     type Args = u64;
//!     type Output = ();
//!     const KIND: &'static str = "pay";
//!
//!     async fn run(&self, _cents: u64, job: JobContext) -> Result<(), JobError> {
//!         self.bank.lock().unwrap().insert(job.id().to_string());
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let bank = Arc::default();
//! let payments = Arc::clone(&bank);
//! let report = Trial::of(Pay { bank }, &250).effects(move || payments.lock().unwrap().len()).run().await;
//! println!("{report}");
//! report.assert_once();
//! assert_eq!(report.outcome(Trouble::KilledAfterEnd).runs, 2);
//! # });
//! ```

mod report;
mod stage;
mod wrapper;

use std::sync::Arc;
use std::time::Duration;

use lovage_worker::Handler;
use serde::Serialize;

pub use report::{Outcome, TrialReport};
use stage::Stage;

/// Something that happens to a job or to the worker that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Nothing: the control.
    None,
    /// The worker is killed when it has the job, before the handler begins.
    KilledBeforeStart,
    /// The worker is killed while the handler awaits something for the n-th time, from 1.
    KilledAtPause(usize),
    /// The worker is killed when the handler has returned, before the outcome is written.
    KilledAfterEnd,
    /// The worker is frozen before the handler begins, another one runs the job, the first wakes up and runs it, too.
    LeaseLost,
    /// The handler panics after its work.
    Panic,
    /// The broker does not answer for a while when the handler has returned.
    BrokerAway,
    /// The outcome is written, but the worker does not hear that it is.
    AnswerLost,
    /// Somebody cancels the job; the handler begins with its token fired.
    Cancelled,
    /// The job's time is over; the handler begins with its token fired.
    TimedOut,
    /// The worker is told to stop; the handler begins with its token fired, and another worker has the job next.
    Shutdown,
}

impl Trouble {
    /// Those that every handler meets, in the order of the report; [`Trouble::KilledAtPause`] comes once per pause.
    const FIXED: [Self; 10] = [
        Self::None,
        Self::KilledBeforeStart,
        Self::KilledAfterEnd,
        Self::LeaseLost,
        Self::Panic,
        Self::BrokerAway,
        Self::AnswerLost,
        Self::Cancelled,
        Self::TimedOut,
        Self::Shutdown,
    ];
}

/// Most pauses of a handler at which its worker is killed; later ones are rarely of another kind.
const MOST_PAUSES: usize = 12;

type Effects = Arc<dyn Fn() -> usize + Send + Sync>;

/// A handler, one job for it, and how to count what it leaves outside.
pub struct Trial<H> {
    handler: Arc<H>,
    args: String,
    effects: Effects,
    timeout: Duration,
}

impl<H> std::fmt::Debug for Trial<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("args", &self.args).finish_non_exhaustive()
    }
}

impl<H: Handler> Trial<H> {
    /// A trial of this handler with a job that has these arguments.
    pub fn of(handler: H, args: &impl Serialize) -> Self {
        let args = serde_json::to_string(args).expect("arguments that can be written as JSON");
        Self { handler: Arc::new(handler), args, effects: Arc::new(|| 0), timeout: Duration::from_millis(200) }
    }

    /// How often the effect has happened so far, over all jobs: rows in a table, mails in an outbox, files in a folder.
    /// Without it only runs are counted.
    #[must_use]
    pub fn effects(mut self, count: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        self.effects = Arc::new(count);
        self
    }

    /// The job's time for [`Trouble::TimedOut`], in which a run that is not disturbed has to fit; 200 ms by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets one job meet each trouble, one after the other.
    pub async fn run(self) -> TrialReport {
        let mut outcomes = Vec::new();
        for trouble in Trouble::FIXED {
            outcomes.push(self.meet(trouble).await);
        }
        let pauses = outcomes.first().map_or(0, |undisturbed: &Outcome| undisturbed.pauses);
        for pause in 1..=pauses.min(MOST_PAUSES) {
            outcomes.push(self.meet(Trouble::KilledAtPause(pause)).await);
        }
        TrialReport::new(outcomes)
    }

    /// Lets one job meet one trouble.
    pub async fn meet(&self, trouble: Trouble) -> Outcome {
        let before = (self.effects)();
        let stage = Stage::open(trouble, Arc::clone(&self.handler)).await;
        let timeout = (trouble == Trouble::TimedOut).then_some(self.timeout);
        let view = stage.play(H::KIND, &self.args, timeout).await;
        let (runs, pauses) = stage.counted();
        Outcome {
            trouble,
            state: view.state,
            runs,
            pauses,
            effects: (self.effects)().saturating_sub(before),
            failed: view.failed,
            lost: view.lost,
            errors: view.errors.into_iter().map(|error| error.message).collect(),
        }
    }
}
