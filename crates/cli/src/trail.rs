//! What operators do goes into the audit trail: who, what, to what, from which machine.
//!
//! Opened before anything is done, so that nothing is done that cannot be recorded. With a ledger the record is committed
//! when the command ends; without one (Redis and no `ledger.url` on this machine) it goes through the queue `audit` to a
//! worker that has one.

use std::sync::Arc;

use lovage_broker::{Broker, EnqueueOutcome, OsEntropy};
use lovage_core::audit::{EventDraft, event_id};
use lovage_core::{Invalid, QueueName, RawJson};
use lovage_ledger::{Ledger, MAX_APPEND};
use lovage_payloads::AuditWrite;
use serde::Serialize;

use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::{config, rooms};

/// The queue of the trail's jobs.
const QUEUE: &str = "audit";

/// Where records go.
pub struct Trail {
    way: Way,
    actor: String,
}

enum Way {
    /// Nothing is recorded: the settings say so.
    Nowhere,
    Ledger(Ledger),
    Queue(Arc<dyn Broker>),
}

impl Trail {
    /// Opens it.
    pub async fn open(context: &Context) -> Outcome<Self> {
        let settings = context.config();
        let way = if settings.audit.operators {
            match rooms::ledger(settings).await? {
                Some(ledger) => Way::Ledger(ledger),
                None => Way::Queue(context.broker().await?),
            }
        } else {
            Way::Nowhere
        };
        Ok(Self { way, actor: format!("cli:{}@{}", config::user(), config::host()) })
    }

    /// Records what was done.
    pub async fn record(&self, action: &str, target: impl Into<String>, details: &impl Serialize) -> Outcome {
        self.record_all(vec![self.draft(action, target.into(), details)?]).await
    }

    /// Records all that was done.
    pub async fn record_all(&self, drafts: Vec<EventDraft>) -> Outcome {
        self.write(drafts).await.map_err(|error| told("it was done, but", &error))
    }

    /// Records what is about to be done.
    pub async fn announce(&self, action: &str, target: impl Into<String>, details: &impl Serialize) -> Outcome {
        let draft = self.draft(action, target.into(), details)?;
        self.write(vec![draft]).await.map_err(|error| told("nothing was done: it", &error))
    }

    /// The record of something, for [`Trail::record_all`].
    pub fn draft(&self, action: &str, target: String, details: &impl Serialize) -> Outcome<EventDraft> {
        let details: Result<RawJson, _> = serde_json::value::to_raw_value(details);
        let metadata = details.map_err(|error| Invalid::new("metadata", error.to_string(), "report this"))?;
        Ok(EventDraft { target: Some(target), metadata: Some(metadata), ..EventDraft::new(&self.actor, action) })
    }

    async fn write(&self, drafts: Vec<EventDraft>) -> Outcome {
        match &self.way {
            Way::Nowhere => {}
            Way::Ledger(ledger) => {
                let now = Context::now();
                let events = drafts.into_iter().map(|draft| draft.complete(event_id(now, &OsEntropy), now));
                let events = events.collect::<Result<Vec<_>, _>>()?;
                for events in events.chunks(MAX_APPEND) {
                    ledger.append(events).await?;
                }
            }
            // Id and time are those of the job, by the broker's clock: this machine's may be wrong.
            Way::Queue(broker) => {
                let queue: QueueName = QUEUE.parse()?;
                let jobs = drafts.into_iter().map(|draft| AuditWrite(draft).into_job(queue.clone()));
                let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
                for jobs in jobs.chunks(MAX_APPEND) {
                    for outcome in broker.enqueue(jobs.to_vec()).await? {
                        if let EnqueueOutcome::Refused(refused) = outcome {
                            return Err(refused.into());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The failure to record something.
fn told(what: &str, error: &Failure) -> Failure {
    let message = format!("{what} could not be written to the audit trail: {error}");
    if matches!(error, Failure::Unavailable(_)) { Failure::Unavailable(message) } else { Failure::Failed(message) }
}
