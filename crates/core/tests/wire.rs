//! The stored form of a job: every released form is read and written back to the letter, whatever the content.

use lovage_core::{JobSpec, NewJob, RetryPolicy, WireError};
use proptest::prelude::*;
use serde_json::value::RawValue;

const GOLDEN: [(&str, &str); 3] = [
    ("v1-minimal", include_str!("golden/v1-minimal.json")),
    ("v1-full", include_str!("golden/v1-full.json")),
    ("v1-with-fields-of-a-newer-release", include_str!("golden/v1-with-fields-of-a-newer-release.json")),
];

#[test]
fn every_golden_form_is_read_and_written_back_to_the_letter() {
    for (name, text) in GOLDEN {
        let spec = JobSpec::decode(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(spec.encode(), text, "{name}");
    }
}

#[test]
fn the_full_form_means_what_it_says() {
    let spec = JobSpec::decode(GOLDEN[1].1).unwrap();
    assert_eq!(spec.kind.as_str(), "export.query");
    assert!(spec.args.get().contains("12345678901234567890123"), "big integers are not rounded");
    assert_eq!(spec.retry, Some(RetryPolicy { max_attempts: 3, base_ms: 500, factor: 1.5, cap_ms: 60_000 }));
    assert_eq!(spec.tags, ["monthly", "größe"]);
    assert_eq!(spec.metadata["request_id"], "r-1");
}

/// Row 26: fields of a newer release survive a read-modify-write by this one.
#[test]
fn row_26_unknown_fields_survive_an_edit() {
    let mut spec = JobSpec::decode(GOLDEN[2].1).unwrap();
    spec.tenant = None;
    let written = spec.encode();
    assert!(written.ends_with(r#""batch":{"id":"b-1","size":1e3},"sealed":true}"#), "{written}");
}

/// Row 26: a form that this release does not know is refused by its number, not misread.
#[test]
fn row_26_a_newer_version_is_named() {
    let error = JobSpec::decode(r#"{"v":2,"kind":"x","args":{}}"#).unwrap_err();
    assert!(matches!(error, WireError::Newer(2)), "{error}");
}

#[test]
fn what_is_no_job_is_corrupt_and_says_which_field() {
    for (text, mentions) in [
        ("", "EOF"),
        ("[]", "map"),
        (r#"{"v":1,"args":{}}"#, "`kind`"),
        (r#"{"v":1,"kind":"x"}"#, "`args`"),
        (r#"{"v":1,"kind":"a b","args":{}}"#, "`kind`"),
        (r#"{"v":1,"kind":"x","args":{},"timeout_ms":-1}"#, "`timeout_ms`"),
    ] {
        let error = JobSpec::decode(text).unwrap_err();
        assert!(matches!(error, WireError::Corrupt(_)) && error.to_string().contains(mentions), "{text}: {error}");
    }
}

#[test]
fn a_default_job_is_stored_in_few_bytes() {
    let args = format!("\"{}\"", "x".repeat(198));
    let args = RawValue::from_string(args).unwrap();
    let job = NewJob::with_raw_args("q".parse().unwrap(), "debug.noop".parse().unwrap(), args);
    // 200 bytes of arguments stay within one 256-byte allocation of Redis, header included.
    assert!(job.into_spec().encode().len() <= 252);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(".*", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_job_comes_back_as_it_went(
        args in json(),
        timeout_ms in prop::option::of(1u64..u64::MAX),
        tags in prop::collection::vec(".{0,20}", 0..4),
        metadata in prop::collection::btree_map(".{0,9}", ".{0,9}", 0..4),
    ) {
        let mut job = NewJob::new("q".parse().unwrap(), "debug.noop".parse().unwrap(), &args).unwrap();
        (job.timeout_ms, job.tags, job.metadata) = (timeout_ms, tags, metadata);
        let spec = job.into_spec();
        let text = spec.encode();
        let read = JobSpec::decode(&text).unwrap();
        prop_assert_eq!(read.difference(&spec), None);
        prop_assert_eq!(&read.metadata, &spec.metadata);
        prop_assert_eq!(read.encode(), text);
    }

    #[test]
    fn reading_never_panics(text in ".*") {
        let _ = JobSpec::decode(&text);
    }
}
