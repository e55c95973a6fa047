//! The reader's side: jobs, pages, logs, queues, events. Nothing here writes.

use async_trait::async_trait;
use futures::future::try_join_all;
use lovage_core::limits::{MAX_LOG_LINES, MAX_PAGE};
use lovage_core::{
    Counts, FlowView, Invalid, JobId, JobView, LogLevel, LogLine, QueueName, QueueView, State, Subject, Timestamp,
    WorkerView,
};
use redis::{Cmd, Value};

use super::keys::slot;
use super::record::letter;
use super::reply::{Items, count, list, number, text, texts};
use super::script::{HISTORY, LINE, LIST, LOOK, STATS};
use super::view::Facts;
use super::worker::level_name;
use super::{RedisBroker, Result, check, event, format};
use crate::api::{EventPage, JobPage, ListQuery, LogPage, Reader, wanted};

/// Most events of one page.
const MAX_EVENTS: usize = 10_000;

#[async_trait]
impl Reader for RedisBroker {
    async fn job(&self, queue: Option<&QueueName>, id: &JobId) -> Result<Option<JobView>> {
        let queue = match queue {
            Some(queue) => queue.clone(),
            None => match self.queue_of(id).await? {
                Some(queue) => queue,
                None => return Ok(None),
            },
        };
        self.facts(&queue, id).await?.map(|facts| facts.into_view(&queue)).transpose()
    }

    async fn jobs(&self, queue: &QueueName, ids: &[JobId]) -> Result<Vec<JobView>> {
        let ids = wanted(ids)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut items = self.look(queue, &ids).await?;
        let mut jobs = Vec::with_capacity(ids.len());
        while !items.is_empty() {
            // One that somebody damaged hides no other; whoever meets it at work discards it.
            jobs.extend(Facts::read(&mut items)?.into_view(queue).ok());
        }
        Ok(jobs)
    }

    async fn list(&self, query: &ListQuery) -> Result<JobPage> {
        let script = if query.state == State::Available { &LINE } else { &LIST };
        let fill = |cmd: &mut Cmd| {
            if query.state != State::Available {
                cmd.arg(letter(query.state).to_string());
            }
            cmd.arg(query.limit.clamp(1, MAX_PAGE)).arg(query.cursor.as_deref().unwrap_or_default());
        };
        let mut items = Items::of(self.run_again(script, &query.queue, fill).await?)?;
        let next = Some(text(items.take()?)?).filter(|cursor| !cursor.is_empty());
        let mut jobs = Vec::with_capacity(query.limit.min(MAX_PAGE));
        while !items.is_empty() {
            jobs.push(Facts::read(&mut items)?.into_view(&query.queue)?);
        }
        Ok(JobPage { jobs, next })
    }

    async fn logs(&self, queue: &QueueName, id: &JobId, after: Option<&str>) -> Result<LogPage> {
        let keys = self.keys.of(queue);
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(keys.log(id));
        match after {
            Some(after) => cmd.arg(format!("({}", log_cursor(after)?)),
            None => cmd.arg("-"),
        };
        cmd.arg("+").arg("COUNT").arg(MAX_LOG_LINES);
        let mut next = after.map(ToOwned::to_owned);
        let mut lines = Vec::new();
        for entry in list(self.link.send(keys.slot(), &cmd).await?)? {
            let mut entry = Items::of(entry)?;
            next = Some(text(entry.take()?)?);
            lines.push(log_line(entry.take()?)?);
        }
        Ok(LogPage { lines, next })
    }

    async fn queue(&self, queue: &QueueName) -> Result<QueueView> {
        let mut items = Items::of(self.run_again(&STATS, queue, |_| {}).await?)?;
        let mut counts = Counts::default();
        for state in State::ALL {
            *counts.of_mut(state) = count(&items.take()?)?;
        }
        let oldest_available_ms = u64::try_from(number(&items.take()?)?).ok();
        let has_flow = count(&items.take()?)? == 1;
        let (paused, flow) = if has_flow { self.first_flows(queue).await? } else { Default::default() };
        Ok(QueueView { name: queue.clone(), counts, oldest_available_ms, paused, flow })
    }

