//! Takes tasks, enqueues jobs, tells apalis: one bounded batch after the other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::Producer;
use lovage_core::NewJob;
use lovage_core::limits::MAX_BATCH_BYTES;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::adoption::Adoption;
use crate::error::AdoptError;
use crate::keys::Keys;
use crate::link::{Link, ORPHANS, RELEASE, SETTLE, TAKE};
use crate::outcome::{Backlog, Batch, Kept, Step, kept};
use crate::task::Task;

/// Most tasks of one batch. Payloads have no bound in apalis, and a batch is held in memory.
const BATCH: usize = 500;
/// How long an adopter owns a queue without saying so again. Another one takes over after that.
const OWNERSHIP: Duration = Duration::from_secs(10);
/// How often dead apalis workers are looked for.
const ORPHANS_EVERY: Duration = Duration::from_secs(30);
/// How long what is known about an adopted task stays for whoever asks apalis for it.
const KEEP_META: Duration = Duration::from_hours(24);

/// Ids with when they are due, and payloads in the same order.
type Taken = (Vec<(String, f64)>, Vec<Option<Vec<u8>>>);

/// What an adopter needs to know.
#[derive(Clone)]
pub struct AdopterConfig {
    /// The Redis that apalis uses: `redis://[user:password@]host[:port][/database]`. Never shown.
    pub url: String,
    /// From where to where.
    pub adoption: Adoption,
    /// Who adopts: unique for each process.
    pub holder: String,
    /// An apalis worker that was silent for so long is dead, and its tasks are adopted too. apalis' own default is five
    /// minutes; this one is ten, for it goes by the clocks of apalis' workers.
    pub orphaned_after: Duration,
}

impl AdopterConfig {
    /// With default times.
    pub fn new(url: impl Into<String>, adoption: Adoption, holder: impl Into<String>) -> Self {
        Self { url: url.into(), adoption, holder: holder.into(), orphaned_after: Duration::from_mins(10) }
    }
}

impl fmt::Debug for AdopterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdopterConfig").field("adoption", &self.adoption).finish_non_exhaustive()
    }
}

/// Adopts the tasks of one apalis queue. Any number may run for the same queue: one of them owns it, the others stand
/// by.
pub struct Adopter {
    pub(crate) config: AdopterConfig,
    keys: Keys,
    link: Link,
    jobs: Arc<dyn Producer>,
    orphans_at: Option<Instant>,
}

