//! The operator's side: single jobs, whole states in slices, pauses, messages, leaders.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    Change, DiscardReason, IllegalChange, JobId, JobSpec, JobView, Limits, NewJob, Pause, QueueName, State, Subject,
    WorkerId,
};
use redis::Cmd;

use super::record::{letter, split_spec, state};
use super::reply::{Items, count, text};
use super::script::{BULK, EDIT, OPERATE, RECORDED};
use super::{RedisBroker, Result, event};
use crate::api::{BulkAction, BulkProgress, Cancelled, Control, Edit, HeldLease, Leadership, NewPause, Operator};
use crate::error::BrokerError;

/// Jobs of one bulk call.
const SLICE: usize = 250;
/// Times that an edit reads a job again because somebody else changed it meanwhile.
const EDIT_TRIES: usize = 10;

#[async_trait]
impl Operator for RedisBroker {
    async fn cancel(&self, queue: &QueueName, id: &JobId) -> Result<Cancelled> {
        let Some((worker, token)) = self.operate(queue, id, BulkAction::Cancel).await? else {
            return Ok(Cancelled::Now);
        };
        let control = Control::Cancel { queue: queue.clone(), lease: HeldLease { id: id.clone(), token } };
        // The request stands in the job already: if this message is lost, the next renewal tells the worker.
        if let Err(error) = self.tell(&worker, &control, true).await {
            tracing::warn!(%queue, job_id = %id, %error, "a worker hears of a cancel only with its next renewal");
        }
        Ok(Cancelled::Requested)
    }

    async fn retry(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.operate(queue, id, BulkAction::Retry).await.map(drop)
    }

    async fn discard(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.operate(queue, id, BulkAction::Discard).await.map(drop)
    }

    async fn delete(&self, queue: &QueueName, id: &JobId) -> Result<()> {
        self.operate(queue, id, BulkAction::Delete).await.map(drop)
    }

    async fn delete_seen(&self, seen: &JobView) -> Result<bool> {
        for _ in 0..EDIT_TRIES {
            if let Some(answer) = self.try_delete_seen(seen).await? {
                return Ok(answer);
            }
        }
        Err(BrokerError::Unavailable(format!("job {} is being changed by somebody else; try again", seen.id)))
    }

    async fn edit(&self, queue: &QueueName, id: &JobId, edit: Edit) -> Result<()> {
        for _ in 0..EDIT_TRIES {
            if self.try_edit(queue, id, &edit).await? {
                return Ok(());
            }
        }
        Err(BrokerError::Unavailable(format!("job {id} is being edited by somebody else; try again")))
    }

    async fn bulk(
        &self,
        queue: &QueueName,
        state: State,
        action: BulkAction,
        cursor: Option<String>,
    ) -> Result<BulkProgress> {
        if !action.allows(state) {
            return Ok(BulkProgress { done: 0, cursor: None });
        }
        let fill = |cmd: &mut Cmd| {
            cmd.arg(action_name(action)).arg(letter(state).to_string()).arg(SLICE);
            cmd.arg(cursor.as_deref().unwrap_or_default());
        };
        let mut items = Items::of(self.run(&BULK, queue, fill).await?)?;
        let done = count(&items.take()?)?;
        let cursor = if items.is_empty() { None } else { Some(text(items.take()?)?).filter(|text| !text.is_empty()) };
        Ok(BulkProgress { done, cursor })
    }

    async fn pause(&self, queue: &QueueName, subject: &Subject, pause: &NewPause) -> Result<Pause> {
        self.set_pause(queue, subject, pause).await
    }

    async fn resume(&self, queue: &QueueName, subject: &Subject) -> Result<bool> {
        self.lift(queue, subject).await
    }

    async fn limit(&self, queue: &QueueName, subject: &Subject, limits: &Limits) -> Result<()> {
        self.set_limits(queue, subject, limits).await
    }

    async fn control(&self, worker: &WorkerId, control: Control) -> Result<bool> {
        self.tell(worker, &control, false).await
    }

    async fn recorded(&self, queue: &QueueName, cursor: &str) -> Result<()> {
        let upto: event::Position = cursor.parse()?;
        let fill = |cmd: &mut Cmd| {
            cmd.arg(upto.number).arg(upto.at.as_millis());
        };
        self.run_again(&RECORDED, queue, fill).await.map(drop)
    }

