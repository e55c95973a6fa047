//! What a filter means, by jobs that it finds and jobs that it does not.

use lovage_core::filter::{Facts, Filter, NumberRange, Test, TimeRange};
use lovage_core::{DiscardReason, Fingerprint, JobId, Kind, QueueName, State, Tenant, Timestamp, WorkerId};

use crate::{NOON, now, one, read};

/// A job that has all that a filter can ask for.
struct Job {
    id: JobId,
    queue: QueueName,
    kind: Kind,
    tenant: Option<Tenant>,
    tags: Vec<String>,
    workers: Vec<WorkerId>,
    failures: Vec<Fingerprint>,
    errors: Vec<String>,
    ended: Option<Timestamp>,
    args: String,
}

const HOUR: u64 = 3_600_000;

impl Job {
    fn new() -> Self {
        Self {
            id: "order:42".parse().unwrap(),
            queue: "exports".parse().unwrap(),
            kind: "export.query".parse().unwrap(),
            tenant: Some("acme".parse().unwrap()),
            tags: vec!["nightly".to_owned(), "a, b".to_owned()],
            workers: vec!["w1".parse().unwrap(), "w2".parse().unwrap()],
            failures: vec![Fingerprint::from_bits(0xff)],
            errors: vec![
                "Connection refused (os error 111)".to_owned(),
                "HTTP 503 from https://api.example.com/v1".to_owned(),
            ],
            ended: Some(Timestamp::from_millis(NOON - HOUR)),
            args: r#"{"user": {"id": 42, "name": "Zoë"}, "rows": [{"n": 1}, {"n": "2"}], "big": 9007199254740993,
                "ok": true, "none": null, "weird key": {"x": 1.50}, "": "empty"}"#
                .to_owned(),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            id: &self.id,
            state: State::Discarded,
            queue: &self.queue,
            kind: Some(&self.kind),
            tenant: self.tenant.as_ref(),
            tags: &self.tags,
            workers: &self.workers,
            reason: Some(DiscardReason::AttemptsExhausted),
            failures: &self.failures,
            errors: &self.errors,
            attempt: 3,
            created: Timestamp::from_millis(NOON - 2 * HOUR),
            ended: self.ended,
            args: Some(&self.args),
            most_leaves: 100,
        }
    }
}

fn found(text: &str) -> bool {
    read(text).matches(&Job::new().facts())
}

#[test]
fn the_job_is_found_by_each_of_its_facts() {
    for text in [
        "",
        "  ",
        "state:discarded",
        "state:completed,discarded",
        "state:\"discarded\"",
        "queue:exports tenant:acme",
        "tenant:none,acme",
        "kind:export.query",
        "kind:export.*",
        "kind:mail.*,export.q*",
        "kind:*",
        "tag:nightly",
        "tag:x,\"a, b\"",
        "id:order:42",
        "worker:w2",
        "reason:attempts_exhausted",
        "failure:00000000000000ff",
        "error:refused",
        "error:\"REFUSED connection\"",
        "error:api.example.com",
        "error:nothing,503",
        "attempt:3",
        "attempt:>2 attempt:>=3 attempt:<4 attempt:<=3",
        "attempt:1..3 attempt:3.. attempt:..3",
        "created:>1h created:<3h",
        "created:2026-11-26",
        "created:2026-11-25..2026-11-26",
        "created:>=2026-11-26T10:00:00Z created:<=2026-11-26T11:00:00+01:00",
        "ended:<=1h",
        // The words stand in two different errors.
        "error:\"refused 503\"",
        "args.user.id:42",
        "args.user.id:42.0",
        "args.user.id:4.2e1",
        "args.user.id:1,42",
        "args.user.name:Zoë",
        "args.rows.n:1 args.rows.n:2",
        "args.rows.n:\"2\"",
        "args.big:9007199254740993",
        "args.ok:true args.none:null",
        "args.\"weird key\".x:1.5",
        "args.\"\":empty",
        "-state:completed -tag:other -tenant:none -error:\"refused 504\"",
    ] {
        assert!(found(text), "{text}");
    }
}

