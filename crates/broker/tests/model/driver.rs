//! Runs a sequence on the model and on both brokers and compares after each step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    Broker, BrokerError, Edit, EnqueueOutcome, Finish, HeldLease, LeaseStatus, ListQuery, NewPause, RedisBroker,
    RedisConfig, Refused, SqliteBroker, SqliteConfig,
};
use lovage_core::{
    AttemptError, Clock, Debounce, DiscardReason, ErrorClass, JobId, JobView, Limits, ManualClock, NewJob, Priority,
    QueueName, Rate, State, Timestamp, Transition, Unique, WorkerId,
};
use lovage_testkit::RedisServer;

use crate::command::{Command, End, Enqueue, IDS, Limit, Limited, Operation, Paused};
use crate::reference::{AGEING, Answer, LEASE_MS, Model, UNIQUE_TTL_MS, name};

const START: u64 = 1_772_323_200_000;
const LEASE: Duration = Duration::from_millis(LEASE_MS);

/// One broker with the tokens that it gave, in the order of the model's leases.
struct Subject {
    label: &'static str,
    broker: Arc<dyn Broker>,
    tokens: Vec<u64>,
    /// The job that was looked at last.
    seen: Option<JobView>,
    /// What this broker must be like: brokers may choose differently which jobs to give out.
    model: Model,
    queue: QueueName,
    worker: WorkerId,
}

pub async fn run(commands: &[Command]) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let server = RedisServer::start();
    let config = RedisConfig {
        url: server.url(),
        virtual_clock: Some(clock.clone() as Arc<dyn Clock>),
        ageing: AGEING,
        ..RedisConfig::default()
    };
    let redis = RedisBroker::connect(config).await.expect("redis");
    let folder = tempfile::tempdir().expect("a folder");
    let config =
        SqliteConfig { clock: clock.clone(), ageing: AGEING, ..SqliteConfig::new(folder.path().join("lovage.db")) };
    let sqlite = SqliteBroker::open(config).await.expect("sqlite");

    let mut subjects = [Subject::new("redis", Arc::new(redis)), Subject::new("sqlite", Arc::new(sqlite))];
    for subject in &subjects {
        subject.limit(Limited::Key(1), Limit::Ordered).await;
    }
    for (step, command) in commands.iter().enumerate() {
        if let Command::Advance(by) = command {
            clock.advance(Duration::from_millis(*by));
        }
        for subject in &mut subjects {
            let context = format!("{} at step {step} of {commands:#?}", subject.label);
            if let Command::Claim(max) = command {
                subject.claim(*max, &context).await;
            } else {
                let known = subject.model.leases.clone();
                let answer = subject.step(command, &known, &clock).await;
                assert_eq!(answer, subject.model.step(command), "the answer of {context}");
            }
            subject.compare(&context).await;
        }
    }
}

impl Subject {
    fn new(label: &'static str, broker: Arc<dyn Broker>) -> Self {
        let queue = "exports".parse().expect("a valid name");
        let model = Model::at(START);
        Self {
            label,
            broker,
            tokens: Vec::new(),
            seen: None,
            model,
            queue,
            worker: "w1".parse().expect("a valid name"),
        }
    }

    async fn claim(&mut self, max: usize, context: &str) {
        let claim = self.broker.claim(&self.queue, &self.worker, max, LEASE).await.expect("claim");
        self.tokens.extend(claim.jobs.iter().map(|job| job.token));
        let ids: Vec<_> = claim.jobs.iter().map(|job| number(&job.id)).collect();
        let next_in = claim.next_in.map(|next| next.as_millis() as u64);
        if let Err(fault) = self.model.claimed(max, &ids, next_in) {
            panic!("{fault}: {ids:?}, next in {next_in:?}: {context}");
        }
    }

    async fn limit(&self, subject: Limited, limit: Limit) {
        let mut limits = Limits::default();
        match limit {
            Limit::Nothing => {}
            Limit::Slots(count) => limits.concurrency = Some(count),
            Limit::Rate => limits.rate = Some(Rate::per_second(2)),
            Limit::Ordered => limits.ordered = true,
        }
        self.broker.limit(&self.queue, &limited(subject), &limits).await.expect("limit");
    }

