//! The one connection that writes, with group commit: whatever commands wait when a transaction begins share it and its
//! fsync. There is no timer: the next group gathers while the last one commits.
//!
//! A command that refuses does so before its first write, so the others of its group stand. If SQLite itself fails
//! (a full disk, for one), the whole transaction is rolled back and each command of the group runs again in one of its
//! own: only those that fail alone fail. That costs nothing while all is well, where a savepoint a command would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use lovage_core::{Clock, Timestamp};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::fault::{Fault, again, is_busy};
use super::hold::Kept;
use super::schema::{BETWEEN_TRIES, PATIENCE};
use super::step::{Step, Wakes};
use super::wait::Hub;
use crate::error::BrokerError;

/// Commands that wait for the writer before callers are held back.
const WAITING: usize = 256;
/// Commands that share a transaction.
const GROUP: usize = 64;

/// Something to do in a transaction.
#[async_trait]
pub(super) trait Command: Send + Sync + 'static {
    /// What the caller gets.
    type Answer: Send + 'static;

    /// Reads, decides, then writes. It may run more than once, each time from the same state. [`Fault::Refused`] must
    /// come before the first write.
    async fn run(&self, step: &mut Step<'_>) -> Result<Self::Answer, Fault>;
}

/// The machine's clock that never goes back: on one machine all processes share it, and a correction by the
/// administrator must not reorder events.
#[derive(Debug)]
pub(super) struct SteadyClock {
    clock: Arc<dyn Clock>,
    latest: AtomicU64,
}

impl SteadyClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, latest: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Timestamp {
        let now = self.clock.now().as_millis();
        Timestamp::from_millis(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

/// The way to the writer. Dropping the last one ends it after the commands that it still has.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Box<dyn Pending>>);

impl Writer {
    pub(super) fn start(conn: SqliteConnection, clock: Arc<SteadyClock>, hub: Arc<Hub>, kept: Kept) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(Task { conn, clock, hub, kept, receiver }.run());
        Self(sender)
    }

    /// Runs `command`; the answer comes after the commit. A caller that goes away does not stop it.
    pub(super) async fn run<C: Command>(&self, command: C) -> Result<C::Answer, BrokerError> {
        let (reply, answer) = oneshot::channel();
        let gone = |()| BrokerError::Unavailable("the SQLite writer has ended; restart this process".into());
        let pending = Box::new(Waiting { command, outcome: None, reply });
        self.0.send(pending).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }

    /// Hands `command` over if there is room, without waiting for it.
    pub(super) fn try_run<C: Command>(&self, command: C) {
        let (reply, _) = oneshot::channel();
        if self.0.try_send(Box::new(Waiting { command, outcome: None, reply })).is_err() {
            tracing::debug!("the writer is busy; the command is left out");
        }
    }
}

/// A command whose caller waits, whatever it answers.
#[async_trait]
trait Pending: Send {
    /// Runs it and keeps the outcome. An error means that the transaction is void.
    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Fault>;
    /// Tells the caller: the kept outcome, or why nothing was committed.
    fn answer(self: Box<Self>, failure: Option<BrokerError>);
}

struct Waiting<C: Command> {
    command: C,
    outcome: Option<Result<C::Answer, BrokerError>>,
    reply: oneshot::Sender<Result<C::Answer, BrokerError>>,
}

#[async_trait]
impl<C: Command> Pending for Waiting<C> {
    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Fault> {
        self.outcome = Some(match self.command.run(step).await {
            Ok(answer) => Ok(answer),
            Err(Fault::Refused(error)) => Err(error),
            Err(fault) => return Err(fault),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<BrokerError>) {
        let outcome = match (failure, self.outcome) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(BrokerError::Protocol("a command was answered before it ran".into())),
        };
        // The caller may have gone; what was committed stands.
        self.reply.send(outcome).ok();
    }
}

struct Task {
    conn: SqliteConnection,
    clock: Arc<SteadyClock>,
    hub: Arc<Hub>,
    kept: Kept,
    receiver: mpsc::Receiver<Box<dyn Pending>>,
}

impl Task {
    async fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        // Nothing received means that the last handle is gone.
        while self.receiver.recv_many(&mut group, GROUP).await > 0 {
            self.commit(&mut group).await;
        }
        if let Err(error) = self.conn.close().await {
            tracing::debug!(%error, "closing the SQLite writer");
        }
    }

    async fn commit(&mut self, group: &mut Vec<Box<dyn Pending>>) {
        if let Err(error) = self.begin().await {
            let error = BrokerError::from(Fault::Store(error));
            group.drain(..).for_each(|pending| pending.answer(Some(again(&error))));
            return;
        }
        let failure = match self.run_group(group).await {
            Ok(()) => None,
            Err(fault) if group.len() > 1 => {
                tracing::debug!(?fault, commands = group.len(), "a group failed; each of its commands runs alone");
                return self.run_apart(group).await;
            }
            Err(fault) => Some(BrokerError::from(fault)),
        };
        group.drain(..).for_each(|pending| pending.answer(failure.as_ref().map(again)));
    }

    async fn run_apart(&mut self, group: &mut Vec<Box<dyn Pending>>) {
        for mut pending in group.drain(..) {
            let done = match self.begin().await {
                Ok(()) => self.run_group(std::slice::from_mut(&mut pending)).await,
                Err(error) => Err(error.into()),
            };
            pending.answer(done.err().map(BrokerError::from));
        }
    }

    /// Takes the write lock. Another process may have it: patience, but not for ever.
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match sqlx::query("BEGIN IMMEDIATE").execute(&mut self.conn).await {
                Err(error) if is_busy(&error) && Instant::now() < give_up => {
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
                begun => return begun.map(drop),
            }
        }
    }

    /// Runs commands in the transaction that has begun, and ends it: committed, or as if it had never been.
    async fn run_group(&mut self, group: &mut [Box<dyn Pending>]) -> Result<(), Fault> {
        let done = self.run_and_commit(group).await;
        match done {
            Ok(wakes) => {
                self.hub.wake(&wakes);
                Ok(())
            }
            Err(fault) => {
                // SQLite may have rolled back already (a full disk does that); then this fails, and that is fine.
                sqlx::query("ROLLBACK").execute(&mut self.conn).await.ok();
                Err(fault)
            }
        }
    }

    async fn run_and_commit(&mut self, group: &mut [Box<dyn Pending>]) -> Result<Wakes, Fault> {
        let mut step = Step::new(&mut self.conn, self.clock.now());
        for pending in group {
            pending.run(&mut step).await?;
        }
        let wakes = step.flush(self.kept).await?;
        sqlx::query("COMMIT").execute(&mut self.conn).await?;
        Ok(wakes)
    }
}
