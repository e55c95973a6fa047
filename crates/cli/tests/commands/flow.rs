//! Limits, pauses and breakers: set, shown, changed, taken away, and what a full queue answers.

use lovage_broker::{Operator as _, RedisBroker, RedisConfig};
use lovage_core::{Limits, Rate, Subject};
use lovage_testkit::RedisServer;
use serde_json::{Value, json};

use crate::place::{Place, Store};

fn options_change_one_limit_each(store: &Store) {
    let limit = |more: &[&str]| store.json(&[&["queue", "limit", "mail"], more].concat())["limits"].clone();
    assert_eq!(limit(&[]), json!({}), "nothing is limited at first");
    let rate = json!({"count": 100, "per_ms": 1_000});
    assert_eq!(
        limit(&["--concurrency", "10", "--rate", "100/s", "--depth", "1000"]),
        json!({"concurrency": 10, "rate": rate, "depth": 1_000})
    );
    let burst = json!({"count": 5, "per_ms": 60_000, "burst": 20});
    assert_eq!(limit(&["--burst", "20"])["rate"]["burst"], json!(20));
    assert_eq!(
        limit(&["--rate", "5/m", "--concurrency", "none"]),
        json!({"rate": burst, "depth": 1_000}),
        "the burst stays"
    );
    assert_eq!(limit(&["--burst", "none"])["rate"], json!({"count": 5, "per_ms": 60_000}));
    assert_eq!(limit(&["--breaker", "20"])["breaker"], json!({"failures": 20, "cooldown_ms": 30_000}));
    assert_eq!(limit(&["--cooldown", "5m"])["breaker"], json!({"failures": 20, "cooldown_ms": 300_000}));
    assert_eq!(limit(&["--breaker", "3"])["breaker"], json!({"failures": 3, "cooldown_ms": 300_000}));
    assert_eq!(limit(&["--retry-rate", "10/250ms"])["retry_rate"], json!({"count": 10, "per_ms": 250}));
    let shown = store.run(&["queue", "limit", "mail"]).ok().out;
    assert!(
        shown.contains("limits       5/m, 1000 may wait, retries 10/250ms, breaker after 3 failures for 5m\n"),
        "{shown}"
    );
    assert_eq!(limit(&["--clear"]), json!({}));
    assert_eq!(limit(&["--tenant", "acme", "--weight", "3"]), json!({"weight": 3}));
    assert_eq!(limit(&["--key", "smtp", "--ordered"]), json!({"ordered": true}));
    assert_eq!(limit(&["--key", "smtp", "--concurrency", "2"]), json!({"concurrency": 2, "ordered": true}));
    assert_eq!(limit(&["--key", "smtp", "--no-ordered"]), json!({"concurrency": 2}));
    let said = store.run(&["queue", "limit", "mail", "--every-key", "--concurrency", "1"]).ok().out;
    assert_eq!(said, "Limits of each key of queue mail: 1 at once. Workers follow within 30 s.\n");
    let listed = store.json(&["queue", "limits", "mail"]);
    let subjects: Vec<&Value> = listed.as_array().expect("an array").iter().map(|line| &line["subject"]).collect();
    assert_eq!(subjects, ["key:*", "key:smtp", "tenant:acme"]);
    assert_eq!(listed[1]["used"], json!(0));
}

