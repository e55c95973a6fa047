//! The loop of a relay, and what it logs: one line a stretch of work, one at the beginning and end of trouble.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::OutboxError;
use crate::relay::{Batch, Relay};

/// Wait after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// A long stretch says so now and then.
const WORTH_A_LINE: u64 = 10_000;

impl Relay {
    /// Relays until told to stop. An error stops nothing: it is logged, and the same step is done again later.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut log = Log { outbox: self.outbox.address().to_string(), ..Log::default() };
        while !stop.is_cancelled() {
            // A step is never dropped in the middle: what the broker has confirmed is to be settled, too.
            let done = self.step().await;
            if let Some(pause) = log.note(done, self.config.pause) {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        log.say();
    }
}

#[derive(Default)]
struct Log {
    outbox: String,
    total: Batch,
    failing: bool,
    full: bool,
}

impl Log {
    /// Notes a step and answers how long to wait for the next one.
    fn note(&mut self, done: Result<Batch, OutboxError>, pause: Duration) -> Option<Duration> {
        let outbox = &self.outbox;
        let batch = match done {
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(outbox, %error, "cannot relay for now, trying again");
                }
                self.say();
                return Some(PAUSE_AFTER_ERROR);
            }
            Ok(batch) => batch,
        };
        if std::mem::take(&mut self.failing) {
            info!(outbox, "relaying again");
        }
        if batch.away > 0 {
            warn!(outbox, rows = batch.away, "a queue cannot be reached, its rows wait");
        }
        if batch.full > 0 && !std::mem::replace(&mut self.full, true) {
            let retry_after_ms = batch.retry_after.unwrap_or_default().as_millis() as u64;
            warn!(outbox, rows = batch.full, retry_after_ms, "a queue is full, its rows wait");
        } else if batch.enqueued > 0 && batch.full == 0 {
            self.full = false;
        }
        self.total.add(batch);
        if batch.moved() > 0 {
            if self.total.moved() >= WORTH_A_LINE {
                self.say();
            }
            return None;
        }
        self.say();
        Some(pause)
    }

    fn say(&mut self) {
        let Batch { enqueued, existing, confirmed, resent, failed, .. } = std::mem::take(&mut self.total);
        if enqueued + existing + confirmed + resent + failed > 0 {
            info!(outbox = self.outbox, enqueued, existing, confirmed, resent, failed, "relayed rows of the outbox");
        }
    }
}