    async fn lead(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Leadership>> {
        self.take_lead(name, holder, ttl).await
    }

    async fn resign(&self, name: &str, holder: &str) -> Result<()> {
        self.give_up_lead(name, holder).await
    }
}

fn action_name(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Retry => "retry",
        BulkAction::Cancel => "cancel",
        BulkAction::Discard => "discard",
        BulkAction::Delete => "delete",
    }
}

/// The change that a refused action would have made. A delete makes none; it is refused like a discard.
fn change_of(action: BulkAction) -> Change {
    match action {
        BulkAction::Retry => Change::Redrive,
        BulkAction::Cancel => Change::Cancel,
        BulkAction::Discard | BulkAction::Delete => Change::Discard(DiscardReason::Rejected),
    }
}

fn illegal(word: &str, change: Change) -> BrokerError {
    match word.bytes().next().and_then(state) {
        Some(from) => IllegalChange { from, change }.into(),
        None => BrokerError::Protocol("a refused change does not say the job's state".into()),
    }
}

impl RedisBroker {
    /// Does an action to one job. Answers worker and token of a running one that was asked to stop.
    async fn operate(&self, queue: &QueueName, id: &JobId, action: BulkAction) -> Result<Option<(WorkerId, u64)>> {
        let fill = |cmd: &mut Cmd| {
            cmd.arg(action_name(action)).arg(id.as_str());
        };
        let mut items = Items::of(self.run_with_log(&OPERATE, queue, id, fill).await?)?;
        match text(items.take()?)?.as_str() {
            "ok" => Ok(None),
            "missing" => Err(BrokerError::NotFound { queue: queue.clone(), id: id.clone() }),
            "asked" => {
                let worker = text(items.take()?)?;
                let worker = worker.parse().map_err(|invalid| BrokerError::Protocol(format!("a worker: {invalid}")))?;
                Ok(Some((worker, count(&items.take()?)?)))
            }
            _ => Err(illegal(&text(items.take()?)?, change_of(action))),
        }
    }

    /// Reads the job, compares it, and deletes it if nobody changed it between the two. Nothing if somebody did.
    async fn try_delete_seen(&self, seen: &JobView) -> Result<Option<bool>> {
        let Some(facts) = self.facts(&seen.queue, &seen.id).await? else { return Ok(Some(false)) };
        let (stored, head, score) = (facts.stored.clone(), facts.head.clone(), facts.score);
        if !seen.is_unchanged(&facts.into_view(&seen.queue)?) {
            return Ok(Some(false));
        }
        let fill = |cmd: &mut Cmd| {
            cmd.arg(action_name(BulkAction::Delete)).arg(seen.id.as_str()).arg(&stored).arg(&head).arg(score);
        };
        let mut items = Items::of(self.run_with_log(&OPERATE, &seen.queue, &seen.id, fill).await?)?;
        match text(items.take()?)?.as_str() {
            "ok" => Ok(Some(true)),
            "missing" => Ok(Some(false)),
            "changed" => Ok(None),
            _ => Err(illegal(&text(items.take()?)?, change_of(BulkAction::Delete))),
        }
    }

    /// Reads the job, applies the edit, writes it if nobody else changed it meanwhile; answers whether nobody did.
    async fn try_edit(&self, queue: &QueueName, id: &JobId, edit: &Edit) -> Result<bool> {
        let missing = || BrokerError::NotFound { queue: queue.clone(), id: id.clone() };
        let stored = self.facts(queue, id).await?.ok_or_else(missing)?.stored;
        let (_, json) = split_spec(stored.clone());
        let unreadable = |error| BrokerError::Protocol(format!("job {id} cannot be edited: {error}"));
        let mut spec = JobSpec::decode(&json).map_err(unreadable)?;
        edit.apply(&mut spec);
        let mut whole = NewJob::with_raw_args(queue.clone(), spec.kind.clone(), spec.args.clone());
        whole.tags.clone_from(&spec.tags);
        whole.validate(self.config.max_payload_bytes)?;
        let text_after = spec.encode();
        let priority = edit.priority.map(|priority| priority.level().to_string()).unwrap_or_default();
        let fill = |cmd: &mut Cmd| {
            cmd.arg(id.as_str()).arg(&stored).arg(&text_after).arg(&priority);
        };
        let mut items = Items::of(self.run(&EDIT, queue, fill).await?)?;
        match text(items.take()?)?.as_str() {
            "ok" => Ok(true),
            "changed" => Ok(false),
            "missing" => Err(missing()),
            // An edit is no change of state; it is refused where running the job again would be.
            _ => Err(illegal(&text(items.take()?)?, Change::Redrive)),
        }
    }
}
