//! The model: what a broker does, with nothing but maps.

use std::collections::BTreeMap;

use lovage_core::limits::MAX_LOST;
use lovage_core::{Change, DiscardReason, Hold, OnConflict, Priority, State, transition};

use crate::command::{Belongs, Command, End, Enqueue, Limit, Limited, Operation, Paused};
use crate::gates::Bucket;

pub const LEASE_MS: u64 = 30_000;
pub const UNIQUE_TTL_MS: u64 = 10_000;
/// Small, so that a sequence comes to it.
pub const AGEING: u32 = 2;

#[derive(Debug, Clone)]
pub struct Job {
    pub args: u8,
    pub state: State,
    pub priority: Priority,
    pub attempt: u32,
    pub failed: u32,
    pub lost: u32,
    pub token: u64,
    pub place: u64,
    pub enqueued_at: u64,
    pub since: u64,
    pub due_at: Option<u64>,
    pub expires_at: Option<u64>,
    pub lease_until: Option<u64>,
    pub cancel_requested: bool,
    pub reason: Option<DiscardReason>,
    pub errors: usize,
    pub belongs: Belongs,
    /// Whether it has the slot of its key, if that is ordered: from its first claim to its end.
    pub slot: bool,
    unique: Option<(u8, Hold)>,
}

impl Job {
    /// Whether it shows what it did when it was `seen`.
    fn is_as(&self, seen: &Self) -> bool {
        let shown = |job: &Self| {
            let stands = (job.state, job.since, job.enqueued_at, job.attempt, job.priority);
            (stands, job.due_at, job.expires_at, job.args, job.belongs)
        };
        shown(self) == shown(seen)
    }
}

/// What a command answered, in a form that all three can give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Enqueued(usize),
    Existing(usize),
    Replaced(usize),
    Conflict,
    Taken(usize),
    Status(&'static str),
    Deleted(bool),
    Ok,
    NotFound,
    Illegal,
}

#[derive(Debug, Default)]
pub struct Model {
    pub now: u64,
    pub jobs: BTreeMap<usize, Job>,
    /// Leases in the order in which they were given: id and token.
    pub leases: Vec<(usize, u64)>,
    /// The job that was looked at last.
    seen: Option<(usize, Job)>,
    locks: BTreeMap<u8, (usize, u64)>,
    places: u64,
    tokens: u64,
    /// What is paused and until when.
    pub paused: BTreeMap<Paused, u64>,
    pub limits: BTreeMap<Limited, Limit>,
    pub buckets: BTreeMap<Limited, Bucket>,
    /// Until then a limit for all that was edited need not be felt.
    pub lenient_until: u64,
    /// By tenant its oldest waiting job (id and place), and how many were given out before it since it is that.
    pub overtaken: BTreeMap<Option<u8>, (usize, u64, u32)>,
}

impl Job {
    fn apply(&mut self, change: Change, now: u64) {
        self.state = transition(self.state, change).expect("the model only makes legal changes");
        self.since = now;
        self.due_at = None;
        self.lease_until = None;
        self.cancel_requested = false;
        self.slot &= !self.state.is_final();
    }
}

impl Model {
    pub fn at(now: u64) -> Self {
        Self { now, limits: BTreeMap::from([(Limited::Key(1), Limit::Ordered)]), ..Self::default() }
    }

    pub fn step(&mut self, command: &Command) -> Answer {
        match command {
            Command::Enqueue(new) => self.enqueue(new),
            Command::Claim(_) => unreachable!("a claim is judged, not foretold"),
            Command::Finish(lease, end) => self.finish(*lease, *end),
            Command::Renew(lease) => self.renew(*lease),
            Command::Advance(by) => {
                self.now += by;
                Answer::Ok
            }
            Command::Sweep => {
                self.sweep();
                Answer::Ok
            }
            Command::Operate(operation, id) => self.operate(*operation, *id),
            Command::EditPriority(id, level) => self.edit(*id, *level),
            Command::Look(id) => {
                self.seen = self.jobs.get(id).map(|job| (*id, job.clone()));
                Answer::Ok
            }
            Command::DeleteSeen => self.delete_seen(),
            Command::Pause(subject, until) => {
                self.paused.insert(*subject, until.map_or(u64::MAX, |by| self.now + by));
                Answer::Ok
            }
            Command::Resume(subject) => {
                self.paused.remove(subject);
                Answer::Ok
            }
            Command::Limit(subject, limit) => {
                self.limits.insert(*subject, *limit);
                if matches!(subject, Limited::AnyTenant | Limited::AnyKey) {
                    self.lenient_until = self.now + 30_000;
                }
                Answer::Ok
            }
        }
    }

