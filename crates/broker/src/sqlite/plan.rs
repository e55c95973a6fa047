//! What an enqueue call comes to: ids that are there already, unique keys that are taken, and the jobs to write. Decided
//! in memory as if the batch's jobs came one by one, then written together.

use std::collections::HashMap;

use lovage_core::{EventKind, FlowKey, JobId, OnConflict, State, Timestamp};
use sqlx::Row as _;

use super::depth::Depths;
use super::desk::Desk;
use super::enqueue::Draft;
use super::fault::Fault;
use super::insert::Insert;
use super::row::{LANED, Lock, code, id_of, state_of};
use crate::api::{EnqueueOutcome, Refused};

/// Who has a unique key.
#[derive(Debug)]
struct Holder {
    id: JobId,
    /// Absent when the job is gone.
    state: Option<State>,
    /// Until when the key is taken, in ms.
    until: i64,
    enqueued_at: i64,
    /// Whether it is scheduled and never ran: only then it can be put off.
    is_fresh: bool,
}

impl Holder {
    /// When it is due if `draft` puts it off: no later than its longest wait allows. Nothing if it is not put off.
    fn put_off(&self, draft: &Draft, now: Timestamp) -> Option<i64> {
        let longest = draft.max_wait_ms.filter(|_| self.is_fresh)?;
        let due = draft.due(now).unwrap_or(now).as_millis() as i64;
        Some(due.min(self.enqueued_at.saturating_add_unsigned(longest)))
    }
}

/// What a batch comes to, decided in memory: as if its jobs came one by one.
#[derive(Debug)]
pub(super) struct Plan<'d> {
    now: Timestamp,
    /// Stored content by id, of what was there and of what the batch adds.
    known: HashMap<JobId, String>,
    /// Live locks by digest.
    holders: HashMap<String, Holder>,
    inserts: Vec<Insert<'d>>,
    /// Where an id stands in `inserts`; kept for those that another job of the batch may meet.
    inserted: HashMap<JobId, usize>,
    /// New content of jobs that were there before.
    replaced: HashMap<JobId, &'d Draft>,
    /// When those of them are due that are put off, in ms: as the latest that debounces says.
    put_off: HashMap<JobId, i64>,
    /// Digests whose lock changed hands: to whom and until when.
    locks: HashMap<&'d str, (JobId, i64)>,
    depths: Depths,
}

impl<'d> Plan<'d> {
    pub(super) async fn load(desk: &mut Desk<'_>, drafts: &'d [Draft]) -> Result<Self, Fault> {
        let chosen: Vec<_> = drafts.iter().filter(|draft| draft.chosen).map(|draft| &draft.id).collect();
        let digests: Vec<_> = drafts.iter().filter_map(|draft| Some(&draft.lock.as_ref()?.digest)).collect();
        Ok(Self {
            now: desk.now,
            known: if chosen.is_empty() { HashMap::new() } else { desk.contents(&chosen).await? },
            holders: if digests.is_empty() { HashMap::new() } else { desk.holders(&digests).await? },
            inserts: Vec::with_capacity(drafts.len()),
            inserted: HashMap::new(),
            replaced: HashMap::new(),
            put_off: HashMap::new(),
            locks: HashMap::new(),
            depths: Depths::load(desk, drafts).await?,
        })
    }

    pub(super) fn decide(&mut self, draft: &'d Draft) -> EnqueueOutcome {
        if let Some(stored) = self.known.get(&draft.id) {
            return match draft.difference(stored) {
                None => EnqueueOutcome::Existing(draft.id.clone()),
                Some(field) => EnqueueOutcome::Refused(Refused::Conflict { id: draft.id.clone(), field }),
            };
        }
        if let Some(lock) = &draft.lock
            && let Some(outcome) = self.meet(draft, lock)
        {
            return outcome;
        }
        if let Err(full) = self.depths.admit(draft.tenant.as_ref()) {
            return EnqueueOutcome::Refused(full.into());
        }
        if let Some(lock) = &draft.lock {
            let enqueued_at = self.now.as_millis() as i64;
            let (until, state) = (enqueued_at + lock.ttl, Some(State::Available));
            self.locks.insert(&lock.digest, (draft.id.clone(), until));
            let is_fresh = draft.due(self.now).is_some();
            let holder = Holder { id: draft.id.clone(), state, until, enqueued_at, is_fresh };
            self.holders.insert(lock.digest.clone(), holder);
        }
        if draft.chosen || draft.lock.is_some() {
            self.known.insert(draft.id.clone(), draft.text.clone());
            self.inserted.insert(draft.id.clone(), self.inserts.len());
        }
        self.inserts.push(Insert { draft, content: draft, timing: draft });
        EnqueueOutcome::Enqueued(draft.id.clone())
    }

