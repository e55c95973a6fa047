//! Trails that are handed out: the file, what is found when somebody changed it, and a part of a trail followed by time.

use lovage_broker::OsEntropy;
use lovage_core::Timestamp;
use lovage_core::audit::{AuditEvent, EventDraft, event_id};
use lovage_ledger::Ledger;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::place::{Place, Ran};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn event(number: u32) -> AuditEvent {
    let text = format!(
        r#"{{"id":"018bcfe5-687b-7000-8000-{number:012}","actor":"user:{number}","action":"order.refund","tenant":"acme",
            "after":{{"b": 1.00,"a":"订单"}}}}"#
    );
    let draft: EventDraft = serde_json::from_str(&text).expect("an event");
    let now = Timestamp::from_millis(1_700_000_000_000);
    draft.complete(event_id(now, &OsEntropy), now).expect("it is in order")
}

/// Changes the embedded ledger behind its back.
fn tamper(place: &Place, sql: &str) {
    let path = place.path().join("lovage-data/ledger.db");
    block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.expect("the ledger is there");
        connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the statement runs");
        connection.close().await.expect("it closes");
    });
}

/// Three batches of three records of acme, committed at seconds 10, 20 and 30, and one of somebody else.
fn trail() -> Place {
    let place = Place::new();
    place.run(&["audit", "write", "--actor", "a", "--action", "b", "--tenant", "globex"]).ok();
    let address = format!("sqlite:{}", place.path().join("lovage-data/ledger.db").display());
    block_on(async {
        let ledger = Ledger::open(&address.parse().expect("an address")).await.expect("a ledger");
        for batch in 0..3 {
            let events: Vec<AuditEvent> = (1..=3).map(|at| event(batch * 3 + at)).collect();
            ledger.append(&events).await.expect("it is written");
        }
    });
    tamper(&place, "UPDATE audit_batches SET written_at = first_seq * 10000 / 3 + 6667 WHERE tenant = 'acme'");
    place
}

/// Exports into a file and answers its text.
fn export(place: &Place, more: &[&str]) -> String {
    let args = ["audit", "export", "--tenant", "acme", "--out", "trail.jsonl"];
    let _ = std::fs::remove_file(place.path().join("trail.jsonl"));
    place.run(&[args.as_slice(), more].concat()).ok();
    std::fs::read_to_string(place.path().join("trail.jsonl")).expect("the file is there")
}

/// Verifies a file where there is nothing else, as whoever gets it does.
fn verify(text: &str, more: &[&str]) -> Ran {
    let elsewhere = Place::new();
    elsewhere.file("trail.jsonl", text);
    let ran = elsewhere.run(&[["audit", "verify", "trail.jsonl"].as_slice(), more].concat());
    assert!(!elsewhere.path().join("lovage-data").exists(), "it needs no ledger and makes none");
    ran
}

/// The text with its lines in another order.
fn lines(text: &str, change: impl FnOnce(&mut Vec<&str>)) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    change(&mut lines);
    lines.concat()
}

/// The text without some lines, counted from 0.
fn without(text: &str, range: std::ops::Range<usize>) -> String {
    lines(text, |lines| {
        lines.drain(range);
    })
}

#[test]
fn a_trail_is_handed_out_and_verified_by_somebody_who_has_only_the_file() {
    let place = trail();
    let key = place.json(&["audit", "anchor"])[0]["public_key"].as_str().expect("a key").to_owned();
    let text = export(&place, &[]);
    assert_eq!(text.lines().count(), 1 + 3 * 4 + 1);
    assert!(!text.contains("globex"), "other tenants are nobody's business");
    let head: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&head["format"], &head["version"], &head["tenant"]),
        (&json!("lovage.audit"), &json!(1), &json!("acme"))
    );
    assert_eq!((&head["before"]["seq"], &head["after"]["seq"]), (&json!(0), &json!(9)));

    let said = verify(&text, &[]).ok().out;
    for part in
        ["Records 1 to 9 of the trail of acme", &format!("Signed by {key}"), "up to record 9", "Compare that key"]
    {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let expected = verify(&text, &["--public-key", &key]).ok();
    assert!(expected.out.contains("the key that was expected"), "{}", expected.out);
    let other = "00".repeat(32);
    verify(&text, &["--public-key", &other]).failed(1, &["line 1: the anchor is signed with another key", &key]);
    verify(&text, &["--public-key", "7"]).failed(2, &["public_key: is not a key"]);
    let shown = verify(&text, &["--json", "--public-key", &key]).ok().value();
    assert_eq!((&shown["ok"], &shown["anchor"]["covers"], &shown["records"]), (&json!(true), &json!(9), &json!(9)));
    let elsewhere = Place::new();
    elsewhere.file("trail.jsonl", &text);
    let set = [("LOVAGE_AUDIT__PUBLIC_KEY", other.as_str())];
    elsewhere.run_with(&set, &["audit", "verify", "trail.jsonl"]).failed(1, &["another key"]);
    assert!(elsewhere.run_reading(&text, &["audit", "verify", "-"]).ok().out.contains("Signed by"));
    elsewhere.run(&["audit", "verify", "nowhere.jsonl"]).failed(2, &["nowhere.jsonl cannot be read"]);
}