#[test]
fn and_not_by_what_it_is_not() {
    for text in [
        "-state:discarded",
        "state:completed",
        "state:discarded state:completed",
        "queue:export",
        "tenant:none",
        "tenant:\"none\"",
        "kind:export",
        "kind:query*",
        "tag:night",
        "id:order",
        "worker:w",
        "reason:rejected",
        "failure:00000000000000fe",
        "error:refuse",
        "error:\"refused 504\"",
        "attempt:2 attempt:3",
        "attempt:..2",
        "attempt:4..",
        "created:<1h",
        "created:<2h",
        "created:>2h",
        "created:2026-11-25",
        "created:>2026-11-26T10:00:00Z",
        "ended:<1h",
        "ended:>1h",
        "args.user:42",
        "args.id:42",
        "args.user.id:\"42\"",
        "args.user.id:42x",
        "args.user.name:zoë",
        "args.rows.n:3",
        "args.rows.0.n:1",
        "args.big:9007199254740992",
        "args.ok:\"true\" args.none:\"null\"",
        "args.none:none",
    ] {
        assert!(!found(text), "{text}");
    }
}

#[test]
fn a_bare_scalar_finds_the_string_of_the_same_text_too() {
    let mut job = Job::new();
    job.args = r#"{"n": "1.0", "t": "true", "u": "null"}"#.to_owned();
    let found = |text: &str| read(text).matches(&job.facts());
    assert!(found("args.n:1.0 args.t:true args.u:null"));
    assert!(found("args.n:\"1.0\" args.t:\"true\" args.u:\"null\""));
    assert!(!found("args.n:1"), "a string is found by its own text only");
}

#[test]
fn a_negated_term_holds_where_there_is_no_such_value() {
    let mut job = Job::new();
    (job.tenant, job.ended) = (None, None);
    (job.tags, job.workers, job.failures, job.errors) = (vec![], vec![], vec![], vec![]);
    let facts = Facts { kind: None, reason: None, args: None, ..job.facts() };
    for term in [
        "tenant:acme",
        "ended:<1h",
        "ended:>1h",
        "kind:*",
        "reason:rejected",
        "args.a:null",
        "tag:x",
        "worker:w",
        "failure:00000000000000ff",
        "error:x",
    ] {
        assert!(!read(term).matches(&facts), "{term}");
        assert!(read(&format!("-{term}")).matches(&facts), "-{term}");
    }
    assert!(read("tenant:none").matches(&facts));
}

#[test]
fn a_tenant_of_the_name_none_is_found_in_quotes() {
    let mut job = Job::new();
    job.tenant = Some("none".parse().unwrap());
    assert!(read("tenant:\"none\"").matches(&job.facts()));
    assert!(!read("tenant:none").matches(&job.facts()));
}

#[test]
fn only_as_many_leaves_as_the_index_keeps_are_searched() {
    let job = Job::new();
    let facts = Facts { most_leaves: 1, ..job.facts() };
    assert!(read("args.user.id:42").matches(&facts));
    assert!(!read("args.user.name:Zoë").matches(&facts));
}

fn created(text: &str) -> (Option<u64>, Option<u64>) {
    let Test::Created(ranges) = one(&format!("created:{text}")) else { panic!("{text}") };
    assert_eq!(ranges.len(), 1, "{text}");
    (ranges[0].from.map(Timestamp::as_millis), ranges[0].until.map(Timestamp::as_millis))
}

