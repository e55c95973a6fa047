//! The loop of an adopter, and what it logs: one line a stretch of work, one at the beginning and end of trouble.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::adopter::Adopter;
use crate::adoption::Adoption;
use crate::error::AdoptError;
use crate::outcome::{Batch, Step};

/// Wait when nothing is there: apalis tells nobody about a push.
const PAUSE: Duration = Duration::from_millis(200);
/// Wait after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// A long stretch says so now and then.
const WORTH_A_LINE: u64 = 10_000;

impl Adopter {
    /// Adopts until told to stop. An error stops nothing: it is logged, and the same step is done again later.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut log = Log { adoption: self.config.adoption.clone(), total: Batch::default(), failing: false };
        while !stop.is_cancelled() {
            // A step is never dropped in the middle: that would leave what it took to the next adopter.
            let done = self.step().await;
            if let Some(pause) = log.note(done) {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        log.say();
        if let Err(error) = self.release().await {
            debug!(%error, "the next adopter waits until the ownership runs out");
        }
    }
}

struct Log {
    adoption: Adoption,
    total: Batch,
    failing: bool,
}

impl Log {
    /// Notes a step and answers how long to wait for the next one.
    fn note(&mut self, done: Result<Step, AdoptError>) -> Option<Duration> {
        let Adoption { source, queue, .. } = &self.adoption;
        match done {
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(source, %queue, %error, "cannot adopt from apalis for now, trying again");
                }
                self.say();
                return Some(PAUSE_AFTER_ERROR);
            }
            Ok(_) if std::mem::take(&mut self.failing) => info!(source, %queue, "adopting from apalis again"),
            Ok(_) => {}
        }
        match done {
            Ok(Step::Settled(batch)) if batch.count() > 0 => {
                self.total.add(batch);
                if self.total.count() >= WORTH_A_LINE {
                    self.say();
                }
                None
            }
            _ => {
                self.say();
                Some(PAUSE)
            }
        }
    }

    fn say(&mut self) {
        let Batch { adopted, known, dead } = std::mem::take(&mut self.total);
        if adopted + known + dead > 0 {
            let Adoption { source, queue, .. } = &self.adoption;
            info!(source, %queue, adopted, known, dead, "adopted tasks from apalis");
        }
    }
}