#[test]
fn whatever_is_done_to_the_file_is_named() {
    let place = trail();
    place.run(&["audit", "anchor"]).ok();
    let text = export(&place, &[]);
    // Lines: head, batch, records 1 to 3, batch, records 4 to 6, batch, records 7 to 9, end.
    let cases = [
        (text.replace("user:5", "user:x"), "line 8: record 5 was changed"),
        (without(&text, 7..8), "line 8: record 5 is missing"),
        (without(&text, 5..9), "line 6: records 4 to 6 are missing"),
        (lines(&text, |lines| lines.swap(6, 7)), "record 5 stands where 4 belongs"),
        (lines(&text, |lines| lines.insert(7, lines[6])), "line 8: record 4 was inserted"),
        (lines(&text, |lines| lines.truncate(8)), "line 8: the file was cut: it ends after record 5"),
        (text[..text.len() - 1].to_owned(), "line 14: the file was cut"),
        (text.replace("1970-01-01T00:00:20.000Z", "1970-01-01T00:00:21.000Z"), "line 14: the bytes before"),
        (text.replace("\"number\":1", "\"number\":2"), "line 1: anchor 2 does not have the signature"),
        (format!("{text}\n"), "line 15: the file goes on"),
        (String::new(), "line 1: this is not the head"),
        ("{}\n".to_owned(), "line 1: this is not the head"),
    ];
    for (changed, part) in cases {
        assert_ne!(changed, text, "{part}");
        verify(&changed, &[]).failed(1, &["trail.jsonl is not what was exported", part]);
    }
    let shown = verify(&text.replace("user:5", "user:x"), &["--json"]);
    assert_eq!(shown.code, 1);
    let finding = &shown.value()["finding"];
    assert_eq!(*finding, json!({ "line": 8, "problem": "changed", "seq": 5 }));
    verify(&text.replace("user:5", "\u{1}"), &[]).failed(1, &["line 8: this is no line of an exported trail"]);
}

#[test]
fn without_an_anchor_a_file_is_consistent_in_itself_and_no_more() {
    let place = trail();
    let ran = place.run(&["audit", "export", "--tenant", "acme"]).ok();
    assert!(ran.err.contains("No anchor covers its end") && ran.err.contains("9 records"), "{}", ran.err);
    let said = verify(&ran.out, &[]).ok().out;
    assert!(said.contains("not anchored: the file is consistent in itself"), "{said}");
    verify(&ran.out, &["--public-key", &"00".repeat(32)]).failed(1, &["no anchor is in the file"]);
}

#[test]
fn a_time_is_that_of_the_commit_and_later_anchors_cover_it() {
    let place = trail();
    place.run(&["audit", "anchor"]).ok();
    let times = ["--from", "1970-01-01T00:00:20Z", "--to", "1970-01-01T00:00:30Z"];
    let text = export(&place, &times);
    let said = verify(&text, &[]).ok().out;
    assert!(said.contains("Records 4 to 6") && said.contains("up to record 9"), "{said}");
    verify(&without(&text, 5..6), &[]).failed(1, &["line 6: records 7 to 9 are missing"]);

    let follow = |more: &[&str]| place.run(&[["audit", "verify", "--tenant", "acme"].as_slice(), more].concat());
    assert!(follow(&times).ok().out.contains("as written, from record 4 to 6"));
    let shown = place.json(&[["audit", "verify"].as_slice(), &times].concat());
    // The first trail is the operators' own, which has the export.
    let line = |index: usize| [&shown["trails"][index]["tenant"], &shown["trails"][index]["records"]];
    assert_eq!((line(1), line(2)), ([&json!("acme"), &json!(3)], [&json!("globex"), &json!(0)]));
    assert_eq!(shown["trails"][1]["first"], json!(4));
    tamper(&place, "UPDATE audit_events SET actor = 'nobody' WHERE tenant = 'acme' AND seq = 9");
    follow(&times).ok();
    let ran = follow(&times[..2]).failed(1, &["1 of 1 trails"]);
    assert!(ran.out.contains("record 9 was changed"), "{}", ran.out);

    let old = ["--to", "1970-01-01T00:00:01Z"];
    assert!(follow(&old).ok().out.contains("nothing in that time"));
    let none = [["audit", "export", "--tenant", "acme"].as_slice(), &old].concat();
    place.run(&none).failed(3, &["nothing was committed in that time"]);
    follow(&["--from", "yesterday"]).failed(2, &["from: \"yesterday\" is not an instant"]);
    place.run(&["audit", "verify", "a.jsonl", "--tenant", "acme"]).failed(2, &["cannot be used with"]);
}

