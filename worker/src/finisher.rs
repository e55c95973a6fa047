//! Writes the ends of attempts: takes all that came while the call before ran, and keeps at it through an outage.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use lovage_broker::{BrokerError, Finish, LeaseStatus};
use lovage_core::Transition;
use lovage_core::limits::MAX_CLAIM;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::engine::{Ending, Engine};
use crate::event::WorkerEvent;
use crate::metrics::Unwritten;
use crate::outage::Outage;

/// Runs until `close` is cancelled and everything that was sent before is written.
///
/// An end that cannot be written is tried again for as long as the worker lives, also beyond its lease: the token
/// decides in the broker whether it still counts, and nobody else can know. The fetcher claims nothing more while too
/// many wait.
pub(crate) async fn finish(engine: Arc<Engine>, mut endings: UnboundedReceiver<Ending>, close: CancellationToken) {
    let mut batch = Vec::new();
    let mut outage = Outage::new("write the outcomes of jobs");
    loop {
        if batch.is_empty() {
            tokio::select! {
                biased;
                taken = endings.recv_many(&mut batch, MOST_AT_ONCE) => if taken == 0 { return },
                () = close.cancelled(), if !endings.is_closed() => endings.close(),
            }
        } else {
            // What could not be written does not hold up what came since, which may be for another part of the broker.
            batch.extend(std::iter::from_fn(|| endings.try_recv().ok()).take(MOST_AT_ONCE));
        }
        batch = match write(&engine, batch).await {
            Ok(()) => {
                outage.answered();
                Vec::new()
            }
            Err((rest, error)) => {
                tokio::time::sleep(outage.failed(&error, &*engine.entropy)).await;
                rest
            }
        };
    }
}

/// Endings taken from the channel at once.
const MOST_AT_ONCE: usize = MAX_CLAIM;

type Rest = (Vec<Ending>, BrokerError);

/// Writes a batch, one call per queue and thousand, all at once. Answers what has to be tried again.
async fn write(engine: &Engine, batch: Vec<Ending>) -> Result<(), Rest> {
    let mut lines: BTreeMap<usize, Vec<Vec<Ending>>> = BTreeMap::new();
    for ending in batch {
        let calls = lines.entry(ending.attempt.line).or_default();
        match calls.last_mut() {
            Some(call) if call.len() < MAX_CLAIM => call.push(ending),
            _ => calls.push(vec![ending]),
        }
    }
    let calls = lines.into_values().flatten().map(|endings| write_call(engine, endings));
    let mut unwritten: Option<Rest> = None;
    for result in join_all(calls).await {
        if let Err((rest, error)) = result {
            match &mut unwritten {
                None => unwritten = Some((rest, error)),
                Some((all, _)) => all.extend(rest),
            }
        }
    }
    unwritten.map_or(Ok(()), Err)
}

/// Whether the broker may take the same outcome later: it is away, or a person has to mend how it is set up (a password
/// that was changed, a right that is missing). Work that is done is not thrown away for that.
fn may_pass(error: &BrokerError) -> bool {
    error.is_transient() || matches!(error, BrokerError::Misconfigured(_))
}

async fn write_call(engine: &Engine, endings: Vec<Ending>) -> Result<(), Rest> {
    // The last progress and log lines first: after its end a job takes none.
    let unwritten = endings.iter().filter(|ending| ending.attempt.has_unwritten());
    let reports = join_all(unwritten.map(|ending| engine.reporter.write(&ending.attempt))).await;
    if let Some(error) = reports.into_iter().filter_map(Result::err).find(may_pass) {
        return Err((endings, error));
    }
    let Some(queue) = endings.first().map(|ending| ending.attempt.queue.clone()) else { return Ok(()) };
    let items = endings.iter().map(item).collect();
    match engine.broker.finish(&queue, &engine.config.id, items).await {
        Ok(statuses) => {
            conclude(engine, &endings, &statuses);
            Ok(())
        }
        Err(error) if may_pass(&error) => Err((endings, error)),
        Err(error) if endings.len() == 1 => {
            give_up(engine, &endings, &error);
            Ok(())
        }
        // Something about one of them: each on its own, so that it harms no other.
        Err(_) => one_by_one(engine, endings).await,
    }
}

async fn one_by_one(engine: &Engine, endings: Vec<Ending>) -> Result<(), Rest> {
    let mut endings = endings.into_iter();
    while let Some(ending) = endings.next() {
        match engine.broker.finish(&ending.attempt.queue, &engine.config.id, vec![item(&ending)]).await {
            Ok(statuses) => conclude(engine, &[ending], &statuses),
            Err(error) if may_pass(&error) => {
                let rest = std::iter::once(ending).chain(endings).collect();
                return Err((rest, error));
            }
            Err(error) => give_up(engine, &[ending], &error),
        }
    }
    Ok(())
}

fn item(ending: &Ending) -> Finish {
    Finish { lease: ending.attempt.lease.clone(), transition: ending.transition.clone() }
}

fn conclude(engine: &Engine, endings: &[Ending], statuses: &[LeaseStatus]) {
    let written = |status: &LeaseStatus| *status != LeaseStatus::Lost;
    let pairs = || endings.iter().zip(statuses);
    engine.leases.remove(pairs().filter(|(_, status)| written(status)).map(|(ending, _)| &ending.attempt));
    for (ending, status) in pairs() {
        if written(status) {
            let attempt = &ending.attempt;
            engine.counts.ended(&ending.transition);
            engine.metrics.ended(attempt.line, attempt.kind(), &ending.transition, attempt.terms().is_some());
            if let Transition::Retry { delay, .. } | Transition::Release { delay, .. } = &ending.transition {
                engine.coming_back.note(ending.attempt.line, *delay);
            }
            let change = || ending.transition.change();
            engine.tell(|| WorkerEvent::Finished { id: ending.attempt.id().clone(), change: change() });
        } else {
            engine.forget(&ending.attempt, Unwritten::Refused);
        }
    }
}

fn give_up(engine: &Engine, endings: &[Ending], error: &BrokerError) {
    for ending in endings {
        let (id, queue) = (ending.attempt.id(), &ending.attempt.queue);
        tracing::error!(job_id = %id, %queue, error.message = %error, "the end of the job cannot be written");
        engine.forget(&ending.attempt, Unwritten::Unwritable);
    }
}
