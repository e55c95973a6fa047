//! Bad input: each refusal names the field, says what is wrong, and exits with 2 for usage, 3, 5 or 6 for the rest.

use crate::place::Place;

const BIG: &str = "LOVAGE_MAX_PAYLOAD_BYTES";

#[test]
fn a_job_that_cannot_be_is_refused_with_the_name_of_its_field() {
    let place = Place::new();
    let long = "x".repeat(2_000);
    let long_json = format!("\"{long}\"");
    for (options, parts) in [
        (&["debug.noop", "--queue", "Exports"][..], &["queue:", "'E'", "a-z"][..]),
        (&["debug.noop", "--queue", ""], &["queue: is empty"]),
        (&["no kind"], &["kind:", "' '"]),
        (&["debug.noop", "--args", "{not json"], &["args:", "not JSON", "column"]),
        (&["debug.noop", "--args", "NaN"], &["args:", "not JSON"]),
        (&["debug.noop", "--args", "@nowhere.json"], &["args:", "nowhere.json"]),
        (&["debug.noop", "--args", &long_json], &["args:", "2002 bytes", "1000 bytes"]),
        (&["debug.noop", "--delay", "-5s"], &["delay:", "negative"]),
        (&["debug.noop", "--delay", "soon"], &["delay:", "\"soon\""]),
        (&["debug.noop", "--delay", "30"], &["delay:", "no unit"]),
        (&["debug.noop", "--delay", "5500w"], &["delay_ms", "100 years"]),
        (&["debug.noop", "--run-at", "tomorrow"], &["run_at:", "RFC 3339"]),
        (&["debug.noop", "--run-at", "2030-01-02T00:00:00Z", "--expires-at", "2030-01-01T00:00:00Z"], &["expires_at"]),
        (&["debug.noop", "--priority", "10"], &["priority:", "0 (first) to 9 (last)"]),
        (&["debug.noop", "--priority", "-1"], &["priority:"]),
        (&["debug.noop", "--priority", "high"], &["priority:", "\"high\""]),
        (&["debug.noop", "--timeout", "0s"], &["timeout_ms", "at least 1"]),
        (&["debug.noop", "--max-attempts", "0"], &["retry.max_attempts", "1 to 1000"]),
        (&["debug.noop", "--id", "a b"], &["id:", "' '"]),
        (&["debug.noop", "--tag", &long], &["tags", "64 characters"]),
        (&["debug.noop", "--meta", "novalue"], &["meta:", "KEY=VALUE"]),
        (&["debug.noop", "--unique-key", "", "--on-conflict", "reject"], &["unique.key"]),
        (&["debug.noop", "--unique-key", "k", "--unique-ttl", "60d"], &["unique.ttl_ms", "30 days"]),
        (&["debug.noop", "--unique-key", "k", "--debounce", "1m"], &["--delay"]),
        (
            &["debug.noop", "--unique-key", "k", "--delay", "2m", "--debounce", "1m"],
            &["max_wait_ms", "at least the delay"],
        ),
        (
            &["debug.noop", "--unique-key", "k", "--delay", "1m", "--debounce", "1m", "--on-conflict", "reject"],
            &["unique.debounce", "replace"],
        ),
    ] {
        let mut args = vec!["job", "enqueue"];
        args.extend(options);
        place.run_with(&[(BIG, "1000")], &args).failed(2, parts);
    }
    let listed = place.json(&["job", "list"]);
    assert_eq!(listed, serde_json::json!([]), "nothing was enqueued");
}

#[test]
fn an_unknown_option_or_command_is_told_with_the_nearest_name() {
    let place = Place::new();
    place.run(&["job", "enqueue", "x", "--priorty", "3"]).failed(2, &["--priorty", "--priority"]);
    place.run(&["jobs", "list"]).failed(2, &["jobs", "similar"]);
    place.run(&["job", "enqueue", "x", "--on-conflict", "rejct"]).failed(2, &["reject"]);
    place.run(&["job", "list", "--state", "runing"]).failed(2, &["running"]);
    place.run(&["job", "enqueue"]).failed(2, &["KIND"]);
}

#[test]
fn an_error_is_an_object_for_programs() {
    let place = Place::new();
    let ran = place.run(&["--json", "job", "enqueue", "x", "--queue", "A"]).failed(2, &["error: queue:"]);
    let line = ran.err.lines().last().expect("a line");
    let error: serde_json::Value = serde_json::from_str(line).expect("an object");
    assert_eq!((&error["error"]["slug"], &error["error"]["field"]), (&"invalid".into(), &"queue".into()));
    assert_eq!(ran.out, "");
    let ran = place.run(&["--json", "job", "get", "nobody"]).failed(3, &["there is no job nobody"]);
    assert!(ran.err.contains(r#""slug":"not_found""#), "{}", ran.err);
    let ran = place.run(&["--json", "job", "frobnicate"]).failed(2, &["frobnicate"]);
    assert!(ran.err.lines().last().expect("a line").starts_with(r#"{"error":"#), "{}", ran.err);
}

#[test]
fn what_is_not_there_exits_with_3() {
    let place = Place::new();
    for verb in ["get", "cancel", "retry", "discard", "logs", "wait"] {
        place.run(&["job", verb, "nobody"]).failed(3, &["there is no job nobody"]);
    }
    place.run(&["--yes", "job", "delete", "nobody"]).failed(3, &["there is no job nobody"]);
    place.run(&["worker", "stop", "nobody"]).failed(3, &["there is no worker nobody"]);
    place.run(&["artifact", "verify", "nowhere/x.csv"]).failed(3, &["nowhere/x.csv"]);
}

#[test]
fn a_broker_that_does_not_answer_exits_with_6_and_keeps_the_password() {
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let url = format!("redis://:s3cret@127.0.0.1:{port}/");
    let place = Place::new();
    let ran = place.run_with(&[("REDIS_URL", &url)], &["queue", "list"]);
    let ran = ran.failed(6, &["unavailable", &format!("127.0.0.1:{port}")]);
    assert!(!ran.err.contains("s3cret"), "{}", ran.err);
}
