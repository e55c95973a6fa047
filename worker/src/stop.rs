//! The end of a worker, in the order that loses nothing: stop claiming, let run, ask to stop, hand back.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::attempt::Cause;
use crate::engine::Engine;
use crate::error::WorkerError;
use crate::event::WorkerEvent;
use crate::executor;
use crate::fetcher::Enough;
use crate::keeper::Keeper;
use crate::verdict::End;

/// How long a claim that is under way may take to answer after a stop at once.
const LAST_CLAIM: Duration = Duration::from_secs(1);
/// How long handlers get to reach an await point after they are dropped.
const LAST_YIELD: Duration = Duration::from_millis(200);

type Part<T> = AbortOnDropHandle<T>;

/// The parts of a worker that end before the outcomes are flushed.
pub(crate) struct Running {
    pub engine: Arc<Engine>,
    pub fetcher: Part<Enough>,
    /// Runs the claimed attempts; ends when the fetcher has ended and all attempts have.
    pub driver: Part<Result<(), String>>,
    pub keeper: Keeper,
}

impl Running {
    /// Waits for a reason to stop, stops, and hands back what does not end by itself. The keeper stays: what is not
    /// written yet needs its lease.
    pub async fn until_stopped(&mut self) -> Result<(), WorkerError> {
        let engine = Arc::clone(&self.engine);
        let mut ended = self.claim_and_run().await;
        if matches!(ended, Ok(false)) {
            ended = self.drain().await.map(|()| true);
        }
        if ended.is_err() {
            engine.drain.cancel();
            self.fetcher.abort();
            self.driver.abort();
        }
        hand_back(&engine);
        ended.map(|_| ())
    }

    /// Runs until nothing is left to run (true) or somebody wants the worker to end (false).
    async fn claim_and_run(&mut self) -> Result<bool, WorkerError> {
        let engine = Arc::clone(&self.engine);
        let mut claiming = true;
        loop {
            tokio::select! {
                () = engine.now.cancelled() => {
                    engine.drain.cancel();
                    return Ok(false);
                }
                enough = &mut self.fetcher, if claiming => {
                    let enough = enough.map_err(|error| broken("fetcher", &error))?;
                    engine.tell(|| WorkerEvent::Draining);
                    tracing::info!(?enough, busy = engine.busy(), "claiming has ended");
                    // As if it had been asked to be quiet: its slots are for nobody any more, and its view says so.
                    engine.quiet.cancel();
                    claiming = false;
                }
                // The time limit only holds when somebody waits for the worker to end.
                () = engine.drain.cancelled(), if !claiming => return Ok(false),
                ended = &mut self.driver => {
                    let ended = ended.map_err(|error| error.to_string()).and_then(|ended| ended);
                    return ended.map(|()| true).map_err(|problem| WorkerError::Broken { part: "executor", problem });
                }
                () = self.keeper.ended.cancelled() => return Err(no_keeper()),
            }
        }
    }

    /// Lets the attempts run for their time, then asks them to stop.
    async fn drain(&mut self) -> Result<(), WorkerError> {
        let engine = Arc::clone(&self.engine);
        let patience = Instant::now() + engine.config.shutdown_timeout;
        tokio::select! {
            _ = timeout_at(patience, &mut self.driver) => {}
            () = engine.now.cancelled() => {}
            () = self.keeper.ended.cancelled() => return Err(no_keeper()),
        }
        if self.driver.is_finished() {
            return Ok(());
        }
        if !self.fetcher.is_finished() {
            // Only after a stop at once; jobs that a claim under way brings are given back by the fetcher.
            let _ = timeout(LAST_CLAIM, &mut self.fetcher).await;
        }
        for attempt in engine.leases.all().iter().filter(|attempt| !attempt.is_settled()) {
            engine.stop(attempt, Cause::Shutdown);
        }
        let grace = async {
            // The executor drops the handlers itself at the end of the grace, or when there is none.
            tokio::select! {
                () = tokio::time::sleep(engine.config.stop_grace) => {}
                () = engine.now.cancelled() => {}
            }
            tokio::time::sleep(LAST_YIELD).await;
        };
        tokio::select! {
            _ = &mut self.driver => {}
            () = grace => {}
        }
        Ok(())
    }
}

/// Ends whatever has not ended as if its handler were dropped now: to its old place, without spending an attempt, unless
/// it had to stop for a reason of its own before. A handler that still runs because it does not yield can write nothing
/// any more: its token is refused.
fn hand_back(engine: &Engine) {
    for attempt in engine.leases.all().iter().filter(|attempt| !attempt.is_settled()) {
        executor::span(engine, attempt).in_scope(|| {
            tracing::warn!("letting go of a job that does not stop");
            executor::settle(engine, attempt, End::Dropped);
        });
    }
}

/// Nobody renews the leases any more: what runs here may soon run elsewhere, too.
fn no_keeper() -> WorkerError {
    WorkerError::Broken { part: "lease keeper", problem: "its thread has ended".to_owned() }
}

fn broken(part: &'static str, error: &JoinError) -> WorkerError {
    WorkerError::Broken { part, problem: error.to_string() }
}
