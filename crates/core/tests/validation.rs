//! What is refused at the door, and that the answer names the field and what to do.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use lovage_core::limits::{MAX_METADATA_BYTES, MAX_PAYLOAD_BYTES, MAX_TAGS};
use lovage_core::{Invalid, NewJob, RetryPolicy, Timestamp, Unique};

fn job() -> NewJob {
    NewJob::new("exports".parse().unwrap(), "debug.noop".parse().unwrap(), &()).unwrap()
}

fn refused(change: impl FnOnce(&mut NewJob)) -> Invalid {
    let mut job = job();
    change(&mut job);
    job.validate(MAX_PAYLOAD_BYTES).expect_err("it is refused")
}

#[test]
fn a_plain_job_is_fine() {
    job().validate(MAX_PAYLOAD_BYTES).unwrap();
}

#[test]
fn each_bad_field_is_named() {
    let cases: Vec<(&str, Invalid)> = vec![
        ("args", refused(|job| job.args = serde_json::value::to_raw_value(&"x".repeat(70_000)).unwrap())),
        ("run_at", refused(|job| (job.delay_ms, job.run_at) = (Some(1), Some(Timestamp::from_millis(1))))),
        ("delay_ms", refused(|job| job.delay_ms = Some(u64::MAX))),
        ("expires_at", refused(|job| job.expires_at = Some(Timestamp::from_millis(u64::MAX)))),
        (
            "expires_at",
            refused(|job| {
                job.run_at = Some(Timestamp::from_millis(5));
                job.expires_at = Some(Timestamp::from_millis(5));
            }),
        ),
        ("timeout_ms", refused(|job| job.timeout_ms = Some(0))),
        (
            "retry.max_attempts",
            refused(|job| job.retry = Some(RetryPolicy { max_attempts: 0, ..RetryPolicy::default() })),
        ),
        ("retry.factor", refused(|job| job.retry = Some(RetryPolicy { factor: f64::NAN, ..RetryPolicy::default() }))),
        ("unique.key", refused(|job| job.unique = Some(Unique::key("")))),
        ("unique.ttl_ms", refused(|job| job.unique = Some(Unique { ttl_ms: 0, ..Unique::key("k") }))),
        ("tags", refused(|job| job.tags = vec!["t".into(); MAX_TAGS + 1])),
        ("tags", refused(|job| job.tags = vec!["a\u{0}b".into()])),
        (
            "metadata",
            refused(|job| {
                job.metadata.insert("k".into(), "v".repeat(MAX_METADATA_BYTES));
            }),
        ),
    ];
    for (field, invalid) in cases {
        assert_eq!(invalid.field, field, "{invalid}");
        assert!(invalid.help.starts_with("use") || invalid.help.starts_with("send") || invalid.help.starts_with("let"));
    }
}

#[test]
fn an_unknown_option_of_a_job_is_an_error() {
    let error = serde_json::from_str::<NewJob>(r#"{"queue":"q","kind":"k","args":{},"delay":5}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `delay`"), "{error}");
    let error = serde_json::from_str::<NewJob>(r#"{"queue":"q","kind":"k","args":{},"priority":10}"#).unwrap_err();
    assert!(error.to_string().contains("priority: is 10; use 0 (first) to 9 (last)"), "{error}");
}
