//! Claims jobs for free slots: at once while there are any, woken by the broker when there are none.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use lovage_broker::{BrokerError, Wake};
use lovage_core::QueueName;
use lovage_core::limits::MAX_CLAIM;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::engine::Engine;
use crate::event::WorkerEvent;
use crate::executor::Work;
use crate::intake::intake;
use crate::leases::Leases;
use crate::line::Line;
use crate::outage::Outage;
use crate::shares::shares;
use crate::waiting::Waiting;

/// Ended attempts that may wait to be written before nothing more is claimed.
const MOST_UNWRITTEN: usize = 1_000;
/// A backlog that lasts longer than this no longer keeps the other queues from being waited for.
const BACKLOG: Duration = Duration::from_secs(1);
/// How long to leave it when a wait failed, and when something keeps queues from being empty.
const AGAIN: Duration = Duration::from_secs(1);

/// Why claiming ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enough {
    /// Somebody asked for it.
    Asked,
    /// `max_jobs` are claimed.
    Count,
    /// `exit_when_empty`, and nothing is left.
    Empty,
}

pub(crate) struct Fetcher {
    engine: Arc<Engine>,
    works: UnboundedSender<Work>,
    lines: Vec<Line>,
    waiting: Waiting,
    outage: Outage,
    /// Slots given to queues so far; see [`shares`].
    rotation: u64,
    /// Since when some queue has had more than was asked of it.
    backlog: Option<Instant>,
    /// Until then nothing is waited for, because waiting failed at once.
    deaf_until: Option<Instant>,
    /// For `exit_when_empty`: the departures from `Leases` when the last look at all queues began.
    looked_at: Option<u64>,
}

impl Fetcher {
    /// The works' channel closes when the fetcher ends.
    pub fn new(engine: Arc<Engine>, works: UnboundedSender<Work>) -> Self {
        let lines = engine.config.queues.iter().map(|(queue, weight)| Line::new(queue.clone(), *weight)).collect();
        let waiting = Waiting::new(Arc::clone(&engine.broker), engine.config.id.clone());
        let outage = Outage::new("claim jobs");
        Self { engine, works, lines, waiting, outage, rotation: 0, backlog: None, deaf_until: None, looked_at: None }
    }

    /// Claims until it is enough. A claim that is under way is never dropped: its jobs would be lost until their
    /// leases run out.
    pub async fn run(mut self) -> Enough {
        let engine = Arc::clone(&self.engine);
        loop {
            if engine.drain.is_cancelled() {
                return Enough::Asked;
            }
            if engine.quiet.is_cancelled() {
                tracing::info!("claiming nothing more");
                engine.tell(|| WorkerEvent::Quiet);
                engine.drain.cancelled().await;
                continue;
            }
            if self.left() == 0 {
                return Enough::Count;
            }
            self.look_at_what_is_due();
            if self.lines.iter().any(|line| line.ready) {
                tokio::select! {
                    () = stop(&engine) => {}
                    slots = self.free_slots() => self.claim(slots).await,
                }
            } else if engine.config.exit_when_empty && self.is_empty().await {
                return Enough::Empty;
            } else if !self.lines.iter().any(|line| line.ready) {
                self.rest().await;
            }
        }
    }

    fn look_at_what_is_due(&mut self) {
        for (line, due) in self.engine.coming_back.take() {
            let line = &mut self.lines[line];
            line.due = line.due.min(due);
        }
        let now = Instant::now();
        for (line, away) in self.lines.iter_mut().zip(&self.engine.turned_away) {
            line.ready |= line.due <= now;
            if line.ready && away.load(Ordering::Relaxed) >= self.engine.config.slots {
                line.pace(now);
            }
        }
    }

    /// How many more jobs may be claimed in all.
    fn left(&self) -> u64 {
        let claimed = self.engine.counts.claimed.load(Ordering::Relaxed);
        self.engine.config.max_jobs.map_or(u64::MAX, |most| most.saturating_sub(claimed))
    }

    /// Waits for a free slot and takes all there are, as far as they can be used.
    async fn free_slots(&mut self) -> OwnedSemaphorePermit {
        let engine = &self.engine;
        engine.leases.until(|leases| leases.len() < engine.config.slots + MOST_UNWRITTEN).await;
        let ready = self.lines.iter().filter(|line| line.ready).count();
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(ready * MAX_CLAIM);
        let slots = &engine.slots;
        // Nobody closes the semaphore.
        let Ok(mut permit) = Arc::clone(slots).acquire_owned().await else { return std::future::pending().await };
        let more = slots.available_permits().min(most.saturating_sub(1));
        if more > 0
            && let Ok(others) = Arc::clone(slots).try_acquire_many_owned(more as u32)
        {
            permit.merge(others);
        }
        permit
    }

    /// Claims from the ready queues, all at once, each its share of the slots.
    async fn claim(&mut self, mut slots: OwnedSemaphorePermit) {
        let engine = Arc::clone(&self.engine);
        let weights: Vec<u32> = self.lines.iter().map(|line| if line.ready { line.weight } else { 0 }).collect();
        let shares = shares(slots.num_permits(), &weights, self.rotation);
        self.rotation = self.rotation.wrapping_add(slots.num_permits() as u64);
        let calls = shares.iter().enumerate().filter(|&(_, &share)| share > 0).map(|(index, &share)| {
            let (queue, share) = (self.lines[index].queue.clone(), share.min(MAX_CLAIM));
            let engine = Arc::clone(&engine);
            async move {
                let claim = engine.broker.claim(&queue, &engine.config.id, share, engine.config.lease).await;
                (index, share, claim)
            }
        });
        let calls = join_all(calls.collect::<Vec<_>>());
        let answers = self.hear_meanwhile(calls).await;
        let mut failure = None;
        for (index, asked, answer) in answers {
            match answer {
                Ok(claim) => {
                    self.lines[index].note(asked, &claim, Instant::now());
                    intake(&engine, index, claim.jobs, &mut slots, &self.works);
                }
                Err(error) => failure = Some(error),
            }
        }
        // Not kept during the pause of an outage.
        drop(slots);
        let full = self.lines.iter().any(|line| line.full);
        self.backlog = if full { self.backlog.or_else(|| Some(Instant::now())) } else { None };
        self.after_claim(failure).await;
    }

