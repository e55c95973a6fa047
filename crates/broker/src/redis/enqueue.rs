//! Handing jobs in: checked and encoded here, then up to a thousand plain ones of a queue per script.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{Hold, JobId, JobSpec, NewJob, OnConflict, QueueName, Timestamp, Unique};
use redis::{Cmd, Value};

use super::fault::is_script_missing;
use super::flow;
use super::keys::QueueKeys;
use super::node::Lane;
use super::reply::{count, list, text};
use super::script::ENQUEUE;
use super::{RedisBroker, Result, millis};
use crate::api::{EnqueueOutcome, Producer, Refused};
use crate::error::BrokerError;

/// Plain jobs to a script, which take it a few milliseconds.
const CHUNK_JOBS: usize = 1_000;
/// How many plain jobs one with options costs as much as.
const OPTIONS_COST: usize = 4;
/// Bytes of content to a script, so that a batch of large jobs does not hold Redis up.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// How long an enqueue waits for replicas.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(1);

/// A job that passed the checks.
#[derive(Debug)]
struct Draft {
    /// Where its outcome goes.
    index: usize,
    id: JobId,
    /// To compare with what is there; only for an id that the caller chose.
    chosen: Option<JobSpec>,
    text: String,
    /// As `lua/enqueue.lua` takes them; empty for a plain job.
    options: String,
}

impl Draft {
    fn new(index: usize, mut job: NewJob, id: impl FnOnce() -> JobId) -> Self {
        let chosen = job.id.take();
        let options = options(&job);
        let spec = job.into_spec();
        let text = spec.encode();
        let (id, chosen) = match chosen {
            Some(id) => (id, Some(spec)),
            None => (id(), None),
        };
        Self { index, id, chosen, text, options }
    }

    /// Reads the answer for this job.
    fn outcome(&self, answer: &str) -> Result<EnqueueOutcome> {
        let rest = answer.get(1..).unwrap_or_default();
        let holder =
            || rest.parse().map_err(|invalid| BrokerError::Protocol(format!("the holder of a unique key: {invalid}")));
        Ok(match answer.as_bytes().first() {
            Some(b'+') => EnqueueOutcome::Enqueued(self.id.clone()),
            Some(b'e') => match &self.chosen {
                // An id of our own can only be there because this call came through before and its answer was lost.
                None => EnqueueOutcome::Enqueued(self.id.clone()),
                Some(spec) => match difference(rest, &self.text, spec) {
                    None => EnqueueOutcome::Existing(self.id.clone()),
                    Some(field) => Refused::Conflict { id: self.id.clone(), field }.into(),
                },
            },
            Some(b'u') => EnqueueOutcome::Existing(holder()?),
            Some(b'r') => EnqueueOutcome::Replaced(holder()?),
            Some(b'f') => Refused::Full(flow::full(rest)?).into(),
            Some(b't') => Refused::UniqueTaken { holder: holder()? }.into(),
            _ => return Err(BrokerError::Protocol("an enqueue answered an outcome that is not known".into())),
        })
    }
}

impl From<Refused> for EnqueueOutcome {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The first field in which the stored job asks for something else.
fn difference(stored: &str, text: &str, spec: &JobSpec) -> Option<&'static str> {
    if stored == text {
        return None;
    }
    match JobSpec::decode(stored) {
        Ok(stored) => stored.difference(spec),
        // What cannot be read cannot be the same.
        Err(_) => Some("content"),
    }
}

fn options(job: &NewJob) -> String {
    let plain = job.delay_ms.is_none() && job.run_at.is_none() && job.expires_at.is_none() && job.unique.is_none();
    let alone = job.tenant.is_none() && job.key.is_none();
    if plain && alone && job.priority == lovage_core::Priority::default() {
        return String::new();
    }
    let due = match (job.delay_ms, job.run_at) {
        (Some(delay), _) => format!("+{delay}"),
        (None, Some(at)) => at.as_millis().to_string(),
        (None, None) => "-".into(),
    };
    let expires = job.expires_at.map_or(0, Timestamp::as_millis);
    let key = job.unique.as_ref().map_or_else(|| "- 0 return 0".into(), key_options);
    let tenant = job.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let flow_key = job.key.as_ref().map_or("", |key| key.as_str());
    format!("{} {due} {expires} {key} ={tenant} ={flow_key}", job.priority.level())
}

fn key_options(unique: &Unique) -> String {
    let conflict = match unique.on_conflict {
        OnConflict::Return => "return",
        OnConflict::Reject => "reject",
        OnConflict::Replace => "replace",
    };
    let max_wait = unique.debounce.map(|debounce| debounce.max_wait_ms.to_string()).unwrap_or_default();
    format!("{} {} {conflict}{max_wait} {}", unique.digest(), unique.ttl_ms, u8::from(unique.hold == Hold::Ttl))
}

#[async_trait]
impl Producer for RedisBroker {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<EnqueueOutcome>> {
        lovage_core::validate_batch(&jobs)?;
        let now = self.config.clock.now();
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut queues = BTreeMap::<QueueName, Vec<Draft>>::new();
        for (index, job) in jobs.into_iter().enumerate() {
            if let Err(invalid) = job.validate(self.config.max_payload_bytes) {
                outcomes.push(Some(Refused::Invalid(invalid).into()));
                continue;
            }
            outcomes.push(None);
            let draft = |job| Draft::new(index, job, || JobId::generate(now, &*self.config.entropy));
            queues.entry(job.queue.clone()).or_default().push(draft(job));
        }
        self.name(queues.keys()).await?;
        for (queue, drafts) in &queues {
            let chunks = chunks(drafts);
            let answers = self.send_chunks(queue, &chunks).await?;
            for (chunk, answer) in chunks.into_iter().zip(answers) {
                note(&mut outcomes, chunk, answer)?;
            }
        }
        let missing = || BrokerError::Protocol("an enqueue left a job without an answer".into());
        outcomes.into_iter().collect::<Option<_>>().ok_or_else(missing)
    }
}

