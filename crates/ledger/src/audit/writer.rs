//! Many callers, few commits: what waits while one commit runs goes into the next. There is no timer, so a lone event is
//! committed at once, and under load batches grow by themselves.
//!
//! If the database refuses a batch because of its data, it is halved until the event that is at fault stands alone: that
//! caller gets the error, all others are stored.

use futures::future::BoxFuture;
use lovage_core::audit::AuditEvent;
use tokio::sync::{mpsc, oneshot};

use super::Kept;
use crate::error::LedgerError;
use crate::ledger::Ledger;

/// Events that may wait; whoever brings one more waits, too.
const WAITING: usize = 4_096;
/// Most events of one commit.
const BATCH: usize = 1_000;

/// The end to which events are brought. Clones share one writer, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct AuditWriter(mpsc::Sender<Waiting>);

#[derive(Debug)]
struct Waiting {
    event: AuditEvent,
    answer: oneshot::Sender<Result<Kept, LedgerError>>,
}

impl AuditWriter {
    /// Starts a writer on this runtime.
    pub fn start(ledger: Ledger) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(run(ledger, receiver));
        Self(sender)
    }

    /// Stores an event; answers when it is committed.
    pub async fn write(&self, event: AuditEvent) -> Result<Kept, LedgerError> {
        let gone = || LedgerError::Unavailable("the writer has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        self.0.send(Waiting { event, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn run(ledger: Ledger, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let (events, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|one| (one.event, one.answer)).unzip();
        let results = commit(&ledger, &events).await;
        for (answer, result) in answers.into_iter().zip(results) {
            // Nobody waits any more for the answer of a job that was cancelled.
            let _ = answer.send(result);
        }
    }
}

/// Commits what can be committed; the answers are in the order of the events.
pub(super) fn commit<'a>(
    ledger: &'a Ledger,
    events: &'a [AuditEvent],
) -> BoxFuture<'a, Vec<Result<Kept, LedgerError>>> {
    Box::pin(async move {
        match ledger.append(events).await {
            Ok(kept) => kept.into_iter().map(Ok).collect(),
            Err(LedgerError::Refused(_)) if events.len() > 1 => {
                let (left, right) = events.split_at(events.len() / 2);
                let mut results = commit(ledger, left).await;
                results.extend(commit(ledger, right).await);
                results
            }
            Err(error) => events.iter().map(|_| Err(error.clone())).collect(),
        }
    })
}
