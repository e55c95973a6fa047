//! Queues: the shape of the list, pauses, purges.

use serde_json::json;

use crate::place::Place;

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
