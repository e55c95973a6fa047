//! The whole seconds, as ticks of apalis-cron: its scheduler waits for the next instant of a schedule, and ours is each second.
//! Which of our schedules are due then is the ledger's to say, so one of its schedulers does for all of them.

use std::fmt;
use std::pin::Pin;

use apalis_cron::timezone::Utc;
use apalis_cron::{CronScheduler, Schedule, Tick};
use futures::{Stream, StreamExt as _};

type Ticks = Pin<Box<dyn Stream<Item = Result<Tick, apalis_cron::Error>> + Send>>;

/// The longest wait for the next second.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(2);

/// Waits for whole seconds.
#[derive(Default)]
pub(super) struct Seconds(Option<Ticks>);

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
    /// Comes back when the next whole second has begun.
    pub async fn next(&mut self) {
        let ticks = self.0.get_or_insert_with(|| Box::pin(CronScheduler::new(EachSecond).into_stream()));
        // A clock that is set back would have it wait for as long as that.
        let next = tokio::time::timeout(LONGEST, ticks.next()).await;
        if !matches!(next, Ok(Some(Ok(_)))) {
            // A second that was over before it was waited for (the process was stopped) is told as an error again and again:
            // begin anew with the next one.
            self.0 = None;
        }
    }
}
