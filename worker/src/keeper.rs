//! Keeps the leases, on a thread, a runtime and a broker connection of its own: however busy the handlers keep the
//! worker's threads, their leases are renewed. It also enforces the hard timeout, hears messages and shows a sign of
//! life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lovage_broker::{Broker, BrokerError, Connect, HeldLease, LeaseStatus, Wake};
use lovage_core::limits::MAX_CLAIM;
use lovage_core::{WorkerState, WorkerView};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::attempt::{Attempt, Cause};
use crate::engine::Engine;
use crate::error::WorkerError;
use crate::event::WorkerEvent;
use crate::health::WorkerHealth;
use crate::outage::Outage;

const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
const BEAT_AGAIN: Duration = Duration::from_secs(1);
/// How often deadlines are looked at; the executor is exact, this is for handlers that do not let it run.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LISTEN_FOR: Duration = Duration::from_secs(10);

/// How long the last words with the broker may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A running keeper. Ends when dropped.
pub(crate) struct Keeper {
    stop: DropGuard,
    /// Fires when the thread has ended, however that was.
    pub ended: CancellationToken,
}

impl Keeper {
    /// Starts the thread, opens its connection and registers the worker.
    pub async fn start(engine: &Arc<Engine>, connect: Connect) -> Result<Self, WorkerError> {
        let stop = CancellationToken::new();
        let ended = CancellationToken::new();
        let (ready_tx, ready) = oneshot::channel();
        let handlers = Handle::current();
        let thread = {
            let (engine, stop, ended) = (Arc::clone(engine), stop.clone(), ended.clone());
            move || {
                // Dropped with the thread, also when it panics.
                let _ended = ended.drop_guard();
                let _noted = Noted(engine.health.clone());
                live(&engine, &connect, &stop, &handlers, ready_tx);
            }
        };
        let spawned = std::thread::Builder::new().name("lovage-keeper".to_owned()).spawn(thread);
        spawned.map_err(|error| broken(error.to_string()))?;
        ready.await.map_err(|_| broken("its thread ended at once".to_owned()))??;
        Ok(Self { stop: stop.drop_guard(), ended })
    }

    /// Takes the worker out of the registry and ends the thread.
    pub async fn end(self) {
        drop(self.stop);
        let _ = tokio::time::timeout(GOODBYE, self.ended.cancelled()).await;
    }
}

/// Notes the end of the thread when it is dropped.
struct Noted(WorkerHealth);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.keeper_ends();
    }
}

fn broken(problem: String) -> WorkerError {
    WorkerError::Broken { part: "lease keeper", problem }
}

fn live(
    engine: &Arc<Engine>,
    connect: &Connect,
    stop: &CancellationToken,
    handlers: &Handle,
    ready: oneshot::Sender<Result<(), WorkerError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(broken(error.to_string())));
            return;
        }
    };
    runtime.block_on(async {
        let broker = match open(engine, connect).await {
            Ok(broker) => broker,
            Err(error) => {
                let _ = ready.send(Err(error.into()));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        tokio::select! {
            // None of them ends; a slow call of one does not hold up the others.
            _ = async { tokio::join!(renew(engine, &broker), enforce(engine), listen(engine, &broker), nudge(handlers)) } => {}
            () = beat(engine, &broker, stop) => {}
        }
        // On the connection of the heartbeats, so that none of them comes later and registers it again.
        let _ = broker.unregister(&engine.config.id).await;
    });
}

/// Wakes a thread of the handlers' runtime. A handler that blocks may do so on the thread that waited for timers and connections
/// last, while the others sleep until there is work: then nobody waits for them until one of those is woken.
async fn nudge(handlers: &Handle) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        drop(handlers.spawn(async {}));
    }
}

async fn open(engine: &Engine, connect: &Connect) -> Result<Arc<dyn Broker>, BrokerError> {
    let broker = connect().await?;
    // Messages only reach workers that are registered.
    broker.heartbeat(&view(engine)).await?;
    Ok(broker)
}

// ------------------------------------------------------------------------------------------------ renewing

