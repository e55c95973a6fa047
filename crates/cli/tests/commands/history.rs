//! The history of jobs from the command line: recorded by `up` and by `scheduler`, searched, grouped.

use lovage_testkit::{PostgresServer, RedisServer, Signal, eventually};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place};

async fn found(place: &Place, filter: &str, count: usize) -> Value {
    eventually(&format!("{count} jobs are {filter}"), PATIENCE, async || {
        let list = place.json(&["job", "list", "--filter", filter])["jobs"].take();
        (list.as_array().is_some_and(|list| list.len() == count)).then_some(list)
    })
    .await
}

#[tokio::test]
async fn what_up_runs_is_found_after_the_queue_has_forgotten_it() {
    let place = Place::new();
    let up = place.start(&[], &["up"]);
    let noop = place.enqueue(&[
        "debug.noop",
        "--args",
        r#"{"user": {"id": 42}, "big": 12345678901234567890}"#,
        "--tag",
        "nightly",
    ]);
    let failing =
        ["job", "enqueue", "debug.fail", "--args", r#"{"message": "no answer after 7 s"}"#, "--max-attempts", "2"];
    place.json(&failing);
    found(&place, "state:completed kind:debug.* args.user.id:42 args.big:12345678901234567890 tag:nightly", 1).await;
    let failed = found(&place, "state:discarded reason:attempts_exhausted error:\"no answer\" attempt:>1", 1).await;
    let attempts = failed[0]["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[0]["outcome"], &attempts[1]["outcome"]), (&json!("retryable"), &json!("discarded")));
    assert_eq!(attempts[0]["version"], env!("CARGO_PKG_VERSION"));
    assert!(attempts[0]["started_at"].as_str() <= attempts[0]["ended_at"].as_str());

    let groups = place.json(&["failures", "--since", "1h"]);
    assert_eq!((&groups[0]["count"], &groups[0]["title"]), (&json!(2), &json!("no answer after <n>")));
    assert_eq!(groups[0]["versions"][env!("CARGO_PKG_VERSION")], json!(2));
    let fingerprint = groups[0]["fingerprint"].as_str().expect("a fingerprint");
    let group = place.run(&["failures", fingerprint]).ok();
    for part in ["no answer after <n>", "version", "debug.fail", "discarded"] {
        assert!(group.out.contains(part), "{part:?} is not in {}", group.out);
    }
    found(&place, &format!("failure:{fingerprint}"), 1).await;

    place.run(&["--yes", "job", "delete", &noop]).ok();
    eventually("it is shown as gone", PATIENCE, async || {
        place.json(&["job", "get", &noop])["gone_at"].is_string().then_some(())
    })
    .await;
    let page = place.run(&["job", "get", &noop]).ok();
    for part in ["completed", "gone  ", "attempt 1    completed after", "12345678901234567890"] {
        assert!(page.out.contains(part), "{part:?} is not in {}", page.out);
    }
    up.signal(Signal::Term);
    let mut up = up;
    assert!(up.ended(PATIENCE).await.success(), "{}", up.output());
}

#[test]
fn a_filter_that_is_wrong_is_told_with_its_place() {
    let place = Place::new();
    let list = |filter: &str| place.run(&["job", "list", "--filter", filter]);
    list("").ok();
    list("stat:discarded").failed(2, &["filter", "column 1", "state"]);
    list("state:dead").failed(2, &["filter", "discarded"]);
    list("timeout").failed(2, &["filter", "error:"]);
    list("created:<soon").failed(2, &["filter"]);
    place.run(&["job", "list", "--filter", "state:completed", "--state", "completed"]).failed(2, &["--state"]);
    place.run(&["job", "list", "--filter", "", "--cursor", "7"]).failed(2, &["cursor"]);
    place.run(&["failures", "0123456789abcdef"]).failed(3, &["there is no group 0123456789abcdef"]);
    place.run(&["failures", "7"]).failed(2, &["16 digits"]);
    let without =
        place.run_with(&[("REDIS_URL", "redis://127.0.0.1:1")], &["job", "list", "--filter", "state:completed"]);
    without.failed(2, &["ledger.url", "LOVAGE_LEDGER__URL"]);
}

#[tokio::test]
async fn of_two_schedulers_the_other_records_when_one_is_killed() {
    let place = Place::new();
    let (redis, postgres) = (RedisServer::start(), PostgresServer::start());
    let (redis_url, ledger_url) = (redis.url(), postgres.url());
    let variables = [
        ("REDIS_URL", redis_url.as_str()),
        ("LOVAGE_LEDGER__URL", ledger_url.as_str()),
        ("LOVAGE_DEBUG_KINDS", "true"),
        ("LOVAGE_LOG_FORMAT", "json"),
    ];
    let run = |args: &[&str]| place.run_with(&variables, args);
    run(&["scheduler"]).failed(1, &["pending", "lovage migrate up"]);
    run(&["migrate", "up"]).ok();
    let records = async |filter: &str| {
        let words = ["--json", "job", "list", "--filter", filter];
        eventually(filter, PATIENCE, async || {
            run(&words).ok().value()["jobs"].as_array().filter(|list| !list.is_empty()).cloned()
        })
        .await
    };
    let first = place.start(&variables, &["scheduler"]);
    run(&["job", "enqueue", "debug.noop", "--id", "one", "--queue", "mail"]).ok();
    records("id:one state:available").await;
    let second = place.start(&variables, &["scheduler"]);
    first.signal(Signal::Kill);
    run(&["worker", "--queues", "mail", "--exit-when-empty"]).ok();
    records("id:one state:completed").await;

    redis.ask(&["FLUSHALL"]);
    run(&["job", "enqueue", "debug.noop", "--id", "two", "--queue", "mail"]).ok();
    records("id:two").await;
    records("id:one state:completed").await;
    run(&["doctor"]);
    second.signal(Signal::Term);
    let mut second = second;
    assert!(second.ended(PATIENCE).await.success(), "{}", second.output());
    // Also right after a statement of the ledger, whose library asks whether it would be logged.
    for told in ["\"message\":\"leading\"", "\"message\":\"no longer leading\""] {
        assert!(second.output().contains(told), "{told} is not in {}", second.output());
    }
}
