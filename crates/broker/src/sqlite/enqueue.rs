//! Handing jobs in: the first stop of a job in the embedded broker. The calls' jobs are checked and encoded by the
//! caller ([`Enqueue::prepare`]); the writer decides job by job in memory and then writes the whole batch with a few
//! statements a thousand jobs.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use lovage_core::limits::MAX_BATCH;
use lovage_core::{
    Entropy, EventKind, Hold, Invalid, JobId, JobSpec, NewJob, OnConflict, QueueName, State, Timestamp, Unique,
};
use sqlx::Row as _;

use super::desk::Desk;
use super::fault::Fault;
use super::insert::Insert;
use super::row::{Lock, state_of};
use super::step::Step;
use super::writer::Command;
use crate::api::{EnqueueOutcome, Refused};
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
    chosen: bool,
    pub text: String,
    /// To compare with what is there, for a chosen id.
    spec: Option<JobSpec>,
    pub priority: u8,
    delay_ms: u64,
    run_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub lock: Option<Lock>,
    on_conflict: OnConflict,
}

impl Enqueue {
    /// Checks and encodes `jobs`.
    pub(super) fn prepare(
        jobs: Vec<NewJob>,
        max_payload: usize,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, BrokerError> {
        if jobs.len() > MAX_BATCH {
            let help = format!("send at most {MAX_BATCH} a call");
            return Err(Invalid::new("jobs", format!("has {} entries", jobs.len()), help).into());
        }
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
        let lock = job.unique.take().map(|unique| lock_of(&unique));
        let spec = job.into_spec();
        let text = spec.encode();
        let spec = chosen.then_some(spec);
        Self { index, id, chosen, text, spec, priority, delay_ms, run_at, expires_at, lock, on_conflict }
    }

    /// When it becomes available, if that is later than now.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let due = Timestamp::from_millis(now.as_millis().saturating_add(self.delay_ms)).max(self.run_at);
        (due > now).then_some(due)
    }

    /// The first field in which the stored job asks for something else.
    fn difference(&self, stored: &str) -> Option<&'static str> {
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

/// Who has a unique key.
#[derive(Debug)]
struct Holder {
    id: JobId,
    /// Absent when the job is gone.
    state: Option<State>,
}

/// What a batch comes to, decided in memory: as if its jobs came one by one.
#[derive(Debug)]
struct Plan<'d> {
    now: Timestamp,
    /// Stored content by id, of what was there and of what the batch adds.
    known: HashMap<JobId, String>,
    /// Live locks by digest.
    holders: HashMap<String, Holder>,
    inserts: Vec<Insert<'d>>,
    /// Where an id stands in `inserts`; kept for those that another job of the batch may meet.
    inserted: HashMap<JobId, usize>,
    /// New content of jobs that were there before.
    replaced: HashMap<JobId, &'d str>,
    /// Digests whose lock changed hands: to whom and until when.
    locks: HashMap<&'d str, (JobId, i64)>,
}

impl<'d> Plan<'d> {
    async fn load(desk: &mut Desk<'_>, drafts: &'d [Draft]) -> Result<Self, Fault> {
        let chosen: Vec<_> = drafts.iter().filter(|draft| draft.chosen).map(|draft| &draft.id).collect();
        let digests: Vec<_> = drafts.iter().filter_map(|draft| Some(&draft.lock.as_ref()?.digest)).collect();
        Ok(Self {
            now: desk.now,
            known: if chosen.is_empty() { HashMap::new() } else { desk.contents(&chosen).await? },
            holders: if digests.is_empty() { HashMap::new() } else { desk.holders(&digests).await? },
            inserts: Vec::with_capacity(drafts.len()),
            inserted: HashMap::new(),
            replaced: HashMap::new(),
            locks: HashMap::new(),
        })
    }

    fn decide(&mut self, draft: &'d Draft) -> EnqueueOutcome {
        if let Some(stored) = self.known.get(&draft.id) {
            return match draft.difference(stored) {
                None => EnqueueOutcome::Existing(draft.id.clone()),
                Some(field) => EnqueueOutcome::Refused(Refused::Conflict { id: draft.id.clone(), field }),
            };
        }
        if let Some(lock) = &draft.lock {
            if let Some(outcome) = self.meet(draft, &lock.digest) {
                return outcome;
            }
            let until = self.now.as_millis() as i64 + lock.ttl;
            self.locks.insert(&lock.digest, (draft.id.clone(), until));
            let holder = Holder { id: draft.id.clone(), state: Some(State::Available) };
            self.holders.insert(lock.digest.clone(), holder);
        }
        if draft.chosen || draft.lock.is_some() {
            self.known.insert(draft.id.clone(), draft.text.clone());
            self.inserted.insert(draft.id.clone(), self.inserts.len());
        }
        self.inserts.push(Insert { draft, text: &draft.text });
        EnqueueOutcome::Enqueued(draft.id.clone())
    }