async fn renew(engine: &Arc<Engine>, broker: &Arc<dyn Broker>) {
    let mut outage = Outage::new("renew leases");
    loop {
        let pause = match renew_all(engine, broker).await {
            Ok(()) => {
                engine.health.renewed();
                outage.answered();
                engine.config.renew_every
            }
            Err(error) => {
                engine.health.renewal_fails();
                outage.failed(&error, &*engine.entropy).min(engine.config.renew_every)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// One call per queue and thousand leases, all at once.
async fn renew_all(engine: &Arc<Engine>, broker: &Arc<dyn Broker>) -> Result<(), BrokerError> {
    let mut lines: BTreeMap<usize, Vec<Arc<Attempt>>> = BTreeMap::new();
    let now = Instant::now();
    let mine = engine.leases.all();
    let kept = mine.into_iter().filter(|attempt| !given_up(engine, attempt, now));
    kept.for_each(|attempt| lines.entry(attempt.line).or_default().push(attempt));
    let batches = lines.values().flat_map(|attempts| attempts.chunks(MAX_CLAIM));
    let renewed = join_all(batches.map(|attempts| renew_batch(engine, broker, attempts))).await;
    let renewed: usize = renewed.into_iter().sum::<Result<usize, _>>()?;
    engine.tell(|| WorkerEvent::Renewed { leases: renewed });
    Ok(())
}

async fn renew_batch(
    engine: &Arc<Engine>,
    broker: &Arc<dyn Broker>,
    attempts: &[Arc<Attempt>],
) -> Result<usize, BrokerError> {
    let Some(queue) = attempts.first().map(|attempt| attempt.queue.clone()) else { return Ok(0) };
    let leases: Vec<HeldLease> = attempts.iter().map(|attempt| attempt.lease.clone()).collect();
    let asked = Instant::now();
    let (broker, lease) = (Arc::clone(broker), engine.config.lease);
    // A call that hangs longer than the time between two is as good as none. It goes on by itself all the same: only a
    // call that comes to its own end shows the broker's connection that nobody is at the other end of it.
    let call = tokio::spawn(async move { broker.renew(&queue, &leases, lease).await });
    let statuses = match tokio::time::timeout(engine.config.renew_every, call).await {
        Ok(Ok(answer)) => answer?,
        Ok(Err(ended)) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Nobody else ends it, and with the runtime this ends, too.
            Err(_) => return std::future::pending().await,
        },
        Err(_) => return Err(BrokerError::Unavailable("no answer to a renewal in time".to_owned())),
    };
    for (attempt, status) in attempts.iter().zip(statuses) {
        match status {
            LeaseStatus::Held => attempt.set_renewed(asked),
            LeaseStatus::CancelRequested => {
                attempt.set_renewed(asked);
                engine.stop(attempt, Cause::Cancel);
            }
            // One whose end is on its way or written has no lease any more, and the finisher knows better.
            LeaseStatus::Lost if attempt.is_settled() => {}
            LeaseStatus::Lost => engine.lose(attempt),
        }
    }
    Ok(attempts.len())
}

// ------------------------------------------------------------------------------------------------ deadlines

/// Whether the attempt has outstayed its hard timeout for so long that its lease is not renewed any more. One whose
/// end is on its way to the broker has not.
fn given_up(engine: &Engine, attempt: &Attempt, now: Instant) -> bool {
    !attempt.is_settled() && attempt.overdue(now).is_some_and(|over| over > engine.config.cancel_grace)
}

async fn enforce(engine: &Engine) {
    loop {
        tokio::time::sleep(LOOK_EVERY.min(engine.config.renew_every)).await;
        engine.health.keeper_moves();
        let now = Instant::now();
        for attempt in engine.leases.all() {
            if attempt.is_settled() || attempt.overdue(now).is_none() {
                continue;
            }
            engine.stop(&attempt, Cause::TimedOut);
            if given_up(engine, &attempt, now) && attempt.abandon() {
                tracing::error!(
                    job_id = %attempt.id(), queue = %attempt.queue, attempt = attempt.run.number,
                    "the handler does not yield: its lease is given up, and its slot is lost until it returns; \
                     work that blocks belongs into JobContext::blocking"
                );
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------ messages

/// Shows a sign of life until the end. A heartbeat that is under way is not dropped.
async fn beat(engine: &Engine, broker: &Arc<dyn Broker>, stop: &CancellationToken) {
    let mut shown = WorkerState::Running;
    loop {
        // While the broker is away, its return is to be seen soon.
        let pause = if engine.health.is_broker_away() { BEAT_AGAIN } else { HEARTBEAT_EVERY };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = engine.health.broker_doubted(), if pause == HEARTBEAT_EVERY => {}
            // A change of state is shown at once.
            () = engine.quiet.cancelled(), if shown == WorkerState::Running => {}
            () = engine.drain.cancelled(), if shown != WorkerState::Stopping => {}
        }
        let view = view(engine);
        shown = view.state;
        match broker.heartbeat(&view).await {
            Ok(()) => engine.health.trust_broker(),
            Err(error) => {
                engine.health.doubt_broker();
                tracing::debug!(error.message = %error, "no heartbeat");
            }
        }
    }
}

fn state(engine: &Engine) -> WorkerState {
    if engine.drain.is_cancelled() {
        WorkerState::Stopping
    } else if engine.quiet.is_cancelled() {
        WorkerState::Quiet
    } else {
        WorkerState::Running
    }
}

fn view(engine: &Engine) -> WorkerView {
    let config = &engine.config;
    WorkerView {
        id: config.id.clone(),
        host: config.host.clone(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        queues: config.queues.iter().cloned().collect(),
        slots: config.slots as u32,
        busy: engine.busy() as u32,
        state: state(engine),
        started_at: engine.started_at,
        seen_at: engine.started_at,
    }
}

async fn listen(engine: &Engine, broker: &Arc<dyn Broker>) {
    let mut outage = Outage::new("hear messages to this worker");
    loop {
        match broker.wait(&[], &engine.config.id, LISTEN_FOR).await {
            Ok(wake) => {
                outage.answered();
                if let Wake::Control(control) = wake {
                    engine.obey(&control);
                }
            }
            Err(error) => {
                engine.health.doubt_broker();
                tokio::time::sleep(outage.failed(&error, &*engine.entropy)).await;
            }
        }
    }
}