impl fmt::Debug for Adopter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopter").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Adopter {
    /// Reads the address; connects with the first step.
    pub fn new(config: AdopterConfig, jobs: Arc<dyn Producer>) -> Result<Self, AdoptError> {
        let link = Link::new(&config.url)?;
        let keys = Keys::new(&config.adoption.source);
        Ok(Self { config, keys, link, jobs, orphans_at: None })
    }

    /// Adopts until nothing is left that can be taken now, and answers what became of it all; nothing if another adopter
    /// owns the queue.
    pub async fn drain(&mut self) -> Result<Option<Batch>, AdoptError> {
        self.drain_until(&CancellationToken::new()).await
    }

    /// As [`Self::drain`], but ends with the batch that it is at when told to stop.
    pub async fn drain_until(&mut self, stop: &CancellationToken) -> Result<Option<Batch>, AdoptError> {
        let mut total = Batch::default();
        loop {
            if stop.is_cancelled() {
                return Ok(Some(total).filter(|total| total.count() > 0));
            }
            match self.step().await? {
                Step::Standby => return Ok(Some(total).filter(|total| total.count() > 0)),
                Step::Settled(batch) if batch.count() == 0 => return Ok(Some(total)),
                Step::Settled(batch) => total.add(batch),
            }
        }
    }

    /// Gives the queue up, so that another adopter need not wait until the ownership runs out.
    pub async fn release(&mut self) -> Result<(), AdoptError> {
        let mut release = RELEASE.prepare_invoke();
        release.key(&self.keys.owner).arg(&self.config.holder);
        self.link.run(&release).await
    }

    /// What lies in the apalis queue right now.
    pub async fn backlog(&mut self) -> Result<Backlog, AdoptError> {
        let keys = &self.keys;
        let mut look = redis::pipe();
        look.llen(&keys.active).zcard(&keys.scheduled).zcard(&keys.taken).scard(&keys.dead);
        let (active, scheduled, taken, dead): (u64, u64, u64, u64) = self.link.send(&look).await?;
        Ok(Backlog { waiting: active + scheduled + taken, dead })
    }

    /// One batch from apalis' keys into our queue.
    pub async fn step(&mut self) -> Result<Step, AdoptError> {
        let started = Instant::now();
        let Some(mut tasks) = self.take().await? else { return Ok(Step::Standby) };
        self.orphans().await?;
        if tasks.is_empty() {
            return Ok(Step::Settled(Batch::default()));
        }
        self.read_meta(&mut tasks).await?;
        // Somebody else may have these tasks by now, may even have seen their jobs end.
        if started.elapsed() > OWNERSHIP / 2 {
            return Err(AdoptError::Overtaken);
        }
        let judged = tasks.iter().map(|task| task.job(&self.config.adoption)).collect();
        let results = self.enqueue(judged).await?;
        self.settle(&tasks, results).await
    }

    /// The next tasks without their metadata; nothing if another adopter owns the queue.
    async fn take(&mut self) -> Result<Option<Vec<Task>>, AdoptError> {
        let keys = &self.keys;
        let mut take = TAKE.prepare_invoke();
        for key in [&keys.owner, &keys.taken, &keys.active, &keys.scheduled, &keys.data] {
            take.key(key);
        }
        take.arg(&self.config.holder).arg(OWNERSHIP.as_millis() as u64).arg(BATCH);
        let answer: Option<Taken> = self.link.run(&take).await?;
        Ok(answer.map(|(ids, payloads)| {
            let taken = ids.into_iter().zip(payloads);
            taken.map(|((id, due), payload)| Task { id, due, payload, meta: BTreeMap::new() }).collect()
        }))
    }

    async fn read_meta(&mut self, tasks: &mut [Task]) -> Result<(), AdoptError> {
        let mut read = redis::pipe();
        for task in &*tasks {
            read.hgetall(self.keys.meta(&task.id));
        }
        let meta: Vec<BTreeMap<String, String>> = self.link.send(&read).await?;
        for (task, meta) in tasks.iter_mut().zip(meta) {
            task.meta = meta;
        }
        Ok(())
    }

    /// Enqueues what can be, in calls that the broker takes, and answers what became of each.
    async fn enqueue(&self, judged: Vec<Result<NewJob, String>>) -> Result<Vec<Result<Kept, String>>, AdoptError> {
        let mut results = Vec::with_capacity(judged.len());
        let mut waiting = judged.into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut jobs, mut reasons, mut bytes) = (Vec::new(), Vec::new(), 0);
            while let Some(next) = waiting.next_if(|next| {
                bytes += next.as_ref().map_or(0, |job| job.args.get().len());
                bytes <= MAX_BATCH_BYTES || jobs.is_empty()
            }) {
                reasons.push(next.map(|job| jobs.push(job)).err());
            }
            let mut outcomes = self.jobs.enqueue(jobs).await?.into_iter();
            for reason in reasons {
                results.push(match reason {
                    Some(reason) => Err(reason),
                    None => kept(outcomes.next())?,
                });
            }
        }
        Ok(results)
    }

    async fn settle(&mut self, tasks: &[Task], results: Vec<Result<Kept, String>>) -> Result<Step, AdoptError> {
        let (keys, adoption) = (&self.keys, &self.config.adoption);
        let mut settle = SETTLE.prepare_invoke();
        for key in [&keys.owner, &keys.taken, &keys.data, &keys.dead] {
            settle.key(key);
        }
        settle.arg(&self.config.holder).arg(KEEP_META.as_secs());
        let mut batch = Batch::default();
        for (task, result) in tasks.iter().zip(results) {
            settle.key(keys.meta(&task.id));
            let (status, text) = match result {
                Ok(kept) => {
                    *(if kept == Kept::New { &mut batch.adopted } else { &mut batch.known }) += 1;
                    // Whoever waits for a result through apalis must not take the handing over for one.
                    ("Done", format!("handed over to Lovage: queue {}", adoption.queue))
                }
                Err(reason) => {
                    batch.dead += 1;
                    error!(
                        source = adoption.source,
                        apalis_id = task.id,
                        reason,
                        "a task cannot be adopted; it is dead"
                    );
                    ("Killed", reason)
                }
            };
            settle.arg(&task.id).arg(status).arg(json!({ "Err": text }).to_string());
        }
        let written: bool = self.link.run(&settle).await?;
        if !written {
            return Err(AdoptError::Overtaken);
        }
        debug!(source = adoption.source, ?batch, "a batch is settled");
        Ok(Step::Settled(batch))
    }

    /// Takes what dead apalis workers held. Only now and then, and only as the owner.
    async fn orphans(&mut self) -> Result<(), AdoptError> {
        if self.orphans_at.is_some_and(|at| at.elapsed() < ORPHANS_EVERY) {
            return Ok(());
        }
        self.orphans_at = Some(Instant::now());
        let mut look = redis::pipe();
        look.cmd("TIME");
        let ((now, _),): ((u64, u64),) = self.link.send(&look).await?;
        let silent = self.config.orphaned_after.as_secs();
        let mut look = redis::pipe();
        look.zrangebyscore_limit(&self.keys.workers, "-inf", now.saturating_sub(silent), 0, 100);
        let (workers,): (Vec<String>,) = self.link.send(&look).await?;
        for worker in workers {
            let keys = &self.keys;
            let mut orphans = ORPHANS.prepare_invoke();
            orphans.key(&keys.owner).key(&keys.taken).key(&keys.workers).key(keys.inflight(&worker));
            orphans.arg(&self.config.holder).arg(&worker).arg(silent).arg(BATCH);
            let count: u64 = self.link.run(&orphans).await?;
            info!(source = self.config.adoption.source, worker, count, "took over the tasks of a dead apalis worker");
            if count >= BATCH as u64 {
                // More of them: look again with the next step.
                self.orphans_at = None;
            }
        }
        Ok(())
    }
}
