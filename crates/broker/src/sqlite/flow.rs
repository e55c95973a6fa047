//! Setting limits, and pausing and resuming: what people do to a queue's flow.

use async_trait::async_trait;
use lovage_core::limits::MAX_SUBJECTS;
use lovage_core::{Invalid, Limits, Pause, QueueName, Subject, Timestamp};
use sqlx::Row as _;

use super::desk::Desk;
use super::fault::Fault;
use super::rate::Bucket;
use super::step::Step;
use super::writer::Command;

/// A limit call.
#[derive(Debug)]
pub(super) struct SetLimits {
    pub queue: QueueName,
    pub subject: Subject,
    pub limits: Limits,
}

#[async_trait]
impl Command for SetLimits {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        let mut desk = match step.desk(&self.queue).await? {
            None if self.limits.is_empty() => return Ok(()),
            _ => step.new_desk(&self.queue).await?,
        };
        let subject = self.subject.to_string();
        if !self.limits.is_empty() {
            desk.add_rule(&subject).await?;
        }
        // A breaker that is gone forgets what it has seen.
        let sql = "UPDATE flow SET limits = ?3, failures = iif(?4, failures, 0), open_until = iif(?4, open_until, NULL), \
                   probe = iif(?4, probe, NULL) WHERE queue = ?1 AND subject = ?2";
        let query = sqlx::query(sql).bind(desk.line.key).bind(&subject).bind(serde_json::to_string(&self.limits)?);
        query.bind(self.limits.breaker.is_some()).execute(&mut *desk.conn).await?;
        desk.drop_rule(&subject).await?;
        if let Some(rate) = &self.limits.rate {
            // Nobody waits for the end of a slower rate. (Buckets under a star are looked at when they are next used.)
            let emptied = Bucket::new(rate, f64::MAX, desk.now_ms()).full_at();
            let sql = "UPDATE bucket SET full_at = min(full_at, ?3) WHERE queue = ?1 AND subject = ?2";
            sqlx::query(sql).bind(desk.line.key).bind(&subject).bind(emptied).execute(&mut *desk.conn).await?;
        }
        if self.subject == Subject::Queue {
            desk.line.flow_mut().retry_opens = 0;
        }
        desk.open_subject(&self.subject).await
    }
}

/// A pause call.
#[derive(Debug)]
pub(super) struct SetPause {
    pub queue: QueueName,
    pub subject: Subject,
    pub by: String,
    pub why: String,
    pub until: Option<Timestamp>,
}

#[async_trait]
impl Command for SetPause {
    type Answer = Pause;

    async fn run(&self, step: &mut Step<'_>) -> Result<Pause, Fault> {
        let mut desk = step.new_desk(&self.queue).await?;
        let pause = Pause { by: self.by.clone(), why: self.why.clone(), since: desk.now, until: self.until };
        if self.subject == Subject::Queue {
            desk.line.set_pause(Some(pause.clone()));
        } else {
            desk.add_rule(&self.subject.to_string()).await?;
            desk.write_pause(&self.subject, Some(&pause)).await?;
            desk.open_subject(&self.subject).await?;
        }
        Ok(pause)
    }
}

/// A resume call.
#[derive(Debug)]
pub(super) struct Resume {
    pub queue: QueueName,
    pub subject: Subject,
}

#[async_trait]
impl Command for Resume {
    type Answer = bool;

    async fn run(&self, step: &mut Step<'_>) -> Result<bool, Fault> {
        let Some(mut desk) = step.desk(&self.queue).await? else { return Ok(false) };
        let mut held = false;
        if self.subject == Subject::Queue {
            held = desk.line.paused(desk.now).is_some();
            desk.line.set_pause(None);
        }
        if desk.line.flow.rules > 0 {
            desk.settle().await?;
            held |= desk.close_breaker(&self.subject).await?;
        }
        if held {
            desk.open_subject(&self.subject).await?;
        }
        Ok(held)
    }
}

impl Desk<'_> {
    /// Makes room for the rules of a subject.
    async fn add_rule(&mut self, subject: &str) -> Result<(), Fault> {
        let sql = "SELECT 1 FROM flow WHERE queue = ?1 AND subject = ?2";
        let known = sqlx::query(sql).bind(self.line.key).bind(subject).fetch_optional(&mut *self.conn).await?;
        if known.is_some() {
            return Ok(());
        }
        if self.line.flow.rules >= MAX_SUBJECTS as i64 {
            let problem = format!("is one too many: {MAX_SUBJECTS} of this queue have limits or a pause already");
            return Err(Invalid::new(
                "subject",
                problem,
                "remove limits that are not needed, or use tenant:* or key:*",
            )
            .into());
        }
        let sql = "INSERT INTO flow (queue, subject) VALUES (?1, ?2)";
        sqlx::query(sql).bind(self.line.key).bind(subject).execute(&mut *self.conn).await?;
        self.line.flow_mut().rules += 1;
        Ok(())
    }

    /// Removes the row of a subject that has neither limits nor a pause.
    async fn drop_rule(&mut self, subject: &str) -> Result<(), Fault> {
        let sql = "DELETE FROM flow WHERE queue = ?1 AND subject = ?2 AND limits = '{}' \
                   AND (paused_since IS NULL OR paused_until <= ?3)";
        let query = sqlx::query(sql).bind(self.line.key).bind(subject).bind(self.now_ms());
        let dropped = query.execute(&mut *self.conn).await?.rows_affected() as i64;
        if dropped > 0 {
            self.line.flow_mut().rules -= dropped;
        }
        Ok(())
    }

    async fn write_pause(&mut self, subject: &Subject, pause: Option<&Pause>) -> Result<(), Fault> {
        let sql = "UPDATE flow SET paused_by = ?3, paused_why = ?4, paused_since = ?5, paused_until = ?6 \
                   WHERE queue = ?1 AND subject = ?2";
        let millis = |at: Timestamp| at.as_millis() as i64;
        sqlx::query(sql)
            .bind(self.line.key)
            .bind(subject.to_string())
            .bind(pause.map(|pause| pause.by.clone()))
            .bind(pause.map(|pause| pause.why.clone()))
            .bind(pause.map(|pause| millis(pause.since)))
            .bind(pause.and_then(|pause| pause.until).map(millis))
            .execute(&mut *self.conn)
            .await?;
        Ok(())
    }

    /// Ends a subject's pause and closes its breaker. Answers whether there was anything to end.
    async fn close_breaker(&mut self, subject: &Subject) -> Result<bool, Fault> {
        let sql = "SELECT paused_since IS NOT NULL AND (paused_until IS NULL OR paused_until > ?3), \
                   open_until IS NOT NULL FROM flow WHERE queue = ?1 AND subject = ?2";
        let text = subject.to_string();
        let query = sqlx::query(sql).bind(self.line.key).bind(&text).bind(self.now_ms());
        let Some(row) = query.fetch_optional(&mut *self.conn).await? else { return Ok(false) };
        let held = row.try_get::<bool, _>(0)? || row.try_get::<bool, _>(1)?;
        self.write_pause(subject, None).await?;
        let sql = "UPDATE flow SET failures = 0, open_until = NULL, probe = NULL WHERE queue = ?1 AND subject = ?2";
        sqlx::query(sql).bind(self.line.key).bind(&text).execute(&mut *self.conn).await?;
        self.drop_rule(&text).await?;
        Ok(held)
    }
}