    /// What follows when somebody else has the key; nothing if the new job takes it.
    fn meet(&mut self, draft: &'d Draft, digest: &str) -> Option<EnqueueOutcome> {
        let holder = self.holders.get(digest)?;
        let id = holder.id.clone();
        match (draft.on_conflict, holder.state) {
            (OnConflict::Reject, _) => Some(EnqueueOutcome::Refused(Refused::UniqueTaken { holder: id })),
            (OnConflict::Replace, Some(State::Running)) => None,
            (OnConflict::Replace, Some(state)) if !state.is_final() => {
                if let Some(&index) = self.inserted.get(&id) {
                    self.inserts[index].text = &draft.text;
                } else {
                    self.replaced.insert(id.clone(), &draft.text);
                }
                if let Some(text) = self.known.get_mut(&id) {
                    text.clone_from(&draft.text);
                }
                Some(EnqueueOutcome::Replaced(id))
            }
            // A holder that came to its end within the time of its key has done the work.
            (OnConflict::Return | OnConflict::Replace, _) => Some(EnqueueOutcome::Existing(id)),
        }
    }

    async fn write(self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        desk.insert(&self.inserts).await?;
        if !self.locks.is_empty() {
            let locks = self.locks.iter().map(|(digest, (id, until))| (*digest, id, *until));
            desk.take_locks(locks).await?;
        }
        if !self.replaced.is_empty() {
            desk.replace(&self.replaced).await?;
        }
        Ok(())
    }
}

impl Desk<'_> {
    /// The stored content of those of `ids` that are there.
    async fn contents(&mut self, ids: &[&JobId]) -> Result<HashMap<JobId, String>, Fault> {
        let sql = "SELECT job.id, coalesce(spec.text, '') FROM json_each(?2) AS wanted \
                   CROSS JOIN job ON job.id = wanted.value AND job.queue = ?1 LEFT JOIN spec ON spec.seq = job.seq";
        let ids = serde_json::to_string(ids)?;
        let rows = sqlx::query(sql).bind(self.line.key).bind(ids).fetch_all(&mut *self.conn).await?;
        rows.iter().map(|row| Ok((super::row::id_of(row.try_get(0)?)?, row.try_get(1)?))).collect()
    }

    /// The holders of those of `digests` that are taken.
    async fn holders(&mut self, digests: &[&String]) -> Result<HashMap<String, Holder>, Fault> {
        let sql = "SELECT held.digest, held.job, job.state FROM json_each(?2) AS wanted \
                   CROSS JOIN unique_lock AS held ON held.queue = ?1 AND held.digest = wanted.value \
                   LEFT JOIN job ON job.id = held.job AND job.queue = ?1 WHERE held.until > ?3";
        let digests = serde_json::to_string(digests)?;
        let rows =
            sqlx::query(sql).bind(self.line.key).bind(digests).bind(self.now_ms()).fetch_all(&mut *self.conn).await?;
        rows.iter()
            .map(|row| {
                let state = row.try_get::<Option<i64>, _>(2)?.map(state_of).transpose()?;
                Ok((row.try_get(0)?, Holder { id: super::row::id_of(row.try_get(1)?)?, state }))
            })
            .collect()
    }

    /// Gives waiting jobs new content; their ids and places stay.
    async fn replace(&mut self, replaced: &HashMap<JobId, &str>) -> Result<(), Fault> {
        let rows = self.rows_by_id(replaced.keys()).await?;
        let texts: Vec<_> = rows.iter().filter_map(|row| Some((row.seq, replaced.get(&row.id)?))).collect();
        self.write_contents(&texts).await?;
        for row in &rows {
            self.record(row, EventKind::Edited, None);
        }
        Ok(())
    }

    /// Writes the content of jobs, new or changed.
    pub(super) async fn write_contents<T: AsRef<str> + serde::Serialize>(
        &mut self,
        texts: &[(i64, T)],
    ) -> Result<(), Fault> {
        let sql = "INSERT INTO spec (seq, text) SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true \
                   ON CONFLICT DO UPDATE SET text = excluded.text";
        sqlx::query(sql).bind(serde_json::to_string(texts)?).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Writes who holds which key until when, whoever held it before.
    pub(super) async fn take_locks<'l>(
        &mut self,
        locks: impl Iterator<Item = (&'l str, &'l JobId, i64)>,
    ) -> Result<(), Fault> {
        let sql = "INSERT INTO unique_lock (queue, digest, job, until) \
                   SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2) WHERE true \
                   ON CONFLICT DO UPDATE SET job = excluded.job, until = excluded.until, ended = 0";
        let locks = serde_json::to_string(&locks.collect::<Vec<_>>())?;
        sqlx::query(sql).bind(self.line.key).bind(locks).execute(&mut *self.conn).await?;
        Ok(())
    }
}

impl Lock {
    /// Whether the key is kept for its time, as it is stored.
    pub(super) fn holds_ttl(&self) -> i64 {
        i64::from(self.hold == Hold::Ttl)
    }
}
