//! What limits and pauses allow, and what follows for a claim: any choice of jobs that breaks no limit, leaves nothing
//! out that could start, keeps each tenant's order (but for a job that is its oldest, which must have its turn in time)
//! and gives nobody a second job before everybody had a first.

use std::collections::BTreeMap;

use lovage_core::State;

use crate::command::{Limit, Limited, Paused};
use crate::reference::{AGEING, Job, Model};

/// Two tokens, and two more every second: as the time at which it is full.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    full_at: u64,
}

const BURST: u64 = 2;
const INTERVAL_MS: u64 = 500;

impl Bucket {
    fn tokens(self, now: u64) -> usize {
        ((now + BURST * INTERVAL_MS - self.full_at.max(now)) / INTERVAL_MS) as usize
    }

    fn spend(&mut self, now: u64) {
        self.full_at = self.full_at.max(now) + INTERVAL_MS;
    }
}

impl Model {
    pub fn is_paused(&self, subject: Paused) -> bool {
        self.paused.get(&subject).is_some_and(|until| *until > self.now)
    }

    /// The subjects that a job is counted with, each with the limit that holds for it.
    fn limits_of(&self, job: &Job) -> Vec<(Limited, Limit)> {
        let own = |subject| self.limits.get(&subject).copied().filter(|limit| *limit != Limit::Nothing);
        let tenant = job.belongs.tenant.map(Limited::Tenant);
        let key = job.belongs.key.map(Limited::Key);
        let limit = |subject, star: Option<Limited>| Some((subject, own(subject).or_else(|| own(star?))?));
        let all = [
            limit(Limited::Queue, None),
            tenant.and_then(|subject| limit(subject, Some(Limited::AnyTenant))),
            key.and_then(|subject| limit(subject, Some(Limited::AnyKey))),
        ];
        all.into_iter().flatten().collect()
    }

    fn belongs(job: &Job, subject: Limited) -> bool {
        match subject {
            Limited::Tenant(tenant) => job.belongs.tenant == Some(tenant),
            Limited::Key(key) => job.belongs.key == Some(key),
            _ => true,
        }
    }

    fn count(&self, subject: Limited, is_meant: impl Fn(&Job) -> bool) -> usize {
        self.jobs.values().filter(|job| Self::belongs(job, subject) && is_meant(job)).count()
    }

    /// Slots in use.
    pub fn used(&self, subject: Limited) -> usize {
        let is_ordered = self.limits.get(&subject) == Some(&Limit::Ordered);
        self.count(subject, |job| job.state == State::Running || (is_ordered && job.slot))
    }

    pub fn waiting(&self, subject: Limited) -> usize {
        self.count(subject, |job| matches!(job.state, State::Scheduled | State::Available | State::Retryable))
    }

    fn may_start(&self, job: &Job) -> bool {
        let pauses = [Some(Paused::Kind(job.belongs.kind)), job.belongs.tenant.map(Paused::Tenant)];
        let running = |subject| self.count(subject, |job| job.state == State::Running);
        !pauses.into_iter().flatten().any(|subject| self.is_paused(subject))
            && self.limits_of(job).into_iter().all(|(subject, limit)| match limit {
                Limit::Nothing => true,
                Limit::Slots(most) => running(subject) < most as usize,
                Limit::Rate => self.buckets.get(&subject).copied().unwrap_or_default().tokens(self.now) > 0,
                Limit::Ordered => running(subject) == 0 && (job.slot || self.count(subject, |job| job.slot) == 0),
            })
    }

    /// Judges and follows a claim of up to `max` jobs that answered `taken` and `next_in`.
    pub fn claimed(&mut self, max: usize, taken: &[usize], next_in: Option<u64>) -> Result<(), String> {
        self.sweep();
        if self.is_paused(Paused::Queue) {
            return if taken.is_empty() { Ok(()) } else { Err("a paused queue gave something".to_owned()) };
        }
        let line = self.line();
        if taken.len() > max || !taken.iter().all(|id| line.contains(id)) {
            return Err("it gave what was not there, or too much".to_owned());
        }
        // One by one in some order: gates only close, so whoever may start at the end of all others may start now.
        for &id in taken {
            let job = &self.jobs[&id];
            if !self.may_start(job) && self.lenient_until <= self.now {
                return Err(format!("job-{id} may not start"));
            }
            for (subject, limit) in self.limits_of(job) {
                if limit == Limit::Rate {
                    self.buckets.entry(subject).or_default().spend(self.now);
                }
            }
            self.start(&[id]);
        }
        if self.lenient_until > self.now {
            return Ok(());
        }
        self.judge_rest(max, taken, &line, next_in)?;
        self.judge_age(taken, &line)
    }

