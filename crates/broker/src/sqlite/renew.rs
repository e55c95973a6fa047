//! What a running attempt says while it runs: that it lives, how far it is, and its log lines.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::limits::{MAX_LOG_LINE_BYTES, MAX_LOG_LINES, cut};
use lovage_core::{LogLine, QueueName};

use super::desk::Desk;
use super::fault::Fault;
use super::row::Row;
use super::step::Step;
use super::writer::Command;
use crate::api::{HeldLease, LeaseStatus, Report};

/// A renew call.
#[derive(Debug)]
pub(super) struct Renew {
    pub queue: QueueName,
    pub leases: Vec<HeldLease>,
    pub lease: Duration,
}

#[async_trait]
impl Command for Renew {
    type Answer = Vec<LeaseStatus>;

    async fn run(&self, step: &mut Step<'_>) -> Result<Vec<LeaseStatus>, Fault> {
        let Some(mut desk) = step.desk(&self.queue).await? else {
            return Ok(vec![LeaseStatus::Lost; self.leases.len()]);
        };
        let held = desk.held(self.leases.iter()).await?;
        desk.extend(held.values(), self.lease).await?;
        Ok(self.leases.iter().map(|lease| status_of(held.get(lease))).collect())
    }
}

fn status_of(row: Option<&Row>) -> LeaseStatus {
    match row {
        None => LeaseStatus::Lost,
        Some(row) if row.cancel_requested => LeaseStatus::CancelRequested,
        Some(_) => LeaseStatus::Held,
    }
}

/// A report call.
#[derive(Debug)]
pub(super) struct TakeReport {
    pub queue: QueueName,
    pub report: Report,
}

#[async_trait]
impl Command for TakeReport {
    type Answer = LeaseStatus;

    async fn run(&self, step: &mut Step<'_>) -> Result<LeaseStatus, Fault> {
        let Some(mut desk) = step.desk(&self.queue).await? else { return Ok(LeaseStatus::Lost) };
        let lease = &self.report.lease;
        let Some(row) = desk.held(std::iter::once(lease)).await?.remove(lease) else { return Ok(LeaseStatus::Lost) };
        if let Some(progress) = &self.report.progress {
            let sql = "UPDATE job SET progress = ?2 WHERE seq = ?1";
            let progress = serde_json::to_string(progress)?;
            sqlx::query(sql).bind(row.seq).bind(progress).execute(&mut *desk.conn).await?;
        }
        if !self.report.lines.is_empty() {
            desk.write_lines(&row, &self.report).await?;
        }
        Ok(status_of(Some(&row)))
    }
}

impl Desk<'_> {
    async fn extend(&mut self, rows: impl Iterator<Item = &Row>, lease: Duration) -> Result<(), Fault> {
        let mut seqs = Vec::new();
        let mut locks = Vec::new();
        for row in rows {
            seqs.push(row.seq);
            if let Some(lock) = &row.lock {
                locks.push((&lock.digest, &row.id, self.now_ms() + lock.ttl));
            }
        }
        if seqs.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE job SET sort = ?2 WHERE seq IN (SELECT value FROM json_each(?1))";
        sqlx::query(sql)
            .bind(serde_json::to_string(&seqs)?)
            .bind(self.now.plus(lease).as_millis() as i64)
            .execute(&mut *self.conn)
            .await?;
        if !locks.is_empty() {
            // A lock whose time is over is gone, also when nobody has taken it since.
            let sql = "INSERT INTO unique_lock (queue, digest, job, until) \
                       SELECT held.queue, held.digest, held.job, max(held.until, mine.value ->> 2) \
                       FROM json_each(?2) AS mine CROSS JOIN unique_lock AS held \
                       ON held.queue = ?1 AND held.digest = mine.value ->> 0 WHERE held.job = mine.value ->> 1 \
                       AND held.until > ?3 \
                       ON CONFLICT DO UPDATE SET until = excluded.until";
            sqlx::query(sql)
                .bind(self.line.key)
                .bind(serde_json::to_string(&locks)?)
                .bind(self.now_ms())
                .execute(&mut *self.conn)
                .await?;
        }
        Ok(())
    }

    async fn write_lines(&mut self, row: &Row, report: &Report) -> Result<(), Fault> {
        // Lines that this very call would drop again are not written.
        let surplus = report.lines.len().saturating_sub(MAX_LOG_LINES);
        let mut bodies = Vec::new();
        for line in &report.lines[surplus..] {
            let text = cut(&line.text, MAX_LOG_LINE_BYTES);
            let line = LogLine { at: self.now, attempt: row.attempt, level: line.level, text };
            bodies.push(serde_json::to_string(&line)?);
        }
        let sql = "SELECT coalesce(max(n), 0) FROM log WHERE job = ?1";
        let last: i64 = sqlx::query_scalar(sql).bind(row.seq).fetch_one(&mut *self.conn).await?;
        let sql = "INSERT INTO log (job, n, body) SELECT ?1, ?2 + key, value FROM json_each(?3)";
        let first = last + 1 + surplus as i64;
        let newest = first + bodies.len() as i64 - 1;
        sqlx::query(sql)
            .bind(row.seq)
            .bind(first)
            .bind(serde_json::to_string(&bodies)?)
            .execute(&mut *self.conn)
            .await?;
        let sql = "DELETE FROM log WHERE job = ?1 AND n <= ?2";
        sqlx::query(sql).bind(row.seq).bind(newest - MAX_LOG_LINES as i64).execute(&mut *self.conn).await?;
        Ok(())
    }
}