    async fn step(&mut self, command: &Command, known: &[(usize, u64)], clock: &ManualClock) -> Answer {
        let queue = &self.queue;
        match command {
            Command::Look(id) => {
                self.seen = self.broker.job(Some(queue), &job_id(*id)).await.expect("job");
                Answer::Ok
            }
            Command::DeleteSeen => self.delete_seen().await,
            Command::Enqueue(new) => {
                let mut outcomes = self.broker.enqueue(vec![self.new_job(new, clock)]).await.expect("enqueue");
                enqueued(outcomes.remove(0))
            }
            Command::Claim(_) => unreachable!("claims are judged"),
            Command::Finish(lease, end) => {
                let Some(lease) = self.lease(*lease, known) else { return Answer::Status("lost") };
                let items = vec![Finish { lease, transition: transition_of(*end) }];
                status(self.broker.finish(queue, &self.worker, items).await.expect("finish")[0])
            }
            Command::Renew(lease) => {
                let Some(lease) = self.lease(*lease, known) else { return Answer::Status("lost") };
                status(self.broker.renew(queue, &[lease], LEASE).await.expect("renew")[0])
            }
            Command::Advance(_) => Answer::Ok,
            Command::Sweep => {
                self.broker.sweep(queue).await.expect("sweep");
                Answer::Ok
            }
            Command::Operate(operation, id) => {
                let id = job_id(*id);
                answer(match operation {
                    Operation::Cancel => self.broker.cancel(queue, &id).await.map(|_| ()),
                    Operation::Retry => self.broker.retry(queue, &id).await,
                    Operation::Discard => self.broker.discard(queue, &id).await,
                    Operation::Delete => self.broker.delete(queue, &id).await,
                })
            }
            Command::EditPriority(id, level) => {
                let priority = Priority::try_from(i64::from(*level)).ok();
                answer(self.broker.edit(queue, &job_id(*id), Edit { priority, ..Edit::default() }).await)
            }
            Command::Pause(subject, until) => {
                let until = until.map(|by| clock.now().plus(Duration::from_millis(by)));
                let pause = NewPause { by: "ada".into(), why: "a reason".into(), until };
                self.broker.pause(queue, &paused(*subject), &pause).await.expect("pause");
                Answer::Ok
            }
            Command::Resume(subject) => {
                self.broker.resume(queue, &paused(*subject)).await.expect("resume");
                Answer::Ok
            }
            Command::Limit(subject, limit) => {
                self.limit(*subject, *limit).await;
                Answer::Ok
            }
        }
    }

    async fn delete_seen(&self) -> Answer {
        let Some(seen) = &self.seen else { return Answer::Deleted(false) };
        match self.broker.delete_seen(seen).await {
            Ok(deleted) => Answer::Deleted(deleted),
            other => answer(other.map(drop)),
        }
    }

    fn new_job(&self, new: &Enqueue, clock: &ManualClock) -> NewJob {
        let kind = kind_of(new.belongs.kind).parse().expect("a valid name");
        let mut job = NewJob::new(self.queue.clone(), kind, &new.args).expect("plain arguments");
        job.id = Some(job_id(new.id));
        job.delay_ms = (new.delay_ms > 0).then_some(new.delay_ms);
        job.priority = new.priority();
        job.tenant = new.belongs.tenant.map(|tenant| format!("t{tenant}").parse().expect("a valid name"));
        job.key = new.belongs.key.map(|key| format!("k{key}").parse().expect("a valid name"));
        job.expires_at = new.expires_in_ms.map(|by| clock.now().plus(Duration::from_millis(by)));
        job.unique = new.unique.map(|(key, on_conflict, hold)| Unique {
            key: format!("key-{key}"),
            ttl_ms: UNIQUE_TTL_MS,
            on_conflict,
            hold,
            debounce: new.max_wait_ms.map(|max_wait_ms| Debounce { max_wait_ms }),
        });
        job
    }

    fn lease(&self, lease: usize, known: &[(usize, u64)]) -> Option<HeldLease> {
        let index = lease % known.len().max(1);
        let (id, _) = known.get(index)?;
        Some(HeldLease { id: job_id(*id), token: self.tokens[index] })
    }

