//! A search finds what its filter means: random filters over random jobs against [`Filter::matches`].

use std::collections::HashMap;

use lovage_core::filter::{
    ArgumentValue, Clause, ErrorWords, Facts, Filter, KindPattern, NumberRange, Test, TimeRange,
};
use lovage_core::history::{AttemptRecord, JobRecord};
use lovage_core::limits::MAX_SEARCHED_ARGUMENTS;
use lovage_core::{DiscardReason, Fingerprint, JobView, State, Timestamp, WorkerId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::jobs::{DAY, LONG, NOON, all, alone, at, error, failed, job, name, raw, write};
use crate::place::{Place, places};

/// Different jobs, and how often each is there under another id at another time.
const JOBS: usize = 300;
const COPIES: usize = 10;

const QUEUES: [&str; 2] = ["exports", "mail"];
const KINDS: [&str; 5] = ["export.query", "export.query.csv", "export", "mail.send", "mail_send"];
const PREFIXES: [&str; 8] = ["", "e", "export", "export.", "export.query.", "export.q", "mail.", "none."];
const TENANTS: [&str; 3] = ["acme", "globex", "none"];
const TAGS: [&str; 8] = ["red", "a,b", "say \"so\"", "back\\slash", "{c}", "NULL", "", "ünï"];
const WORKERS: [&str; 3] = ["w1", "w2", "w3"];
const MESSAGES: [&str; 5] =
    ["Connection refused (os error 111)", "refused", "Zeit überschritten: 111", "...", "os\0x OS"];
const WORDS: [&str; 8] = ["refused", "os refused", "111 zeit", "überschritten", "connection", "x", "os", "never"];
const ARGS: [&str; 8] = [
    r#"{"user": {"id": 42, "name": "ann"}, "big": 9007199254740993}"#,
    r#"{"user": {"id": "42", "name": null}, "list": [1, 2.0, "x", true, {"deep": [1e2]}]}"#,
    r#"{"user": {"id": 42.0}, "flag": true, "a.b": "null"}"#,
    r#"[{"user": {"id": 43}}, {"user": {"id": 42}}]"#,
    r#"{"flag": "true", "list": [], "user": 42}"#,
    r#"{"big": 9007199254740992, "list": "2", "flag": false}"#,
    "42",
    "{}",
];
const PATHS: [&[&str]; 7] =
    [&["user", "id"], &["user", "name"], &["big"], &["list"], &["list", "deep"], &["flag"], &["a.b"]];
const VALUES: [&str; 9] = ["42", "42.0", "ann", "null", "true", "2", "100", "9007199254740993", "x"];

fn one<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    select(values)
}

fn some<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(value, 1..4)
}

fn named<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
    names: &'static [&'static str],
) -> impl Strategy<Value = T> {
    one(names).prop_map(name)
}

/// A time near the others, with some at the same instant: mostly in one month, which then has more jobs than either database
/// looks at in one go.
fn instant() -> impl Strategy<Value = Timestamp> {
    let month = prop_oneof![1 => Just(0_u64), 8 => Just(1), 1 => Just(2)];
    (month, 0..40_u64).prop_map(|(month, step)| at(NOON + month * 31 * DAY + step * 1_000))
}

fn any_job() -> impl Strategy<Value = JobRecord> {
    let what = (
        one(&State::ALL),
        prop::option::weighted(0.9, named(&KINDS)),
        named(&QUEUES),
        prop::option::of(named(&TENANTS)),
        prop::collection::vec(one(&TAGS), 0..3),
        prop::option::of(one(&DiscardReason::ALL)),
        prop_oneof![0..4_u32, 18..30_u32],
    );
    let ran = (
        prop::option::of(named::<WorkerId>(&WORKERS)),
        prop::collection::vec(prop::option::of(named::<WorkerId>(&WORKERS)), 0..3),
        prop::option::of(one(&MESSAGES)),
        prop::option::weighted(0.95, one(&ARGS)),
        (instant(), 0..3_000_u64),
    );
    (what, ran).prop_map(|(what, (worker, workers, message, args, (enqueued_at, millis)))| {
        let (state, kind, queue, tenant, tags, reason, attempt) = what;
        let tags = tags.into_iter().map(str::to_owned).collect();
        let since = at(enqueued_at.as_millis() + millis);
        let args = args.map(raw);
        let job =
            JobView { state, kind, queue, tenant, tags, reason, attempt, worker, args, enqueued_at, since, ..job("x") };
        let mut attempts: Vec<AttemptRecord> = (1..)
            .zip(workers)
            .map(|(attempt, worker)| AttemptRecord { attempt, worker, ..AttemptRecord::default() })
            .collect();
        attempts.extend(message.map(|text| failed(9, "1.0", error(NOON, text))));
        JobRecord { attempts, ..alone(job) }
    })
}