impl RedisBroker {
    /// One answer per chunk. Several chunks go as one transaction: they become visible together or not at all.
    async fn send_chunks(&self, queue: &QueueName, chunks: &[&[Draft]]) -> Result<Vec<Value>> {
        if let ([chunk], 0) = (chunks, self.config.wait_replicas) {
            return Ok(vec![self.run_again(&ENQUEUE, queue, |cmd| add(cmd, chunk)).await?]);
        }
        let keys = self.keys.of(queue);
        match self.send_transaction(&keys, chunks).await {
            // The ids are made already: what came through before is found again.
            Err(error) if error.is_transient() => self.send_transaction(&keys, chunks).await,
            answer => answer,
        }
    }

    async fn send_transaction(&self, keys: &QueueKeys, chunks: &[&[Draft]]) -> Result<Vec<Value>> {
        let replicas = self.config.wait_replicas;
        let lane = if replicas == 0 { Lane::Rest } else { Lane::Confirmed };
        let mut pipeline = redis::Pipeline::with_capacity(chunks.len() + 4);
        // A script that Redis lacks would fail inside the transaction, after others have run.
        pipeline.add_command(ENQUEUE.load());
        pipeline.cmd("MULTI");
        for chunk in chunks {
            let mut cmd = ENQUEUE.by_hash();
            self.fill(&mut cmd, keys, None, |cmd| add(cmd, chunk));
            pipeline.add_command(cmd);
        }
        pipeline.cmd("EXEC");
        if replicas > 0 {
            // It covers all that this server has done so far, also what an earlier try left.
            pipeline.cmd("WAIT").arg(replicas).arg(millis(CONFIRMED_WITHIN));
        }
        let mut replies = self.link.send_all(keys.slot(), lane, &pipeline).await?;
        let confirmed = if replicas > 0 { replies.pop() } else { None };
        let executed = match replies.pop().unwrap_or(Value::Nil) {
            Value::ServerError(aborted) => {
                // Nothing was done. The reason stands with the command that Redis did not take in.
                let first = replies.into_iter().find_map(|reply| reply.extract_error().err());
                return Err(self.link.error(&first.unwrap_or_else(|| aborted.into())));
            }
            executed => list(executed)?,
        };
        let mut answers = Vec::with_capacity(chunks.len());
        for (chunk, answer) in chunks.iter().zip(executed) {
            answers.push(match answer.extract_error() {
                // Somebody emptied the script cache between the two.
                Err(error) if is_script_missing(&error) => {
                    if replicas > 0 {
                        return Err(BrokerError::Unavailable(
                            "the script cache was emptied meanwhile; try again".into(),
                        ));
                    }
                    let fill = |cmd: &mut Cmd| self.fill(cmd, keys, None, |cmd| add(cmd, chunk));
                    self.link.run(&ENQUEUE, keys.slot(), fill).await?
                }
                answer => answer.map_err(|error| self.link.error(&error))?,
            });
        }
        self.check_confirmed(confirmed)?;
        Ok(answers)
    }

    /// Fails unless as many replicas as are wanted have what was just written.
    fn check_confirmed(&self, answer: Option<Value>) -> Result<()> {
        let Some(answer) = answer else { return Ok(()) };
        let have = count(&answer.extract_error().map_err(|error| self.link.error(&error))?)?;
        if have >= u64::from(self.config.wait_replicas) {
            return Ok(());
        }
        let problem = format!("{have} of {} replicas confirmed the jobs in time", self.config.wait_replicas);
        let help = "they may or may not outlive a fail-over; enqueue them again with the same ids";
        Err(BrokerError::Unavailable(format!("{problem}; {help}")))
    }
}

fn chunks(mut drafts: &[Draft]) -> Vec<&[Draft]> {
    let mut chunks = Vec::with_capacity(drafts.len() / CHUNK_JOBS + 1);
    while !drafts.is_empty() {
        let (mut cost, mut bytes) = (0, 0);
        let fits = |draft: &&Draft| {
            cost += if draft.options.is_empty() { 1 } else { OPTIONS_COST };
            bytes += draft.text.len();
            cost <= CHUNK_JOBS && bytes <= CHUNK_BYTES
        };
        let count = drafts.iter().take_while(fits).count().max(1);
        let (chunk, rest) = drafts.split_at(count);
        chunks.push(chunk);
        drafts = rest;
    }
    chunks
}

fn add(cmd: &mut Cmd, drafts: &[Draft]) {
    for draft in drafts {
        cmd.arg(draft.id.as_str()).arg(&draft.text).arg(&draft.options);
    }
}

fn note(outcomes: &mut [Option<EnqueueOutcome>], chunk: &[Draft], answer: Value) -> Result<()> {
    if let Value::Int(_) = answer {
        for draft in chunk {
            outcomes[draft.index] = Some(EnqueueOutcome::Enqueued(draft.id.clone()));
        }
        return Ok(());
    }
    for (draft, answer) in chunk.iter().zip(list(answer)?) {
        outcomes[draft.index] = Some(draft.outcome(&text(answer)?)?);
    }
    Ok(())
}
