//! What time does to a queue, in bounded slices: due jobs become available, leases run out, waiting jobs expire, ended
//! jobs and old locks are removed. Every claim begins with the first three.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::limits::{MAX_LOST, RETRY_RATE};
use lovage_core::{AttemptError, Change, DiscardReason, ErrorClass, EventKind, QueueName, State, Timestamp};
use sqlx::Row as _;

use super::desk::{Batch, Desk};
use super::fault::Fault;
use super::gate::NEVER;
use super::hold::Kept;
use super::line::place_at;
use super::rate::Bucket;
use super::row::{Row, code, row_columns};
use super::step::Step;
use super::writer::Command;
use crate::api::{Retention, Swept};

/// Jobs of each sort in one slice.
pub(super) const SLICE: usize = 1_000;

/// A sweep call.
#[derive(Debug)]
pub(super) struct Sweep {
    pub queue: QueueName,
    pub retention: Retention,
    pub kept: Kept,
}

/// Ended jobs from this place on are held for a recorder, but for the first ones beyond the bound.
#[derive(Debug, Clone, Copy)]
struct Held {
    since: i64,
    beyond: usize,
}

/// The next instants at which time does something.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Horizon {
    scheduled: Option<i64>,
    /// When the next retry may come back.
    retryable: Option<i64>,
    lease: Option<i64>,
    expiry: Option<i64>,
}

/// What the slices of a claim did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    pub promoted: usize,
    pub lost: usize,
    pub expired: usize,
}

#[async_trait]
impl Command for Sweep {
    type Answer = Swept;

    async fn run(&self, step: &mut Step<'_>) -> Result<Swept, Fault> {
        let Some(mut desk) = step.desk(&self.queue).await? else { return Ok(Swept::default()) };
        let (moved, horizon) = desk.let_time_pass().await?;
        let (pruned, mut more_to_prune) = desk.prune(&self.retention, self.kept).await?;
        let may_go = desk.line.events_may_go(self.kept, desk.now);
        more_to_prune |= desk.line.drop_old_events(&mut *desk.conn, may_go).await?;
        more_to_prune |= desk.prune_flow().await?;
        let full = |count: usize| count >= SLICE;
        Ok(Swept {
            promoted: moved.promoted as u64,
            expired: moved.expired as u64,
            lost: moved.lost as u64,
            pruned,
            more: full(moved.promoted) || full(moved.expired) || full(moved.lost) || more_to_prune,
            next_in: desk.next_in(horizon),
        })
    }
}

impl Horizon {
    /// The same with a lease that ends at `until`.
    pub(super) fn with_lease(mut self, until: i64) -> Self {
        self.lease = Some(self.lease.map_or(until, |lease| lease.min(until)));
        self
    }
}