    async fn queues(&self) -> Result<Vec<QueueView>> {
        let names = self.queue_names().await?;
        // Sent together: one round trip for all.
        try_join_all(names.iter().map(|name| self.queue(name))).await
    }

    async fn flow(&self, queue: &QueueName, after: Option<&Subject>, limit: usize) -> Result<Vec<FlowView>> {
        self.flows(queue, after, limit).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.list_workers().await
    }

    async fn events(&self, queue: &QueueName, cursor: Option<&str>, limit: usize) -> Result<EventPage> {
        let after: Option<event::Position> = cursor.map(str::parse).transpose()?;
        let limit = limit.clamp(1, MAX_EVENTS);
        let fill = |cmd: &mut Cmd| {
            match &after {
                Some(after) => cmd.arg(after.number).arg(after.at.as_millis()),
                None => cmd.arg("").arg(""),
            };
            cmd.arg(limit);
        };
        let mut items = Items::of(self.run_again(&HISTORY, queue, fill).await?)?;
        event::page(queue, after, limit, &mut items)
    }

    async fn diagnose(&self) -> Result<Vec<(String, String, bool)>> {
        let mut findings = check::diagnose(&self.link, self.config.clock.now()).await;
        findings.push(format::diagnose(&self.link, &self.keys).await);
        Ok(findings)
    }
}

impl RedisBroker {
    /// What is stored of a job.
    pub(super) async fn facts(&self, queue: &QueueName, id: &JobId) -> Result<Option<Facts>> {
        let mut items = self.look(queue, &[id]).await?;
        if items.is_empty() { Ok(None) } else { Facts::read(&mut items).map(Some) }
    }

    /// The facts of the jobs that are there, one after another.
    async fn look(&self, queue: &QueueName, ids: &[&JobId]) -> Result<Items> {
        let fill = |cmd: &mut Cmd| {
            for id in ids {
                cmd.arg(id.as_str());
            }
        };
        Items::of(self.run_again(&LOOK, queue, fill).await?)
    }

    /// Names of all queues, in order.
    async fn queue_names(&self) -> Result<Vec<QueueName>> {
        let key = self.keys.queues();
        let mut cmd = redis::cmd("SMEMBERS");
        cmd.arg(&key);
        let mut names: Vec<QueueName> =
            texts(self.link.send(slot(&key), &cmd).await?)?.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The queue that has a job with this id: all are asked in one round trip.
    async fn queue_of(&self, id: &JobId) -> Result<Option<QueueName>> {
        let names = self.queue_names().await?;
        // Sent together: one round trip for all of a server.
        let answers = try_join_all(names.iter().map(|name| async move {
            let keys = self.keys.of(name);
            let mut cmd = redis::cmd("HEXISTS");
            cmd.arg(keys.spec()).arg(id.as_str());
            count(&self.link.send(keys.slot(), &cmd).await?)
        }));
        let answers = answers.await?;
        Ok(names.into_iter().zip(answers).find_map(|(name, there)| (there == 1).then_some(name)))
    }
}

/// Checks that the cursor is a position in a stream: two numbers with a dash.
fn log_cursor(cursor: &str) -> Result<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match cursor.split_once('-') {
        Some((time, number)) if digits(time) && digits(number) => Ok(cursor),
        _ => {
            Err(Invalid::new("cursor", format!("{cursor:?} is no cursor of a log"), "use one that was answered").into())
        }
    }
}

/// The fields of one log line.
fn log_line(fields: Value) -> Result<LogLine> {
    let mut line = LogLine { at: Timestamp::default(), attempt: 0, level: LogLevel::Info, text: String::new() };
    let mut fields = Items::of(fields)?;
    while !fields.is_empty() {
        let name = text(fields.take()?)?;
        let value = fields.take()?;
        match name.as_str() {
            "a" => line.attempt = u32::try_from(count(&value)?).unwrap_or(u32::MAX),
            "t" => line.at = Timestamp::from_millis(count(&value)?),
            "l" => line.level = level(&text(value)?),
            "m" => line.text = text(value)?,
            _ => {}
        }
    }
    Ok(line)
}

fn level(name: &str) -> LogLevel {
    let levels = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    levels.into_iter().find(|level| level_name(*level) == name).unwrap_or(LogLevel::Info)
}
