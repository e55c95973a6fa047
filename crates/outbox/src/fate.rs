//! What follows for a row from the broker's answer. Pure.

use std::time::Duration;

use lovage_broker::{EnqueueOutcome, Refused};
use lovage_core::{Full, Subject};

use crate::row::Row;

/// What is done with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is deleted.
    Gone(Told),
    /// It stays until the broker has confirmed it once more.
    Sent(Told),
    /// It stays, and is looked at again after this time.
    Aside(Duration),
    /// It stays, and so does everything else of its queue for this time.
    Held(Duration),
    /// It stays: the broker could not be asked.
    Away,
    /// It stays until a person has done something about it.
    Failed(String),
}

/// What the broker said of a job that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is new.
    New,
    /// It was there before, or another one answers for it.
    Known,
    /// It was confirmed once, and the broker had lost it since.
    Again,
}

/// Decides. `confirm` says whether a job must be confirmed once more before its row goes.
pub(crate) fn fate(row: &Row, outcome: &EnqueueOutcome, confirm: bool) -> Fate {
    let stays = |told| if confirm { Fate::Sent(told) } else { Fate::Gone(told) };
    match outcome {
        EnqueueOutcome::Enqueued(_) if row.sent => Fate::Gone(Told::Again),
        EnqueueOutcome::Enqueued(_) => stays(Told::New),
        // Only a job of its own can be asked for again: when the one that answered has ended, the same row would be a
        // new job.
        EnqueueOutcome::Existing(id) if id.as_str() == row.id && !row.sent => stays(Told::Known),
        EnqueueOutcome::Existing(_) | EnqueueOutcome::Replaced(_) => Fate::Gone(Told::Known),
        EnqueueOutcome::Refused(Refused::Full(Full { subject: Subject::Queue, retry_after, .. })) => {
            Fate::Held(*retry_after)
        }
        EnqueueOutcome::Refused(Refused::Full(Full { retry_after, .. })) => Fate::Aside(*retry_after),
        EnqueueOutcome::Refused(refused) => Fate::Failed(refused.to_string()),
    }
}

/// What is written into the table when the broker has answered.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    /// To be deleted.
    pub gone: Vec<i64>,
    /// Confirmed; to be asked again after [`Settlement::confirm_after`].
    pub sent: Vec<i64>,
    pub confirm_after: Duration,
    /// To be looked at again, after so many milliseconds each.
    pub aside: Vec<(i64, i64)>,
    /// Put aside for a person, with the reason.
    pub failed: Vec<(i64, String)>,
}

impl Settlement {
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.sent.is_empty() && self.aside.is_empty() && self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sent: bool) -> Row {
        Row {
            seq: 1,
            id: "a".into(),
            queue: "q".into(),
            kind: "k".into(),
            args: Some("{}".into()),
            args_bytes: 2,
            options: Some("{}".into()),
            age: Duration::ZERO,
            sent,
        }
    }

    #[test]
    fn a_job_that_another_one_answers_for_is_never_asked_for_again() {
        let id = |text: &str| text.parse().unwrap();
        let outcomes = [EnqueueOutcome::Existing(id("b")), EnqueueOutcome::Replaced(id("b"))];
        for outcome in outcomes {
            assert_eq!(fate(&row(false), &outcome, true), Fate::Gone(Told::Known));
        }
        assert_eq!(fate(&row(false), &EnqueueOutcome::Existing(id("a")), true), Fate::Sent(Told::Known));
        assert_eq!(fate(&row(true), &EnqueueOutcome::Existing(id("a")), true), Fate::Gone(Told::Known));
        assert_eq!(fate(&row(true), &EnqueueOutcome::Enqueued(id("a")), true), Fate::Gone(Told::Again));
    }

    #[test]
    fn a_full_queue_holds_its_line_and_a_full_tenant_only_its_rows() {
        let full = |subject: &str| {
            let full = Full { subject: subject.parse().unwrap(), limit: 1, retry_after: Duration::from_secs(3) };
            fate(&row(false), &EnqueueOutcome::Refused(Refused::Full(full)), false)
        };
        assert_eq!(full("queue"), Fate::Held(Duration::from_secs(3)));
        assert_eq!(full("tenant:acme"), Fate::Aside(Duration::from_secs(3)));
    }
}