fn a_mistake_names_its_option(store: &Store) {
    for (options, parts) in [
        (&["--concurrency", "-1"][..], &["--concurrency:", "\"-1\"", "none"][..]),
        (&["--rate", "100"], &["--rate:", "\"100\" has no time", "100/s"]),
        (&["--rate", "0/s"], &["rate.count: is 0", "1 to"]),
        (&["--rate", "5/fortnight"], &["--rate:", "\"fortnight\""]),
        (&["--rate", "5/2d"], &["rate.per_ms", "86400000"]),
        (&["--burst", "5"], &["--burst:", "no rate", "--rate"]),
        (&["--cooldown", "5s"], &["--cooldown:", "no breaker", "--breaker"]),
        (&["--breaker", "2", "--cooldown", "5"], &["--cooldown:", "no unit"]),
        (&["--breaker", "0"], &["breaker.failures: is 0"]),
        (&["--weight", "2"], &["weight: does not apply to queue", "tenants"]),
        (&["--kind", "a", "--rate", "1/s"], &["rate: does not apply to kind:a", "the queue, tenants and keys"]),
        (&["--tenant", "a", "--kind", "b", "--depth", "1"], &["--tenant", "--kind"]),
        (&["--clear", "--depth", "1"], &["--clear", "--depth"]),
        (&["--ordered"], &["ordered: does not apply to queue", "keys"]),
        (&["--key", "a b", "--ordered"], &["--key", "visible ASCII"]),
        (&["--tenant", "a", "--weight", "1000"], &["weight: is 1000", "1 to 100"]),
    ] {
        store.run(&[&["queue", "limit", "mail"], options].concat()).failed(2, parts);
    }
    store.run(&["queue", "pause", "mail", "--kind", "a", "--tenant", "b"]).failed(2, &["--kind", "--tenant"]);
    assert_eq!(store.json(&["queue", "limits", "mail"]), json!([]), "nothing was set");
}

fn a_full_queue_refuses_with_6_and_a_time(store: &Store) {
    store.json(&["queue", "limit", "mail", "--depth", "2"]);
    let enqueue = ["--json", "job", "enqueue", "debug.noop", "--queue", "mail"];
    store.run(&enqueue).ok();
    store.run(&[&enqueue[..], &["--id", "mine", "--key", "smtp"]].concat()).ok();
    assert_eq!(store.json(&["job", "get", "mine"])["key"], json!("smtp"));
    let ran = store.run(&enqueue).failed(6, &["error: queue is full: 2 jobs may wait; try again in "]);
    let error: Value = serde_json::from_str(ran.err.lines().last().expect("a line")).expect("an object");
    assert_eq!((&error["error"]["slug"], &error["error"]["limit"]), (&json!("full"), &json!(2)));
    assert!(error["error"]["retry_after_ms"].as_u64().is_some_and(|ms| ms >= 1_000), "{error}");
    assert_eq!(
        store.run(&[&enqueue[..], &["--id", "mine", "--key", "smtp"]].concat()).ok().value()["status"],
        "existing"
    );

    let line = |id: &str| format!("{{\"id\":\"{id}\",\"queue\":\"mail\",\"kind\":\"debug.noop\",\"args\":{{}}}}\n");
    store.place.file("jobs.ndjson", &(line("a") + &line("b")));
    let summary =
        store.run(&["--json", "job", "enqueue", "--ndjson", "jobs.ndjson"]).failed(6, &["line 1:", "line 2:"]);
    let summary = summary.value();
    assert_eq!((&summary["refused"], &summary["errors"][1]["error"]["slug"]), (&json!(2), &json!("full")));
    assert!(
        summary["retry_after_ms"].is_u64() && summary["errors"][0]["error"]["retry_after_ms"].is_u64(),
        "{summary}"
    );
    store.place.file("jobs.ndjson", &(line("a") + "nonsense\n"));
    store.run(&["job", "enqueue", "--ndjson", "jobs.ndjson"]).failed(1, &["line 1:", "line 2:"]);

    store.json(&["queue", "limit", "new", "--depth", "1"]);
    store.run(&["queue", "export", "mail", "--file", "mail.ndjson"]).ok();
    let import = ["queue", "import", "new", "--file", "mail.ndjson"];
    let ran = store.run(&import).failed(6, &["line 3: queue is full", "repeat it later"]);
    assert!(ran.out.contains("available         1             0        1"), "{}", ran.out);
    store.json(&["queue", "limit", "new", "--depth", "none"]);
    let done = store.json(&import);
    assert_eq!(done["states"]["available"], json!({"imported": 1, "existing": 1, "refused": 0}));
}

