//! A job a line.

use serde_json::json;

use crate::place::Place;

#[test]
fn good_lines_go_in_and_bad_ones_are_told_by_number() {
    let place = Place::new();
    let text = concat!(
        "{\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":{\"n\":1}}\n",
        "\n",
        "{\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":{},\"prioritty\":1}\n",
        "not json\n",
        "{\"queue\":\"Mail\",\"kind\":\"debug.noop\",\"args\":{}}\n",
        "{\"id\":\"a\",\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":{}}\n",
        "{\"id\":\"a\",\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":{}}\n",
        "{\"id\":\"a\",\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":1}",
    );
    place.file("jobs.ndjson", text);
    let ran = place.run(&["job", "enqueue", "--ndjson", "jobs.ndjson", "--json"]);
    let ran = ran.failed(1, &["line 3:", "prioritty", "line 4:", "line 5:", "line 8:", "different args"]);
    let summary = ran.value();
    assert_eq!((&summary["enqueued"], &summary["existing"], &summary["refused"]), (&json!(2), &json!(1), &json!(4)));
    assert_eq!(summary["errors"][3]["error"]["slug"], "conflict");
    assert_eq!(place.json(&["queue", "list"])[0]["counts"]["available"], json!(2));
}

#[test]
fn thousands_of_lines_come_from_standard_input() {
    let place = Place::new();
    let text = "{\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":{}}\n".repeat(3_000);
    let ran = place.run_reading(&text, &["--output", "ndjson", "job", "enqueue", "--ndjson", "-"]).ok();
    assert_eq!(ran.out.lines().count(), 3_000);
    let last: serde_json::Value = serde_json::from_str(ran.out.lines().last().expect("a line")).expect("an object");
    assert_eq!((&last["line"], &last["status"]), (&json!(3_000), &json!("enqueued")));
    assert_eq!(place.json(&["queue", "list"])[0]["counts"]["available"], json!(3_000));
}

#[test]
fn a_line_that_is_too_long_or_not_text_does_not_stop_the_rest() {
    let place = Place::new();
    let path = place.path().join("jobs.ndjson");
    let mut bytes = vec![b'x'; 200_000];
    bytes.extend(b"\n\xff\xfe\n{\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":{}}\n");
    std::fs::write(&path, bytes).expect("a file can be written");
    let ran = place.run(&["job", "enqueue", "--ndjson", "jobs.ndjson"]);
    let ran = ran.failed(1, &["line 1: the line is longer than", "line 2: the line is not UTF-8"]);
    assert_eq!(ran.out, "1 enqueued, 0 there before, 0 replaced, 2 refused.\n");
    place.run(&["job", "enqueue", "--ndjson", "nowhere"]).failed(2, &["ndjson: nowhere cannot be read"]);
}

#[test]
fn many_large_jobs_go_in_although_no_call_may_carry_all_of_them() {
    let place = Place::new();
    let line = format!("{{\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":\"{}\"}}\n", "x".repeat(1_000_000));
    let args = ["--json", "--set", "max_payload_bytes=1048576", "job", "enqueue", "--ndjson", "-"];
    let summary = place.run_reading(&line.repeat(40), &args).ok().value();
    assert_eq!((&summary["enqueued"], &summary["refused"]), (&json!(40), &json!(0)));
}