fn times() -> impl Strategy<Value = TimeRange> {
    (instant(), prop::option::of(0..100_000_000_u64), any::<bool>()).prop_map(|(from, length, open)| match length {
        Some(length) => TimeRange { from: Some(from).filter(|_| !open), until: Some(at(from.as_millis() + length)) },
        None => TimeRange { from: Some(from), until: None },
    })
}

fn numbers() -> impl Strategy<Value = NumberRange> {
    (0..30_u32, prop::option::of(0..9_u32), any::<bool>()).prop_map(|(from, length, open)| match length {
        Some(length) => NumberRange { from: Some(from).filter(|_| !open), to: Some(from + length) },
        None => NumberRange { from: Some(from), to: None },
    })
}

fn value() -> impl Strategy<Value = ArgumentValue> {
    (one(&VALUES), any::<bool>()).prop_map(|(text, quoted)| {
        // As it is read from a filter.
        let text = if quoted { format!("args.x:\"{text}\"") } else { format!("args.x:{text}") };
        match Filter::parse(&text, at(NOON)).unwrap().clauses.remove(0).test {
            Test::Argument { mut values, .. } => values.remove(0),
            other => panic!("{other:?}"),
        }
    })
}

fn test(fingerprints: Vec<Fingerprint>) -> impl Strategy<Value = Test> {
    let kind = prop_oneof![
        named(&KINDS).prop_map(KindPattern::Exact),
        one(&PREFIXES).prop_map(|prefix| KindPattern::Prefix(prefix.to_owned()))
    ];
    let id = (0..JOBS * COPIES + 9).prop_map(|number| name(&format!("j{number}")));
    let path = one(&PATHS).prop_map(|path| path.iter().map(|key| (*key).to_owned()).collect());
    prop_oneof![
        some(one(&State::ALL)).prop_map(Test::State),
        some(kind).prop_map(Test::Kind),
        some(named(&QUEUES)).prop_map(Test::Queue),
        some(prop::option::of(named(&TENANTS))).prop_map(Test::Tenant),
        some(one(&TAGS).prop_map(str::to_owned)).prop_map(Test::Tag),
        prop::collection::vec(id, 1..40).prop_map(Test::Id),
        some(named(&WORKERS)).prop_map(Test::Worker),
        some(one(&DiscardReason::ALL)).prop_map(Test::Reason),
        some(select(fingerprints)).prop_map(Test::Failure),
        some(one(&WORDS).prop_map(|text| ErrorWords::new(text).unwrap())).prop_map(Test::Error),
        some(numbers()).prop_map(Test::Attempt),
        some(times()).prop_map(Test::Created),
        some(times()).prop_map(Test::Ended),
        (path, some(value())).prop_map(|(path, values)| Test::Argument { path, values }),
    ]
}

fn any_filter(fingerprints: Vec<Fingerprint>) -> impl Strategy<Value = Filter> {
    let clause = (any::<bool>(), test(fingerprints)).prop_map(|(negated, test)| Clause { negated, test });
    prop::collection::vec(clause, 0..4).prop_map(|clauses| Filter { clauses })
}

/// What a filter asks of a job that was recorded so.
struct Known {
    record: JobRecord,
    failures: Vec<Fingerprint>,
    errors: Vec<String>,
    workers: Vec<WorkerId>,
}

impl Known {
    fn is_meant(&self, filter: &Filter) -> bool {
        let job = &self.record.job;
        filter.matches(&Facts {
            id: &job.id,
            state: job.state,
            queue: &job.queue,
            kind: job.kind.as_ref(),
            tenant: job.tenant.as_ref(),
            tags: &job.tags,
            workers: &self.workers,
            reason: job.reason,
            failures: &self.failures,
            errors: &self.errors,
            attempt: job.attempt,
            created: job.enqueued_at,
            ended: Some(job.since).filter(|_| job.state.is_final()),
            args: job.args.as_ref().map(|args| args.get()),
            most_leaves: MAX_SEARCHED_ARGUMENTS,
        })
    }
}

