//! Jobs that really run: `job run`, and what a failing export tells.

use serde_json::json;

use crate::place::Place;

const DEBUG: (&str, &str) = ("LOVAGE_DEBUG_KINDS", "true");

fn shop(place: &Place) -> (&'static str, String) {
    let made = std::process::Command::new("sqlite3")
        .arg(place.path().join("shop.db"))
        .arg("CREATE TABLE item (id INTEGER, name TEXT); INSERT INTO item VALUES (1, '茶'), (2, NULL);")
        .status()
        .expect("sqlite3 is missing: install it with `apt-get install sqlite3`");
    assert!(made.success());
    ("DATABASE_URL", format!("sqlite:{}", place.path().join("shop.db").display()))
}

#[test]
fn a_job_run_exits_as_the_job_ends() {
    let place = Place::new();
    let run = |args: &[&str]| place.run_with(&[DEBUG], &[&["job", "run"], args].concat());
    run(&["debug.noop"]).ok();
    let failed = run(&["debug.fail", "--args", r#"{"message": "no such luck"}"#, "--max-attempts", "1"]);
    failed.failed(1, &["discarded", "attempts_exhausted", "no such luck"]);
    let again = run(&["debug.fail", "--args", r#"{"message": "once only", "times": 1}"#]).ok();
    assert!(again.err.contains("Attempt 1 failed: once only"), "a failed attempt is shown: {}", again.err);
    let late = run(&["debug.sleep", "--args", r#"{"ms": 600000}"#, "--wait-timeout", "300ms"]);
    late.failed(124, &["timeout"]);
    let counts = place.json(&["queue", "list", "run"])[0]["counts"].clone();
    assert_eq!((&counts["completed"], &counts["discarded"], &counts["cancelled"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(place.json(&["queue", "list"]).as_array().expect("an array").len(), 1, "private queues are reused");
    run(&["debug.noop", "--id", "7"]).failed(2, &["--queue"]);
    run(&["debug.noop", "--id", "7", "--queue", "mail"]).ok();
    let unknown = run(&["no.such.kind"]);
    unknown.failed(2, &["kind: this process has no handler for \"no.such.kind\"", "export.query"]);
    let plain = place.run(&["job", "run", "debug.noop"]);
    plain.failed(2, &["LOVAGE_DEBUG_KINDS=true adds the debug kinds"]);
}

#[test]
fn an_export_writes_what_the_query_answers() {
    let place = Place::new();
    let (name, url) = shop(&place);
    let args = ["--json", "job", "run", "export.query", "--args", r#"{"sql": "SELECT * FROM item ORDER BY id"}"#];
    let view = place.run_with(&[(name, &url)], &args).ok().value();
    assert_eq!((&view["state"], &view["result"]["rows"]), (&json!("completed"), &json!(2)));
    let path = view["result"]["location"].as_str().expect("a path");
    assert_eq!(std::fs::read_to_string(path).expect("a file"), "id,name\n1,茶\n2,\n");
    place.run(&["artifact", "verify", path]).ok();
    place.run(&["artifact", "verify", view["result"]["key"].as_str().expect("a key")]).ok();
}

#[test]
fn sql_that_cannot_succeed_is_discarded_with_the_databases_own_message() {
    let place = Place::new();
    let (name, url) = shop(&place);
    for (sql, message) in [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT FROM FROM item", "syntax error"),
        ("SELEC 1", "begins with"),
        ("DELETE FROM item", ""),
        ("SELECT 1; SELECT 2", ""),
    ] {
        let args = serde_json::to_string(&json!({ "sql": sql })).expect("JSON");
        let ran = place.run_with(&[(name, &url)], &["job", "run", "export.query", "--args", &args]);
        ran.failed(1, &["discarded (rejected)", message]);
    }
    let typo = ["job", "run", "export.query", "--args", r#"{"sql": "SELECT 1", "fromat": "csv"}"#];
    place.run_with(&[(name, &url)], &typo).failed(1, &["discarded (rejected)", "fromat"]);
    let discarded = place.json(&["job", "list", "--state", "discarded"]);
    let discarded = discarded.as_array().expect("an array");
    assert_eq!(discarded.len(), 6);
    assert!(discarded.iter().all(|view| view["attempt"] == 1), "none was tried again");
}

#[test]
fn a_database_that_cannot_be_reached_is_tried_again_and_the_reason_shows() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let url = format!("postgres://app:hunter2@127.0.0.1:{port}/shop");
    let place = Place::new();
    let args = ["job", "run", "export.query", "--args", r#"{"sql": "SELECT 1"}"#, "--max-attempts", "2"];
    let ran = place.run_with(&[("DATABASE_URL", &url)], &args);
    let ran = ran.failed(1, &["Attempt 1 failed:", "refused", "attempts_exhausted"]);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    let view = place.json(&["job", "list", "--state", "discarded"])[0].clone();
    assert_eq!((&view["failed"], view["errors"].as_array().map(Vec::len)), (&json!(2), Some(2)));
}

#[test]
fn a_doctor_says_what_to_mend() {
    let place = Place::new();
    let found = place.json(&["doctor"]);
    assert!(found.as_array().is_some_and(|rows| rows.len() > 4 && rows.iter().all(|row| row["ok"] == true)), "{found}");
    place.enqueue(&["debug.noop", "--queue", "mail"]);
    let ran = place.run_with(&[("DATABASE_URL", "sqlite:nowhere.db")], &["--json", "doctor"]).failed(1, &["2 of"]);
    let wrong: Vec<String> = ran
        .value()
        .as_array()
        .expect("an array")
        .iter()
        .filter(|row| row["ok"] == false)
        .map(|row| row["check"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(wrong, ["queue mail", "source default"]);
}