fn the_list_says_what_holds_a_queue_the_urgent_first(store: &Store) {
    let place = |queue: &str, tenant: &str| {
        let enqueue = ["job", "enqueue", "debug.noop", "--delay", "1d", "--queue", queue, "--tenant", tenant];
        store.run(&enqueue).ok();
    };
    let limit = |more: &[&str]| store.run(&[&["queue", "limit"], more].concat()).ok();
    for queue in ["calm", "full", "mail", "part"] {
        place(queue, "acme");
    }
    limit(&["full", "--depth", "1", "--rate", "100/s"]);
    limit(&["mail", "--concurrency", "10", "--rate", "100/s", "--depth", "1000", "--retry-rate", "5/s"]);
    limit(&["mail", "--tenant", "acme", "--weight", "3", "--concurrency", "4"]);
    limit(&["mail", "--every-key", "--rate", "10/s"]);
    limit(&["part", "--key", "smtp", "--concurrency", "0"]);
    limit(&["part", "--kind", "debug.fail", "--breaker", "3"]);
    let pause = ["queue", "pause", "part", "--kind", "debug.sleep", "--by", "ann"];
    store.run(&[&pause[..], &["--why", "the relay is down", "--until", "2101-01-01T00:00:00Z"]].concat()).ok();
    insta::assert_snapshot!("queue_list_running", store.run(&["queue", "list"]).ok().out);
    store.run(&["queue", "pause", "mail", "--by", "ann", "--why", "upgrade"]).ok();
    let table = store.run(&["queue", "list"]).ok().out;
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    insta::assert_snapshot!("queue_list_paused", table);
    insta::assert_snapshot!("queue_stats", store.run(&["queue", "stats", "mail"]).ok().out);
    insta::assert_snapshot!("queue_limits", store.run(&["queue", "limits", "part"]).ok().out);
    let stats = store.json(&["queue", "stats", "mail"]);
    assert_eq!(stats["paused"]["why"], json!("upgrade"));
    let own = stats["flow"].as_array().expect("an array").iter().find(|line| line["subject"] == "queue");
    let own = own.expect("the queue itself");
    assert_eq!((&own["waiting"], &own["used"], &own["limits"]["concurrency"]), (&json!(1), &json!(0), &json!(10)));
}