    fn place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }

    fn enqueue(&mut self, new: &Enqueue) -> Answer {
        if let Some(job) = self.jobs.get(&new.id) {
            return if (job.args, job.belongs) == (new.args, new.belongs) {
                Answer::Existing(new.id)
            } else {
                Answer::Conflict
            };
        }
        if let Some((key, on_conflict, _)) = new.unique
            && let Some(&(holder, until)) = self.locks.get(&key)
            && until > self.now
        {
            let waits = self.jobs.get(&holder).map(|job| job.state);
            match (on_conflict, waits) {
                (OnConflict::Reject, _) => return Answer::Taken(holder),
                (OnConflict::Replace, Some(State::Running)) => {}
                (OnConflict::Replace, Some(state)) if !state.is_final() => {
                    let job = self.jobs.get_mut(&holder).expect("it is there");
                    job.args = new.args;
                    job.slot &= job.belongs.key == new.belongs.key;
                    job.belongs = new.belongs;
                    job.expires_at = new.expires_in_ms.map(|by| self.now + by);
                    if let (Some(wait), State::Scheduled, 0) = (new.max_wait_ms, job.state, job.attempt) {
                        let due = (self.now + new.delay_ms).min(job.enqueued_at + wait);
                        job.due_at = Some(due);
                        self.locks.insert(key, (holder, until.max(due + UNIQUE_TTL_MS)));
                    }
                    return Answer::Replaced(holder);
                }
                (OnConflict::Return | OnConflict::Replace, _) => return Answer::Existing(holder),
            }
        }
        if let Some((key, _, _)) = new.unique {
            self.locks.insert(key, (new.id, self.now + UNIQUE_TTL_MS));
        }
        let due_at = (new.delay_ms > 0).then(|| self.now + new.delay_ms);
        let place = if due_at.is_none() { self.place() } else { 0 };
        let job = Job {
            args: new.args,
            state: if due_at.is_some() { State::Scheduled } else { State::Available },
            priority: new.priority(),
            attempt: 0,
            failed: 0,
            lost: 0,
            token: 0,
            place,
            enqueued_at: self.now,
            since: self.now,
            due_at,
            expires_at: new.expires_in_ms.map(|by| self.now + by),
            lease_until: None,
            cancel_requested: false,
            reason: None,
            errors: 0,
            belongs: new.belongs,
            slot: false,
            unique: new.unique.map(|(key, _, hold)| (key, hold)),
        };
        self.jobs.insert(new.id, job);
        Answer::Enqueued(new.id)
    }

    /// Ids in `state`, ordered by `key`.
    pub fn ordered<K: Ord>(&self, state: State, key: impl Fn(usize, &Job) -> K) -> Vec<usize> {
        let mut ids: Vec<_> =
            self.jobs.iter().filter(|(_, job)| job.state == state).map(|(&id, job)| (key(id, job), id)).collect();
        ids.sort();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    pub fn line(&self) -> Vec<usize> {
        self.ordered(State::Available, |_, job| (job.priority, job.place))
    }

    pub fn sweep(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self
            .jobs
            .iter()
            .filter_map(|(&id, job)| Some((job.due_at.filter(|&at| at <= now)?, name(id), id)))
            .collect();
        due.sort();
        for (_, _, id) in due {
            let place = self.place();
            let job = self.jobs.get_mut(&id).expect("it is there");
            job.apply(Change::Promote, now);
            job.place = place;
        }
        let over = |job: &Job| job.lease_until.is_some_and(|until| until <= now);
        let lost: Vec<_> = self.jobs.iter().filter(|(_, job)| over(job)).map(|(&id, _)| id).collect();
        for id in lost {
            let job = self.jobs.get_mut(&id).expect("it is there");
            job.lost += 1;
            job.errors += 1;
            job.token = 0;
            if job.cancel_requested {
                job.apply(Change::Cancel, now);
            } else if job.lost >= MAX_LOST {
                job.apply(Change::Discard(DiscardReason::WorkerLost), now);
                job.reason = Some(DiscardReason::WorkerLost);
            } else {
                job.apply(Change::Lose, now);
            }
            self.free_if_final(id);
        }
        let waits = |job: &Job| matches!(job.state, State::Scheduled | State::Available | State::Retryable);
        let stale = |job: &Job| waits(job) && job.expires_at.is_some_and(|at| at <= now);
        let expired: Vec<_> = self.jobs.iter().filter(|(_, job)| stale(job)).map(|(&id, _)| id).collect();
        for id in expired {
            let job = self.jobs.get_mut(&id).expect("it is there");
            job.apply(Change::Discard(DiscardReason::Expired), now);
            job.reason = Some(DiscardReason::Expired);
            self.free_if_final(id);
        }
    }

    /// Writes that jobs were given out.
    pub fn start(&mut self, ids: &[usize]) {
        for &id in ids {
            self.tokens += 1;
            let job = self.jobs.get_mut(&id).expect("it is there");
            job.apply(Change::Claim, self.now);
            job.attempt += 1;
            job.token = self.tokens;
            job.slot = true;
            job.lease_until = Some(self.now + LEASE_MS);
            self.leases.push((id, self.tokens));
        }
    }

    /// The job of the n-th lease, if that lease is still the job's.
    fn leased(&self, lease: usize) -> Option<usize> {
        let &(id, token) = self.leases.get(lease % self.leases.len().max(1))?;
        self.jobs.get(&id).filter(|job| job.state == State::Running && job.token == token).map(|_| id)
    }

    fn finish(&mut self, lease: usize, end: End) -> Answer {
        let Some(id) = self.leased(lease) else {
            // Whose end is written already, by the same token, is told so again.
            let known = self.leases.get(lease % self.leases.len().max(1));
            let is_known = known.is_some_and(|(id, token)| self.jobs.get(id).is_some_and(|job| job.token == *token));
            return Answer::Status(if is_known { "held" } else { "lost" });
        };
        let now = self.now;
        let job = self.jobs.get_mut(&id).expect("it is there");
        let cancelled = job.cancel_requested;
        match end {
            End::Retry(_) | End::Discard => {
                job.failed += 1;
                job.errors += 1;
            }
            _ => {}
        }
        match end {
            End::Complete => job.apply(Change::Complete, now),
            End::Cancel => job.apply(Change::Cancel, now),
            // Whoever asked it to stop does not want to see it again.
            End::Retry(_) | End::Release(_) if cancelled => job.apply(Change::Cancel, now),
            End::Retry(delay) => {
                job.apply(Change::Retry, now);
                job.due_at = Some(now + delay);
            }
            End::Release(0) => job.apply(Change::Release, now),
            End::Release(delay) => {
                job.apply(Change::Snooze, now);
                job.due_at = Some(now + delay);
            }
            End::Discard => {
                job.apply(Change::Discard(DiscardReason::Rejected), now);
                job.reason = Some(DiscardReason::Rejected);
            }
        }
        self.free_if_final(id);
        Answer::Status("held")
    }

    fn renew(&mut self, lease: usize) -> Answer {
        let Some(id) = self.leased(lease) else { return Answer::Status("lost") };
        let job = self.jobs.get_mut(&id).expect("it is there");
        job.lease_until = Some(self.now + LEASE_MS);
        if let Some((key, _)) = job.unique
            && let Some(lock) = self.locks.get_mut(&key)
            && lock.0 == id
            // A lock whose time is over is gone, also when nobody has taken it since.
            && lock.1 > self.now
        {
            lock.1 = lock.1.max(self.now + UNIQUE_TTL_MS);
        }
        Answer::Status(if job.cancel_requested { "cancel" } else { "held" })
    }

    fn operate(&mut self, operation: Operation, id: usize) -> Answer {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return Answer::NotFound };
        match operation {
            Operation::Cancel if job.state == State::Running => {
                job.cancel_requested = true;
                return Answer::Ok;
            }
            Operation::Cancel if transition(job.state, Change::Cancel).is_ok() => job.apply(Change::Cancel, now),
            Operation::Discard
                if job.state != State::Running
                    && transition(job.state, Change::Discard(DiscardReason::Rejected)).is_ok() =>
            {
                job.apply(Change::Discard(DiscardReason::Rejected), now);
                job.reason = Some(DiscardReason::Rejected);
            }
            Operation::Delete if job.state != State::Running => {
                let unique = job.unique;
                self.jobs.remove(&id);
                if let Some((key, _)) = unique
                    && self.locks.get(&key).is_some_and(|lock| lock.0 == id)
                {
                    self.locks.remove(&key);
                }
            }
            Operation::Retry if transition(job.state, Change::Redrive).is_ok() => self.redrive(id),
            _ => return Answer::Illegal,
        }
        self.free_if_final(id);
        Answer::Ok
    }

    fn delete_seen(&mut self) -> Answer {
        let Some((id, seen)) = self.seen.clone() else { return Answer::Deleted(false) };
        if !self.jobs.get(&id).is_some_and(|job| job.is_as(&seen)) {
            return Answer::Deleted(false);
        }
        match self.operate(Operation::Delete, id) {
            Answer::Ok => Answer::Deleted(true),
            other => other,
        }
    }

    fn redrive(&mut self, id: usize) {
        let place = self.place();
        let now = self.now;
        let job = self.jobs.get_mut(&id).expect("it is there");
        if job.state.is_final() {
            (job.failed, job.lost, job.reason, job.expires_at) = (0, 0, None, None);
            if let Some((key, _)) = job.unique
                && self.locks.get(&key).is_none_or(|lock| lock.1 <= now)
            {
                self.locks.insert(key, (id, now + UNIQUE_TTL_MS));
            }
        }
        job.apply(Change::Redrive, now);
        job.place = place;
    }

    fn edit(&mut self, id: usize, level: u8) -> Answer {
        let Some(job) = self.jobs.get_mut(&id) else { return Answer::NotFound };
        if job.state == State::Running {
            return Answer::Illegal;
        }
        job.priority = Priority::try_from(i64::from(level)).expect("a valid level");
        Answer::Ok
    }

    fn free_if_final(&mut self, id: usize) {
        if let Some(job) = self.jobs.get(&id)
            && job.state.is_final()
            && let Some((key, Hold::Finished)) = job.unique
            && self.locks.get(&key).is_some_and(|lock| lock.0 == id)
        {
            self.locks.remove(&key);
        }
    }
}

/// The id as the brokers know it.
pub fn name(id: usize) -> String {
    format!("job-{id}")
}
