//! The audit trail from the command line: written, imported, worked from the queue, anchored, verified.

use std::path::PathBuf;

use lovage_testkit::{PostgresServer, RedisServer, Signal, eventually};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::place::{PATIENCE, Place};

fn write(place: &Place, actor: &str, tenant: &str) -> Value {
    place.json(&["audit", "write", "--actor", actor, "--action", "order.refund", "--tenant", tenant])
}

/// Changes the embedded ledger behind its back.
fn tamper(place: &Place, sql: &str) {
    let path = place.path().join("lovage-data/ledger.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.expect("the ledger is there");
        connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the statement runs");
        connection.close().await.expect("it closes");
    });
}

fn anchor_file(place: &Place, number: u64) -> PathBuf {
    place.path().join(format!("lovage-data/artifacts/audit/anchors/{number:010}.json"))
}

#[test]
fn events_are_written_listed_and_verified() {
    let place = Place::new();
    assert!(place.run(&["audit", "verify"]).ok().out.contains("There are no records."));
    let first = write(&place, "user:1", "acme");
    assert_eq!((&first["seq"], &first["duplicate"]), (&json!(1), &json!(false)));
    let id = first["id"].as_str().expect("an id");
    let again = |actor: &str| {
        place.run(&["audit", "write", "--actor", actor, "--action", "order.refund", "--tenant", "acme", "--id", id])
    };
    assert!(again("user:1").ok().out.contains("was written before as record 1"));
    again("user:2").failed(5, &["is the id of another event (record 1)"]);
    let said = place
        .run(&[
            "audit",
            "write",
            "--actor",
            "王伟",
            "--action",
            "order.edit",
            "--target",
            "order:7",
            "--tenant",
            "acme",
            "--ip",
            "203.0.113.7",
            "--before",
            r#"{"total": 1.00}"#,
            "--time",
            "2026-01-31T09:30:00+08:00",
        ])
        .ok();
    assert!(said.out.contains("is record 2 of the trail of acme."), "{}", said.out);
    let list = place.json(&["audit", "list", "--tenant", "acme"]);
    let newest = &list[0];
    assert_eq!((&newest["seq"], &newest["actor"]), (&json!(2), &json!("王伟")));
    assert_eq!((&newest["time"], &newest["before"]["total"]), (&json!("2026-01-31T01:30:00.000Z"), &json!(1.0)));
    assert_eq!(place.json(&["audit", "list", "--tenant", "acme", "--limit", "1", "--before", "2"])[0]["seq"], json!(1));
    let page = place.run(&["audit", "verify"]).ok();
    assert!(page.out.contains("as written") && page.out.contains("Nothing is anchored"), "{}", page.out);
    place.run(&["audit", "verify", "--tenant", "nobody"]).failed(3, &["tenant nobody has no trail"]);
}

#[test]
fn what_is_wrong_with_an_event_is_named() {
    let place = Place::new();
    let event = ["audit", "write", "--actor", "a", "--action", "b"];
    for (more, part) in [
        (["--ip", "localhost"], "ip: is \"localhost\""),
        (["--id", "7"], "id: is \"7\"; use a UUID"),
        (["--before", "{"], "before: is not JSON"),
        (["--time", "2999-01-01T00:00:00Z"], "in the future"),
    ] {
        place.run(&[event.as_slice(), more.as_slice()].concat()).failed(2, &[part]);
    }
    place.run(&["audit", "write", "--actor", "", "--action", "b"]).failed(2, &["actor: is missing"]);
}

