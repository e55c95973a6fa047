//! One page: events of a queue, and what the jobs are that they are about.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _};
use lovage_broker::Broker;
use lovage_core::history::{JobRecord, Sighting, before_sighting, fold};
use lovage_core::{JobId, JobView, QueueName, Timestamp};
use lovage_ledger::MAX_FIND;

use super::{Place, Recorder};
use crate::duty::DutyError;

/// Fewest and most events of a page.
const EVENTS: (usize, usize) = (250, 10_000);
/// Bytes of arguments and results in a page from which the next is smaller: two pages are in memory at a time.
const BYTES: usize = 16 * 1024 * 1024;
/// Jobs of one look, whose answer is one piece.
const LOOK: usize = 250;

/// How many events the next page has: the more, the fewer commits, as long as their jobs are small.
#[derive(Debug)]
pub(super) struct PageSize(usize);

impl Default for PageSize {
    fn default() -> Self {
        Self(EVENTS.0)
    }
}

impl PageSize {
    fn learn(&mut self, bytes: usize) {
        let next = if bytes > BYTES { self.0 / 2 } else { self.0 * 2 };
        self.0 = next.clamp(EVENTS.0, EVENTS.1);
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Reading {
    /// What is to be written.
    pub jobs: Vec<JobRecord>,
    /// What happened to jobs that the queue has no more. What the ledger knows of them is asked when the page before is written.
    pub gone: Vec<Sighting>,
    /// The last event of the page.
    pub next: Option<String>,
    /// When that was.
    pub at: Option<Timestamp>,
    /// Whether there were events before the page that were gone.
    pub gap: bool,
    /// Whether there were no events behind the page.
    pub is_last: bool,
}

/// Jobs that were looked at.
#[derive(Debug, Default)]
struct Looked {
    /// Those that are there.
    jobs: Vec<JobView>,
    /// How many of the sightings were asked for.
    asked: usize,
}

/// What a job takes, but for small things.
fn bytes(job: &JobView) -> usize {
    let json = |json: &Option<lovage_core::RawJson>| json.as_ref().map_or(0, |json| json.get().len());
    json(&job.args) + json(&job.result) + job.errors.iter().map(|error| error.message.len()).sum::<usize>()
}

impl Recorder {
    /// Reads the page after `cursor`, and looks at its jobs.
    pub(super) async fn read(
        &self,
        place: Place<'_>,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Reading, DutyError> {
        let Place { broker, queue, .. } = place;
        let mut page = broker.events(queue, cursor, size.0).await?;
        let mut is_last = page.events.len() < size.0;
        let mut sightings = fold(&page.events);
        let looked = self.look(broker, queue, &sightings).await?;
        size.learn(looked.jobs.iter().map(bytes).sum());
        if looked.asked < sightings.len() {
            // The page ends before the first job that was not looked at any more.
            page.events.truncate(before_sighting(&page.events, looked.asked));
            page.next = page.events.last().map(|event| event.cursor.clone());
            sightings = fold(&page.events);
            is_last = false;
        }
        let at = page.events.last().map(|event| event.at);
        let mut jobs = Vec::with_capacity(sightings.len());
        let mut gone = Vec::new();
        // The last of an id first: what was looked at is that one, or none.
        let mut looked: HashMap<JobId, JobView> = looked.jobs.into_iter().map(|job| (job.id.clone(), job)).collect();
        for sighting in sightings.into_iter().rev() {
            match looked.remove(&sighting.id) {
                Some(job) if sighting.is_of(&job) => jobs.push(sighting.record(job)),
                later => {
                    looked.extend(later.map(|job| (job.id.clone(), job)));
                    gone.push(sighting);
                }
            }
        }
        self.complete(broker, &mut jobs).await?;
        Ok(Reading { jobs, gone, next: page.next, at, gap: page.gap, is_last })
    }

    /// Looks at jobs in their order, until their bytes are enough for a page.
    async fn look(&self, broker: &dyn Broker, queue: &QueueName, sightings: &[Sighting]) -> Result<Looked, DutyError> {
        let ids: Vec<JobId> = sightings.iter().map(|sighting| sighting.id.clone()).collect();
        let looks: Vec<_> = ids.chunks(LOOK).map(|ids| broker.jobs(queue, ids)).collect();
        // Two at a time: the broker works while answers are read, and has few of them in its buffers.
        let mut looks = futures::stream::iter(looks).buffered(2);
        let (mut looked, mut size) = (Looked::default(), 0);
        while let Some(jobs) = looks.try_next().await? {
            looked.asked = (looked.asked + LOOK).min(ids.len());
            size += jobs.iter().map(bytes).sum::<usize>();
            looked.jobs.extend(jobs);
            if size > 2 * BYTES {
                break;
            }
        }
        Ok(looked)
    }

    /// What the ledger knows of jobs that the queue has no more, moved on by what happened to them since.
    pub(super) async fn remember(&self, queue: &QueueName, gone: Vec<Sighting>) -> Result<Vec<JobRecord>, DutyError> {
        let ids: Vec<JobId> = gone.iter().map(|sighting| sighting.id.clone()).collect();
        let mut known: HashMap<JobId, JobView> = HashMap::new();
        for ids in ids.chunks(MAX_FIND) {
            known.extend(self.ledger.known_jobs(queue, ids).await?.into_iter().map(|job| (job.id.clone(), job)));
        }
        let mut records = Vec::new();
        for sighting in gone {
            match known.get(&sighting.id) {
                Some(job) if sighting.is_of(job) => records.push(sighting.record_gone(job.clone())),
                _ => self.metrics.unseen.inc(),
            }
        }
        Ok(records)
    }
}