impl Desk<'_> {
    /// One slice of each sort. Answers what is next after it.
    pub(super) async fn let_time_pass(&mut self) -> Result<(Moved, Horizon), Fault> {
        let now = self.now_ms();
        let is_over = |at: Option<i64>| at.is_some_and(|at| at <= now);
        let mut moved = Moved::default();
        let mut horizon = self.horizon().await?;
        let is_due = is_over(horizon.scheduled) || is_over(horizon.retryable);
        // The usual case costs one look at the heads of four indexes.
        if !is_due && !is_over(horizon.lease) && !is_over(horizon.expiry) {
            return Ok((moved, horizon));
        }
        if is_due {
            moved.promoted = self.promote().await?;
        }
        if is_over(horizon.lease) {
            moved.lost = self.reap().await?;
        }
        if is_over(horizon.expiry) || moved.lost > 0 {
            moved.expired = self.expire().await?;
        }
        horizon = self.horizon().await?;
        Ok((moved, horizon))
    }

    async fn horizon(&mut self) -> Result<Horizon, Fault> {
        let sql = "SELECT (SELECT min(sort) FROM job WHERE queue = ?1 AND state = 0), \
                   (SELECT min(sort) FROM job WHERE queue = ?1 AND state = 3), \
                   (SELECT min(sort) FROM job WHERE queue = ?1 AND state = 2), \
                   (SELECT min(expires_at) FROM job WHERE queue = ?1 AND state IN (0, 1, 3, 7) AND expires_at IS NOT NULL)";
        let row = sqlx::query(sql).bind(self.line.key).fetch_one(&mut *self.conn).await?;
        let (scheduled, retryable): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Horizon {
            scheduled,
            retryable: retryable.map(|due| due.max(self.line.flow.retry_opens)),
            lease: row.try_get(2)?,
            expiry: row.try_get(3)?,
        })
    }

    /// As `next_in` of a claim and a sweep.
    pub(super) fn next_in(&self, horizon: Horizon) -> Option<Duration> {
        let pause = self.line.paused(self.now);
        let available = self.line.count(State::Available) > 0;
        let held_until = self.line.flow.held_until;
        if pause.is_none() && available && held_until <= self.now_ms() {
            return Some(Duration::ZERO);
        }
        let resumes = match pause {
            Some(pause) => pause.until.map(|until| until.as_millis() as i64),
            None => Some(held_until).filter(|until| available && *until != NEVER),
        };
        let dues = horizon.scheduled.into_iter().chain(horizon.retryable);
        let next = dues.chain(horizon.lease).chain(resumes).min()?;
        Some(Timestamp::from_millis(next as u64).since(self.now))
    }

    /// Due jobs go to the end of their line, in the order in which they are due.
    async fn promote(&mut self) -> Result<usize, Fault> {
        // Each half walks the index; only two slices are ever sorted.
        let sql = concat!(
            "SELECT ",
            row_columns!(),
            " FROM job WHERE seq IN (SELECT seq FROM (SELECT * FROM (SELECT seq, sort, id FROM job WHERE queue = ?1 \
             AND state = 0 AND sort <= ?2 ORDER BY sort, id LIMIT ?3 + 0) UNION ALL SELECT * FROM (SELECT seq, sort, id \
             FROM job WHERE queue = ?1 AND state = 3 AND sort <= ?2 ORDER BY sort, id LIMIT ?4 + 0)) \
             ORDER BY sort, id LIMIT ?3 + 0) ORDER BY job.sort, job.id"
        );
        let mut damper = self.retries().await?;
        let query = sqlx::query(sql).bind(self.line.key).bind(self.now_ms()).bind(SLICE as i64).bind(damper.tokens());
        let rows: Vec<_> = query.fetch_all(&mut *self.conn).await?.iter().map(Row::read).collect::<Result<_, _>>()?;
        let retried = rows.iter().filter(|row| row.state == State::Retryable).count();
        if retried > 0 {
            damper.spend(retried as i64);
            let opens = if damper.tokens() > 0 { 0 } else { damper.opens() };
            let flow = self.line.flow_mut();
            (flow.retry_full, flow.retry_opens) = (damper.full_at(), opens);
        }
        let mut batch = Batch::default();
        for mut row in rows {
            self.move_to(&mut row, Change::Promote, self.now)?;
            self.record(&row, EventKind::Promoted, None);
            batch.rows.push(row);
        }
        self.save(&batch).await?;
        Ok(batch.rows.len())
    }

    /// The bucket that damps the return of retries.
    async fn retries(&mut self) -> Result<Bucket, Fault> {
        let rules = self.rules(&["queue".to_owned()].into()).await?;
        let own = rules.get("queue").and_then(|rule| rule.limits.retry_rate);
        Ok(Bucket::new(&own.unwrap_or(RETRY_RATE), self.line.flow.retry_full, self.now_ms()))
    }

    /// Jobs of lost workers go back to their places, or come to their end.
    async fn reap(&mut self) -> Result<usize, Fault> {
        let sql = concat!(
            "SELECT ",
            row_columns!(),
            " FROM job WHERE queue = ?1 AND state = 2 AND sort <= ?2 ORDER BY sort, id LIMIT ?3 + 0"
        );
        let rows = self.slice(sql).await?;
        let error = AttemptError::new(ErrorClass::WorkerLost, "the worker was lost: its lease ran out");
        let mut batch = Batch::default();
        for mut row in rows {
            let worker = row.worker();
            row.lost += 1;
            // The token is nobody's any more: a late end of this attempt must not pass for a repeated one.
            row.token = -row.token;
            let change = if row.cancel_requested {
                Change::Cancel
            } else if row.lost >= MAX_LOST {
                Change::Discard(DiscardReason::WorkerLost)
            } else {
                Change::Lose
            };
            batch.add_error(&row, worker.as_ref(), &error, self.now);
            self.move_to(&mut row, change, self.now)?;
            self.record(&row, EventKind::Lost, worker);
            batch.rows.push(row);
        }
        self.save(&batch).await?;
        Ok(batch.rows.len())
    }

    /// Jobs that wait beyond their `expires_at` are discarded.
    async fn expire(&mut self) -> Result<usize, Fault> {
        let sql = concat!(
            "SELECT ",
            row_columns!(),
            " FROM job WHERE queue = ?1 AND state IN (0, 1, 3, 7) AND expires_at IS NOT NULL AND expires_at <= ?2 \
             ORDER BY expires_at, id LIMIT ?3 + 0"
        );
        let rows = self.slice(sql).await?;
        let mut batch = Batch::default();
        for mut row in rows {
            self.move_to(&mut row, Change::Discard(DiscardReason::Expired), self.now)?;
            self.record(&row, EventKind::Expired, None);
            batch.rows.push(row);
        }
        self.save(&batch).await?;
        Ok(batch.rows.len())
    }

    async fn slice(&mut self, sql: &'static str) -> Result<Vec<Row>, Fault> {
        let query = sqlx::query(sql).bind(self.line.key).bind(self.now_ms()).bind(SLICE as i64);
        query.fetch_all(&mut *self.conn).await?.iter().map(Row::read).collect()
    }

    /// Removes ended jobs beyond the retention, and locks whose time is over. Answers whether more is left.
    async fn prune(&mut self, retention: &Retention, kept: Kept) -> Result<(u64, bool), Fault> {
        let (mut pruned, mut more) = (0, false);
        for (state, age, keep) in [
            (State::Completed, retention.completed_age, retention.completed_count),
            (State::Cancelled, retention.completed_age, retention.completed_count),
            (State::Discarded, retention.discarded_age, retention.discarded_count),
        ] {
            let held = self.unrecorded(state, keep.saturating_add(kept.unrecorded as u64));
            let seqs = self.beyond(state, age, keep, held).await?;
            if seqs.is_empty() {
                continue;
            }
            self.remove(&seqs).await?;
            self.line.forget(state, seqs.len());
            pruned += seqs.len() as u64;
            more |= seqs.len() >= SLICE;
        }
        let sql = "DELETE FROM unique_lock WHERE queue = ?1 AND digest IN (SELECT digest FROM unique_lock \
                   WHERE queue = ?1 AND until <= ?2 ORDER BY until LIMIT ?3 + 0)";
        let query = sqlx::query(sql).bind(self.line.key).bind(self.now_ms()).bind(SLICE as i64);
        let locks = query.execute(&mut *self.conn).await?.rows_affected();
        Ok((pruned, more || locks >= SLICE as u64))
    }

    /// Which jobs of an ended state are held for a recorder, if any are.
    fn unrecorded(&self, state: State, most: u64) -> Option<Held> {
        let since = place_at(self.line.unrecorded_since(self.now)?);
        Some(Held { since, beyond: usize::try_from(self.line.count(state)).unwrap_or(0).saturating_sub(most as usize) })
    }

    /// The oldest jobs of an ended state that are too old or too many, and not held. The order of their ends is that of
    /// their times.
    async fn beyond(&mut self, state: State, age: Duration, keep: u64, held: Option<Held>) -> Result<Vec<i64>, Fault> {
        let surplus = usize::try_from(self.line.count(state)).unwrap_or(0).saturating_sub(keep as usize);
        let oldest_kept = self.now.minus(age);
        let sql = "SELECT seq, sort FROM job WHERE queue = ?1 AND state = ?2 ORDER BY sort, id LIMIT ?3 + 0";
        let by_age = "SELECT min(sort) FROM job WHERE queue = ?1 AND state = ?2";
        let too_old = place_at(oldest_kept.plus(Duration::from_millis(1)));
        let stays = |index: usize, sort: i64| {
            (index >= surplus && sort >= too_old) || held.is_some_and(|held| index >= held.beyond && sort >= held.since)
        };
        let query = sqlx::query_scalar(by_age).bind(self.line.key).bind(code(state));
        let oldest: Option<i64> = query.fetch_one(&mut *self.conn).await?;
        if oldest.is_none_or(|sort| stays(0, sort)) {
            return Ok(Vec::new());
        }
        let query = sqlx::query(sql).bind(self.line.key).bind(code(state)).bind(SLICE as i64);
        let mut seqs = Vec::new();
        for (index, row) in query.fetch_all(&mut *self.conn).await?.iter().enumerate() {
            if stays(index, row.try_get(1)?) {
                break;
            }
            seqs.push(row.try_get(0)?);
        }
        Ok(seqs)
    }
}
