//! How an idle worker sleeps. Commits of this process wake it at once, whichever handle made them; those of other
//! processes it finds by looking once a second; and it wakes by itself when the next job is due or a lease runs out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lovage_core::{QueueName, Timestamp, WorkerId};
use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fault::Fault;
use super::registry::{Delivered, read_control};
use super::step::Wakes;
use super::writer::{SteadyClock, Writer};
use crate::api::{Control, Wake};
use crate::error::BrokerError;

/// Between two looks for what other processes did.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The hubs of this process by file: two handles on one file wake each other.
static HUBS: LazyLock<Mutex<HashMap<PathBuf, Weak<Hub>>>> = LazyLock::new(Mutex::default);

/// Where the waiters of one file meet its writers.
#[derive(Debug, Default)]
pub(super) struct Hub {
    waiters: Mutex<HashMap<u64, Waiter>>,
    /// The last message that each worker was given. Messages leave the file a moment later.
    delivered: Mutex<HashMap<WorkerId, i64>>,
}

#[derive(Debug)]
struct Waiter {
    queues: Vec<QueueName>,
    worker: WorkerId,
    bell: Arc<Notify>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these maps whole: every change is a single insert or remove.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// The hub of the file at `path`.
    pub(super) fn of(path: &Path) -> Arc<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut hubs = lock(&HUBS);
        hubs.retain(|_, hub| hub.strong_count() > 0);
        if let Some(hub) = hubs.get(&path).and_then(Weak::upgrade) {
            return hub;
        }
        let hub = Arc::new(Self::default());
        hubs.insert(path, Arc::downgrade(&hub));
        hub
    }

    /// Wakes whoever waits for one of these.
    pub(super) fn wake(&self, wakes: &Wakes) {
        if wakes.queues.is_empty() && wakes.workers.is_empty() {
            return;
        }
        for waiter in lock(&self.waiters).values() {
            if wakes.workers.contains(&waiter.worker) || waiter.queues.iter().any(|queue| wakes.queues.contains(queue))
            {
                // A permit is kept if the waiter is just looking.
                waiter.bell.notify_one();
            }
        }
    }

    /// Notes that message `seq` is given to `worker` now. False if it was before.
    fn deliver(&self, worker: &WorkerId, seq: i64) -> bool {
        let mut delivered = lock(&self.delivered);
        let last = delivered.entry(worker.clone()).or_default();
        let is_new = seq > *last;
        *last = seq.max(*last);
        is_new
    }

    pub(super) fn forget(&self, worker: &WorkerId) {
        lock(&self.delivered).remove(worker);
    }

    fn register(self: &Arc<Self>, queues: &[QueueName], worker: &WorkerId) -> Registration {
        let bell = Arc::new(Notify::new());
        let waiter = Waiter { queues: queues.to_vec(), worker: worker.clone(), bell: bell.clone() };
        let mut waiters = lock(&self.waiters);
        let key = waiters.keys().max().map_or(0, |key| key + 1);
        waiters.insert(key, waiter);
        Registration { hub: self.clone(), key, bell }
    }
}

/// A place among the waiters, given up when the wait ends or is dropped.
struct Registration {
    hub: Arc<Hub>,
    key: u64,
    bell: Arc<Notify>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.hub.waiters).remove(&self.key);
    }
}

/// What a wait needs.
pub(super) struct Wait<'b> {
    pub hub: &'b Arc<Hub>,
    pub readers: &'b SqlitePool,
    pub writer: &'b Writer,
    pub clock: &'b SteadyClock,
    pub queues: &'b [QueueName],
    pub worker: &'b WorkerId,
}

impl Wait<'_> {
    /// Dropping the future loses nothing: a message counts as given only in the step that returns it.
    pub(super) async fn run(self, timeout: Duration) -> Result<Wake, BrokerError> {
        // Registered before the first look, so that nothing falls between looking and sleeping.
        let place = self.hub.register(self.queues, self.worker);
        let end = Instant::now() + timeout;
        let names = serde_json::to_string(self.queues).map_err(Fault::from)?;
        loop {
            if self.queues.is_empty()
                && let Some(control) = self.control().await?
            {
                return Ok(Wake::Control(control));
            }
            let next = match self.look(&names).await? {
                Ok(queue) => return Ok(Wake::Queue(queue)),
                Err(next) => next,
            };
            let now = Instant::now();
            if now >= end {
                return Ok(Wake::Timeout);
            }
            let sleep = LOOK_EVERY.min(end - now).min(next.unwrap_or(LOOK_EVERY));
            tokio::time::timeout(sleep, place.bell.notified()).await.ok();
        }
    }

    /// The next message to the worker.
    async fn control(&self) -> Result<Option<Control>, Fault> {
        let sql = "SELECT seq, body FROM control WHERE worker = ?1 ORDER BY seq";
        for row in sqlx::query(sql).bind(self.worker.as_str()).fetch_all(self.readers).await? {
            let seq = row.try_get(0)?;
            if self.hub.deliver(self.worker, seq) {
                self.writer.try_run(Delivered { worker: self.worker.clone(), last: seq });
                return read_control(row.try_get(1)?).map(Some);
            }
        }
        Ok(None)
    }

    /// A queue with something to claim, or how long until time brings something, if anything is known to come.
    async fn look(&self, names: &str) -> Result<Result<QueueName, Option<Duration>>, Fault> {
        let sql = "SELECT wanted.key, iif(available > 0, held_until, NULL), \
                   (SELECT min(sort) FROM job WHERE job.queue = queue.key AND state = 0), \
                   (SELECT max(retry_opens, min(sort)) FROM job WHERE job.queue = queue.key AND state = 3), \
                   (SELECT min(sort) FROM job WHERE job.queue = queue.key AND state = 2), \
                   queue.paused_since, queue.paused_until \
                   FROM json_each(?1) AS wanted CROSS JOIN queue ON queue.name = wanted.value ORDER BY wanted.key";
        let now = self.clock.now();
        let mut next: Option<i64> = None;
        for row in sqlx::query(sql).bind(names).fetch_all(self.readers).await? {
            let until: Option<i64> = row.try_get(6)?;
            let is_paused =
                row.try_get::<Option<i64>, _>(5)?.is_some() && until.is_none_or(|until| until > now.as_millis() as i64);
            let mut come: Vec<i64> =
                (2..5).filter_map(|column| row.try_get(column).transpose()).collect::<Result<_, _>>()?;
            // What is available but held back comes in its time, too.
            come.extend(if is_paused { until } else { row.try_get(1)? });
            let soonest = come.into_iter().min();
            if soonest.is_some_and(|at| at <= now.as_millis() as i64) {
                let index: i64 = row.try_get(0)?;
                return Ok(Ok(self.queues[index as usize].clone()));
            }
            next = next.into_iter().chain(soonest).min();
        }
        Ok(Err(next.map(|at| Timestamp::from_millis(at as u64).since(now))))
    }
}
