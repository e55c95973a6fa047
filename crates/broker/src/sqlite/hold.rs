//! What somebody records elsewhere is kept until it is recorded, within a bound.

use async_trait::async_trait;
use lovage_core::{QueueName, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::desk::Desk;
use super::fault::Fault;
use super::line::Line;
use super::step::Step;
use super::writer::Command;

/// Nobody records any more who has not said so for a day.
const LAPSE_MS: i64 = 24 * 3_600_000;

/// How many events a queue keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub events: i64,
    /// So many more for a recorder, and as many ended jobs of a state.
    pub unrecorded: i64,
}

/// The last event that is recorded, its time, and when that was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    number: i64,
    at: i64,
    said: i64,
}

impl Hold {
    /// Its three columns, from column `first` on.
    pub(super) fn read(row: &SqliteRow, first: usize) -> Result<Option<Self>, Fault> {
        let Some(number) = row.try_get(first)? else { return Ok(None) };
        Ok(Some(Self { number, at: row.try_get(first + 1)?, said: row.try_get(first + 2)? }))
    }
}

impl Line {
    fn held(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| now.as_millis() as i64 - hold.said < LAPSE_MS)
    }

    /// The number up to which events may go.
    pub(super) fn events_may_go(&self, kept: Kept, now: Timestamp) -> i64 {
        let oldest = self.event - kept.events;
        self.held(now).map_or(oldest, |hold| oldest.min(hold.number).max(oldest - kept.unrecorded))
    }

    /// The time from which on ended jobs may not be recorded; nothing if all are, or nobody records.
    pub(super) fn unrecorded_since(&self, now: Timestamp) -> Option<Timestamp> {
        let hold = self.held(now).filter(|hold| hold.number < self.latest_event())?;
        Some(Timestamp::from_millis(hold.at as u64))
    }
}

/// A call that says up to which event all are recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub queue: QueueName,
    pub upto: i64,
}

#[async_trait]
impl Command for Recorded {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        let Some(mut desk) = step.desk(&self.queue).await? else { return Ok(()) };
        let latest = desk.line.latest_event();
        // What this file never had belongs to another one: of what happened here nothing is recorded.
        let is_ours = |number: &i64| (0..=latest).contains(number);
        let number = Some(self.upto).filter(is_ours).unwrap_or(0);
        let before = desk.line.hold.filter(|hold| is_ours(&hold.number));
        let (number, at) = match before {
            Some(before) if before.number >= number => (before.number, before.at),
            // The event has gone: what was known before still holds.
            _ => (number, desk.time_of(number).await?.or(before.map(|hold| hold.at)).unwrap_or(0)),
        };
        let hold = Hold { number, at, said: desk.now_ms() };
        desk.line.hold = Some(hold);
        let sql = "UPDATE queue SET recorded = ?2, recorded_at = ?3, recorded_said = ?4 WHERE key = ?1";
        let query = sqlx::query(sql).bind(desk.line.key).bind(hold.number).bind(hold.at).bind(hold.said);
        query.execute(&mut *desk.conn).await?;
        Ok(())
    }
}

impl Desk<'_> {
    /// When an event happened, if it is still there.
    async fn time_of(&mut self, number: i64) -> Result<Option<i64>, Fault> {
        if number > self.line.event {
            // One of this very transaction.
            return Ok(Some(self.now_ms()));
        }
        let sql = "SELECT at FROM (SELECT last, count, at FROM event WHERE queue = ?1 AND last >= ?2 ORDER BY last LIMIT 1) \
                   WHERE last - count < ?2";
        Ok(sqlx::query_scalar(sql).bind(self.line.key).bind(number).fetch_optional(&mut *self.conn).await?)
    }
}
