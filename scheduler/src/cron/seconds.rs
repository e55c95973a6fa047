//! The whole seconds, as ticks of apalis-cron: its scheduler waits for the next instant of a schedule, and ours is each second.
//! Which of our schedules are due then is the ledger's to say, so one of its schedulers does for all of them. The seconds that
//! count are the ledger's, too: if the clock of this machine is another, the rest is waited for here.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use apalis_cron::timezone::Utc;
use apalis_cron::{CronScheduler, Schedule, Tick};
use futures::{Stream, StreamExt as _};
use lovage_ledger::{Ledger, LedgerError};
use tokio::time::{Instant, sleep, timeout_at};

type Ticks = Pin<Box<dyn Stream<Item = Result<Tick, apalis_cron::Error>> + Send>>;

const SECOND: Duration = Duration::from_secs(1);
/// What clocks may differ by before the ledger's next second is waited for.
const TOLERANCE: Duration = Duration::from_millis(20);

/// Waits for whole seconds.
#[derive(Default)]
pub(super) struct Seconds {
    ticks: Option<Ticks>,
    /// When the second began that was waited for last, by the ledger.
    began: Option<Instant>,
}

impl fmt::Debug for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seconds").finish_non_exhaustive()
    }
}

/// Each whole second after now.
struct EachSecond;

impl Schedule<Utc> for EachSecond {
    #[expect(clippy::disallowed_methods, reason = "apalis-cron compares with the same clock")]
    fn next_tick(&mut self, _: &Utc) -> Option<Tick> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Some(Tick::new(now.as_secs() + 1))
    }
}

impl Seconds {
    /// Comes back when the ledger's next whole second has begun; at once if that was while the last one was dealt with.
    pub async fn next(&mut self, ledger: &Ledger) -> Result<(), LedgerError> {
        let overdue = self.began.is_some_and(|began| began.elapsed() >= SECOND);
        if !overdue {
            self.tick().await;
        }
        let asked = Instant::now();
        let into = Duration::from_millis(ledger.now().await?.as_millis() % 1_000);
        // Its next one, not the one that was dealt with.
        let is_same = self.began.is_some_and(|began| began.elapsed() < SECOND / 2);
        if !overdue && (into > TOLERANCE || is_same) {
            sleep(SECOND.saturating_sub(into + asked.elapsed() / 2)).await;
            self.began = Some(Instant::now());
        } else {
            self.began = asked.checked_sub(into);
        }
        Ok(())
    }

    async fn tick(&mut self) {
        let ticks = self.ticks.get_or_insert_with(|| Box::pin(CronScheduler::new(EachSecond).into_stream()));
        // A clock that is set back would have it wait for as long as that.
        let at_last = self.began.unwrap_or_else(Instant::now) + SECOND;
        let next = timeout_at(at_last, ticks.next()).await;
        if !matches!(next, Ok(Some(Ok(_)))) {
            // A second that was over before it was waited for (the process was stopped) is told as an error again and again:
            // begin anew with the next one.
            self.ticks = None;
        }
    }
}
