//! Workers, messages to them, and leaders: what belongs to no queue.

use std::time::Duration;

use lovage_core::{QueueName, Timestamp, WorkerId, WorkerView};
use redis::Cmd;

use super::keys::slot;
use super::reply::{Items, count, text};
use super::script::{LEAD, WORKER};
use super::{RedisBroker, Result, millis};
use crate::api::{Control, HeldLease, Leadership};
use crate::error::BrokerError;

/// A worker that was not heard of for so long is not listed.
const HEARD_OF: Duration = Duration::from_mins(1);
/// A message that nobody fetches is dropped after this time.
const MESSAGE_LIFE: Duration = Duration::from_hours(1);

impl RedisBroker {
    pub(super) async fn register(&self, view: &WorkerView) -> Result<()> {
        let said = serde_json::to_string(view).map_err(|error| BrokerError::Protocol(error.to_string()))?;
        self.ask_registry("heartbeat", view.id.as_str(), &said, false).await?;
        Ok(())
    }

    pub(super) async fn forget(&self, worker: &WorkerId) -> Result<()> {
        self.ask_registry("unregister", worker.as_str(), "", false).await?;
        Ok(())
    }

    pub(super) async fn list_workers(&self) -> Result<Vec<WorkerView>> {
        let heard_of = millis(HEARD_OF).to_string();
        let mut items = Items::of(self.ask_registry("list", "", &heard_of, false).await?)?;
        let mut workers = Vec::new();
        while !items.is_empty() {
            let said = text(items.take()?)?;
            let seen_at = Timestamp::from_millis(count(&items.take()?)?);
            // A worker of another release may say what this one cannot read; the others are still shown.
            match serde_json::from_str::<WorkerView>(&said) {
                Ok(view) => workers.push(WorkerView { seen_at, ..view }),
                Err(error) => tracing::debug!(%error, "a worker's heartbeat cannot be read"),
            }
        }
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(workers)
    }

    /// Sends a message; to `anybody` also if nothing was heard of the worker yet.
    pub(super) async fn tell(&self, worker: &WorkerId, control: &Control, anybody: bool) -> Result<bool> {
        let answer = self.ask_registry("send", worker.as_str(), &write_control(control), anybody).await?;
        Ok(count(&answer)? == 1)
    }

    async fn ask_registry(&self, action: &str, worker: &str, text: &str, anybody: bool) -> Result<redis::Value> {
        let keys = self.keys.worker(worker);
        let fill = |cmd: &mut Cmd| {
            cmd.arg(keys.len()).arg(&keys);
            self.add_time(cmd);
            cmd.arg(action).arg(worker).arg(text).arg(millis(MESSAGE_LIFE)).arg(u8::from(anybody));
        };
        let slot = slot(&keys[0]);
        match action {
            "send" => self.link.run(&WORKER, slot, fill).await,
            _ => self.link.run_again(&WORKER, slot, fill).await,
        }
    }

    pub(super) async fn take_lead(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Leadership>> {
        let term = self.ask_lead(name, holder, &millis(ttl).to_string()).await?;
        Ok((term > 0).then_some(Leadership { term }))
    }

    pub(super) async fn give_up_lead(&self, name: &str, holder: &str) -> Result<()> {
        self.ask_lead(name, holder, "").await?;
        Ok(())
    }

    async fn ask_lead(&self, name: &str, holder: &str, ttl: &str) -> Result<u64> {
        let key = self.keys.leaders();
        let fill = |cmd: &mut Cmd| {
            cmd.arg(1).arg(&key);
            self.add_time(cmd);
            cmd.arg(name).arg(holder).arg(ttl);
        };
        count(&self.link.run_again(&LEAD, slot(&key), fill).await?)
    }
}

/// A message as it is stored.
fn write_control(control: &Control) -> String {
    match control {
        Control::Quiet => "quiet".into(),
        Control::Stop => "stop".into(),
        Control::Cancel { queue, lease } => format!("cancel {queue} {} {}", lease.token, lease.id),
    }
}

/// Reads a stored message; nothing if this release does not know it.
pub(super) fn read_control(text: &str) -> Option<Control> {
    let mut words = text.split(' ');
    match words.next()? {
        "quiet" => Some(Control::Quiet),
        "stop" => Some(Control::Stop),
        "cancel" => {
            let queue: QueueName = words.next()?.parse().ok()?;
            let token = words.next()?.parse().ok()?;
            Some(Control::Cancel { queue, lease: HeldLease { id: words.next()?.parse().ok()?, token } })
        }
        _ => None,
    }
}
