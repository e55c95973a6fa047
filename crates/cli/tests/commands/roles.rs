//! Processes that stay: `up` and `worker`, told what to do by signals and by commands.

use lovage_testkit::{Process, Signal, eventually};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place};

async fn ready(place: &Place) -> Value {
    eventually("a worker is registered", PATIENCE, async || {
        Some(place.json(&["worker", "list"])).filter(|list| list.as_array().is_some_and(|list| !list.is_empty()))
    })
    .await
}

async fn until_state(place: &Place, id: &str, state: &str) {
    eventually(&format!("{id} is {state}"), PATIENCE, async || (place.state(id) == state).then_some(())).await;
}

async fn stopped(mut process: Process) -> String {
    let status = process.ended(PATIENCE).await;
    let output = process.output();
    assert!(status.success(), "{status}: {output}");
    output
}

#[tokio::test]
async fn up_runs_jobs_of_other_processes_and_stops_cleanly() {
    let place = Place::new();
    let up = place.start(&[], &["up"]);
    let list = ready(&place).await;
    assert_eq!((&list[0]["state"], &list[0]["slots"], &list[0]["busy"]), (&json!("running"), &json!(10), &json!(0)));
    let ran = place
        .run(&["--json", "job", "enqueue", "debug.progress", "--args", r#"{"steps": 3, "ms": 10}"#, "--wait"])
        .ok();
    assert_eq!(ran.value()["state"], "completed");
    let failing = ["job", "enqueue", "debug.fail", "--args", "{}", "--max-attempts", "1", "--wait"];
    place.run(&failing).failed(1, &["attempts_exhausted"]);
    let slow = place.enqueue(&["debug.sleep", "--args", r#"{"ms": 600000}"#]);
    until_state(&place, &slow, "running").await;
    place.run(&["job", "wait", &slow, "--timeout", "200ms"]).failed(124, &["timeout"]);
    place.run(&["--yes", "job", "delete", &slow]).failed(5, &["running"]);
    assert_eq!(place.json(&["job", "cancel", &slow])["status"], "cancel_requested");
    place.run(&["job", "wait", &slow]).failed(1, &["cancelled"]);
    up.signal(Signal::Term);
    let output = stopped(up).await;
    for part in ["is up", "lovage.db", "artifacts", "draining", "worker ended", "completed=1 failed=0 discarded=1"] {
        assert!(output.contains(part), "{part:?} is not in {output}");
    }
    assert_eq!(place.json(&["worker", "list"]), json!([]), "it has signed off");
}

#[tokio::test]
async fn a_worker_is_told_to_be_quiet_and_to_stop() {
    let place = Place::new();
    let worker =
        place.start(&[("LOVAGE_DEBUG_KINDS", "true")], &["worker", "--queues", "mail=1", "--concurrency", "2"]);
    let id = ready(&place).await[0]["id"].as_str().expect("an id").to_owned();
    place.json(&["worker", "quiet", &id]);
    eventually("the worker is quiet", PATIENCE, async || {
        (place.json(&["worker", "list"])[0]["state"] == "quiet").then_some(())
    })
    .await;
    let waiting = place.enqueue(&["debug.noop", "--queue", "mail"]);
    place.run(&["worker", "stop", "--all"]).failed(2, &["Tell 1 workers to stop", "--yes"]);
    place.json(&["--yes", "worker", "stop", "--all"]);
    stopped(worker).await;
    assert_eq!(place.state(&waiting), "available", "a quiet worker takes nothing");
}

#[tokio::test]
async fn a_signal_makes_a_worker_quiet_and_another_ends_it() {
    let place = Place::new();
    let worker = place.start(&[], &["worker", "--queues", "mail"]);
    ready(&place).await;
    worker.signal(Signal::Tstp);
    eventually("the worker is quiet", PATIENCE, async || {
        (place.json(&["worker", "list"])[0]["state"] == "quiet").then_some(())
    })
    .await;
    worker.signal(Signal::Term);
    stopped(worker).await;
}

#[test]
fn a_worker_ends_by_itself_when_it_was_told_to() {
    let place = Place::new();
    for _ in 0..5 {
        place.enqueue(&["debug.noop", "--queue", "mail"]);
    }
    let run = |args: &[&str]| {
        place.run_with(&[("LOVAGE_DEBUG_KINDS", "true")], &[&["worker", "--queues", "mail"], args].concat())
    };
    run(&["--max-jobs", "2"]).ok();
    assert_eq!(place.json(&["queue", "list", "mail"])[0]["counts"]["completed"], json!(2));
    run(&["--exit-when-empty"]).ok();
    assert_eq!(place.json(&["queue", "list", "mail"])[0]["counts"]["completed"], json!(5));
}

#[tokio::test]
async fn logs_are_flat_json_lines_with_the_jobs_fields() {
    let place = Place::new();
    let id =
        place.enqueue(&["debug.fail", "--queue", "mail", "--max-attempts", "1", "--args", r#"{"message": "broken"}"#]);
    let variables = [("LOVAGE_DEBUG_KINDS", "true"), ("LOVAGE_LOG_FORMAT", "json"), ("LOVAGE_ENVIRONMENT", "test")];
    let ran = place.run_with(&variables, &["worker", "--queues", "mail", "--exit-when-empty"]).ok();
    let lines: Vec<Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect();
    for line in &lines {
        for name in ["timestamp", "level", "message", "target"] {
            assert!(line[name].is_string(), "{name} is missing: {line}");
        }
        assert_eq!((&line["service"], &line["env"]), (&json!("lovage"), &json!("test")));
    }
    let failure = lines.iter().find(|line| line["job_id"] == json!(id) && line["level"] != "INFO");
    let failure = failure.unwrap_or_else(|| panic!("the failure is logged: {}", ran.err));
    assert_eq!((&failure["queue"], &failure["attempt"]), (&json!("mail"), &json!(1)));
    assert!(failure.to_string().contains("broken"), "{failure}");
}

#[tokio::test]
async fn the_lines_of_a_job_are_followed_to_its_end() {
    let place = Place::new();
    let up = place.start(&[], &["up"]);
    ready(&place).await;
    let id = place.enqueue(&["debug.progress", "--args", r#"{"steps": 4, "ms": 50}"#]);
    let followed = place.run(&["--json", "job", "logs", "--follow", &id]).ok().out;
    assert_eq!(place.state(&id), "completed", "it follows to the end");
    for line in followed.lines() {
        let line: Value = serde_json::from_str(line).expect("an object a line");
        assert_eq!(line["attempt"], json!(1));
    }
    up.signal(Signal::Term);
    stopped(up).await;
}

#[tokio::test]
async fn an_interrupted_job_run_cancels_its_job() {
    let place = Place::new();
    let args = ["job", "run", "debug.sleep", "--args", r#"{"ms": 600000}"#];
    let mut process = place.start(&[("LOVAGE_DEBUG_KINDS", "true")], &args);
    let running = ["job", "list", "--state", "running"];
    let id =
        eventually("the job runs", PATIENCE, async || place.json(&running)[0]["id"].as_str().map(str::to_owned)).await;
    process.signal(Signal::Term);
    assert_eq!(process.ended(PATIENCE).await.code(), Some(1));
    assert!(process.output().contains("was interrupted"), "{}", process.output());
    assert_eq!(place.state(&id), "cancelled", "nobody else would run it");
}