    async fn compare(&self, context: &str) {
        let model = &self.model;
        for id in 0..IDS {
            let view = self.broker.job(Some(&self.queue), &job_id(id)).await.expect("job");
            let (Some(view), Some(job)) = (&view, model.jobs.get(&id)) else {
                assert_eq!(view.is_some(), model.jobs.contains_key(&id), "existence of job-{id}: {context}");
                continue;
            };
            let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
            let seen = (view.state, view.priority, view.attempt, view.failed, view.lost, view.cancel_requested);
            let want = (job.state, job.priority, job.attempt, job.failed, job.lost, job.cancel_requested);
            assert_eq!(seen, want, "state, priority, attempt, failed, lost, cancel of job-{id}: {context}");
            let seen = (view.reason, millis(view.due_at), millis(view.lease_until), millis(view.expires_at));
            let want = (job.reason, job.due_at, job.lease_until, job.expires_at);
            assert_eq!(seen, want, "reason, due, lease, expiry of job-{id}: {context}");
            let seen = (view.since.as_millis(), view.enqueued_at.as_millis(), view.errors.len());
            assert_eq!(
                seen,
                (job.since, job.enqueued_at, job.errors),
                "since, enqueued, errors of job-{id}: {context}"
            );
            assert_eq!(view.args.as_ref().map(|args| args.get().to_owned()), Some(job.args.to_string()), "{context}");
        }
        let query = ListQuery { queue: self.queue.clone(), state: State::Available, limit: 100, cursor: None };
        let page = self.broker.list(&query).await.expect("list");
        // Where tenants and what is held back stand in the list is the broker's own; claims are judged by their order.
        let line: BTreeSet<_> = page.jobs.iter().map(|job| number(&job.id)).collect();
        assert_eq!(line, model.line().into_iter().collect(), "the line of {context}");
        let queue = self.broker.queue(&self.queue).await.expect("queue");
        for state in State::ALL {
            let count = model.jobs.values().filter(|job| job.state == state).count() as u64;
            assert_eq!(queue.counts.of(state), count, "{state} jobs of {context}");
        }
        for view in &queue.flow {
            let text = view.subject.to_string();
            let Some(subject) = [Limited::Queue, Limited::Tenant(0), Limited::Key(0), Limited::Key(1)]
                .into_iter()
                .find(|subject| limited(*subject).to_string() == text)
            else {
                continue;
            };
            assert_eq!(view.used, Some(model.used(subject) as u64), "slots of {text}: {context}");
            let waiting = (!matches!(subject, Limited::Key(_))).then(|| model.waiting(subject) as u64);
            assert_eq!(view.waiting, waiting, "waiting jobs of {text}: {context}");
        }
    }
}

fn kind_of(kind: u8) -> String {
    format!("debug.kind{kind}")
}

fn subject(text: &str) -> lovage_core::Subject {
    text.parse().expect("a valid subject")
}

fn paused(what: Paused) -> lovage_core::Subject {
    match what {
        Paused::Queue => lovage_core::Subject::Queue,
        Paused::Kind(kind) => subject(&format!("kind:{}", kind_of(kind))),
        Paused::Tenant(tenant) => subject(&format!("tenant:t{tenant}")),
    }
}

fn limited(what: Limited) -> lovage_core::Subject {
    match what {
        Limited::Queue => lovage_core::Subject::Queue,
        Limited::Tenant(tenant) => subject(&format!("tenant:t{tenant}")),
        Limited::AnyTenant => lovage_core::Subject::AnyTenant,
        Limited::Key(key) => subject(&format!("key:k{key}")),
        Limited::AnyKey => lovage_core::Subject::AnyKey,
    }
}

fn job_id(id: usize) -> JobId {
    name(id).parse().expect("a valid id")
}

fn number(id: &JobId) -> usize {
    id.as_str().trim_start_matches("job-").parse().expect("one of our ids")
}

fn transition_of(end: End) -> Transition {
    let error = AttemptError::new(ErrorClass::Failed, "no luck");
    match end {
        End::Complete => Transition::Complete { result: None },
        End::Retry(delay) => Transition::Retry { delay: Duration::from_millis(delay), error },
        End::Release(delay) => Transition::Release { delay: Duration::from_millis(delay), error: None },
        End::Discard => Transition::Discard { reason: DiscardReason::Rejected, error },
        End::Cancel => Transition::Cancel,
    }
}

fn enqueued(outcome: EnqueueOutcome) -> Answer {
    match outcome {
        EnqueueOutcome::Enqueued(id) => Answer::Enqueued(number(&id)),
        EnqueueOutcome::Existing(id) => Answer::Existing(number(&id)),
        EnqueueOutcome::Replaced(id) => Answer::Replaced(number(&id)),
        EnqueueOutcome::Refused(Refused::Conflict { .. }) => Answer::Conflict,
        EnqueueOutcome::Refused(Refused::UniqueTaken { holder }) => Answer::Taken(number(&holder)),
        EnqueueOutcome::Refused(Refused::Invalid(invalid)) => panic!("{invalid}"),
        EnqueueOutcome::Refused(Refused::Full(full)) => panic!("{full}"),
    }
}

fn status(status: LeaseStatus) -> Answer {
    Answer::Status(match status {
        LeaseStatus::Held => "held",
        LeaseStatus::CancelRequested => "cancel",
        LeaseStatus::Lost => "lost",
    })
}

fn answer(result: Result<(), BrokerError>) -> Answer {
    match result {
        Ok(()) => Answer::Ok,
        Err(BrokerError::NotFound { .. }) => Answer::NotFound,
        Err(BrokerError::Illegal(_)) => Answer::Illegal,
        Err(error) => panic!("{error}"),
    }
}
