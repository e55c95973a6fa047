//! Queues: the shape of the list, pauses, purges.

use lovage_testkit::RedisServer;
use serde_json::json;

use crate::place::{Place, Store};

#[test]
fn the_list_is_an_array_of_queues_with_counts() {
    let place = Place::new();
    assert_eq!(place.json(&["queue", "list"]), json!([]));
    place.enqueue(&["debug.noop", "--queue", "mail"]);
    place.enqueue(&["debug.noop", "--queue", "audit", "--delay", "1h"]);
    let listed = place.json(&["queue", "list"]);
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("audit"), &json!("mail")));
    let zero = json!({
        "scheduled": 0, "available": 0, "running": 0, "retryable": 0, "completed": 0, "cancelled": 0, "discarded": 0
    });
    let mut audit = zero.clone();
    audit["scheduled"] = json!(1);
    assert_eq!(
        listed[0],
        json!({"name": "audit", "counts": audit, "oldest_available_ms": null, "paused": null, "flow": []})
    );
    assert_eq!(listed[1]["counts"]["available"], json!(1));
    assert!(listed[1]["oldest_available_ms"].is_u64(), "{listed}");
    assert_eq!(place.json(&["queue", "list", "nobody-used-it"])[0]["counts"], zero);
    let table = place.run(&["queue", "list"]).ok().out;
    assert!(table.lines().next().is_some_and(|head| head.starts_with("QUEUE  AVAILABLE")), "{table}");
    assert!(!table.contains('\u{1b}'), "no escape sequences");
}