#[test]
fn one_record_is_handed_out_with_what_proves_it_and_nothing_else() {
    let place = trail();
    place.run(&["audit", "anchor"]).ok();
    let text = export(&place, &["--record", "5"]);
    assert!(text.contains("user:5") && !text.contains("user:4") && !text.contains("user:6"), "{text}");
    // Head, batch, record, the batch that leads to the anchor, end.
    assert_eq!(text.lines().count(), 5);
    let said = verify(&text, &[]).ok().out;
    assert!(
        said.contains("Record 5 of the trail of acme is as it was written.") && said.contains("Signed by"),
        "{said}"
    );
    for (changed, part) in [
        (text.replace("user:5", "user:x"), "line 3: record 5 was changed"),
        (without(&text, 2..3), "line 3: record 5 is missing"),
        (without(&text, 3..4), "line 4: records 7 to 9 are missing"),
        (text.replace("\"record\":5", "\"record\":6"), "line 3: record 5 was inserted"),
    ] {
        verify(&changed, &[]).failed(1, &[part]);
    }
    let refused = |record: &str| place.run(&["audit", "export", "--tenant", "acme", "--record", record]);
    refused("10").failed(3, &["record 10: the trail of acme ends at 9"]);
    refused("0").failed(2, &["0 is not in"]);
}

#[test]
fn more_batches_than_a_file_should_have_are_told_and_the_file_is_not_signed() {
    let place = trail();
    tamper(
        &place,
        "INSERT INTO audit_batches SELECT 'acme', value, value, root, record_hash, batch_hash, 40000
         FROM audit_batches, (WITH RECURSIVE n (value) AS (SELECT 10 UNION ALL SELECT value + 1 FROM n WHERE value < 10100)
         SELECT value FROM n) WHERE tenant = 'acme' AND first_seq = 7;
         UPDATE audit_chains SET seq = 10100 WHERE tenant = 'acme'",
    );
    place.run(&["audit", "anchor"]).ok();
    let ran = place.run(&["audit", "export", "--tenant", "acme", "--record", "5"]).ok();
    let warned = "more than 10000 batches lie between record 6 and anchor 1";
    assert!(ran.err.contains(warned), "{}", ran.err);
    assert!(verify(&ran.out, &[]).ok().out.contains("not anchored"));
}

#[test]
fn what_was_pruned_is_told_and_what_was_tampered_with_is_not_handed_out() {
    let place = trail();
    place.run(&["audit", "anchor"]).ok();
    tamper(
        &place,
        "DELETE FROM audit_events WHERE tenant = 'acme' AND seq <= 3;
        UPDATE audit_chains SET pruned_seq = 3 WHERE tenant = 'acme'",
    );
    let said = verify(&export(&place, &[]), &[]).ok().out;
    assert!(said.contains("3 of them are not in the file: retention had removed them"), "{said}");
    let pruned = place.run(&["audit", "export", "--tenant", "acme", "--record", "2"]);
    pruned.failed(3, &["was pruned up to record 3"]);

    tamper(&place, "UPDATE audit_events SET actor = 'nobody' WHERE tenant = 'acme' AND seq = 5");
    let args = ["audit", "export", "--tenant", "acme", "--out", "bad.jsonl"];
    place.run(&args).failed(1, &["the trail is not handed out: record 5 was changed"]);
    let left: Vec<_> =
        std::fs::read_dir(place.path()).expect("a folder").flatten().map(|file| file.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("bad")), "{left:?}");
    place
        .run(&["audit", "export", "--tenant", "acme", "--out", "trail.jsonl"])
        .failed(2, &["out: trail.jsonl is there already"]);
    place.run(&["audit", "export", "--tenant", "nobody"]).failed(3, &["the trail of nobody: there are no records"]);
}
