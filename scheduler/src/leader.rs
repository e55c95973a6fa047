//! Who leads, and what becomes of the duties when that changes.
//!
//! The lease is the broker's, so that its clock decides. Its number is the ledger's ([`Ledger::begin_term`]), which outlives
//! the broker: a leader who was paused and comes back writes nothing, whatever was forgotten meanwhile.

use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Connect};
use lovage_ledger::{Ledger, LedgerError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::duty::{Duty, DutyError};
use crate::health::Health;
use crate::metrics::Metrics;

/// The leadership's name in the broker.
const NAME: &str = "scheduler";
/// How long a leader is not heard of before another leads.
const LEASE: Duration = Duration::from_secs(4);
/// How often the lease is renewed, and how often whoever does not lead looks.
const EVERY: Duration = Duration::from_secs(1);
/// After a duty that failed for the first time; twice as long each time after that.
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// How long a leader does without the ledger before somebody else may try to lead.
const LEDGER_PATIENCE: Duration = Duration::from_secs(10);
/// How long whoever could not lead lets others.
const STAND_BACK: Duration = Duration::from_secs(10);

/// One of those who may lead.
pub struct Scheduler {
    holder: String,
    connect: Connect,
    ledger: Ledger,
    duties: Vec<Arc<dyn Duty>>,
    metrics: Metrics,
    health: Health,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl Scheduler {
    /// One that is called `holder`, which nobody else is called.
    pub fn new(holder: impl Into<String>, connect: Connect, ledger: Ledger, metrics: Metrics) -> Self {
        Self { holder: holder.into(), connect, ledger, duties: Vec::new(), metrics, health: Health::new() }
    }

    /// How it stands, also after it has been started.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Adds a duty.
    #[must_use]
    pub fn with(mut self, duty: Arc<dyn Duty>) -> Self {
        self.duties.push(duty);
        self
    }

    /// Leads whenever nobody else does, until it is told to stop; then gives the leadership up.
    pub async fn run(self, stop: CancellationToken) {
        let mut broker: Option<Arc<dyn Broker>> = None;
        let mut is_told = false;
        while !stop.is_cancelled() {
            self.health.turns();
            // Whoever was the leader a moment ago lets others try first.
            let mut wait = EVERY;
            match self.turn(&mut broker, &mut is_told, &stop).await {
                Ok(()) => is_told = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        warn!(%error, "cannot lead; trying again");
                    }
                    if matches!(error, DutyError::Broker(_)) {
                        broker = None;
                    } else {
                        wait = STAND_BACK;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Tries to lead, and does so for as long as it can. Why it no longer does is told here.
    async fn turn(
        &self,
        broker: &mut Option<Arc<dyn Broker>>,
        is_told: &mut bool,
        stop: &CancellationToken,
    ) -> Result<(), DutyError> {
        let broker = match broker {
            Some(broker) => Arc::clone(broker),
            None => Arc::clone(broker.insert((self.connect)().await?)),
        };
        let asked = Instant::now();
        let begun = tokio::select! {
            () = stop.cancelled() => Ok(None),
            begun = self.try_to_lead(broker.as_ref(), asked) => begun,
        };
        let term = match begun {
            Ok(Some(term)) => term,
            // Whoever has the ledger, or is not about to stop, can lead.
            Ok(None) if !stop.is_cancelled() => return Ok(()),
            begun => {
                self.resign(broker.as_ref()).await;
                return begun.map(drop);
            }
        };
        info!(term, holder = self.holder, "leading");
        self.metrics.leads(true);
        let over = stop.child_token();
        let mut duties = self.begin(term, &over);
        let renewed = tokio::select! {
            renewed = self.keep(broker.as_ref(), term, asked, &over) => renewed,
            // Told that the term is over, or it has panicked.
            Some(ended) = duties.join_next() => ended.unwrap_or_else(|panic| Err(DutyError::Other(format!("a duty broke: {panic}")))),
        };
        over.cancel();
        end(duties).await;
        self.metrics.leads(false);
        if !matches!(renewed, Err(DutyError::Broker(_))) {
            // Who comes next need not wait.
            self.resign(broker.as_ref()).await;
        }
        *is_told = true;
        match renewed {
            Ok(()) => {
                info!(term, holder = self.holder, "no longer leading");
                Ok(())
            }
            Err(error) => {
                warn!(term, holder = self.holder, %error, "no longer leading");
                if matches!(error, DutyError::Deposed) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Takes the lease and begins a term, if nobody else leads.
    async fn try_to_lead(&self, broker: &dyn Broker, asked: Instant) -> Result<Option<u64>, DutyError> {
        if broker.lead(NAME, &self.holder, LEASE).await?.is_none() {
            self.health.hears();
            return Ok(None);
        }
        let term = self.ledger.begin_term().await?;
        self.health.hears();
        // The ledger may have taken its time.
        if asked.elapsed() >= LEASE && broker.lead(NAME, &self.holder, LEASE).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(term))
    }

    /// Gives the lease up, if this one has it. If that fails it runs out.
    async fn resign(&self, broker: &dyn Broker) {
        let _ = timeout(EVERY, broker.resign(NAME, &self.holder)).await;
    }

    /// Renews the lease until the term is over. Of a broker that does not answer in time nothing is known, so another may lead;
    /// and whoever has lost the ledger makes room for one who has it.
    async fn keep(
        &self,
        broker: &dyn Broker,
        term: u64,
        mut known: Instant,
        over: &CancellationToken,
    ) -> Result<(), DutyError> {
        let mut recorded = Instant::now();
        loop {
            tokio::select! {
                () = over.cancelled() => return Ok(()),
                () = sleep(EVERY) => {}
            }
            self.metrics.late();
            let asked = Instant::now();
            let left = LEASE.saturating_sub(known.elapsed());
            let (led, checked) = tokio::join!(
                timeout(left, broker.lead(NAME, &self.holder, LEASE)),
                timeout(EVERY, self.ledger.check_term(term)),
            );
            match checked {
                Ok(Ok(())) => recorded = Instant::now(),
                Ok(Err(LedgerError::Deposed)) => return Err(DutyError::Deposed),
                Ok(Err(error)) if recorded.elapsed() >= LEDGER_PATIENCE => return Err(error.into()),
                Err(_) if recorded.elapsed() >= LEDGER_PATIENCE => {
                    return Err(DutyError::Other("the ledger does not answer".to_owned()));
                }
                Ok(Err(_)) | Err(_) => {}
            }
            match led {
                Ok(Ok(Some(_))) => {
                    known = asked;
                    self.health.turns();
                    if recorded >= asked {
                        self.health.hears();
                    }
                }
                Ok(Ok(None)) => return Err(DutyError::Deposed),
                Ok(Err(error)) if known.elapsed() >= LEASE => return Err(error.into()),
                Ok(Err(_)) => {}
                Err(_) => return Err(DutyError::Other("the broker did not answer while the lease ran out".to_owned())),
            }
        }
    }

    /// Starts the duties of a term. One that ends says why the term cannot go on.
    fn begin(&self, term: u64, over: &CancellationToken) -> JoinSet<Result<(), DutyError>> {
        let mut tasks = JoinSet::new();
        for duty in &self.duties {
            tasks.spawn(again_and_again(Arc::clone(duty), term, over.clone(), self.metrics.clone()));
        }
        tasks
    }
}

/// Does a duty until the term is over, or should be.
async fn again_and_again(
    duty: Arc<dyn Duty>,
    term: u64,
    over: CancellationToken,
    metrics: Metrics,
) -> Result<(), DutyError> {
    let mut failures: u32 = 0;
    metrics.due(duty.name(), Instant::now(), duty.may_take());
    while !over.is_cancelled() {
        let done = tokio::select! {
            () = over.cancelled() => return Ok(()),
            done = duty.run_once(term) => done,
        };
        metrics.done(duty.name(), done.is_ok());
        let wait = match done {
            Ok(wait) => {
                if failures > 0 {
                    info!(duty = duty.name(), "done again");
                }
                failures = 0;
                metrics.due(duty.name(), Instant::now() + wait, duty.may_take());
                wait
            }
            Err(DutyError::Deposed) => return Err(DutyError::Deposed),
            Err(error) => {
                if failures == 0 {
                    warn!(duty = duty.name(), %error, "not done; trying again");
                }
                failures += 1;
                (BACKOFF * 2_u32.pow(failures.min(6) - 1)).min(LONGEST_BACKOFF).max(duty.after_failure())
            }
        };
        tokio::select! {
            () = over.cancelled() => return Ok(()),
            () = sleep(wait) => {}
        }
    }
    Ok(())
}

/// What is under way may be broken off anywhere.
async fn end(mut duties: JoinSet<Result<(), DutyError>>) {
    duties.abort_all();
    while duties.join_next().await.is_some() {}
}
