//! One transaction: the commands of a group work on it one after another, then it is flushed and committed.

use std::collections::{BTreeMap, BTreeSet};

use lovage_core::{QueueName, Timestamp, WorkerId};
use sqlx::sqlite::SqliteConnection;

use super::desk::Desk;
use super::fault::Fault;
use super::hold::Kept;
use super::line::Line;

/// Who has to look again after the commit.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    pub queues: BTreeSet<QueueName>,
    pub workers: BTreeSet<WorkerId>,
}

/// A transaction in which commands run.
pub(super) struct Step<'c> {
    pub conn: &'c mut SqliteConnection,
    pub now: Timestamp,
    pub wakes: Wakes,
    lines: BTreeMap<QueueName, Line>,
}

impl<'c> Step<'c> {
    pub(super) fn new(conn: &'c mut SqliteConnection, now: Timestamp) -> Self {
        Self { conn, now, wakes: Wakes::default(), lines: BTreeMap::new() }
    }

    /// The queue, if anybody has used it yet.
    pub(super) async fn desk(&mut self, queue: &QueueName) -> Result<Option<Desk<'_>>, Fault> {
        if !self.lines.contains_key(queue) {
            let Some(line) = Line::load(self.conn, queue).await? else { return Ok(None) };
            self.lines.insert(queue.clone(), line);
        }
        let Self { conn, now, wakes, lines } = self;
        Ok(lines.get_mut(queue).map(|line| Desk { conn, line, wakes, now: *now }))
    }

    /// The queue, which begins to exist now if it did not.
    pub(super) async fn new_desk(&mut self, queue: &QueueName) -> Result<Desk<'_>, Fault> {
        if self.desk(queue).await?.is_none() {
            Line::create(self.conn, queue).await?;
        }
        let desk = self.desk(queue).await?;
        desk.ok_or_else(|| Fault::Unreadable(format!("queue {queue} is gone in the middle of a transaction")))
    }

    /// Writes what is kept in memory until the end of the transaction, and says who has to be woken after its commit.
    pub(super) async fn flush(mut self, kept: Kept) -> Result<Wakes, Fault> {
        for (name, line) in &mut self.lines {
            Desk { conn: self.conn, line, wakes: &mut self.wakes, now: self.now }.settle().await?;
            line.flush(self.conn, self.now, kept).await?;
            if line.is_woken() {
                self.wakes.queues.insert(name.clone());
            }
        }
        Ok(self.wakes)
    }
}
