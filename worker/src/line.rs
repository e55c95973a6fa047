//! What the fetcher knows of one queue: whether to claim from it now, and if not, when.

use std::time::Duration;

use lovage_broker::Claim;
use lovage_core::QueueName;
use tokio::time::Instant;

/// Longest time without a look at a queue: heals a wake-up that was lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What is due so soon keeps a worker with `exit_when_empty` from ending.
const SOON: Duration = Duration::from_secs(2);
/// An empty answer that says to come back within this time is not believed too often in a row.
const HOT: Duration = Duration::from_millis(10);
/// Never faster than this while idle.
const IDLE_PACE: Duration = Duration::from_secs(1);

/// Between two claims while all slots of the kinds that a queue gives are taken: seldom enough to cost little, often
/// enough to find the jobs of other kinds behind them.
const TURNED_AWAY_PACE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Line {
    pub queue: QueueName,
    pub weight: u32,
    /// Whether to claim from it now.
    pub ready: bool,
    /// Whether its last claim gave all that was asked for.
    pub full: bool,
    /// Claim again then, at the latest.
    pub due: Instant,
    /// Whether something is due within [`SOON`].
    pub soon: bool,
    /// Empty answers in a row that said to come back at once.
    misses: u32,
    /// When it was last claimed from.
    claimed_at: Option<Instant>,
    /// Until then it is neither claimed from nor waited for.
    paced_until: Option<Instant>,
}

impl Line {
    /// A queue that nobody has looked at.
    pub fn new(queue: QueueName, weight: u32) -> Self {
        Self {
            queue,
            weight,
            ready: true,
            full: false,
            due: Instant::now(),
            soon: false,
            misses: 0,
            claimed_at: None,
            paced_until: None,
        }
    }

    /// Notes the answer to a claim of `asked` jobs.
    pub fn note(&mut self, asked: usize, claim: &Claim, now: Instant) {
        self.claimed_at = Some(now);
        let next = claim.next_in.unwrap_or(LOOK_EVERY);
        self.full = claim.jobs.len() >= asked;
        self.ready = self.full || (next.is_zero() && !claim.jobs.is_empty());
        self.soon = next <= SOON;
        self.misses = if claim.jobs.is_empty() && next < HOT { self.misses.saturating_add(1) } else { 0 };
        // Two workers may race for one due job, a paused queue has what nobody may take: back off from both.
        let least = Duration::from_millis((1 << self.misses.min(10)) - 1).min(IDLE_PACE);
        self.due = now + next.min(LOOK_EVERY).max(least);
    }

    /// Slows the pace while what it gives has no free slot of its kind: claiming on at full speed would only move these
    /// jobs in circles.
    pub fn pace(&mut self, now: Instant) {
        if let Some(again) = self.claimed_at.map(|at| at + TURNED_AWAY_PACE).filter(|&again| again > now) {
            self.ready = false;
            self.due = again;
            self.paced_until = Some(again);
        }
    }

    /// Whether it has work that cannot be used right now: waiting for it would end at once, again and again.
    pub fn is_paced(&self, now: Instant) -> bool {
        self.paced_until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use lovage_core::{Priority, Timestamp};

    use super::*;

    fn claim(jobs: usize, next_in: Option<Duration>) -> Claim {
        let job = |n: usize| lovage_broker::ClaimedJob {
            id: format!("job-{n}").parse().unwrap(),
            spec: String::new(),
            attempt: 1,
            failed: 0,
            lost: 0,
            token: n as u64,
            enqueued_at: Timestamp::default(),
            priority: Priority::default(),
        };
        Claim { jobs: (0..jobs).map(job).collect(), next_in }
    }

    fn noted(jobs: usize, next_in: Option<Duration>) -> (bool, Duration) {
        let now = Instant::now();
        let mut line = Line::new("q".parse().unwrap(), 1);
        line.note(4, &claim(jobs, next_in), now);
        (line.ready, line.due - now)
    }

    #[test]
    fn a_queue_that_may_have_more_is_claimed_from_at_once() {
        assert!(noted(4, None).0, "it gave all that was asked for");
        assert!(noted(2, Some(Duration::ZERO)).0, "it says that there is more");
        assert!(!noted(2, None).0);
    }

    #[test]
    fn an_idle_queue_is_looked_at_when_its_next_job_is_due_and_every_five_seconds() {
        assert_eq!(noted(0, None).1, LOOK_EVERY);
        assert_eq!(noted(0, Some(Duration::from_hours(1))).1, LOOK_EVERY);
        assert_eq!(noted(1, Some(Duration::from_millis(37))).1, Duration::from_millis(37));
    }

    #[test]
    fn jobs_that_cannot_be_used_slow_the_pace_and_do_not_stop_it() {
        let now = Instant::now();
        let mut line = Line::new("q".parse().unwrap(), 1);
        line.note(4, &claim(4, Some(Duration::ZERO)), now);
        line.pace(now);
        assert_eq!((line.ready, line.due), (false, now + TURNED_AWAY_PACE));
        line.ready = true;
        line.pace(now + TURNED_AWAY_PACE);
        assert!(line.ready);
    }

    #[test]
    fn answers_that_promise_in_vain_slow_the_pace_to_a_second() {
        let now = Instant::now();
        let mut line = Line::new("q".parse().unwrap(), 1);
        let paces: Vec<u128> = (0..12)
            .map(|_| {
                line.note(4, &claim(0, Some(Duration::ZERO)), now);
                (line.due - now).as_millis()
            })
            .collect();
        assert_eq!(paces, [1, 3, 7, 15, 31, 63, 127, 255, 511, 1000, 1000, 1000]);
        line.note(4, &claim(1, Some(Duration::from_millis(5))), now);
        assert_eq!(line.due - now, Duration::from_millis(5), "a job ends it");
    }
}