/// Records random jobs, and answers what is known of them, newest first.
async fn known(place: &Place, runner: &mut TestRunner) -> Vec<Known> {
    let ledger = place.ledger().await;
    let drawn = prop::collection::vec(any_job(), JOBS).new_tree(runner).unwrap().current();
    let mut records: Vec<JobRecord> = Vec::new();
    for (number, record) in drawn.iter().cycle().take(JOBS * COPIES).enumerate() {
        let mut record = record.clone();
        record.job.id = name(&format!("j{number}"));
        record.job.enqueued_at = at(record.job.enqueued_at.as_millis() + (number / JOBS) as u64 % 3);
        records.push(record);
    }
    for queue in QUEUES {
        let page: Vec<JobRecord> =
            records.iter().filter(|record| record.job.queue.as_str() == queue).cloned().collect();
        write(&ledger, &page).await;
    }
    let select = "SELECT id || ' ' || fingerprint FROM job_failures JOIN jobs USING (enqueued_at, key)";
    let fingerprints: HashMap<String, Fingerprint> =
        place.texts(select).await.iter().map(|line| fingerprint(line)).collect();
    let place_of = |record: &JobRecord| {
        let job = &record.job;
        (std::cmp::Reverse(job.enqueued_at), job.id.to_string())
    };
    records.sort_by_key(place_of);
    records
        .into_iter()
        .map(|record| {
            let errors = record.attempts.iter().filter_map(|attempt| attempt.error.as_ref());
            let errors = errors.map(|error| error.message.clone()).collect();
            let workers =
                record.attempts.iter().filter_map(|attempt| attempt.worker.clone()).chain(record.job.worker.clone());
            let failures = fingerprints.get(record.job.id.as_str()).copied().into_iter().collect();
            Known { failures, errors, workers: workers.collect(), record }
        })
        .collect()
}

fn fingerprint(line: &str) -> (String, Fingerprint) {
    let (id, bits) = line.split_once(' ').unwrap();
    (id.to_owned(), Fingerprint::from_bits(bits.parse::<i64>().unwrap() as u64))
}

#[test]
fn a_search_finds_what_its_filter_means() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for place in runtime.block_on(places()) {
        let config = Config { cases: 100, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let known = runtime.block_on(known(&place, &mut runner));
        let mut fingerprints: Vec<Fingerprint> = known.iter().flat_map(|known| known.failures.clone()).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        assert!(fingerprints.len() >= MESSAGES.len());
        fingerprints.push(Fingerprint::from_bits(7));
        let ledger = runtime.block_on(place.ledger());
        // The same order within an instant, which is the ledger's own.
        let order = runtime.block_on(all(&ledger, &Filter::default(), 500, LONG));
        let places: HashMap<&str, usize> = order.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        let created: HashMap<&str, Timestamp> =
            known.iter().map(|known| (known.record.job.id.as_str(), known.record.job.enqueued_at)).collect();
        assert_eq!(order.len(), known.len());
        assert!(order.is_sorted_by(|a, b| created[a.as_str()] >= created[b.as_str()]), "{place:?}");

        let limit = prop_oneof![Just(500_u32), 100..300_u32];
        let patience = prop_oneof![Just(LONG), Just(std::time::Duration::ZERO)];
        let checked = runner.run(&(any_filter(fingerprints), limit, patience), |(filter, limit, patience)| {
            let found = runtime.block_on(all(&ledger, &filter, limit, patience));
            let mut meant: Vec<&str> = known
                .iter()
                .filter(|known| known.is_meant(&filter))
                .map(|known| known.record.job.id.as_str())
                .collect();
            meant.sort_unstable_by_key(|id| places[id]);
            prop_assert_eq!(found, meant);
            Ok(())
        });
        if let Err(TestError::Fail(reason, (filter, limit, patience))) = checked {
            panic!("{place:?}: {filter} by {limit} within {patience:?}: {reason}");
        }
        checked.unwrap();
    }
}
