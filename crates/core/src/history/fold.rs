//! From a page of events to what is to be recorded. Pure: which job is looked at when is the recorder's.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{AttemptRecord, JobRecord, Outcome};
use crate::clock::Timestamp;
use crate::event::{Event, EventKind};
use crate::id::JobId;
use crate::state::{DiscardReason, State};
use crate::view::JobView;

/// How far a broker's clock goes back at most (another server with a clock of its own takes over).
const CLOCK_BACK: Duration = Duration::from_secs(10);

/// What a page of events tells about one job.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The job.
    pub id: JobId,
    /// When it was enqueued, if that is in the page.
    pub enqueued_at: Option<Timestamp>,
    /// When the first of its events in the page was.
    pub first: Timestamp,
    /// When the last of them was.
    pub last: Timestamp,
    /// The state after the last change of it.
    pub state: Option<State>,
    /// When it came into that state.
    pub since: Timestamp,
    /// Why it was discarded.
    pub reason: Option<DiscardReason>,
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
    /// What happened to its attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// What the events of one queue tell, job by job in the order of their first events. An id that was deleted and enqueued again
/// is two jobs.
pub fn fold(events: &[Event]) -> Vec<Sighting> {
    let mut sightings: Vec<Sighting> = Vec::new();
    let mut current: HashMap<&JobId, usize> = HashMap::with_capacity(events.len() / 2);
    for event in events {
        let known = current.get(&event.id).copied().filter(|_| event.kind != EventKind::Enqueued);
        let at = known.unwrap_or_else(|| {
            sightings.push(Sighting::begin(event));
            current.insert(&event.id, sightings.len() - 1);
            sightings.len() - 1
        });
        sightings[at].see(event);
    }
    sightings
}

/// How many of the events lie before the one with which the sighting of this index (from 0) begins; all of them, if there are
/// not so many.
pub fn before_sighting(events: &[Event], index: usize) -> usize {
    let mut seen: HashSet<&JobId> = HashSet::new();
    let mut begun = 0;
    for (before, event) in events.iter().enumerate() {
        begun += usize::from(seen.insert(&event.id) || event.kind == EventKind::Enqueued);
        if begun > index {
            return before;
        }
    }
    events.len()
}

impl Sighting {
    fn begin(event: &Event) -> Self {
        Self {
            id: event.id.clone(),
            enqueued_at: (event.kind == EventKind::Enqueued).then_some(event.at),
            first: event.at,
            last: event.at,
            state: None,
            since: event.at,
            reason: None,
            deleted: None,
            attempts: Vec::new(),
        }
    }

    fn see(&mut self, event: &Event) {
        self.last = event.at;
        match event.kind {
            EventKind::Edited | EventKind::CancelRequested => {}
            EventKind::Deleted => self.deleted = Some(event.at),
            EventKind::Claimed => {
                self.turn(event);
                let attempt = self.attempt(event.attempt);
                attempt.started_at = Some(event.at);
                attempt.worker.clone_from(&event.worker);
            }
            _ => {
                self.turn(event);
                if let Some(outcome) = Outcome::of(event.kind, event.state) {
                    let attempt = self.attempt(event.attempt);
                    attempt.ended_at = Some(event.at);
                    attempt.outcome = Some(outcome);
                    if event.worker.is_some() {
                        attempt.worker.clone_from(&event.worker);
                    }
                }
            }
        }
    }

    fn turn(&mut self, event: &Event) {
        if event.state.is_some() {
            (self.state, self.since, self.reason) = (event.state, event.at, event.reason);
        }
    }

    fn attempt(&mut self, number: u32) -> &mut AttemptRecord {
        let at = self.attempts.iter().position(|attempt| attempt.attempt == number).unwrap_or_else(|| {
            self.attempts.push(AttemptRecord { attempt: number, ..AttemptRecord::default() });
            self.attempts.len() - 1
        });
        &mut self.attempts[at]
    }

    /// Whether a look at the id showed this job, and not one that was enqueued under it later.
    pub fn is_of(&self, job: &JobView) -> bool {
        match self.enqueued_at {
            Some(enqueued_at) => job.enqueued_at == enqueued_at,
            None if job.enqueued_at <= self.first => true,
            // The broker's clock went back a little.
            None => {
                let last = self.attempts.last().map_or(0, |attempt| attempt.attempt);
                job.enqueued_at.since(self.first) <= CLOCK_BACK && job.attempt >= last && last > 0
            }
        }
    }

    /// What is recorded of the job that was looked at after its events.
    pub fn record(self, job: JobView) -> JobRecord {
        JobRecord { job, attempts: self.attempts, gone_at: self.deleted }.with_errors()
    }

    /// What is recorded of a job that its queue has no more: what was known of it, `known`, moved on by the events.
    pub fn record_gone(self, mut known: JobView) -> JobRecord {
        if let Some(state) = self.state.filter(|_| self.since >= known.since) {
            (known.state, known.since, known.reason) = (state, self.since, self.reason);
        }
        if let Some(last) = self.attempts.last() {
            known.attempt = known.attempt.max(last.attempt);
            known.worker = last.worker.clone().or(known.worker);
            known.started_at = last.started_at.or(known.started_at);
        }
        let has_ended = known.state.is_final();
        let gone_at = self.deleted.or_else(|| (!has_ended).then_some(self.last));
        JobRecord { job: known, attempts: self.attempts, gone_at }
    }
}
