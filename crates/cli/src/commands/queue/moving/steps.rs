//! The steps of a move.
//!
//! No step of a broker touches two queues, so a job is copied under its id, then deleted where it was if it is still as it was
//! read, and only then is the copy let go. Until then the copy of an available job is due in the year 2199: whatever kills
//! the command, nobody can run both. Who comes after finds such a copy by its due time and its `moved_from`.

use std::time::Duration;

use futures::StreamExt as _;
use lovage_broker::{Broker, BrokerError, EnqueueOutcome, ListQuery, OsEntropy, Refused};
use lovage_core::limits::MAX_BATCH_BYTES;
use lovage_core::{JobId, JobView, NewJob, QueueName, Rate, State, Timestamp};
use tokio::time::{Instant, sleep, sleep_until};

use super::super::archive;
use super::{MoveArgs, Summary, is_wanted};
use crate::commands::Context;
use crate::error::{Failure, Outcome};

/// Most jobs that are on their way at once.
const BATCH: usize = 100;
/// Deletes at once.
const DELETES: usize = 32;
/// When the copy of a job that is available is due until the job is gone where it was.
const PARKED: Timestamp = Timestamp::from_millis(7_226_582_400_001);
/// What a copy says of where it was.
const MARK: &str = "moved_from";
/// A job that is due so soon might run on both sides before it is deleted on one.
const SOON: Duration = Duration::from_mins(1);
/// One move at a time leaves a queue; a killed one counts for so long.
const TURN: Duration = Duration::from_secs(10);
/// Between two tries to have the turn.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// A move on its way.
pub(super) struct Moving<'a> {
    broker: &'a dyn Broker,
    args: &'a MoveArgs,
    /// The right to move jobs out of the queue, and who has it.
    turn: String,
    holder: String,
    /// Most jobs of one call to the broker.
    most: usize,
    /// Between two jobs, and when the next one may go.
    pace: Option<(Duration, Instant)>,
    summary: Summary,
}

impl<'a> Moving<'a> {
    pub(super) fn new(
        context: &Context,
        broker: &'a dyn Broker,
        args: &'a MoveArgs,
        states: &[State],
        rate: Option<Rate>,
    ) -> Self {
        let payload = context.config().max_payload_bytes.max(1);
        let pace = rate.map(|rate| (Duration::from_millis(rate.per_ms) / rate.count.max(1), Instant::now()));
        let most = if pace.is_some() { 1 } else { (MAX_BATCH_BYTES / payload).clamp(1, BATCH) };
        Self {
            broker,
            args,
            turn: format!("move:{}", args.from),
            holder: JobId::generate(Context::now(), &OsEntropy).to_string(),
            most,
            pace,
            summary: Summary::new(args, states),
        }
    }

    /// Moves the jobs in these states while no other move out of the queue is at work, and answers what became of them.
    pub(super) async fn run(mut self, context: &Context, states: &[State]) -> Outcome<Summary> {
        self.take_turn(context).await?;
        let moved = self.all(states).await;
        // Whoever comes next need not wait.
        self.broker.resign(&self.turn, &self.holder).await.ok();
        moved.map(|()| self.summary)
    }

    /// Two moves at once could each take back what the other one relies on.
    async fn take_turn(&self, context: &Context) -> Outcome {
        let give_up = Instant::now() + TURN + Duration::from_secs(2);
        let mut told = false;
        while self.broker.lead(&self.turn, &self.holder, TURN).await?.is_none() {
            if Instant::now() > give_up {
                let from = &self.args.from;
                return Err(Failure::Conflict(format!(
                    "another move of jobs out of queue {from} is at work; wait for it"
                )));
            }
            if !std::mem::replace(&mut told, true) {
                context
                    .output
                    .note("Another move out of this queue is at work, or was killed; waiting for its turn to end.");
            }
            sleep(TRY_AGAIN).await;
        }
        Ok(())
    }

    async fn keep_turn(&self) -> Outcome {
        match self.broker.lead(&self.turn, &self.holder, TURN).await? {
            Some(_) => Ok(()),
            None => Err(Failure::Conflict(
                "the broker was away for too long and another move began; repeat this one".into(),
            )),
        }
    }

    /// Waits until the next job may go, and keeps the turn meanwhile.
    async fn wait_for_pace(&mut self) -> Outcome {
        if let Some((pause, next)) = self.pace {
            while Instant::now() + TURN / 3 < next {
                sleep(TURN / 3).await;
                self.keep_turn().await?;
            }
            sleep_until(next).await;
            self.pace = Some((pause, next.max(Instant::now()) + pause));
        }
        self.keep_turn().await
    }

