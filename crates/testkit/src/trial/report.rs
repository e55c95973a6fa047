//! What came of a trial, for people and for assertions.

use std::fmt;

use lovage_core::State;

use crate::trial::Trouble;

/// What came of one job in one trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it met.
    pub trouble: Trouble,
    /// How it ended.
    pub state: State,
    /// How often the handler began.
    pub runs: usize,
    /// How often it awaited something that was not ready, over all runs.
    pub pauses: usize,
    /// How often its effect happened.
    pub effects: usize,
    /// Attempts that count as failed.
    pub failed: u32,
    /// Attempts whose worker was lost.
    pub lost: u32,
    /// What the failed attempts said.
    pub errors: Vec<String>,
}

impl Outcome {
    /// Whether the effect happened as often as the end promises: once for a job that is completed, at most once for one
    /// that ended otherwise.
    pub fn is_once(&self) -> bool {
        self.effects == 1 || (self.effects == 0 && self.state != State::Completed)
    }
}

/// What came of all troubles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialReport {
    /// In the order in which they were met.
    pub outcomes: Vec<Outcome>,
}

impl TrialReport {
    pub(super) fn new(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes }
    }

    /// What came of one trouble; panics if the trial did not have it.
    pub fn outcome(&self, trouble: Trouble) -> &Outcome {
        let found = self.outcomes.iter().find(|outcome| outcome.trouble == trouble);
        found.unwrap_or_else(|| panic!("the trial did not have {trouble:?}:\n{self}"))
    }

    /// Fails the test with the whole report unless the effect happened once in every trouble, see [`Outcome::is_once`].
    pub fn assert_once(&self) {
        let wrong: Vec<Trouble> =
            self.outcomes.iter().filter(|outcome| !outcome.is_once()).map(|outcome| outcome.trouble).collect();
        assert!(wrong.is_empty(), "the effect did not happen exactly once in {wrong:?}:\n{self}");
    }
}

impl fmt::Display for TrialReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:>4} {:>7} {:>6} {:>4}  end", "trouble", "runs", "effects", "failed", "lost")?;
        for outcome in &self.outcomes {
            let Outcome { trouble, state, runs, effects, failed, lost, .. } = outcome;
            write!(f, "{:<20} {runs:>4} {effects:>7} {failed:>6} {lost:>4}  {state}", format!("{trouble:?}"))?;
            writeln!(f, "{}", if outcome.is_once() { "" } else { "   <- not once" })?;
        }
        Ok(())
    }
}
