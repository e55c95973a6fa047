//! Making up for events that are gone: everything that the queue has is looked at, and what the ledger has of it that the queue
//! has no more is marked. Done in slices, so that events are recorded in between; a slice may be repeated.

use std::collections::HashMap;

use lovage_broker::ListQuery;
use lovage_core::history::JobRecord;
use lovage_core::limits::MAX_PAGE;
use lovage_core::{JobId, JobView, State};

use super::{Place, Recorded, Recorder};
use crate::duty::DutyError;

/// Ended jobs first, which the queue forgets one day.
const STATES: [State; 7] = [
    State::Completed,
    State::Cancelled,
    State::Discarded,
    State::Running,
    State::Available,
    State::Retryable,
    State::Scheduled,
];
/// Jobs that are compared at a time.
const COMPARED: u32 = 250;

/// Where the healing of a queue is.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// States of [`STATES`] that are done.
    states: usize,
    /// Where the next page of the state begins.
    cursor: Option<String>,
    /// The last of the ledger's unfinished jobs that was compared.
    compared: Option<JobView>,
}

impl Recorder {
    /// Does a slice; [`Recorded::more`] says that another follows.
    pub(super) async fn heal(&self, place: Place<'_>, healing: &mut Healing) -> Result<Recorded, DutyError> {
        let mut sum = if let Some(state) = STATES.get(healing.states) {
            let (queue, cursor) = (place.queue.clone(), healing.cursor.take());
            let query = ListQuery { queue, state: *state, limit: MAX_PAGE, cursor };
            let page = place.broker.list(&query).await?;
            healing.cursor = page.next;
            if healing.cursor.is_none() {
                healing.states += 1;
            }
            self.write_looks(place, page.jobs).await?
        } else {
            let known = self.ledger.unfinished(place.queue, healing.compared.as_ref(), COMPARED).await?;
            let Some(last) = known.last() else { return Ok(Recorded::default()) };
            healing.compared = Some(last.clone());
            self.compare(place, known).await?
        };
        sum.more = true;
        Ok(sum)
    }

    /// Writes what has become of jobs that had not come to an end: jobs move while states are listed, and some are gone.
    async fn compare(&self, place: Place<'_>, known: Vec<JobView>) -> Result<Recorded, DutyError> {
        let ids: Vec<JobId> = known.iter().map(|job| job.id.clone()).collect();
        let there = place.broker.jobs(place.queue, &ids).await?;
        let mut there: HashMap<JobId, JobView> = there.into_iter().map(|job| (job.id.clone(), job)).collect();
        let (mut moved, mut gone) = (Vec::new(), Vec::new());
        for job in known {
            match there.remove(&job.id) {
                Some(now) if now.enqueued_at == job.enqueued_at => {
                    if (now.since, now.attempt) != (job.since, job.attempt) {
                        moved.push(now);
                    }
                }
                _ => gone.push(JobRecord { job, attempts: Vec::new(), gone_at: Some(self.clock.now()) }),
            }
        }
        let mut sum = self.write_looks(place, moved).await?;
        sum += self.write(place, None, &gone, false).await?;
        Ok(sum)
    }

    async fn write_looks(&self, place: Place<'_>, jobs: Vec<JobView>) -> Result<Recorded, DutyError> {
        let mut records: Vec<JobRecord> = jobs.into_iter().map(JobRecord::of_look).collect();
        self.complete(place.broker, &mut records).await?;
        self.write(place, None, &records, false).await
    }
}
