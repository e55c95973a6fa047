//! The queue's own backup: out, away, in again, and nothing is different; a file that is not whole is refused.

use lovage_testkit::{RedisServer, eventually};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, Store};

/// A queue with a job of each sort that a backup holds.
fn fill(store: &Store) {
    let enqueue = |id: &str, more: &[&str]| {
        store.run(&[&["job", "enqueue", "debug.noop", "--queue", "mail", "--id", id], more].concat()).ok();
    };
    enqueue("plain", &["--args", r#"{"b": 12345678901234567890123, "a":1.0}"#, "--priority", "2"]);
    enqueue("lines", &["--args", "{\n  \"名\": \"值\"\r\n}\n", "--tag", "x", "--meta", "request_id=7"]);
    enqueue("own", &["--max-attempts", "3", "--timeout", "90s", "--tenant", "acme", "--key", "smtp"]);
    enqueue("later", &["--run-at", "2101-01-01T00:00:00Z", "--expires-at", "2101-01-02T00:00:00Z"]);
    enqueue("dead", &["--expires-in", "1h"]);
    enqueue("gone", &[]);
    store.run(&["job", "discard", "dead"]).ok();
    store.run(&["job", "cancel", "gone"]).ok();
    let fail = ["job", "enqueue", "debug.fail", "--queue", "mail", "--id", "failed", "--priority", "0", "--args"];
    store.run(&[&fail[..], &[r#"{"message": "broken"}"#]].concat()).ok();
    store.run(&["worker", "--queues", "mail", "--max-jobs", "1"]).ok();
    assert_eq!(store.json(&["job", "get", "failed"])["failed"], json!(1), "it waits for its second attempt");
    store.run(&["queue", "pause", "mail"]).ok();
}

/// What of a job comes back.
fn kept(view: &Value) -> Value {
    let mut kept = view.clone();
    for field in ["enqueued_at", "since", "attempt", "failed", "errors", "started_at", "worker"] {
        kept.as_object_mut().expect("an object").remove(field);
    }
    kept
}

fn round_trip(redis: Option<&str>) {
    let place = Place::new();
    let store = Store::new(&place, redis);
    fill(&store);
    let ids = ["plain", "lines", "own", "later", "failed", "dead"];
    let before = ids.map(|id| store.json(&["job", "get", id]));
    let raw = ids.map(|id| store.run(&["--json", "job", "get", id]).ok().out);
    assert_eq!(store.json(&["queue", "export", "mail", "--file", "mail.ndjson"])["exported"], json!(6));
    store.run(&["queue", "export", "mail", "--file", "mail.ndjson"]).failed(2, &["is there already"]);
    store.json(&["--yes", "queue", "purge", "mail", "--state", "available,scheduled,retryable,discarded"]);
    assert_eq!(store.json(&["job", "list", "--state", "available,scheduled,retryable,discarded"]), json!([]));

    let dry = store.json(&["queue", "import", "mail", "--file", "mail.ndjson", "--dry-run"]);
    assert_eq!(dry["states"]["available"], json!({"imported": 3, "existing": 0, "refused": 0}), "{dry}");
    assert_eq!(store.json(&["job", "list", "--state", "available"]), json!([]), "a dry run imports nothing");
    let done = store.json(&["queue", "import", "mail", "--file", "mail.ndjson"]);
    for (state, count) in [("available", 3), ("scheduled", 1), ("retryable", 1), ("discarded", 1)] {
        assert_eq!(done["states"][state], json!({"imported": count, "existing": 0, "refused": 0}), "{done}");
    }
    for (id, before) in ids.iter().zip(&before) {
        let mut expected = kept(before);
        match *id {
            // Its attempts begin afresh, at the time of its retry.
            "failed" => expected["state"] = json!("scheduled"),
            // What is discarded has no end any more.
            "dead" => expected["expires_at"] = json!(null),
            _ => {}
        }
        let mut after = kept(&store.json(&["job", "get", id]));
        if *id == "failed" && after["state"] == "available" {
            // Its time has come meanwhile.
            (after["state"], after["due_at"]) = (json!("scheduled"), expected["due_at"].clone());
        }
        assert_eq!(after, expected, "{id}");
    }
    let digits = "12345678901234567890123, \"a\":1.0}";
    assert!(raw[0].contains(digits) && store.run(&["--json", "job", "get", "plain"]).ok().out.contains(digits));
    let again = store.json(&["queue", "import", "mail", "--file", "mail.ndjson"]);
    for (state, count) in [("available", 3), ("scheduled", 1), ("retryable", 1), ("discarded", 1)] {
        assert_eq!(again["states"][state], json!({"imported": 0, "existing": count, "refused": 0}), "{again}");
    }
    let counts = store.json(&["queue", "list", "mail"])[0]["counts"].clone();
    assert_eq!((&counts["discarded"], &counts["running"]), (&json!(1), &json!(0)));
    store.run(&["queue", "export", "mail", "--file", "again.ndjson"]).ok();
    let args = |name: &str| {
        let text = std::fs::read_to_string(place.path().join(name)).expect("an export");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut jobs: Vec<String> = lines
            .filter(|line| line["job"].is_object())
            .map(|line| format!("{} {} {}", line["job"]["id"], line["job"]["args"], line["args_text"]))
            .collect();
        jobs.sort();
        jobs
    };
    assert_eq!(args("mail.ndjson"), args("again.ndjson"));
}

#[test]
fn what_was_exported_from_sqlite_and_purged_comes_back() {
    round_trip(None);
}

#[test]
fn what_was_exported_from_redis_and_purged_comes_back() {
    let server = RedisServer::start();
    round_trip(Some(&server.url()));
}

#[test]
fn a_file_that_is_not_whole_is_refused_before_anything_is_imported() {
    let place = Place::new();
    for id in ["a", "b", "c"] {
        place.enqueue(&["debug.noop", "--queue", "mail", "--id", id]);
    }
    let text = place.run(&["queue", "export", "mail"]).ok().out;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    let without = |number: usize| {
        let left: Vec<&str> = lines.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, line)| *line).collect();
        left.join("\n") + "\n"
    };
    for (file, part) in [
        (without(4), "cut after 2 jobs"),
        (without(2), "says 3 jobs but it has 2"),
        (without(0), "first line is not the head"),
        (text.replace("\"b\"", "\"z\""), "SHA-256"),
        (text[..text.len() - 10].to_owned(), "cut after 3 jobs"),
        (text.replace("\"version\":1", "\"version\":2"), "a newer release wrote"),
        (String::new(), "first line is not the head"),
        (text.replace("debug.noop", "no kind"), "line 2: "),
    ] {
        place.file("bad.ndjson", &file);
        place.run(&["queue", "import", "new", "--file", "bad.ndjson"]).failed(2, &["file: ", part]);
    }
    assert_eq!(place.json(&["queue", "list", "new"])[0]["counts"]["available"], json!(0));
    place.run(&["queue", "import", "new", "--file", "nowhere"]).failed(2, &["file: nowhere cannot be read"]);
    place.file("good.ndjson", &text);
    place.run(&["queue", "import", "new", "--file", "good.ndjson"]).ok();
    assert_eq!(place.json(&["queue", "list", "new"])[0]["counts"]["available"], json!(3), "another name is fine");
}

#[test]
fn a_job_that_asks_for_something_else_under_the_same_id_is_refused_and_told() {
    let place = Place::new();
    place.enqueue(&["debug.noop", "--queue", "mail", "--id", "a", "--args", "1"]);
    place.enqueue(&["debug.noop", "--queue", "mail", "--id", "b"]);
    place.run(&["queue", "export", "mail", "--file", "mail.ndjson"]).ok();
    place.json(&["job", "edit", "a", "--args", "2"]);
    let ran = place.run(&["queue", "import", "mail", "--file", "mail.ndjson"]);
    let ran = ran.failed(1, &["line 2:", "different args"]);
    assert!(ran.out.contains("available         0             1        1"), "{}", ran.out);
    let large = ["--set", "max_payload_bytes=1000", "queue", "import", "new", "--file"];
    place.enqueue(&["debug.noop", "--queue", "big", "--args", &format!("\"{}\"", "x".repeat(2_000))]);
    place.run(&["queue", "export", "big", "--file", "big.ndjson"]).ok();
    place.run(&[&large[..], &["big.ndjson", "--dry-run"]].concat()).failed(1, &["line 2:", "args: is 2002 bytes"]);
    place.run(&[&large[..], &["big.ndjson"]].concat()).failed(1, &["line 2:", "args: is 2002 bytes"]);
}

#[test]
fn an_import_that_was_interrupted_leaves_no_dead_job_to_be_run() {
    let place = Place::new();
    place.enqueue(&["debug.noop", "--queue", "mail", "--id", "dead"]);
    place.json(&["job", "discard", "dead"]);
    place.run(&["queue", "export", "mail", "--file", "mail.ndjson"]).ok();
    // As it is between the two steps of the import.
    place.enqueue(&["debug.noop", "--queue", "new", "--id", "dead", "--run-at", "2199-01-01T00:00:00Z"]);
    place.json(&["queue", "import", "new", "--file", "mail.ndjson"]);
    assert_eq!(place.json(&["job", "get", "dead", "--queue", "new"])["state"], "discarded");
    // One that somebody runs again is left alone.
    place.json(&["job", "retry", "dead", "--queue", "new"]);
    place.json(&["queue", "import", "new", "--file", "mail.ndjson"]);
    assert_eq!(place.json(&["job", "get", "dead", "--queue", "new"])["state"], "available");
}

#[test]
fn thousands_of_jobs_go_out_and_in_page_by_page() {
    let place = Place::new();
    let line = |n: usize| format!("{{\"id\":\"{n}\",\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":[{n}]}}\n");
    let text: String = (0..2_500).map(line).collect();
    place.run_reading(&text, &["job", "enqueue", "--ndjson", "-"]).ok();
    place.json(&["--yes", "job", "discard", "--all", "--queue", "mail", "--state", "available"]);
    let text: String = (2_500..5_000).map(line).collect();
    place.run_reading(&text, &["job", "enqueue", "--ndjson", "-"]).ok();
    assert_eq!(place.json(&["queue", "export", "mail", "--file", "mail.ndjson"])["exported"], json!(5_000));
    place.json(&["queue", "import", "new", "--file", "mail.ndjson"]);
    let counts = place.json(&["queue", "list", "new"])[0]["counts"].clone();
    assert_eq!((&counts["available"], &counts["discarded"]), (&json!(2_500), &json!(2_500)));
    let order = |queue: &str| {
        let list = place.json(&["job", "list", "--all", "--queue", queue, "--state", "available"]);
        list.as_array().expect("an array").iter().map(|job| job["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(order("mail"), order("new"), "the line is in its order");
}

#[tokio::test]
async fn running_jobs_are_left_out_unless_they_are_asked_for() {
    let place = Place::new();
    let variables = [("LOVAGE_DEBUG_KINDS", "true")];
    let worker = place.start(&variables, &["worker", "--queues", "mail"]);
    let id = place.enqueue(&["debug.sleep", "--queue", "mail", "--args", r#"{"ms": 600000}"#]);
    eventually("the job runs", PATIENCE, async || (place.state(&id) == "running").then_some(())).await;
    let ran = place.run(&["queue", "export", "mail", "--file", "without.ndjson"]).ok();
    assert!(ran.out.starts_with("0 jobs of queue mail are in") && ran.err.contains("1 running jobs were left out"));
    let with = place.json(&["queue", "export", "mail", "--running", "--file", "with.ndjson"]);
    assert_eq!((&with["exported"], &with["running"]), (&json!(1), &json!(0)));
    place.json(&["queue", "import", "new", "--file", "with.ndjson"]);
    assert_eq!(place.json(&["job", "get", &id, "--queue", "new"])["state"], "available");
    place.json(&["job", "cancel", &id, "--queue", "mail"]);
    place.run(&["job", "wait", &id, "--queue", "mail"]).failed(1, &["cancelled"]);
    drop(worker);
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_left_out_and_told() {
    let place = Place::new();
    for id in ["good", "damaged"] {
        place.enqueue(&["debug.noop", "--queue", "mail", "--id", id]);
    }
    let path = place.path().join("lovage-data/lovage.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("the broker's file");
    let sql = "UPDATE spec SET text = 'nonsense' WHERE seq = (SELECT seq FROM job WHERE id = 'damaged')";
    sqlx::query(sql).execute(&pool).await.expect("an update");
    pool.close().await;
    let ran = place.run(&["--json", "queue", "export", "mail", "--file", "mail.ndjson"]);
    let ran = ran.failed(1, &["error: job damaged is left out: its stored form cannot be read"]);
    assert_eq!((&ran.value()["exported"], &ran.value()["unreadable"]), (&json!(1), &json!(1)));
    place.json(&["queue", "import", "new", "--file", "mail.ndjson"]);
    assert_eq!(place.json(&["queue", "list", "new"])[0]["counts"]["available"], json!(1));
}
