//! Stands between the worker and the handler: counts, and holds the handler where the trouble wants it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use lovage_worker::{Handler, JobContext, JobError, KindOptions};
use tokio::sync::Notify;

use crate::trial::Trouble;

/// What the wrapper and the stage tell each other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub runs: AtomicUsize,
    pub pauses: AtomicUsize,
    /// The first run is where its trouble begins.
    pub struck: Notify,
    /// The first run may go on.
    pub go_on: Notify,
}

pub(super) struct Wrapper<H> {
    pub handler: Arc<H>,
    pub trouble: Trouble,
    pub signals: Arc<Signals>,
}

impl<H> Wrapper<H> {
    /// Tells the stage that it is time to kill this worker, and does nothing any more.
    async fn die<T>(&self) -> T {
        self.signals.struck.notify_one();
        std::future::pending().await
    }

    async fn before(&self, job: &JobContext) {
        match self.trouble {
            Trouble::KilledBeforeStart => self.die().await,
            Trouble::LeaseLost => {
                self.signals.struck.notify_one();
                self.signals.go_on.notified().await;
            }
            Trouble::Cancelled | Trouble::TimedOut | Trouble::Shutdown => {
                self.signals.struck.notify_one();
                job.cancelled().cancelled().await;
            }
            _ => {}
        }
    }

    /// Runs the handler until it has paused `most` times; none if it did.
    async fn run_to_pause<T>(&self, run: impl Future<Output = T>, most: usize) -> Option<T> {
        let mut run = pin!(run);
        let mut pauses = 0;
        poll_fn(|context| {
            if let Poll::Ready(ended) = run.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            self.signals.pauses.fetch_add(1, Ordering::SeqCst);
            pauses += 1;
            if pauses == most { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

impl<H: Handler> Handler for Wrapper<H> {
    type Args = H::Args;
    type Output = H::Output;
    const KIND: &'static str = H::KIND;

    fn options(&self) -> KindOptions {
        self.handler.options()
    }

    async fn run(&self, args: H::Args, job: JobContext) -> Result<H::Output, JobError> {
        // Only the first run meets the trouble.
        let first = self.signals.runs.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            self.before(&job).await;
        }
        let most = match self.trouble {
            Trouble::KilledAtPause(pause) if first => pause,
            _ => usize::MAX,
        };
        let kills = first && matches!(self.trouble, Trouble::KilledAfterEnd | Trouble::KilledAtPause(_));
        {
            let ended = self.run_to_pause(self.handler.run(args, job), most).await;
            // A handler that is to be killed at a pause which it did not make is killed at its end.
            if let Some(ended) = ended.filter(|_| !kills) {
                assert!(!first || self.trouble != Trouble::Panic, "a panic of the trial");
                return ended;
            }
        }
        self.die().await
    }
}
