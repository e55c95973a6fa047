//! The jobs of a year, the same each time: which are common, which are rare, and which never meet.

use lovage_core::history::{AttemptRecord, JobRecord, Outcome, RecordedError};
use lovage_core::{DiscardReason, ErrorClass, JobView, Kind, PastError, QueueName, State, Timestamp, WorkerId};
use std::fmt::Write as _;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// 2025-08-01T00:00:00Z, when the first job is enqueued.
pub const BEGIN: u64 = 1_754_006_400_000;
/// Milliseconds of the year.
pub const YEAR: u64 = 365 * DAY;
const DAY: u64 = 86_400_000;
/// The end of September 2025: what is old came before.
const OLD_UNTIL: u64 = BEGIN + 61 * DAY;

/// Queues; a kind is always of the same one.
pub const QUEUES: [&str; 5] = ["default", "mail", "exports", "media", "audit"];
const AREAS: [&str; 8] = ["export", "mail", "invoice", "image", "report", "sync", "import", "audit"];
const VERBS: [&str; 5] = ["send", "render", "check", "store", "notify"];
/// A kind and a tag of the first two months.
pub const OLD_KIND: &str = "legacy.convert";
pub const OLD_TAG: &str = "launch";
const KINDS: usize = AREAS.len() * VERBS.len();
const TENANTS: usize = 1_000;
const TAGS: usize = 30;
pub const USERS: u64 = 100_000;
const REGIONS: [&str; 4] = ["eu-1", "eu-2", "us-1", "ap-1"];
const LOCALES: [&str; 6] = ["de", "en", "fr", "pl", "ja", "zh"];
const HOSTS: [&str; 5] = ["ledger", "mailer", "storage", "billing", "search"];
const ERRORS: [&str; 10] = [
    "connection refused by {host}-{a}.internal:{b} (os error 111)",
    "{host} did not answer within {b} ms",
    "the {host} service said 503 to request {b}: overloaded, try again in {a} s",
    "duplicate key value violates unique constraint \"{host}_pkey\": Key (id)=({b}) already exists",
    "row {b}: column {a} is not a number, while writing to {host}",
    "{host} refuses the token of user {b}: expired",
    "no space left on device /var/lib/{host}/part-{b}",
    "deadlock detected: process {a} waits for {host} transaction {b}",
    "cannot parse the answer of {host}: expected value at line {a} column {b}",
    "file {host}/{b}.csv has a checksum that differs",
];

/// Makes the job of any number.
#[derive(Debug)]
pub struct Jobs {
    count: u64,
    kinds: Vec<Kind>,
    kind_shares: Vec<f64>,
    tenant_shares: Vec<f64>,
    tag_shares: Vec<f64>,
}

/// Numbers that look random, a job's own.
struct Draws(u64);

impl Draws {
    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in so many of a thousand cases.
    fn thousandths(&mut self, many: u64) -> bool {
        self.below(1_000) < many
    }

    /// One of `shares`, which add up to one from the left.
    fn of(&mut self, shares: &[f64]) -> usize {
        let at = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        shares.partition_point(|share| *share < at).min(shares.len() - 1)
    }
}

/// The second is half as common as the first, the third a third.
fn shares(count: usize) -> Vec<f64> {
    let all: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
    (1..=count).scan(0.0, |sum, rank| Some(*sum + 1.0 / rank as f64 / all).inspect(|next| *sum = *next)).collect()
}

/// The name of a kind by its rank.
pub fn kind(rank: usize) -> String {
    format!("{}.{}", AREAS[rank % AREAS.len()], VERBS[rank / AREAS.len()])
}

/// The name of a tenant by its rank.
pub fn tenant(rank: usize) -> String {
    format!("tenant-{rank:03}")
}

/// The name of a tag by its rank.
pub fn tag(rank: usize) -> String {
    format!("tag-{rank:02}")
}

/// The text of an error of one of 50 shapes.
pub fn error(shape: u64, a: u64, b: u64) -> String {
    let (text, host) = (ERRORS[(shape / 5 % 10) as usize], HOSTS[(shape % 5) as usize]);
    text.replace("{host}", host).replace("{a}", &a.to_string()).replace("{b}", &b.to_string())
}

/// One of the four workers of a day.
pub fn worker(at: u64, number: u64) -> String {
    format!("worker-{}-{number}", at / DAY)
}

/// The unique number in a job's arguments.
pub fn order(number: u64) -> String {
    format!("ord-{number:09}")
}

/// The id of a job: a UUID of version 7.
pub fn id(count: u64, number: u64) -> String {
    let at = enqueued_at(count, number);
    let random = Draws(number).next();
    format!(
        "{:08x}-{:04x}-7{:03x}-{:04x}-{number:012x}",
        at >> 16,
        at & 0xffff,
        random & 0xfff,
        0x8000 | (random >> 12) & 0x3fff
    )
}

/// Spread evenly over the year.
pub fn enqueued_at(count: u64, number: u64) -> u64 {
    BEGIN + (u128::from(number) * u128::from(YEAR) / u128::from(count)) as u64
}

impl Jobs {
    pub fn new(count: u64) -> Result<Self, Failed> {
        let kinds = (0..KINDS).map(kind).chain([OLD_KIND.to_owned()]);
        Ok(Self {
            count,
            kinds: kinds.map(|name| name.parse()).collect::<Result<_, _>>()?,
            kind_shares: shares(KINDS),
            tenant_shares: shares(TENANTS),
            tag_shares: shares(TAGS),
        })
    }