#[test]
fn a_bad_line_is_told_with_its_number_and_the_rest_goes_on() {
    let place = Place::new();
    let line = |id: u32| {
        format!(r#"{{"id":"018bcfe5-687b-7000-8000-{id:012}","actor":"user:{id}","action":"login","tenant":"acme"}}"#)
    };
    let long = format!(r#"{{"actor":"a","action":"b","metadata":"{}"}}"#, "x".repeat(70_000));
    let lines = [
        line(1),
        "{".to_owned(),
        r#"{"action":"login"}"#.to_owned(),
        String::new(),
        line(2),
        long,
        line(1).replace("user:1", "user:other"),
        line(2),
    ];
    place.file("events.ndjson", &lines.join("\n"));
    let ran = place.run(&["audit", "import", "events.ndjson"]).failed(
        1,
        &[
            "line 2: EOF",
            "line 3: actor: is missing",
            "line 6: event: has",
            "line 7: id: is that of another event (record 1)",
        ],
    );
    assert!(ran.out.contains("2 written, 1 there before, 4 refused."), "{}", ran.out);
    let summary: Value =
        serde_json::from_str(&place.run(&["audit", "import", "events.ndjson", "--json"]).out).expect("JSON");
    assert_eq!((&summary["written"], &summary["duplicates"], &summary["refused"]), (&json!(0), &json!(3), &json!(4)));
    assert_eq!(summary["errors"][0]["line"], json!(2));
    assert_eq!(place.json(&["audit", "list", "--tenant", "acme"]).as_array().expect("a list").len(), 2);
}

#[test]
fn jobs_of_the_queue_become_events_of_their_own_id_time_and_tenant() {
    let place = Place::new();
    let args = r#"{"actor":"user:7","action":"export.download"}"#;
    for id in ["a", "b"] {
        place.enqueue(&["audit.write", "--queue", "audit", "--tenant", "acme", "--id", id, "--args", args]);
    }
    place.enqueue(&["audit.write", "--queue", "audit", "--id", "bad", "--args", r#"{"actor":"user:7"}"#]);
    let other = r#"{"actor":"user:7","action":"b","tenant":"globex"}"#;
    place.enqueue(&["audit.write", "--queue", "audit", "--tenant", "acme", "--id", "mixed", "--args", other]);
    place.run(&["worker", "--queues", "audit", "--exit-when-empty"]).ok();
    let job = |id: &str| place.json(&["job", "get", id, "--queue", "audit"]);
    assert_eq!((&job("a")["state"], &job("a")["result"]["seq"].is_u64()), (&json!("completed"), &true));
    for (id, part) in [("bad", "action: is missing"), ("mixed", "tenant: is globex, and the job's is acme")] {
        let view = job(id);
        assert_eq!(view["state"], json!("discarded"), "{view}");
        assert!(view.to_string().contains(part), "{view}");
    }
    let list = place.json(&["audit", "list", "--tenant", "acme"]);
    assert_eq!(list.as_array().expect("a list").len(), 2);
    assert_eq!(
        list[0]["time"].as_str().map(|time| &time[..10]),
        job("a")["enqueued_at"].as_str().map(|time| &time[..10])
    );
    // The same job again writes nothing anew.
    place.run(&["job", "retry", "a", "--queue", "audit"]).ok();
    place.run(&["worker", "--queues", "audit", "--exit-when-empty"]).ok();
    assert_eq!(job("a")["result"]["duplicate"], json!(true));
    assert_eq!(place.json(&["audit", "verify", "--tenant", "acme"])["trails"][0]["records"], json!(2));
}

#[test]
fn an_anchor_finds_what_the_database_alone_cannot_tell() {
    let place = Place::new();
    for number in 1..=4 {
        write(&place, &format!("user:{number}"), "acme");
    }
    let made = place.json(&["audit", "anchor"]);
    assert_eq!((&made[0]["number"], &made[0]["chains"]), (&json!(1), &json!(1)));
    assert_eq!(place.json(&["audit", "anchor"]), json!([]), "nothing has grown");
    write(&place, "user:5", "acme");
    write(&place, "user:5", "globex");
    place.run(&["audit", "anchor"]).ok();
    let verified = place.json(&["audit", "verify"]);
    assert_eq!((&verified["ok"], &verified["anchors"]["count"]), (&json!(true), &json!(2)));
    assert_eq!(verified["anchors"]["public_key"], made[0]["public_key"]);

    // The end of a trail is taken away with everything in the database that tells of it.
    tamper(
        &place,
        "DELETE FROM audit_events WHERE tenant = 'acme' AND seq > 3;
         DELETE FROM audit_batches WHERE tenant = 'acme' AND first_seq > 3;
         UPDATE audit_chains SET seq = 3,
            record_hash = (SELECT record_hash FROM audit_batches WHERE tenant = 'acme' AND last_seq = 3),
            batch_hash = (SELECT batch_hash FROM audit_batches WHERE tenant = 'acme' AND last_seq = 3)
         WHERE tenant = 'acme'",
    );
    let ran = place.run(&["audit", "verify"]).failed(1, &["1 of 2 trails are not what was written"]);
    assert!(ran.out.contains("the trail ends after record 3, and went on to record 5"), "{}", ran.out);
    // A whole trail is taken away.
    tamper(&place, "DELETE FROM audit_events; DELETE FROM audit_batches; DELETE FROM audit_chains");
    let ran = place.run(&["audit", "verify"]).failed(1, &["2 of 2 trails"]);
    assert!(ran.out.contains("globex"), "{}", ran.out);
}

/// Cuts the trail of acme off behind record 1, with everything in the database that tells of more.
const CUT: &str = "DELETE FROM audit_events WHERE tenant = 'acme' AND seq > 1;
    DELETE FROM audit_batches WHERE tenant = 'acme' AND first_seq > 1;
    UPDATE audit_chains SET seq = 1,
        record_hash = (SELECT record_hash FROM audit_batches WHERE tenant = 'acme' AND last_seq = 1),
        batch_hash = (SELECT batch_hash FROM audit_batches WHERE tenant = 'acme' AND last_seq = 1)
    WHERE tenant = 'acme';
    DELETE FROM audit_anchors WHERE number > 1";

#[test]
fn a_ledger_that_was_made_to_forget_its_anchors_is_held_against_them_all_the_same() {
    let place = Place::new();
    let mut digest = String::new();
    for number in 1..=3 {
        write(&place, "user:1", "acme");
        digest = place.json(&["audit", "anchor"])[0]["digest"].as_str().expect("a digest").to_owned();
        assert!(anchor_file(&place, number).exists());
    }
    place.run(&["audit", "verify", "--digest", &digest]).ok();
    place.run(&["audit", "verify", "--digest", "abc"]).failed(2, &["digest: \"abc\" is none"]);
    tamper(&place, CUT);
    let ran = place.run(&["audit", "verify"]).failed(1, &["1 of 1 trails"]);
    assert!(ran.out.contains("the trail ends after record 1, and went on to record 3"), "{}", ran.out);
    // Who can also delete anchors is found out by what was kept elsewhere.
    for number in 2..=3 {
        std::fs::remove_file(anchor_file(&place, number)).expect("it can be removed");
    }
    place.run(&["audit", "verify"]).ok();
    place.run(&["audit", "verify", "--digest", &digest]).failed(1, &["no anchor has the digest"]);
    // A trail that is gone as a whole is named, too, if it is asked for.
    tamper(&place, "DELETE FROM audit_events; DELETE FROM audit_batches; DELETE FROM audit_chains");
    let ran = place.run(&["audit", "verify", "--tenant", "acme"]).failed(1, &["1 of 1 trails"]);
    assert!(ran.out.contains("went on to record 1"), "{}", ran.out);
}

#[test]
fn an_anchor_that_is_changed_replaced_or_taken_away_is_named() {
    let place = Place::new();
    for _ in 0..3 {
        write(&place, "user:1", "acme");
        place.run(&["audit", "anchor"]).ok();
    }
    let second = anchor_file(&place, 2);
    let text = std::fs::read_to_string(&second).expect("an anchor");
    std::fs::write(&second, text.replace("\"seq\": 2", "\"seq\": 3")).expect("it can be changed");
    place.run(&["audit", "verify"]).failed(1, &["anchor 2 does not have the signature of its key"]);

    // Signed with a key of somebody else.
    let key = "00".repeat(32);
    let stranger = Place::new();
    write(&stranger, "user:1", "acme");
    write(&stranger, "user:1", "acme");
    stranger.run_with(&[("LOVAGE_AUDIT__SIGNING_KEY", key.as_str())], &["audit", "anchor"]).ok();
    let foreign = std::fs::read_to_string(anchor_file(&stranger, 1)).expect("an anchor");
    std::fs::write(&second, foreign).expect("it can be replaced");
    place.run(&["audit", "verify"]).failed(1, &["anchor 2 is signed with another key"]);

    std::fs::write(&second, &text).expect("it can be put back");
    place.run(&["audit", "verify"]).ok();
    std::fs::remove_file(anchor_file(&place, 3)).expect("it can be removed");
    place.run(&["audit", "verify"]).failed(1, &["anchor 3 is missing"]);
    std::fs::copy(&second, anchor_file(&place, 3)).expect("it can be replaced");
    place.run(&["audit", "verify"]).failed(1, &["anchor 3 lies under another number"]);
    // What is no anchor at all is told like the others, and the trails are followed all the same.
    std::fs::write(anchor_file(&place, 3), "{").expect("it can be replaced");
    let ran = place.run(&["audit", "verify"]).failed(1, &["anchor 3 is none"]);
    assert!(ran.out.contains("as written"), "{}", ran.out);
    let key_file = place.path().join("lovage-data/audit.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(key_file).expect("the key").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn anchors_have_one_key_whether_or_not_it_is_known() {
    let place = Place::new();
    for _ in 0..2 {
        write(&place, "user:1", "acme");
        place.run(&["audit", "anchor"]).ok();
    }
    write(&place, "user:1", "acme");
    let other = "00".repeat(32);
    let stranger = [("LOVAGE_AUDIT__SIGNING_KEY", other.as_str())];
    place.run_with(&stranger, &["audit", "anchor"]).failed(5, &["is signed with another key than audit.signing_key"]);
    assert!(!anchor_file(&place, 3).exists(), "nothing was put that nobody could verify beside the others");

    let forger = Place::new();
    for _ in 0..2 {
        write(&forger, "user:1", "acme");
        forger.run_with(&stranger, &["audit", "anchor"]).ok();
    }
    std::fs::copy(anchor_file(&forger, 2), anchor_file(&place, 2)).expect("it can be replaced");
    std::fs::remove_file(place.path().join("lovage-data/audit.key")).expect("the key");
    place.run(&["audit", "verify"]).failed(1, &["anchor 2 is signed with another key"]);
    place.file("lovage-data/audit.key", "not a key");
    place.run(&["audit", "verify"]).failed(2, &["audit.signing_key: is not a key"]);
}

#[tokio::test]
async fn up_anchors_what_has_grown() {
    let place = Place::new();
    write(&place, "user:1", "acme");
    let mut up = place.start(&[], &["up"]);
    eventually("the trail is anchored", PATIENCE, async || anchor_file(&place, 1).exists().then_some(())).await;
    up.signal(Signal::Term);
    assert!(up.ended(PATIENCE).await.success(), "{}", up.output());
    assert_eq!(place.json(&["audit", "verify"])["anchors"]["count"], json!(1));
}

#[test]
fn roles_do_not_start_on_a_ledger_with_pending_migrations() {
    let place = Place::new();
    let server = PostgresServer::start();
    let url = server.url();
    let variables = [("LOVAGE_LEDGER__URL", url.as_str())];
    let pending = "pending migrations (next: 0001_audit); run `lovage migrate up`";
    for args in [["worker", "--exit-when-empty"].as_slice(), &["up"], &["audit", "list"]] {
        place.run_with(&variables, args).failed(1, &[pending]);
    }
    let status = place.run_with(&variables, &["migrate", "status"]).ok();
    assert!(status.out.contains("0001_audit") && status.out.contains("pending"), "{}", status.out);
    place.run_with(&variables, &["migrate", "up"]).ok();
    let again = place.run_with(&variables, &["migrate", "up"]).ok();
    assert!(again.out.contains("has every migration already"), "{}", again.out);
    place.run_with(&variables, &["worker", "--exit-when-empty"]).ok();
    place.run_with(&variables, &["audit", "write", "--actor", "a", "--action", "b"]).ok();
    place.run_with(&variables, &["audit", "anchor"]).failed(2, &["audit.signing_key: is not set"]);
    place.run_with(&variables, &["audit", "verify"]).ok();
}

#[test]
fn with_redis_a_ledger_has_to_be_named() {
    let place = Place::new();
    let variables = [("REDIS_URL", "redis://127.0.0.1:1")];
    place.run_with(&variables, &["audit", "list"]).failed(2, &["ledger.url: is not set", "LOVAGE_LEDGER__URL"]);
}

/// Actions and targets of the operators' trail, the oldest first.
fn actions(place: &Place, variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let list = place.run_with(variables, &["audit", "list", "--json"]).ok().value();
    let text = |record: &Value, field: &str| record[field].as_str().expect("a text").to_owned();
    list.as_array()
        .expect("a list")
        .iter()
        .rev()
        .map(|record| (text(record, "action"), text(record, "target")))
        .collect()
}

#[test]
fn what_operators_do_is_in_the_trail() {
    let place = Place::new();
    place.enqueue(&["debug.noop", "--queue", "mail", "--id", "a"]);
    place.run(&["queue", "pause", "mail", "--why", "maintenance"]).ok();
    place.run(&["queue", "limit", "mail", "--concurrency", "2"]).ok();
    place.run(&["queue", "resume", "mail"]).ok();
    place.run(&["job", "edit", "a", "--priority", "1"]).ok();
    place.run(&["job", "cancel", "a", "--dry-run"]).ok();
    place.run(&["job", "cancel", "a"]).ok();
    place.run(&["job", "retry", "a"]).ok();
    place.run(&["job", "delete", "a", "--yes"]).ok();
    place.run(&["job", "delete", "a", "--yes"]).failed(3, &["there is no job a"]);
    place.run(&["queue", "purge", "mail", "--yes"]).ok();
    let done = [
        ("queue.pause", "queue:mail"),
        ("queue.limit", "queue:mail"),
        ("queue.resume", "queue:mail"),
        ("job.edit", "job:a"),
        ("job.cancel", "job:a"),
        ("job.retry", "job:a"),
        ("job.delete", "job:a"),
        ("queue.purge", "queue:mail"),
    ];
    let expected: Vec<(String, String)> = done.map(|(action, target)| (action.to_owned(), target.to_owned())).into();
    assert_eq!(actions(&place, &[]), expected);
    let first = &place.json(&["audit", "list", "--before", "2"])[0];
    assert!(first["actor"].as_str().is_some_and(|actor| actor.starts_with("cli:") && actor.contains('@')), "{first}");
    assert_eq!(first["metadata"]["paused"]["why"], json!("maintenance"));
    place.run(&["audit", "verify"]).ok();
    let off = [("LOVAGE_AUDIT__OPERATORS", "false")];
    place.run_with(&off, &["queue", "pause", "mail"]).ok();
    assert_eq!(actions(&place, &[]).len(), done.len());
}

#[test]
fn without_a_ledger_at_hand_it_goes_through_the_queue() {
    let place = Place::new();
    let (redis, postgres) = (RedisServer::start(), PostgresServer::start());
    let (redis, postgres) = (redis.url(), postgres.url());
    let operator = [("REDIS_URL", redis.as_str())];
    let worker = [("REDIS_URL", redis.as_str()), ("LOVAGE_LEDGER__URL", postgres.as_str())];
    place.run_with(&operator, &["queue", "pause", "mail"]).ok();
    place.run_with(&worker, &["migrate", "up"]).ok();
    place.run_with(&worker, &["worker", "--queues", "audit", "--exit-when-empty"]).ok();
    assert_eq!(actions(&place, &worker), [("queue.pause".to_owned(), "queue:mail".to_owned())]);
}

#[test]
fn nothing_is_done_that_cannot_be_recorded() {
    let place = Place::new();
    let server = PostgresServer::start();
    let url = server.url();
    let pending = [("LOVAGE_LEDGER__URL", url.as_str())];
    place.run_with(&pending, &["queue", "pause", "mail"]).failed(1, &["run `lovage migrate up`"]);
    assert_eq!(place.json(&["queue", "stats", "mail"])["paused"], Value::Null);
}

#[test]
fn old_records_go_once_they_are_anchored() {
    let place = Place::new();
    for _ in 0..3 {
        write(&place, "user:1", "acme");
    }
    let prune = ["audit", "prune", "--older-than", "0s", "--tenant", "acme", "--yes"];
    let ran = place.run(&prune).ok();
    assert!(
        ran.out.contains("0 records removed.") && ran.err.contains("lovage audit anchor"),
        "{} {}",
        ran.out,
        ran.err
    );
    place.run(&["audit", "anchor"]).ok();
    write(&place, "user:1", "acme");
    assert_eq!(place.json(&prune)["trails"], json!([{ "tenant": "acme", "removed": 3, "pruned": 3 }]));
    let verified = place.json(&["audit", "verify"]);
    assert_eq!(verified["ok"], json!(true), "{verified}");
    let acme = &verified["trails"][1];
    assert_eq!((&acme["records"], &acme["pruned"], &acme["last"]), (&json!(1), &json!(3), &json!(4)));
    assert_eq!(actions(&place, &[]), [("audit.prune".to_owned(), "trail:acme".to_owned())]);
    place.run(&["audit", "prune", "--older-than", "soon", "--yes"]).failed(2, &["older_than: "]);
}

#[test]
fn what_is_declared_secret_is_stored_as_a_hash_whichever_way_it_comes() {
    let place = Place::new();
    let key = "0123456789abcdef";
    let variables = [("LOVAGE_AUDIT__SECRET", "after.card"), ("LOVAGE_AUDIT__SECRET_KEY", key)];
    let after = r#"{"card": "4111", "n": 1}"#;
    place.run_with(&variables, &["audit", "write", "--actor", "a", "--action", "b", "--after", after]).ok();
    place.file("one.ndjson", &format!(r#"{{"actor":"a","action":"b","after":{after}}}"#));
    place.run_with(&variables, &["audit", "import", "one.ndjson"]).ok();
    let args = format!(r#"{{"actor":"a","action":"b","after":{after}}}"#);
    place.enqueue(&["audit.write", "--queue", "audit", "--args", &args]);
    place.run_with(&variables, &["worker", "--queues", "audit", "--exit-when-empty"]).ok();
    let list = place.json(&["audit", "list"]);
    let stored: Vec<&Value> = list.as_array().expect("a list").iter().map(|record| &record["after"]).collect();
    assert_eq!(stored.len(), 3);
    for after in &stored {
        assert!(after["card"].as_str().is_some_and(|text| text.starts_with("hmac-sha256:")), "{after}");
        assert_eq!((after, &after["n"]), (&stored[0], &json!(1)));
    }
    place.run(&["audit", "verify"]).ok();
    place
        .run_with(&variables[..1], &["audit", "write", "--actor", "a", "--action", "b"])
        .failed(2, &["audit.secret_key"]);
    let shown = place.run_with(&variables, &["config", "print"]).ok();
    assert!(!shown.out.contains(key), "{}", shown.out);
}