    /// While a backlog keeps the fetcher busy, the other queues are listened to beside it.
    async fn hear_meanwhile<T>(&mut self, calls: impl Future<Output = T>) -> T {
        let long = self.backlog.is_some_and(|since| since.elapsed() > BACKLOG);
        if long && !self.is_deaf() && self.waiting.covers().is_empty() {
            let idle: Vec<QueueName> =
                self.lines.iter().filter(|line| !line.ready).map(|line| line.queue.clone()).collect();
            if !idle.is_empty() {
                self.waiting.begin(idle);
            }
        }
        tokio::pin!(calls);
        loop {
            tokio::select! {
                answers = &mut calls => return answers,
                woken = self.waiting.woken() => self.woken(woken),
            }
        }
    }

    async fn after_claim(&mut self, failure: Option<BrokerError>) {
        let Some(error) = failure else {
            if self.outage.answered() {
                self.engine.tell(|| WorkerEvent::Available);
            }
            return;
        };
        if !self.outage.is_on() {
            self.engine.tell(|| WorkerEvent::Unavailable);
        }
        let pause = self.outage.failed(&error, &*self.engine.entropy);
        tokio::select! {
            () = stop(&self.engine) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Nothing to claim: waits for the broker, the next due time, or the end.
    async fn rest(&mut self) {
        let engine = Arc::clone(&self.engine);
        let now = Instant::now();
        let usable = self.lines.iter().filter(|line| !line.is_paced(now));
        let wanted: Vec<QueueName> = usable.map(|line| line.queue.clone()).collect();
        if !self.is_deaf() && !wanted.iter().all(|queue| self.waiting.covers().contains(queue)) {
            let missed = self.waiting.end();
            self.waiting.begin(wanted);
            if !missed.is_empty() {
                self.look_at(&missed);
                return;
            }
        }
        let departures = engine.leases.departures();
        if engine.leases.len() == 0 {
            engine.tell(|| WorkerEvent::Idle);
        }
        let due = self.lines.iter().map(|line| line.due).min().unwrap_or_else(Instant::now);
        let (exits, looked_at) = (engine.config.exit_when_empty, self.looked_at);
        let wants_empty = exits || engine.config.observer.is_some();
        let news = |leases: &Leases| {
            let seen = if exits { looked_at } else { Some(departures) };
            Some(leases.departures()) != seen
        };
        tokio::select! {
            () = stop(&engine) => {}
            woken = self.waiting.woken() => self.woken(woken),
            () = tokio::time::sleep_until(due) => {}
            () = engine.coming_back.news() => {}
            // The last job may have been all that kept the queues from being empty.
            () = engine.leases.until(|leases| leases.len() == 0 && news(leases)), if wants_empty => {}
        }
    }

    fn is_deaf(&self) -> bool {
        self.deaf_until.is_some_and(|until| Instant::now() < until)
    }

    fn woken(&mut self, woken: Result<Wake, BrokerError>) {
        match woken {
            Ok(Wake::Queue(queue)) => self.look_at(&[queue]),
            Ok(Wake::Control(control)) => self.engine.obey(&control),
            Ok(Wake::Timeout) => {}
            Err(error) => {
                tracing::debug!(error.message = %error, "cannot wait for jobs; looking once a second meanwhile");
                let soon = Instant::now() + AGAIN;
                self.deaf_until = Some(soon);
                self.lines.iter_mut().for_each(|line| line.due = line.due.min(soon));
            }
        }
    }

    fn look_at(&mut self, queues: &[QueueName]) {
        let named = self.lines.iter_mut().filter(|line| queues.contains(&line.queue));
        named.for_each(|line| line.ready = true);
    }

    /// Whether nothing is left to do here, for `exit_when_empty`. Called when no queue had more than was asked for.
    async fn is_empty(&mut self) -> bool {
        let engine = Arc::clone(&self.engine);
        if engine.leases.len() > 0 {
            return false;
        }
        // What ended meanwhile may have left work behind (a release, a follow-up): look at all queues once more.
        let departures = engine.leases.departures();
        if self.looked_at.replace(departures) != Some(departures) {
            self.lines.iter_mut().for_each(|line| line.ready = true);
            return false;
        }
        if self.lines.iter().any(|line| line.soon) {
            return false;
        }
        for line in &mut self.lines {
            let available = engine.broker.queue(&line.queue).await.map(|view| view.counts.available);
            if available.as_ref().map_or(true, |&available| available > 0) {
                line.due = line.due.min(Instant::now() + AGAIN);
                return false;
            }
        }
        true
    }
}

/// Resolves when nothing more is to be claimed.
async fn stop(engine: &Engine) {
    tokio::select! {
        () = engine.drain.cancelled() => {}
        () = engine.quiet.cancelled() => {}
    }
}