    async fn all(&mut self, states: &[State]) -> Outcome {
        // What is due by now is available, whether or not a worker has looked since.
        self.broker.sweep(&self.args.from).await?;
        self.mend().await?;
        for &state in states {
            self.state(state).await?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.summary.retry_after_ms.is_some() || self.args.limit.is_some_and(|limit| self.summary.moved >= limit)
    }

    /// The jobs of a state, no more than there were when it began.
    async fn state(&mut self, state: State) -> Outcome {
        let mut left = self.broker.queue(&self.args.from).await?.counts.of(state);
        let mut cursor = None;
        while left > 0 && !self.is_over() {
            let query = ListQuery { queue: self.args.from.clone(), state, limit: BATCH, cursor };
            let page = self.broker.list(&query).await?;
            left = left.saturating_sub(page.jobs.len() as u64);
            let mut wanted = page.jobs.into_iter().filter(|view| is_wanted(self.args, view)).peekable();
            while wanted.peek().is_some() && !self.is_over() {
                let room = self.args.limit.map_or(usize::MAX, |limit| (limit - self.summary.moved) as usize);
                let batch = wanted.by_ref().take(self.most.min(room)).collect();
                self.wait_for_pace().await?;
                self.batch(batch).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Copies, deletes, lets go.
    async fn batch(&mut self, views: Vec<JobView>) -> Outcome {
        let (mut jobs, mut sources) = (Vec::with_capacity(views.len()), Vec::with_capacity(views.len()));
        let soon = Context::now().plus(SOON);
        for view in views {
            match self.copy(&view) {
                None => {
                    self.summary.refuse(&view.id, &Failure::Failed("its stored form cannot be read; it stays".into()));
                }
                Some(job) if view.due_at.is_some() && job.run_at.is_some_and(|due| due < soon) => {
                    self.summary.due_soon += 1;
                }
                Some(job) => {
                    jobs.push(job);
                    sources.push(view);
                }
            }
        }
        let mut copied = Vec::new();
        for (source, outcome) in sources.into_iter().zip(self.broker.enqueue(jobs).await?) {
            match outcome {
                EnqueueOutcome::Refused(refused) => {
                    if let Refused::Full(full) = &refused {
                        self.summary.retry_after_ms = Some(full.retry_after.as_millis() as u64);
                    }
                    self.summary.refuse(&source.id, &refused.into());
                }
                EnqueueOutcome::Enqueued(_) | EnqueueOutcome::Existing(_) | EnqueueOutcome::Replaced(_) => {
                    copied.push(source);
                }
            }
        }
        let broker = self.broker;
        let gone = futures::stream::iter(copied).map(async |source| {
            let deleted = broker.delete_seen(&source).await;
            (source, deleted)
        });
        let gone: Vec<_> = gone.buffered(DELETES).collect().await;
        for (source, deleted) in gone {
            if deleted? {
                self.summary.moved += 1;
                self.let_go(&source.id).await?;
            } else {
                self.summary.changed += 1;
                self.take_back(&source.id).await?;
            }
        }
        Ok(())
    }

    /// The job as it joins the other queue.
    fn copy(&self, view: &JobView) -> Option<NewJob> {
        let mut job = archive::copy(view)?;
        job.queue = self.args.to.clone();
        job.metadata.insert(MARK.to_owned(), self.args.from.to_string());
        match view.state {
            State::Available => job.run_at = Some(parked(view.expires_at)),
            // It begins afresh, as one that is retried where it is.
            State::Discarded => (job.run_at, job.expires_at) = (None, None),
            // One that is due after its end is to expire, and enqueueing knows no such pair.
            _ => job.run_at = job.run_at.map(|due| due.min(parked(view.expires_at))),
        }
        Some(job)
    }

    async fn look(&self, queue: &QueueName, id: &JobId) -> Outcome<Option<JobView>> {
        Ok(self.broker.job(Some(queue), id).await?)
    }

    /// The copy may run now: the job is gone where it was.
    async fn let_go(&self, id: &JobId) -> Outcome {
        let copy = self.look(&self.args.to, id).await?;
        if !copy.is_some_and(|copy| self.is_parked(&copy)) {
            return Ok(());
        }
        match self.broker.retry(&self.args.to, id).await {
            // Somebody else was first.
            Ok(()) | Err(BrokerError::NotFound { .. } | BrokerError::Illegal(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The job goes on where it was: its copy must not run. If it is gone there, somebody deleted it, and the copy goes, too.
    async fn take_back(&mut self, id: &JobId) -> Outcome {
        let Some(copy) = self.look(&self.args.to, id).await? else { return Ok(()) };
        let waits = matches!(copy.state, State::Scheduled | State::Available) && self.is_ours(&copy);
        if !waits || !self.broker.delete_seen(&copy).await? {
            let text = format!("was changed while it was moved, and is in queue {} too; look at both", self.args.to);
            self.summary.refuse(id, &Failure::Conflict(text));
        }
        Ok(())
    }

    /// Finishes what an interrupted move has left: copies that were not let go yet.
    async fn mend(&mut self) -> Outcome {
        let mut cursor = None;
        loop {
            let query = ListQuery { queue: self.args.to.clone(), state: State::Scheduled, limit: BATCH, cursor };
            let page = self.broker.list(&query).await?;
            self.keep_turn().await?;
            for copy in page.jobs {
                if !self.is_parked(&copy) {
                    continue;
                }
                match self.look(&self.args.from, &copy.id).await?.map(|source| source.state) {
                    None => self.let_go(&copy.id).await?,
                    // It is there as before: its turn comes.
                    Some(State::Available) => continue,
                    Some(_) => self.take_back(&copy.id).await?,
                }
                self.summary.mended += 1;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn is_ours(&self, copy: &JobView) -> bool {
        copy.metadata.get(MARK).is_some_and(|from| *from == self.args.from.as_str())
    }

    fn is_parked(&self, copy: &JobView) -> bool {
        self.is_ours(copy) && copy.state == State::Scheduled && copy.due_at == Some(parked(copy.expires_at))
    }
}

/// When a copy that may not run yet is due: just before it expires, if it does.
fn parked(expires_at: Option<Timestamp>) -> Timestamp {
    expires_at.map_or(PARKED, |at| at.just_before().min(PARKED))
}
