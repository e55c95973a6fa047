//! Workers, messages to them, and leaders: what stands beside the jobs.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{JobId, QueueName, Timestamp, WorkerId, WorkerView};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::fault::Fault;
use super::step::Step;
use super::writer::Command;
use crate::api::{Control, HeldLease, Leadership};

/// A worker not heard of for so long is forgotten, and so is a message that nobody fetched.
const FORGET_AFTER: Duration = Duration::from_hours(24);

/// Messages kept for one worker.
const MESSAGES_KEPT: i64 = 1_000;

/// A control message as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredControl {
    Cancel { queue: QueueName, id: JobId, token: u64 },
    Quiet,
    Stop,
}

impl From<&Control> for StoredControl {
    fn from(control: &Control) -> Self {
        match control {
            Control::Cancel { queue, lease } => {
                Self::Cancel { queue: queue.clone(), id: lease.id.clone(), token: lease.token }
            }
            Control::Quiet => Self::Quiet,
            Control::Stop => Self::Stop,
        }
    }
}

/// Reads a stored message.
pub(super) fn read_control(body: &str) -> Result<Control, Fault> {
    Ok(match serde_json::from_str(body)? {
        StoredControl::Cancel { queue, id, token } => Control::Cancel { queue, lease: HeldLease { id, token } },
        StoredControl::Quiet => Control::Quiet,
        StoredControl::Stop => Control::Stop,
    })
}

/// Leaves a message for a worker.
pub(super) async fn send_control(
    conn: &mut SqliteConnection,
    now: Timestamp,
    worker: &WorkerId,
    control: &Control,
) -> Result<(), Fault> {
    sqlx::query("INSERT INTO control (worker, at, body) VALUES (?1, ?2, ?3)")
        .bind(worker.as_str())
        .bind(now.as_millis() as i64)
        .bind(serde_json::to_string(&StoredControl::from(control))?)
        .execute(&mut *conn)
        .await?;
    // Nobody may be listening.
    let sql = "DELETE FROM control WHERE seq IN \
               (SELECT seq FROM control WHERE worker = ?1 ORDER BY seq DESC LIMIT -1 OFFSET ?2 + 0)";
    sqlx::query(sql).bind(worker.as_str()).bind(MESSAGES_KEPT).execute(conn).await?;
    Ok(())
}

/// A control call.
#[derive(Debug)]
pub(super) struct Send {
    pub worker: WorkerId,
    pub control: Control,
}

#[async_trait]
impl Command for Send {
    type Answer = bool;

    async fn run(&self, step: &mut Step<'_>) -> Result<bool, Fault> {
        let known = sqlx::query("SELECT 1 FROM worker WHERE id = ?1").bind(self.worker.as_str());
        if known.fetch_optional(&mut *step.conn).await?.is_none() {
            return Ok(false);
        }
        send_control(step.conn, step.now, &self.worker, &self.control).await?;
        step.wakes.workers.insert(self.worker.clone());
        Ok(true)
    }
}

/// Removes the messages that a worker has read.
#[derive(Debug)]
pub(super) struct Delivered {
    pub worker: WorkerId,
    pub last: i64,
}

#[async_trait]
impl Command for Delivered {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        let query = sqlx::query("DELETE FROM control WHERE worker = ?1 AND seq <= ?2");
        query.bind(self.worker.as_str()).bind(self.last).execute(&mut *step.conn).await?;
        Ok(())
    }
}

/// A heartbeat call.
#[derive(Debug)]
pub(super) struct Beat(pub WorkerView);

#[async_trait]
impl Command for Beat {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        let Self(view) = self;
        let now = step.now.as_millis() as i64;
        let sql = "INSERT INTO worker (id, seen_at, body) VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, body = excluded.body";
        let body = serde_json::to_string(view)?;
        sqlx::query(sql).bind(view.id.as_str()).bind(now).bind(body).execute(&mut *step.conn).await?;
        let queues = serde_json::to_string(&view.queues.keys().collect::<Vec<_>>())?;
        let sql = "INSERT INTO queue (name) SELECT value FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(queues).execute(&mut *step.conn).await?;
        let long_ago = now - FORGET_AFTER.as_millis() as i64;
        for sql in ["DELETE FROM worker WHERE seen_at < ?1", "DELETE FROM control WHERE at < ?1"] {
            sqlx::query(sql).bind(long_ago).execute(&mut *step.conn).await?;
        }
        Ok(())
    }
}

/// An unregister call.
#[derive(Debug)]
pub(super) struct Forget(pub WorkerId);

#[async_trait]
impl Command for Forget {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        for sql in ["DELETE FROM worker WHERE id = ?1", "DELETE FROM control WHERE worker = ?1"] {
            sqlx::query(sql).bind(self.0.as_str()).execute(&mut *step.conn).await?;
        }
        Ok(())
    }
}

/// A lead call.
#[derive(Debug)]
pub(super) struct Lead {
    pub name: String,
    pub holder: String,
    pub ttl: Duration,
}

#[async_trait]
impl Command for Lead {
    type Answer = Option<Leadership>;

    async fn run(&self, step: &mut Step<'_>) -> Result<Option<Leadership>, Fault> {
        let sql = "SELECT holder, term, until FROM leader WHERE name = ?1";
        let row = sqlx::query(sql).bind(&self.name).fetch_optional(&mut *step.conn).await?;
        let now = step.now.as_millis() as i64;
        let term = match row {
            None => 1,
            Some(row) => {
                let (holder, term, until): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let is_mine = holder == self.holder;
                if !is_mine && until > now {
                    return Ok(None);
                }
                if is_mine { term } else { term + 1 }
            }
        };
        let sql = "INSERT INTO leader (name, holder, term, until) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT DO UPDATE SET holder = excluded.holder, term = excluded.term, until = excluded.until";
        sqlx::query(sql)
            .bind(&self.name)
            .bind(&self.holder)
            .bind(term)
            .bind(step.now.plus(self.ttl).as_millis() as i64)
            .execute(&mut *step.conn)
            .await?;
        Ok(Some(Leadership { term: term as u64 }))
    }
}

/// A resign call.
#[derive(Debug)]
pub(super) struct Resign {
    pub name: String,
    pub holder: String,
}

#[async_trait]
impl Command for Resign {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        let sql = "UPDATE leader SET holder = '', until = 0 WHERE name = ?1 AND holder = ?2";
        sqlx::query(sql).bind(&self.name).bind(&self.holder).execute(&mut *step.conn).await?;
        Ok(())
    }
}