    /// What follows when somebody else has the key; nothing if the new job takes it.
    fn meet(&mut self, draft: &'d Draft, lock: &'d Lock) -> Option<EnqueueOutcome> {
        let holder = self.holders.get_mut(&lock.digest)?;
        let id = holder.id.clone();
        match (draft.on_conflict, holder.state) {
            (OnConflict::Reject, _) => Some(EnqueueOutcome::Refused(Refused::UniqueTaken { holder: id })),
            (OnConflict::Replace, Some(State::Running)) => None,
            (OnConflict::Replace, Some(state)) if !state.is_final() => {
                let due = holder.put_off(draft, self.now);
                if let Some(due) = due {
                    // The key is not free before the job has had its time, counted from when it is due.
                    holder.until = holder.until.max(due + lock.ttl);
                    self.locks.insert(&lock.digest, (id.clone(), holder.until));
                }
                if let Some(&index) = self.inserted.get(&id) {
                    self.inserts[index].content = draft;
                    if due.is_some() {
                        self.inserts[index].timing = draft;
                    }
                } else {
                    self.replaced.insert(id.clone(), draft);
                    if let Some(due) = due {
                        self.put_off.insert(id.clone(), due);
                    }
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

    pub(super) async fn write(self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        desk.insert(&self.inserts).await?;
        if !self.locks.is_empty() {
            let locks = self.locks.iter().map(|(digest, (id, until))| (*digest, id, *until));
            desk.take_locks(locks).await?;
        }
        if !self.replaced.is_empty() {
            desk.replace(&self.replaced, &self.put_off).await?;
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
        rows.iter().map(|row| Ok((id_of(row.try_get(0)?)?, row.try_get(1)?))).collect()
    }

    /// The holders of those of `digests` that are taken.
    async fn holders(&mut self, digests: &[&String]) -> Result<HashMap<String, Holder>, Fault> {
        let sql = "SELECT held.digest, held.job, job.state, held.until, coalesce(job.enqueued_at, 0), \
                   coalesce(job.attempt, 0) FROM json_each(?2) AS wanted \
                   CROSS JOIN unique_lock AS held ON held.queue = ?1 AND held.digest = wanted.value \
                   LEFT JOIN job ON job.id = held.job AND job.queue = ?1 WHERE held.until > ?3";
        let digests = serde_json::to_string(digests)?;
        let rows =
            sqlx::query(sql).bind(self.line.key).bind(digests).bind(self.now_ms()).fetch_all(&mut *self.conn).await?;
        rows.iter()
            .map(|row| {
                let state = row.try_get::<Option<i64>, _>(2)?.map(state_of).transpose()?;
                let is_fresh = state == Some(State::Scheduled) && row.try_get::<i64, _>(5)? == 0;
                let (id, until, enqueued_at) = (id_of(row.try_get(1)?)?, row.try_get(3)?, row.try_get(4)?);
                Ok((row.try_get(0)?, Holder { id, state, until, enqueued_at, is_fresh }))
            })
            .collect()
    }

    /// Gives waiting jobs new content; their ids and places stay. They belong to the tenant and the key that it names, and
    /// expire when it does. Those in `put_off` are due then.
    async fn replace(&mut self, replaced: &HashMap<JobId, &Draft>, put_off: &HashMap<JobId, i64>) -> Result<(), Fault> {
        let rows = self.rows_by_id(replaced.keys()).await?;
        self.find_homes(replaced.values().filter_map(|draft| draft.tenant.as_ref())).await?;
        let (mut texts, mut moves) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for row in &rows {
            let Some(draft) = replaced.get(&row.id) else { continue };
            texts.push((row.seq, draft.text.as_str()));
            let is_available = row.state == State::Available;
            let lane = if is_available { self.home(draft.tenant.as_ref()) } else { 0 };
            self.line.tally_lane(row.lane, -1);
            self.line.tally_lane(lane, 1);
            self.line.tally_waiting(row.tenant.as_ref(), -1);
            self.line.tally_waiting(draft.tenant.as_ref(), 1);
            let is_same_key = row.key.as_deref() == draft.key.as_ref().map(FlowKey::as_str);
            if row.slot && !is_same_key {
                self.line.tally_left(row);
            }
            let state = if lane == 0 { code(row.state) } else { LANED };
            let slot = i64::from(row.slot && is_same_key);
            let (due, expires) = (put_off.get(&row.id), draft.expires_at);
            moves.push((row.seq, state, lane, draft.kind.as_str(), &draft.tenant, &draft.key, slot, due, expires));
            self.record(row, EventKind::Edited, None);
        }
        // What held the old content back need not hold back the new.
        self.line.release();
        let sql = "UPDATE job SET state = v ->> 1, lane = v ->> 2, kind = v ->> 3, tenant = v ->> 4, \
                   flow_key = v ->> 5, slot = v ->> 6, sort = coalesce(v ->> 7, sort), expires_at = v ->> 8 \
                   FROM (SELECT value AS v FROM json_each(?1)) WHERE seq = v ->> 0";
        sqlx::query(sql).bind(serde_json::to_string(&moves)?).execute(&mut *self.conn).await?;
        self.write_contents(&texts).await
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
    async fn take_locks<'l>(&mut self, locks: impl Iterator<Item = (&'l str, &'l JobId, i64)>) -> Result<(), Fault> {
        let sql = "INSERT INTO unique_lock (queue, digest, job, until) \
                   SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2) WHERE true \
                   ON CONFLICT DO UPDATE SET job = excluded.job, until = excluded.until";
        let locks = serde_json::to_string(&locks.collect::<Vec<_>>())?;
        sqlx::query(sql).bind(self.line.key).bind(locks).execute(&mut *self.conn).await?;
        Ok(())
    }
}