#[test]
fn a_pause_says_who_why_and_until_when() {
    let place = Place::new();
    place.enqueue(&["debug.noop", "--queue", "mail"]);
    place.json(&[
        "queue",
        "pause",
        "mail",
        "--by",
        "ann",
        "--why",
        "the relay is down",
        "--until",
        "2101-01-01T00:00:00Z",
    ]);
    let paused = place.json(&["queue", "list", "mail"])[0]["paused"].clone();
    assert_eq!((&paused["by"], &paused["why"]), (&json!("ann"), &json!("the relay is down")));
    assert_eq!(paused["until"], json!("2101-01-01T00:00:00.000Z"));
    let table = place.run(&["queue", "list"]).ok().out;
    assert!(table.contains("paused by ann until 2101-01-01T"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let page = place.run(&["queue", "stats", "mail"]).ok().out;
    assert!(page.contains("paused by ann until 2101-01-01T00:00Z: the relay is down\n"), "{page}");
    assert_eq!(place.json(&["queue", "resume", "mail"])["was_paused"], json!(true));
    assert_eq!(place.json(&["queue", "resume", "mail"])["was_paused"], json!(false));
    place.run(&["queue", "pause", "mail", "--for", "-1m"]).failed(2, &["--for", "negative"]);
    place.run(&["queue", "pause", "Mail"]).failed(2, &["a-z"]);
}

#[test]
fn a_purge_shows_its_count_and_wants_a_yes() {
    let place = Place::new();
    for _ in 0..3 {
        place.enqueue(&["debug.noop", "--queue", "mail"]);
    }
    let ended = place.enqueue(&["debug.noop", "--queue", "mail"]);
    place.json(&["job", "cancel", &ended]);
    assert_eq!(place.json(&["queue", "purge", "mail", "--dry-run"])["would_delete"], json!(3));
    place.run(&["queue", "purge", "mail"]).failed(2, &["Delete 3 jobs", "--yes"]);
    assert_eq!(place.json(&["queue", "list"])[0]["counts"]["available"], json!(3), "nothing was deleted");
    place.run(&["--yes", "queue", "purge", "mail", "--state", "running"]).failed(2, &["running jobs"]);
    assert_eq!(place.json(&["--yes", "queue", "purge", "mail"])["deleted"], json!(3));
    let counts = place.json(&["queue", "list"])[0]["counts"].clone();
    assert_eq!((&counts["available"], &counts["cancelled"]), (&json!(0), &json!(1)), "ended jobs stay");
    assert_eq!(place.json(&["--yes", "queue", "purge", "mail", "--state", "cancelled"])["deleted"], json!(1));
}

/// A moved job is what it was, and runs in the other queue only; a discarded one begins afresh there.
fn jobs_move_to_another_queue(store: &Store<'_>) {
    let enqueue = |args: &[&str]| store.json(&[&["job", "enqueue", "debug.noop", "--queue", "mail"], args].concat());
    for id in ["a", "b"] {
        enqueue(&["--id", id, "--args", "{\"n\": 1}", "--priority", "2", "--tag", "x", "--unique-key", id]);
    }
    enqueue(&["--id", "c", "--tenant", "acme", "--expires-in", "1h"]);
    enqueue(&["--id", "later", "--run-at", "2101-01-01T00:00:00Z", "--expires-at", "2101-01-02T00:00:00Z"]);
    enqueue(&["--id", "soon", "--delay", "30s"]);
    store.json(&["job", "enqueue", "debug.fail", "--queue", "mail", "--id", "dead", "--max-attempts", "1"]);
    store.run(&["job", "discard", "dead", "--queue", "mail"]).ok();

    let dry = store.json(&["queue", "move", "mail", "bulk", "--dry-run"]);
    assert_eq!(dry["would_move"], json!(5), "{dry}");
    let dry = store.json(&["queue", "move", "mail", "bulk", "--dry-run", "--tenant", "acme"]);
    assert_eq!(dry["would_move"], json!(1), "{dry}");
    let counts = |queue: &str| store.json(&["queue", "list", queue])[0]["counts"].clone();
    assert_eq!(counts("bulk")["available"], json!(0), "nothing was moved");

    let one = store.json(&["queue", "move", "mail", "bulk", "--tenant", "acme"]);
    assert_eq!((&one["moved"], &one["refused"]), (&json!(1), &json!(0)), "{one}");
    let one =
        store.json(&["queue", "move", "mail", "bulk", "--state", "available", "--limit", "1", "--rate", "1000/s"]);
    assert_eq!(one["moved"], json!(1), "{one}");
    let rest = store.json(&["queue", "move", "mail", "bulk"]);
    assert_eq!((&rest["moved"], &rest["due_soon"]), (&json!(2), &json!(1)), "{rest}");
    let dead = store.json(&["queue", "move", "mail", "bulk", "--state", "discarded", "--kind", "debug.fail"]);
    assert_eq!(dead["moved"], json!(1), "{dead}");

    let (mail, bulk) = (counts("mail"), counts("bulk"));
    assert_eq!(
        (&mail["scheduled"], &mail["available"], &mail["discarded"]),
        (&json!(1), &json!(0), &json!(0)),
        "{mail}"
    );
    assert_eq!(
        (&bulk["scheduled"], &bulk["available"], &bulk["discarded"]),
        (&json!(1), &json!(4), &json!(0)),
        "{bulk}"
    );
    let get = |id: &str| store.json(&["job", "get", id, "--queue", "bulk"]);
    let a = get("a");
    assert_eq!((&a["args"], &a["priority"], &a["tags"]), (&json!({"n": 1}), &json!(2), &json!(["x"])), "{a}");
    assert_eq!(a["metadata"], json!({"moved_from": "mail"}));
    assert!(get("c")["expires_at"].is_string() && get("c")["due_at"].is_null(), "{}", get("c"));
    let later = get("later");
    assert_eq!(
        (&later["state"], &later["due_at"]),
        (&json!("scheduled"), &json!("2101-01-01T00:00:00.000Z")),
        "{later}"
    );
    assert_eq!(later["expires_at"], json!("2101-01-02T00:00:00.000Z"));
    assert_eq!(get("dead")["state"], json!("available"));
    // The key is free where it was.
    assert_eq!(enqueue(&["--id", "again", "--unique-key", "a"])["id"], json!("again"));
    let none = store.json(&["queue", "move", "mail", "bulk", "--kind", "debug.other"]);
    assert_eq!(none["moved"], json!(0), "{none}");
    store.run(&["queue", "move", "mail", "mail"]).failed(2, &["to:", "already"]);
    store.run(&["queue", "move", "mail", "bulk", "--state", "running"]).failed(2, &["state:", "discarded"]);
    store.run(&["queue", "move", "mail", "bulk", "--rate", "fast"]).failed(2, &["--rate"]);
}

#[test]
fn jobs_move_to_another_queue_in_the_embedded_file() {
    jobs_move_to_another_queue(&Store::new(&Place::new(), None));
}

#[test]
fn jobs_move_to_another_queue_in_redis() {
    let server = RedisServer::start();
    jobs_move_to_another_queue(&Store::new(&Place::new(), Some(&server.url())));
}

/// What a move that was killed between its steps has left is finished by the next one: here the copies are made by hand.
#[test]
fn a_move_that_was_interrupted_is_finished_by_repeating_it() {
    let place = Place::new();
    let store = Store::new(&place, None);
    let parked = |id: &str| {
        let copy = ["job", "enqueue", "debug.noop", "--queue", "bulk", "--id", id, "--meta", "moved_from=mail"];
        store.json(&[&copy[..], &["--run-at", "2199-01-01T00:00:00.001Z"]].concat());
    };
    let source = |id: &str| store.json(&["job", "enqueue", "debug.noop", "--queue", "mail", "--id", id]);
    // Killed before the delete; after it; and one that was cancelled in its queue since.
    source("copied");
    source("ended");
    for id in ["copied", "deleted", "ended"] {
        parked(id);
    }
    store.json(&["job", "cancel", "ended", "--queue", "mail"]);
    // Of another queue, and no copy at all: not ours to touch.
    let other = ["job", "enqueue", "debug.noop", "--queue", "bulk", "--run-at", "2199-01-01T00:00:00.001Z"];
    store.json(&[&other[..], &["--id", "foreign", "--meta", "moved_from=audit"]].concat());
    store.json(&[&other[..], &["--id", "own"]].concat());

    let moved = store.json(&["queue", "move", "mail", "bulk"]);
    assert_eq!((&moved["moved"], &moved["mended"], &moved["refused"]), (&json!(1), &json!(2), &json!(0)), "{moved}");
    let state = |id: &str| store.json(&["job", "get", id, "--queue", "bulk"])["state"].clone();
    assert_eq!([state("copied"), state("deleted")], [json!("available"), json!("available")]);
    assert_eq!([state("foreign"), state("own")], [json!("scheduled"), json!("scheduled")]);
    store.run(&["job", "get", "ended", "--queue", "bulk"]).failed(3, &["ended"]);
    let mail = store.json(&["queue", "list", "mail"])[0]["counts"].clone();
    assert_eq!((&mail["available"], &mail["cancelled"]), (&json!(0), &json!(1)), "{mail}");
    let again = store.json(&["queue", "move", "mail", "bulk"]);
    assert_eq!((&again["moved"], &again["mended"]), (&json!(0), &json!(0)), "{again}");
}

/// What the other queue refuses stays where it is.
#[test]
fn a_job_that_cannot_be_moved_stays() {
    let place = Place::new();
    let store = Store::new(&place, None);
    for id in ["a", "b", "c"] {
        store.json(&["job", "enqueue", "debug.noop", "--queue", "mail", "--id", id]);
    }
    store.json(&["job", "enqueue", "debug.noop", "--queue", "bulk", "--id", "a", "--args", "7"]);
    store.json(&["queue", "limit", "bulk", "--depth", "2"]);
    let ran = store.run(&["--json", "queue", "move", "mail", "bulk"]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&answer["moved"], &answer["refused"]), (&json!(1), &json!(2)), "{answer}");
    assert!(answer["retry_after_ms"].is_u64() && ran.err.contains("job a:"), "{} {answer}", ran.err);
    let counts = |queue: &str| store.json(&["queue", "list", queue])[0]["counts"]["available"].clone();
    assert_eq!((counts("mail"), counts("bulk")), (json!(2), json!(2)));
    store.json(&["queue", "limit", "bulk", "--depth", "none"]);
    let ran = store.run(&["--json", "queue", "move", "mail", "bulk"]);
    assert_eq!((ran.code, counts("mail"), counts("bulk")), (1, json!(1), json!(3)), "{}", ran.err);
}
