//! Jobs in the hands of an operator: enqueue, look, steer. No worker runs here.

use serde_json::json;

use crate::place::Place;

#[test]
fn a_job_goes_round() {
    let place = Place::new();
    let id = place.enqueue(&[
        "debug.noop",
        "--queue",
        "mail",
        "--args",
        r#"{"n": 12345678901234567890123}"#,
        "--priority",
        "2",
        "--tenant",
        "acme",
        "--tag",
        "monthly",
        "--tag",
        "big",
        "--meta",
        "request_id=7",
        "--max-attempts",
        "3",
        "--timeout",
        "90s",
    ]);
    let view = place.json(&["job", "get", &id]);
    assert_eq!(view["state"], "available");
    assert_eq!((&view["queue"], &view["kind"], &view["priority"]), (&json!("mail"), &json!("debug.noop"), &json!(2)));
    assert_eq!((&view["tenant"], &view["tags"]), (&json!("acme"), &json!(["monthly", "big"])));
    assert_eq!((&view["metadata"]["request_id"], &view["max_attempts"]), (&json!("7"), &json!(3)));
    assert!(view["enqueued_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24), "{view}");
    let text = place.run(&["--json", "job", "get", &id]).ok().out;
    assert!(text.contains("12345678901234567890123"), "big integers are kept digit by digit: {text}");
    assert!(place.run(&["job", "get", &id]).ok().out.contains("tags         monthly, big"));

    let listed = place.json(&["job", "list", "--queue", "mail", "--state", "available"]);
    assert_eq!(listed[0]["id"], json!(id));
    assert_eq!(place.json(&["job", "list", "--tag", "other"]), json!([]));

    assert_eq!(place.json(&["job", "cancel", &id])["status"], "cancelled");
    assert_eq!(place.state(&id), "cancelled");
    place.run(&["job", "cancel", &id]).failed(5, &["cancelled"]);
    place.json(&["job", "retry", &id]);
    assert_eq!(place.state(&id), "available");
    place.run(&["job", "retry", &id]).failed(5, &["waiting or running already"]);
    place.json(&["job", "edit", &id, "--priority", "9", "--args", "[1]"]);
    let view = place.json(&["job", "get", &id]);
    assert_eq!((&view["priority"], &view["args"]), (&json!(9), &json!([1])));
    place.json(&["job", "discard", &id]);
    assert_eq!(place.json(&["job", "get", &id])["reason"], "rejected");
    place.run(&["job", "delete", &id]).failed(2, &["--yes"]);
    place.run(&["job", "delete", "--dry-run", &id]).ok();
    assert_eq!(place.state(&id), "discarded", "asking and looking delete nothing");
    place.json(&["--yes", "job", "delete", &id]);
    place.run(&["job", "get", &id]).failed(3, &[&id]);
}

#[test]
fn the_same_id_twice_is_one_job_unless_it_asks_for_something_else() {
    let place = Place::new();
    let first = ["job", "enqueue", "debug.noop", "--id", "order:7", "--args", r#"{"a":1}"#];
    assert_eq!(place.json(&first)["status"], "enqueued");
    assert_eq!(place.json(&first)["status"], "existing");
    let other = ["job", "enqueue", "debug.noop", "--id", "order:7", "--args", r#"{"a":2}"#];
    place.run(&other).failed(5, &["order:7", "different args"]);
    assert_eq!(place.json(&["job", "list"]).as_array().expect("an array").len(), 1);
}

#[test]
fn a_unique_key_is_returned_rejected_or_replaced() {
    let place = Place::new();
    let enqueue = |args: &str, conflict: &str| {
        place.run(&[
            "--json",
            "job",
            "enqueue",
            "debug.noop",
            "--args",
            args,
            "--unique-key",
            "k",
            "--on-conflict",
            conflict,
        ])
    };
    let id = enqueue("1", "return").ok().value()["id"].clone();
    let again = enqueue("2", "return").ok().value();
    assert_eq!((&again["id"], &again["status"]), (&id, &json!("existing")));
    enqueue("2", "reject").failed(5, &["unique key is held by", "--on-conflict"]);
    let replaced = enqueue("3", "replace").ok().value();
    assert_eq!((&replaced["id"], &replaced["status"]), (&id, &json!("replaced")));
    assert_eq!(place.json(&["job", "get", id.as_str().expect("text")])["args"], json!(3));
}

#[test]
fn a_debounced_job_is_put_off_by_others() {
    let place = Place::new();
    let enqueue = |args: &str| {
        place.run(&[
            "--json",
            "job",
            "enqueue",
            "debug.noop",
            "--args",
            args,
            "--unique-key",
            "k",
            "--delay",
            "1h",
            "--debounce",
            "2h",
        ])
    };
    let first = enqueue("1").ok().value();
    let id = first["id"].as_str().expect("text");
    let due = |id: &str| place.json(&["job", "get", id])["due_at"].as_str().expect("text").to_owned();
    let before = due(id);
    let again = enqueue("2").ok().value();
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("replaced")));
    assert!(due(id) > before, "an hour from now on");
    assert_eq!(place.json(&["job", "get", id])["args"], json!(2));
}

#[test]
fn due_times_are_kept_and_the_past_means_now() {
    let place = Place::new();
    let past = place.enqueue(&["debug.noop", "--run-at", "2001-01-01T00:00:00Z"]);
    assert_eq!(place.state(&past), "available");
    let future = place.enqueue(&["debug.noop", "--run-at", "2101-01-01T08:00:00+08:00"]);
    let view = place.json(&["job", "get", &future]);
    assert_eq!((&view["state"], &view["due_at"]), (&json!("scheduled"), &json!("2101-01-01T00:00:00.000Z")));
    place.json(&["job", "retry", &future]);
    assert_eq!(place.state(&future), "available", "a retry makes it due now");
    let delayed = place.enqueue(&["debug.noop", "--delay", "1h30m", "--expires-in", "2h"]);
    let view = place.json(&["job", "get", &delayed]);
    assert_eq!(view["state"], "scheduled");
    assert!(view["due_at"].as_str() < view["expires_at"].as_str(), "{view}");
    assert!(place.run(&["job", "list", "--state", "scheduled"]).ok().out.contains("due in 1h"));
}

#[test]
fn arguments_come_from_the_option_a_file_or_standard_input() {
    let place = Place::new();
    place.file("args.json", "{\n  \"名\": \"值\"\n}\n");
    let from_file = place.enqueue(&["debug.noop", "--args", "@args.json"]);
    assert_eq!(place.json(&["job", "get", &from_file])["args"], json!({"名": "值"}));
    let read = place.run_reading("[1, 2]", &["--json", "job", "enqueue", "debug.noop", "--args", "-"]).ok().value();
    assert_eq!(place.json(&["job", "get", read["id"].as_str().expect("an id")])["args"], json!([1, 2]));
    let quiet = place.run(&["--quiet", "job", "enqueue", "debug.noop"]).ok().out;
    assert_eq!(place.json(&["job", "get", quiet.trim()])["args"], json!({}), "quiet prints the id and nothing else");
}

#[test]
fn many_jobs_are_steered_at_once() {
    let place = Place::new();
    let ids: Vec<String> = (0..5).map(|_| place.enqueue(&["debug.noop"])).collect();
    let ran = place.run(&["job", "cancel", &ids[0], "nobody", &ids[1]]).failed(3, &["there is no job nobody"]);
    assert_eq!(ran.out.lines().count(), 2, "the others are done all the same: {}", ran.out);
    let cancelled = ["--queue", "default", "--all", "--state", "cancelled"];
    let with = |head: &[&'static str]| head.iter().copied().chain(cancelled).collect::<Vec<_>>();
    assert_eq!(place.json(&with(&["job", "retry", "--dry-run"]))["would_change"], json!(2));
    place.run(&with(&["job", "retry"])).failed(2, &["Retry 2 cancelled jobs", "--yes"]);
    assert_eq!(place.json(&with(&["--yes", "job", "retry"]))["changed"], json!(2));
    place.run(&["job", "cancel", "--all", "--queue", "default", "--state", "running"]).failed(5, &["running"]);
    let lines = place.run(&["--output", "ndjson", "job", "list", "--limit", "3"]).ok().out;
    assert_eq!(lines.lines().count(), 3);
    let ran = place.run(&["job", "list", "--limit", "3"]).ok();
    assert!(ran.err.contains("more than these 3"), "{}", ran.err);
    assert_eq!(place.json(&["job", "list", "--all"]).as_array().expect("an array").len(), 5);
}

#[test]
fn jobs_run_again_no_faster_than_asked() {
    let place = Place::new();
    let ids: Vec<String> = (0..5).map(|_| place.enqueue(&["debug.noop"])).collect();
    for id in &ids {
        place.json(&["job", "discard", id]);
    }
    let discarded = ["--yes", "job", "retry", "--queue", "default", "--all", "--state", "discarded"];
    let at = |rate| discarded.iter().copied().chain(["--rate", rate]).collect::<Vec<_>>();
    for (bad, part) in [("5", "has no time"), ("0/s", "use 1 to"), ("-1/s", "\"-1\""), ("1/y", "not a time")] {
        let ran = place.run(&at(bad)).failed(2, &["rate", part]);
        assert!(!ran.err.contains("none"), "there is no limit to take away: {}", ran.err);
    }
    let alone = place.run(&["job", "retry", &ids[0], "--rate", "1/s"]).failed(2, &["--all"]);
    assert_eq!(alone.out, "");
    let begun = tokio::time::Instant::now();
    assert_eq!(place.json(&at("2/300ms"))["changed"], json!(5));
    assert!(begun.elapsed().as_millis() >= 600, "two at a time in 300 ms, so the fifth comes after 600");
    for id in &ids {
        assert_eq!(place.state(id), "available");
    }
}
