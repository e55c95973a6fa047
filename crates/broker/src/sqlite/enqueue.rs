//! Handing jobs in: the first stop of a job in the embedded broker. The calls' jobs are checked and encoded by the
//! caller ([`Enqueue::prepare`]); the writer decides job by job in memory ([`super::plan`]) and then writes the whole
//! batch with a few statements a thousand jobs.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lovage_core::{Entropy, FlowKey, Hold, JobId, JobSpec, Kind, NewJob, OnConflict, QueueName, Timestamp, Unique};

use super::fault::Fault;
use super::plan::Plan;
use super::row::Lock;
use super::step::Step;
use super::writer::Command;
use crate::api::EnqueueOutcome;
use crate::error::BrokerError;

/// An enqueue call.
#[derive(Debug)]
pub(super) struct Enqueue {
    /// What is decided already: the outcomes of bad jobs, in their places.
    outcomes: Vec<Option<EnqueueOutcome>>,
    drafts: BTreeMap<QueueName, Vec<Draft>>,
}

/// A job that may be written.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where its outcome goes.
    index: usize,
    pub id: JobId,
    /// Whether the id is the caller's own; only then can it be there already.
    pub chosen: bool,
    pub text: String,
    pub kind: Kind,
    pub tenant: Option<String>,
    pub key: Option<FlowKey>,
    /// To compare with what is there, for a chosen id.
    spec: Option<JobSpec>,
    pub priority: u8,
    delay_ms: u64,
    run_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub lock: Option<Lock>,
    pub on_conflict: OnConflict,
    /// How long others may put it off, if it debounces.
    pub max_wait_ms: Option<u64>,
}

impl Enqueue {
    /// Checks and encodes `jobs`.
    pub(super) fn prepare(
        jobs: Vec<NewJob>,
        max_payload: usize,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, BrokerError> {
        lovage_core::validate_batch(&jobs)?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut drafts = BTreeMap::<_, Vec<_>>::new();
        for (index, job) in jobs.into_iter().enumerate() {
            if let Err(invalid) = job.validate(max_payload) {
                outcomes.push(Some(EnqueueOutcome::Refused(invalid.into())));
                continue;
            }
            outcomes.push(None);
            let queue = job.queue.clone();
            drafts.entry(queue).or_default().push(Draft::new(index, job, now, entropy));
        }
        Ok(Self { outcomes, drafts })
    }

    /// The answer without the store, if there is nothing for it to decide.
    pub(super) fn decided(&self) -> Option<Vec<EnqueueOutcome>> {
        self.outcomes.iter().cloned().collect()
    }
}

impl Draft {
    fn new(index: usize, mut job: NewJob, now: Timestamp, entropy: &dyn Entropy) -> Self {
        let chosen = job.id.is_some();
        let id = job.id.take().unwrap_or_else(|| JobId::generate(now, entropy));
        let (priority, expires_at) = (job.priority.level(), job.expires_at);
        let (delay_ms, run_at) = (job.delay_ms.unwrap_or(0), job.run_at.unwrap_or_default());
        let on_conflict = job.unique.as_ref().map(|unique| unique.on_conflict).unwrap_or_default();
        let max_wait_ms = job.unique.as_ref().and_then(|unique| unique.debounce).map(|debounce| debounce.max_wait_ms);
        let lock = job.unique.take().map(|unique| lock_of(&unique));
        let spec = job.into_spec();
        let text = spec.encode();
        let (kind, key) = (spec.kind.clone(), spec.key.clone());
        let tenant = spec.tenant.as_ref().map(|tenant| tenant.as_str().to_owned());
        let spec = chosen.then_some(spec);
        Self {
            index,
            id,
            chosen,
            text,
            kind,
            tenant,
            key,
            spec,
            priority,
            delay_ms,
            run_at,
            expires_at,
            lock,
            on_conflict,
            max_wait_ms,
        }
    }

    /// When it becomes available, if that is later than now.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let due = Timestamp::from_millis(now.as_millis().saturating_add(self.delay_ms)).max(self.run_at);
        (due > now).then_some(due)
    }

    /// The first field in which the stored job asks for something else.
    pub(super) fn difference(&self, stored: &str) -> Option<&'static str> {
        if stored == self.text {
            return None;
        }
        match (JobSpec::decode(stored), &self.spec) {
            (Ok(stored), Some(spec)) => stored.difference(spec),
            // What cannot be read cannot be the same.
            _ => Some("content"),
        }
    }
}

fn lock_of(unique: &Unique) -> Lock {
    Lock { digest: unique.digest(), ttl: unique.ttl_ms as i64, hold: unique.hold }
}

#[async_trait]
impl Command for Enqueue {
    type Answer = Vec<EnqueueOutcome>;

    async fn run(&self, step: &mut Step<'_>) -> Result<Vec<EnqueueOutcome>, Fault> {
        let mut outcomes = self.outcomes.clone();
        for (queue, drafts) in &self.drafts {
            let mut desk = step.new_desk(queue).await?;
            let mut plan = Plan::load(&mut desk, drafts).await?;
            for draft in drafts {
                outcomes[draft.index] = Some(plan.decide(draft));
            }
            plan.write(&mut desk).await?;
        }
        let missing = || Fault::Unreadable("an enqueue call left a job without an answer".into());
        outcomes.into_iter().collect::<Option<_>>().ok_or_else(missing)
    }
}

impl Lock {
    /// Whether the key is kept for its time, as it is stored.
    pub(super) fn holds_ttl(&self) -> i64 {
        i64::from(self.hold == Hold::Ttl)
    }
}