    /// Whether a job ages for certain. What a key holds back comes back as its slots allow, the most urgent first.
    fn stands_free(&self, id: usize) -> bool {
        self.jobs[&id].belongs.key.is_none()
    }

    /// The oldest job of a tenant is not left out for ever.
    fn judge_age(&mut self, taken: &[usize], line: &[usize]) -> Result<(), String> {
        let mut before = std::mem::take(&mut self.overtaken);
        for tenant in [None, Some(0), Some(1)] {
            let is_its = |id: &&usize| self.jobs[*id].belongs.tenant == tenant;
            let waiting = self.jobs.iter().filter(|(id, job)| job.state == State::Available && is_its(id));
            let Some((&oldest, job)) = waiting.min_by_key(|(_, job)| job.place) else { continue };
            if !line.contains(&oldest) || !self.may_start(job) || !self.stands_free(oldest) {
                continue;
            }
            let mut count = match before.remove(&tenant) {
                Some((id, place, count)) if (id, place) == (oldest, job.place) => count,
                _ => 0,
            };
            for id in taken.iter().filter(is_its) {
                count = if self.jobs[id].place < job.place { 0 } else { count + 1 };
            }
            if count >= AGEING {
                return Err(format!("{count} jobs came before job-{oldest}, which waits longest"));
            }
            self.overtaken.insert(tenant, (oldest, job.place, count));
        }
        Ok(())
    }

    /// What was left out must have been left out for a reason.
    fn judge_rest(&self, max: usize, taken: &[usize], line: &[usize], next_in: Option<u64>) -> Result<(), String> {
        let left: Vec<_> = line.iter().copied().filter(|id| !taken.contains(id)).collect();
        let could: Vec<_> = left.iter().copied().filter(|id| self.may_start(&self.jobs[id])).collect();
        if taken.len() < max && !could.is_empty() {
            return Err(format!("{could:?} could start, too"));
        }
        let tenant = |id: &usize| self.jobs[id].belongs.tenant;
        let place = |id: &usize| line.iter().position(|other| other == id);
        let mut shares = BTreeMap::<_, usize>::new();
        for id in taken {
            *shares.entry(tenant(id)).or_default() += 1;
        }
        for (at, id) in taken.iter().enumerate() {
            let rest: Vec<_> =
                taken[at + 1..].iter().chain(&could).filter(|other| tenant(other) == tenant(id)).collect();
            let is_first = rest.iter().all(|other| place(other) > place(id));
            let is_older = |other: &usize| self.jobs[other].place < self.jobs[id].place && self.stands_free(*other);
            if !is_first && rest.iter().any(|other| is_older(other)) {
                return Err(format!("job-{id} is neither the first nor the oldest of its tenant among {rest:?}"));
            }
        }
        for id in &could {
            if !shares.contains_key(&tenant(id)) && shares.values().any(|jobs| *jobs > 1) {
                return Err(format!("the tenant of job-{id} had no turn"));
            }
        }
        let next = self.jobs.values().filter_map(|job| job.due_at.or(job.lease_until)).min().map(|at| at - self.now);
        let is_right = match next_in {
            // A full claim has not looked at what is left: it may turn out to be held back.
            Some(0) => !could.is_empty() || next == Some(0) || taken.len() == max && !left.is_empty(),
            _ if !could.is_empty() => false,
            _ if left.is_empty() => next_in == next,
            // What is held back may come back earlier than the next due time.
            Some(wait) => next.is_none_or(|next| wait <= next),
            None => next.is_none(),
        };
        if is_right { Ok(()) } else { Err(format!("next_in with {could:?} that could start and {next:?} to wait")) }
    }
}