fn a_part_is_paused_and_resumed(store: &Store) {
    let enqueue = |kind: &str, tenant: &str| {
        let args =
            ["job", "enqueue", kind, "--queue", "mail", "--tenant", tenant, "--args", r#"{"steps": 1, "ms": 1}"#];
        store.json(&args)["id"].as_str().expect("an id").to_owned()
    };
    let (sleep, unpaid, other) =
        (enqueue("debug.progress", "acme"), enqueue("debug.noop", "unpaid"), enqueue("debug.noop", "acme"));
    let pause = ["queue", "pause", "mail", "--by", "ann"];
    let said = store.run(&[&pause[..], &["--kind", "debug.progress"]].concat()).ok().out;
    assert_eq!(
        said,
        "Kind debug.progress of queue mail is paused until `lovage queue resume mail --kind debug.progress`.\n"
    );
    let paused = store.json(&[&pause[..], &["--tenant", "unpaid", "--for", "1h"]].concat());
    assert_eq!(paused["subject"], json!("tenant:unpaid"));
    let work = ["worker", "--queues", "mail", "--max-jobs", "1"];
    store.run(&work).ok();
    let state = |id: &str| store.json(&["job", "get", id])["state"].clone();
    assert_eq!([state(&sleep), state(&unpaid), state(&other)], ["available", "available", "completed"]);
    assert_eq!(store.json(&["queue", "resume", "mail"])["was_paused"], json!(false), "the queue itself was not");
    let resumed = store.json(&["queue", "resume", "mail", "--tenant", "unpaid"]);
    assert_eq!((&resumed["was_paused"], &resumed["breaker_was"]), (&json!(true), &json!(null)));
    store.run(&work).ok();
    assert_eq!([state(&sleep), state(&unpaid)], ["available", "completed"]);
    let said = store.run(&["queue", "resume", "mail", "--kind", "debug.progress"]).ok().out;
    assert_eq!(said, "Kind debug.progress of queue mail is resumed.\n");
    store.run(&work).ok();
    assert_eq!(state(&sleep), "completed");
}

fn an_open_breaker_is_shown_and_closed_by_resume(store: &Store) {
    store.run(&["queue", "limit", "mail", "--kind", "debug.fail", "--breaker", "2", "--cooldown", "20h"]).ok();
    for _ in 0..3 {
        store.run(&["job", "enqueue", "debug.fail", "--queue", "mail", "--max-attempts", "1"]).ok();
    }
    store.run(&["worker", "--queues", "mail", "--max-jobs", "2", "--concurrency", "1"]).ok();
    let table = store.run(&["queue", "list"]).ok().out;
    assert!(table.contains("kind debug.fail breaker open until "), "{table}");
    let page = store.run(&["queue", "stats", "mail"]).ok().out;
    assert!(page.contains("(2 failures)"), "{page}");
    let breaker = store.json(&["queue", "limit", "mail", "--kind", "debug.fail"])["breaker"].clone();
    assert_eq!((&breaker["state"], &breaker["failures"]), (&json!("open"), &json!(2)));
    let resume = ["queue", "resume", "mail", "--kind", "debug.fail"];
    assert_eq!(store.run(&resume).ok().out, "Kind debug.fail of queue mail is resumed; its breaker is closed.\n");
    let again = store.json(&resume);
    assert_eq!((&again["was_paused"], &again["breaker_was"]), (&json!(false), &json!("closed")));
    store.run(&["worker", "--queues", "mail", "--max-jobs", "1"]).ok();
    assert_eq!(store.json(&["queue", "list", "mail"])[0]["counts"]["discarded"], json!(3), "the third one ran");
}

/// Each of these on a broker of its own, both of them.
macro_rules! on_both_brokers {
    ($($name:ident),* $(,)?) => {
        mod redis {
            $(#[test]
            fn $name() {
                let (server, place) = (super::RedisServer::start(), super::Place::new());
                super::$name(&super::Store::new(&place, Some(&server.url())));
            })*
        }
        mod sqlite {
            $(#[test]
            fn $name() {
                let place = super::Place::new();
                super::$name(&super::Store::new(&place, None));
            })*
        }
    };
}

on_both_brokers!(
    options_change_one_limit_each,
    a_mistake_names_its_option,
    a_full_queue_refuses_with_6_and_a_time,
    the_list_says_what_holds_a_queue_the_urgent_first,
    a_part_is_paused_and_resumed,
    an_open_breaker_is_shown_and_closed_by_resume,
);

#[tokio::test]
async fn hundreds_of_subjects_are_paged_through() {
    let (server, place) = (RedisServer::start(), Place::new());
    let broker =
        RedisBroker::connect(RedisConfig { url: server.url(), ..RedisConfig::default() }).await.expect("redis");
    let queue = "mail".parse().expect("a name");
    let limits = Limits { rate: Some(Rate::per_second(5)), ..Limits::default() };
    for number in 0..600 {
        let subject: Subject = format!("key:{number:03}").parse().expect("a subject");
        broker.limit(&queue, &subject, &limits).await.expect("a limit");
    }
    let url = server.url();
    let store = Store::new(&place, Some(&url));
    store.run(&["job", "enqueue", "debug.noop", "--queue", "mail", "--delay", "1d"]).ok();
    store.run(&["queue", "pause", "mail", "--tenant", "zoe", "--by", "ann"]).ok();
    let listed = store.json(&["queue", "limits", "mail"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(601));
    assert_eq!(store.json(&["queue", "stats", "mail"])["flow"].as_array().map(Vec::len), Some(601));
    let table = store.run(&["queue", "list"]).ok().out;
    assert!(table.contains("tenant zoe paused by ann, +600 more\n"), "the urgent one is found behind them: {table}");
    let found = store.json(&["queue", "limit", "mail", "--key", "599"]);
    assert_eq!(found["limits"]["rate"]["count"], json!(5));
}