    /// The job of a number, as the recorder writes it after its end. The last thousandth has not ended yet.
    pub fn job(&self, number: u64) -> Result<JobRecord, Failed> {
        let mut draws = Draws(number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let at = enqueued_at(self.count, number);
        let is_old = at < OLD_UNTIL;
        let mut rank = draws.of(&self.kind_shares);
        let tenant_rank = (!draws.thousandths(100)).then(|| draws.of(&self.tenant_shares));
        // The commonest tenant never has the second commonest kind, nor the second commonest tenant the commonest kind.
        if let (Some(0), 1) | (Some(1), 0) = (tenant_rank, rank) {
            rank = 2;
        }
        if is_old && draws.thousandths(200) {
            rank = KINDS;
        }
        let mut tags: Vec<String> = Vec::new();
        for _ in 0..draws.below(4) {
            let name = tag(draws.of(&self.tag_shares));
            if !tags.contains(&name) {
                tags.push(name);
            }
        }
        if is_old && draws.thousandths(300) {
            tags.push(OLD_TAG.to_owned());
        }
        let mut job = JobView {
            id: id(self.count, number).parse()?,
            queue: QUEUES[rank % QUEUES.len()].parse::<QueueName>()?,
            state: State::Completed,
            kind: Some(self.kinds[rank].clone()),
            args: Some(serde_json::value::RawValue::from_string(args(number, &mut draws))?),
            priority: lovage_core::Priority::default(),
            tenant: tenant_rank.map(|rank| tenant(rank).parse()).transpose()?,
            key: None,
            tags,
            metadata: [("request_id".to_owned(), format!("req-{:016x}", draws.next()))].into(),
            attempt: 1,
            failed: 0,
            max_attempts: None,
            retry: None,
            timeout_ms: None,
            lost: 0,
            enqueued_at: Timestamp::from_millis(at),
            since: Timestamp::from_millis(at),
            due_at: None,
            expires_at: None,
            started_at: None,
            lease_until: None,
            worker: None,
            cancel_requested: false,
            reason: None,
            progress: None,
            result: None,
            errors: Vec::new(),
        };
        if number >= self.count - self.count / 1_000 {
            (job.state, job.attempt) = (State::Available, 0);
            return Ok(JobRecord { job, attempts: Vec::new(), gone_at: None });
        }
        run(job, at, &mut draws)
    }
}

/// Five to eight leaves.
fn args(number: u64, draws: &mut Draws) -> String {
    let mut text = format!(
        r#"{{"user":{{"id":{},"locale":"{}"}},"order":"{}","region":"{}","amount":{}.{:02}"#,
        draws.below(USERS),
        LOCALES[draws.below(6) as usize],
        order(number),
        REGIONS[draws.below(4) as usize],
        draws.below(500),
        draws.below(100),
    );
    let more = draws.below(4);
    if more > 0 {
        text.push_str(r#","dry_run":false"#);
    }
    if more > 1 {
        let _ = write!(text, r#","items":{}"#, draws.below(20));
    }
    if more > 2 {
        let _ = write!(text, r#","note":"lot {}""#, draws.below(100_000));
    }
    text.push('}');
    text
}

/// Lets a job run: three of a hundred are discarded, one is cancelled, three need more than one attempt.
fn run(mut job: JobView, at: u64, draws: &mut Draws) -> Result<JobRecord, Failed> {
    let ended = match draws.below(100) {
        0..3 => State::Discarded,
        3 => State::Cancelled,
        _ => State::Completed,
    };
    let is_tried_again = ended == State::Discarded && draws.thousandths(600) || draws.thousandths(30);
    let attempts = if is_tried_again { 2 + draws.below(4) } else { 1 } as u32;
    let mut records = Vec::new();
    let mut now = at;
    for attempt in 1..=attempts {
        let worker: WorkerId = worker(at, draws.below(4)).parse()?;
        let started = now + 5 + draws.below(2_000);
        now = started + 20 + draws.below(5_000);
        let ended_at = Timestamp::from_millis(now);
        let outcome = match ended {
            _ if attempt < attempts => Outcome::Retryable,
            State::Discarded => Outcome::Discarded,
            State::Cancelled => Outcome::Cancelled,
            _ => Outcome::Completed,
        };
        let error = matches!(outcome, Outcome::Retryable | Outcome::Discarded).then(|| {
            // A kind has its own few ways to fail.
            let shape = job.kind.as_ref().map_or(0, |kind| kind.as_str().len() as u64 * 3) + draws.below(7) * 7;
            let message = error(shape, draws.below(50), draws.below(100_000));
            RecordedError { at: ended_at, class: ErrorClass::Failed, message }
        });
        job.errors.extend(error.clone().map(|error| PastError {
            attempt,
            at: error.at,
            worker: Some(worker.clone()),
            class: error.class,
            message: error.message,
        }));
        (job.worker, job.started_at) = (Some(worker.clone()), Some(Timestamp::from_millis(started)));
        records.push(AttemptRecord {
            attempt,
            worker: Some(worker),
            version: Some(format!("1.{}.0", (at - BEGIN) / (30 * DAY))),
            started_at: job.started_at,
            ended_at: Some(ended_at),
            outcome: Some(outcome),
            error,
        });
        now += 1_000 * u64::from(attempt);
    }
    (job.state, job.attempt, job.failed) = (ended, attempts, job.errors.len() as u32);
    job.since = records.last().and_then(|last| last.ended_at).unwrap_or(job.since);
    job.reason = (ended == State::Discarded).then_some(if attempts > 1 {
        DiscardReason::AttemptsExhausted
    } else {
        DiscardReason::Rejected
    });
    if ended == State::Completed && draws.thousandths(300) {
        job.result = Some(serde_json::value::RawValue::from_string(format!(r#"{{"rows":{}}}"#, draws.below(10_000)))?);
    }
    Ok(JobRecord { job, attempts: records, gone_at: None })
}