#[test]
fn ages_grow_into_the_past_and_instants_do_not() {
    let midnight = NOON - 12 * HOUR;
    for (text, range) in [
        // Less than an hour old, at most an hour old, older than an hour, at least an hour old.
        ("<1h", (Some(NOON - HOUR + 1), None)),
        ("<=1h", (Some(NOON - HOUR), None)),
        (">1h", (None, Some(NOON - HOUR))),
        (">=1h", (None, Some(NOON - HOUR + 1))),
        ("<90m", (Some(NOON - HOUR - HOUR / 2 + 1), None)),
        ("<1h30m", (Some(NOON - HOUR - HOUR / 2 + 1), None)),
        (">7d", (None, Some(NOON - 7 * 24 * HOUR))),
        (">1w", (None, Some(NOON - 7 * 24 * HOUR))),
        ("<30s", (Some(NOON - 30_000 + 1), None)),
        ("\"<1h ago\"", (Some(NOON - HOUR + 1), None)),
        ("<1hago", (Some(NOON - HOUR + 1), None)),
        // Older than everything.
        ("<99999w", (Some(0), None)),
        (">99999w", (None, Some(0))),
        // A date is its midnight in UTC.
        (">2026-11-26", (Some(midnight + 1), None)),
        (">=2026-11-26", (Some(midnight), None)),
        ("<2026-11-26", (None, Some(midnight))),
        ("<=2026-11-26", (None, Some(midnight + 1))),
        // Without an operator it is the day, and a range has the whole of its last day.
        ("2026-11-26", (Some(midnight), Some(midnight + 24 * HOUR))),
        ("2026-11-25..2026-11-26", (Some(midnight - 24 * HOUR), Some(midnight + 24 * HOUR))),
        ("2026-11-26..", (Some(midnight), None)),
        ("..2026-11-26", (None, Some(midnight + 24 * HOUR))),
        (">2026-11-26T12:00:00Z", (Some(NOON + 1), None)),
        (">=2026-11-26T13:00:00+01:00", (Some(NOON), None)),
        ("<2026-11-26T12:00:00Z", (None, Some(NOON))),
        ("<=2026-11-26T12:00:00Z", (None, Some(NOON + 1))),
        ("2026-11-26T12:00:00Z..2026-11-26T12:00:00.001Z", (Some(NOON), Some(NOON + 2))),
        // Between two milliseconds: what is kept has whole ones.
        (">2026-11-26T12:00:00.0005Z", (Some(NOON + 1), None)),
        (">=2026-11-26T12:00:00.0005Z", (Some(NOON + 1), None)),
        ("<2026-11-26T12:00:00.0005Z", (None, Some(NOON + 1))),
        ("<=2026-11-26T12:00:00.0005Z", (None, Some(NOON + 1))),
    ] {
        assert_eq!(created(text), range, "{text}");
    }
}

#[test]
fn a_clock_that_is_wrong_by_ages_is_survived() {
    for now in [0, 1, u64::MAX] {
        let now = Timestamp::from_millis(now);
        let filter = Filter::parse("created:<1h,>1h,<=0s,>=0s", now).unwrap();
        assert_eq!(Filter::parse(&filter.to_string(), now), Ok(filter));
    }
}

#[test]
fn numbers_are_ranges_with_both_ends() {
    let range = |from, to| Test::Attempt(vec![NumberRange { from, to }]);
    assert_eq!(one("attempt:3"), range(Some(3), Some(3)));
    assert_eq!(one("attempt:>3"), range(Some(4), None));
    assert_eq!(one("attempt:<3"), range(None, Some(2)));
    assert_eq!(one("attempt:2..4"), range(Some(2), Some(4)));
    assert_eq!(one("attempt:<1"), range(None, Some(0)), "not tried yet");
}

#[test]
fn a_time_range_has_its_begin_and_not_its_end() {
    let range = TimeRange { from: Some(now()), until: Some(Timestamp::from_millis(NOON + 1)) };
    assert!(range.contains(now()));
    assert!(!range.contains(Timestamp::from_millis(NOON - 1)));
    assert!(!range.contains(Timestamp::from_millis(NOON + 1)));
}
