//! Schedules from the command line: made, looked at, steered, run by `up`, and what is told about bad ones.

use lovage_testkit::{Process, RedisServer, Signal, eventually};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, Ran};

/// `lovage schedule add NAME --cron CRON --kind debug.noop` with more options.
fn add(place: &Place, name: &str, cron: &str, more: &[&str]) -> Ran {
    let words = ["schedule", "add", name, "--cron", cron, "--kind", "debug.noop"];
    place.run(&[words.as_slice(), more].concat())
}

/// Changes the embedded ledger, as time would.
fn change(place: &Place, sql: &str) {
    let done = std::process::Command::new("sqlite3").arg(place.path().join("lovage-data/ledger.db")).arg(sql).status();
    assert!(done.expect("sqlite3 is missing: install it with `apt-get install sqlite3`").success());
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|line| line["name"].as_str().expect("a name")).collect()
}

async fn stop(mut process: Process) {
    process.signal(Signal::Term);
    let status = process.ended(PATIENCE).await;
    assert!(status.success(), "{status}: {}", process.output());
}

fn actions(place: &Place) -> Vec<String> {
    let list = place.json(&["audit", "list"]);
    let word = |record: &Value, name: &str| record[name].as_str().expect("text").to_owned();
    let list = list.as_array().expect("a list").iter().rev();
    list.map(|record| format!("{} {}", word(record, "action"), word(record, "target"))).collect()
}

#[test]
fn a_schedule_is_made_and_shown_with_all_that_it_is() {
    let place = Place::new();
    assert!(
        place.run(&["schedule", "list"]).ok().out.contains("lovage schedule add"),
        "an empty list says how to add one"
    );
    let more = "--timezone Europe/Berlin --queue mail --overlap skip --success-within 26h --tag nightly --meta team=7 --timeout 10m \
                --expires-after 1h --priority 2 --tenant acme --key db --max-attempts 3 --missed all --missed-max 5 --missed-age 2h";
    let mut more: Vec<&str> = more.split_whitespace().collect();
    more.extend([
        "--args",
        r#"{"day": "{{ tick.date - 1d }}", "big": 12345678901234567890}"#,
        "--description",
        "moves the day",
    ]);
    let added = add(&place, "nightly", "0 2 * * *", &more).ok();
    assert!(added.out.contains("Schedule nightly is added: at 02:00 every day, next at "), "{}", added.out);
    assert!(!added.err.contains("warning"), "{}", added.err);

    let shown = place.json(&["schedule", "show", "nightly"]);
    let spec = &shown["spec"];
    assert_eq!((&spec["timeout_ms"], &spec["metadata"]["team"]), (&json!(600_000), &json!("7")));
    assert_eq!(
        (&spec["tenant"], &spec["key"], &spec["retry"]["max_attempts"]),
        (&json!("acme"), &json!("db"), &json!(3))
    );
    assert_eq!((&spec["missed"], &spec["missed_max"], &spec["missed_age"]), (&json!("all"), &json!(5), &json!("2h")));
    assert_eq!((&shown["managed_by"], &shown["paused"]), (&json!("operator"), &Value::Null));
    assert_eq!((&shown["state"], shown["next_runs"].as_array().map(Vec::len)), (&json!("active"), Some(5)));
    let page = place.run(&["schedule", "show", "nightly"]).ok().out;
    for part in [
        "moves the day",
        "at 02:00 every day (Europe/Berlin)",
        "12345678901234567890",
        "02:00:00 +0",
        "1d2h",
        "operator",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
}

#[test]
fn what_is_done_to_a_schedule_is_done_told_and_recorded() {
    let place = Place::new();
    let secret = ["--args", r#"{"secret": 12345678901234567890}"#];
    add(&place, "nightly", "0 2 * * *", &secret).ok();
    add(&place, "nightly", "0 2 * * *", &[]).failed(5, &["there is a schedule nightly already", "--replace"]);
    place.run(&["schedule", "pause", "nightly", "--why", "the disk is full", "--by", "night shift"]).ok();
    let paused = place.json(&["schedule", "show", "nightly"]);
    assert_eq!((&paused["state"], &paused["paused"]["why"]), (&json!("paused"), &json!("the disk is full")));
    assert_eq!((&paused["paused"]["by"], &paused["next_run"]), (&json!("night shift"), &Value::Null));
    let resumed = place.run(&["schedule", "resume", "nightly"]).ok().out;
    assert!(resumed.contains("is resumed: no tick was missed, next at "), "{resumed}");
    assert!(place.run(&["schedule", "resume", "nightly"]).ok().out.contains("was not paused"));

    let changed = add(&place, "nightly", "@every 1h", &[secret.as_slice(), &["--replace"]].concat()).ok().out;
    assert!(changed.contains("Schedule nightly is changed: every hour"), "{changed}");
    let run = place.json(&["schedule", "run", "nightly"]);
    let id = run["id"].as_str().expect("an id");
    assert!(id.starts_with("nightly:manual:"), "{id}");
    assert_eq!(place.json(&["job", "get", id])["metadata"]["schedule"], "nightly");
    let history = place.json(&["schedule", "history", "nightly"]);
    assert_eq!((&history[0]["outcome"], &history[0]["job"]), (&json!("manual"), &json!(id)));
    let list = place.run(&["schedule", "list"]).ok().out;
    assert!(list.contains("not ended yet") && list.contains("every hour"), "{list}");

    place.run(&["schedule", "delete", "nightly"]).failed(2, &["Delete schedule nightly", "--yes"]);
    place.run(&["--yes", "schedule", "delete", "nightly"]).ok();
    assert_eq!(place.json(&["schedule", "list"]), json!([]));
    place.run(&["schedule", "history", "nightly"]).failed(3, &["there is no schedule nightly"]);
    let target = |action: &str| format!("schedule.{action} schedule:nightly");
    assert_eq!(actions(&place), ["add", "pause", "resume", "change", "run", "delete"].map(target));
    let trail = place.json(&["audit", "list", "--limit", "10"]);
    assert!(!trail.to_string().contains("12345678901234567890"), "arguments are not in the trail: {trail}");
}

#[test]
fn what_was_missed_while_paused_is_said_when_it_is_resumed() {
    let place = Place::new();
    for (name, said) in
        [("once", "of the missed ticks 1 runs now and 9 are left out"), ("all", "10 missed ticks run now")]
    {
        add(&place, name, "@every 1m", &["--missed", name]).ok();
        place.run(&["schedule", "pause", name]).ok();
        change(&place, "UPDATE schedules SET last_tick = last_tick - 600000");
        let resumed = place.run(&["schedule", "resume", name]).ok().out;
        assert!(resumed.contains(&format!("is resumed: {said} (missed = {name:?}), next at ")), "{resumed}");
    }
}

#[test]
fn pages_of_a_list_go_on_after_a_name() {
    let place = Place::new();
    for name in ["a", "b", "c"] {
        add(&place, name, "@daily", &[]).ok();
    }
    let first = place.run(&["schedule", "list", "--limit", "2"]).ok();
    assert!(first.err.contains("add --after b"), "{}", first.err);
    assert_eq!(names(&place.json(&["schedule", "list", "--after", "b"])), ["c"]);
    assert!(!place.run(&["schedule", "list", "--limit", "3"]).ok().err.contains("--after"));
    place.run(&["schedule", "show", "bb.x"]).failed(3, &["there is no schedule bb.x"]);
    add(&place, "nightly", "@daily", &[]).ok();
    for words in
        [["show", "nigthly"], ["pause", "nigthly"], ["resume", "nigthly"], ["run", "nigthly"], ["next", "nigthly"]]
    {
        place.run(&[&["schedule"], words.as_slice()].concat()).failed(3, &["did you mean nightly?"]);
    }
}

#[test]
fn the_next_runs_are_told_with_what_the_clocks_do() {
    let place = Place::new();
    let next = |more: &[&str]| place.run(&[&["schedule", "next"], more].concat());
    let spring = next(&[
        "--cron",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--after",
        "2026-03-27T12:00:00Z",
        "--count",
        "3",
    ])
    .ok();
    for part in [
        "At 02:30 every day (Europe/Berlin)",
        "Sat 2026-03-28 02:30:00 +01:00  2026-03-28T01:30:00.000Z",
        "Sun 2026-03-29 03:00:00 +02:00  2026-03-29T01:00:00.000Z  02:30 does not exist",
        "Mon 2026-03-30 02:30:00 +02:00  2026-03-30T00:30:00.000Z",
    ] {
        assert!(spring.out.contains(part), "{part:?} is not in {}", spring.out);
    }
    let words =
        ["schedule", "next", "--cron", "@daily", "--timezone", "Asia/Shanghai", "--after", "2026-01-01T00:00:00Z"];
    let json = place.json(&words);
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(10));
    assert_eq!(json["runs"][0]["local"], "2026-01-02T00:00:00+08:00");
    assert!(next(&["--cron", "0 0 30 2 *"]).ok().out.contains("It never runs."));
    add(&place, "bounded", "@daily", &["--starts-at", "2030-01-01T00:00:00Z", "--ends-at", "2030-01-03T00:00:00Z"])
        .ok();
    let bounded = place.json(&["schedule", "next", "bounded"]);
    let at: Vec<&str> = bounded["runs"].as_array().expect("runs").iter().filter_map(|run| run["at"].as_str()).collect();
    assert_eq!(at, ["2030-01-01T00:00:00.000Z", "2030-01-02T00:00:00.000Z"]);
    add(&place, "bounded", "@daily", &["--replace", "--jitter", "5m"]).ok();
    assert!(next(&["bounded"]).ok().out.contains("each put off by less than 5m"));
    next(&[]).failed(2, &["--cron"]);
}

#[test]
fn what_is_wrong_with_a_schedule_is_named_with_its_place() {
    let place = Place::new();
    let bad = |cron: &str, more: &[&str], parts: &[&str]| {
        add(&place, "n", cron, more).failed(2, parts);
        assert!(!place.path().join("lovage-data").exists(), "it is told before anything is opened");
    };
    bad("@daily", &["--timezone", "Europe/Berln"], &["timezone", "did you mean \"Europe/Berlin\"?"]);
    bad("@daily", &["--timezone", "Mars/Olympus"], &["there is no zone \"Mars/Olympus\""]);
    bad("@every 10ms", &[], &["cron", "1s"]);
    bad("1--100000000 * * * *", &[], &["cron", "minute", "column 3"]);
    bad("0 25 * * *", &[], &["cron", "hour: 25 at column 3", "0 to 23"]);
    bad(
        "@daily",
        &["--args", r#"{"d": "{{ tick.dat }}"}"#],
        &["args", "there is no placeholder {{ tick.dat }}", "tick.date"],
    );
    bad("@daily", &["--args", "{"], &["args", "not JSON"]);
    bad("@daily", &["--overlap", "never"], &["overlap", "unknown variant `never`", "queue_one"]);
    bad("@daily", &["--missed-max", "3"], &["missed_max", "missed = \"all\""]);
    bad("@daily", &["--jitter", "2h"], &["jitter", "at most 1h"]);
    bad("@daily", &["--priority", "11"], &["priority"]);
    bad("@daily", &["--timeout", "5"], &["timeout", "has no unit"]);
    bad("@daily", &["--queue", "A"], &["queue", "a-z"]);
    bad("@daily", &["--starts-at", "soon"], &["starts_at", "RFC 3339"]);
    add(&place, "Nightly", "@daily", &[]).failed(2, &["name", "a-z"]);
    let never = add(&place, "never", "0 0 30 2 *", &[]).ok().out;
    assert!(never.contains("it never runs"), "{never}");
    assert_eq!(place.json(&["schedule", "list"])[0]["state"], "ended");
    let unknown = place.run(&["--json", "schedule", "add", "odd", "--cron", "@daily", "--kind", "export.qeury"]).ok();
    for told in [&unknown.err, &unknown.out] {
        assert!(told.contains("has no handler for") && told.contains("did you mean"), "{told}");
    }
    assert_eq!(place.json(&["schedule", "show", "odd"])["kind"], "export.qeury", "it is kept");
}

#[test]
fn a_file_of_schedules_is_applied_as_a_whole() {
    let place = Place::new();
    let toml = |names: &[(&str, &str)]| {
        let one = |(name, cron): &(&str, &str)| {
            format!("[[schedules]]\nname = \"{name}\"\ncron = \"{cron}\"\nqueue = \"mail\"\nkind = \"debug.noop\"\n")
        };
        names.iter().map(one).collect::<String>()
    };
    let statuses = |ran: Ran| -> Vec<String> {
        let list = ran.ok().value();
        let status = |line: &Value| format!("{} {}", line["name"].as_str().unwrap(), line["status"].as_str().unwrap());
        list.as_array().expect("a list").iter().map(status).collect()
    };
    let apply = |more: &[&str]| place.run(&[&["--json", "schedule", "apply"], more].concat());
    place.file("s.toml", &toml(&[("a", "@daily"), ("b", "@hourly")]));
    assert_eq!(statuses(apply(&["s.toml"])), ["a added", "b added"]);
    place.file("s.toml", &toml(&[("a", "@daily"), ("b", "@weekly"), ("c", "@daily")]));
    let rehearsed = apply(&["s.toml", "--dry-run"]);
    assert_eq!(statuses(rehearsed), ["a same", "b changed", "c added"]);
    assert_eq!(names(&place.json(&["schedule", "list"])), ["a", "b"], "nothing was written");
    let shown = place.run(&["schedule", "apply", "s.toml", "--dry-run"]).ok();
    assert!(shown.out.contains("would be changed") && shown.out.contains("as it was"), "{}", shown.out);
    assert_eq!(statuses(apply(&["s.toml"])), ["a same", "b changed", "c added"]);

    place.file("bad.toml", &toml(&[("a", "@monthly"), ("d", "61 * * * *")]));
    apply(&["bad.toml"]).failed(2, &["bad.toml:8: cron: of schedule d: minute: 61 at column 1", "0 to 59"]);
    assert_eq!(place.json(&["schedule", "show", "a"])["cron"], "0 0 * * *", "nothing of a bad file is written");
    place.file("twice.toml", &toml(&[("a", "@daily"), ("a", "@daily")]));
    apply(&["twice.toml"]).failed(2, &["twice.toml:6: name: schedule a stands in line 1, too"]);
    place.file("settings.toml", "concurrency = 3\n");
    apply(&["settings.toml"]).failed(2, &["settings.toml:1: concurrency", "[[schedules]]"]);
    apply(&["nowhere.toml"]).failed(2, &["nowhere.toml", "cannot be read"]);
    // A pipe whose other end has failed.
    for empty in ["", "\n", "# nothing\n"] {
        let ran = place.run_reading(empty, &["schedule", "apply", "-", "--prune", "--yes"]);
        ran.failed(2, &["file: - says nothing of schedules", "schedules = []"]);
    }
    assert_eq!(names(&place.json(&["schedule", "list"])), ["a", "b", "c"]);

    let line = |name: &str| format!(r#"{{"name": "{name}", "cron": "@daily", "queue": "mail", "kind": "debug.noop"}}"#);
    place.file("s.json", &format!("[{}, {}]", line("a"), line("e")));
    assert_eq!(statuses(apply(&["s.json"])), ["a same", "e added"]);
    let lines = format!("{}\n{}\n", line("e"), line("f"));
    assert_eq!(statuses(place.run_reading(&lines, &["--json", "schedule", "apply", "-"])), ["e same", "f added"]);
    place.file("bad.json", &format!("[{}, {}]", line("a"), line("a").replace("queue", "qeue")));
    apply(&["bad.json"]).failed(
        2,
        &["bad.json: schedule number 2: qeue: of schedule a: there is no such field", "did you mean \"queue\"?"],
    );

    apply(&["s.json", "--prune"]).failed(2, &["Delete 3 schedules that s.json does not have: b, c, f?", "--yes"]);
    assert_eq!(
        statuses(apply(&["s.json", "--prune", "--yes"])),
        ["a same", "e same", "b deleted", "c deleted", "f deleted"]
    );
    assert_eq!(names(&place.json(&["schedule", "list"])), ["a", "e"]);
    let all = place.run_reading("[]", &["--json", "schedule", "apply", "-", "--prune", "--yes"]);
    assert_eq!(statuses(all), ["a deleted", "e deleted"]);
}

#[test]
fn a_change_of_one_field_leaves_the_others() {
    let place = Place::new();
    let more = ["--args", r#"{"n": 12345678901234567890}"#, "--jitter", "5m", "--overlap", "skip", "--tag", "a"];
    add(&place, "nightly", "0 2 * * *", &more).ok();
    let change = |more: &[&str]| place.run(&[&["schedule", "change", "nightly"], more].concat());
    let spec = || place.json(&["schedule", "show", "nightly"])["spec"].clone();
    let before = spec();
    let told = change(&["--cron", "0 3 * * *", "--success-within", "26h", "--unset", "jitter"]).ok();
    assert!(told.out.contains("is changed: at 03:00 every day"), "{}", told.out);
    let mut expected = before;
    expected["cron"] = "0 3 * * *".into();
    expected["success_within"] = "1d2h".into();
    expected.as_object_mut().unwrap().remove("jitter");
    assert_eq!(spec(), expected);
    assert!(place.run(&["schedule", "show", "nightly"]).out.contains("12345678901234567890"), "numbers stay exact");
    assert!(change(&["--tag", "a"]).ok().out.contains("is as it was"));

    let long = "x".repeat(1_001);
    change(&["--description", &long]).failed(2, &["description: of schedule nightly: is too long", "1000"]);
    place.run(&["schedule", "pause", "nightly", "--why", &long]).failed(2, &["why: is too long", "500"]);
    for zone in ["localtime", "Local", "posixrules", "Etc/Unknown", "factory"] {
        let refused = change(&["--timezone", zone]).failed(2, &["timezone: of schedule nightly", "there is no zone"]);
        assert!(!refused.err.contains("did you mean \"Local"), "{}", refused.err);
    }
    let shown = place.run(&["schedule", "list", "--after", "zzz"]).ok();
    assert_eq!(shown.out, "There is no schedule after zzz.\n");
    change(&[]).failed(2, &["say what is to be changed", "--cron"]);
    change(&["--unset", "jiter"]).failed(2, &["unset: there is no field jiter; did you mean jitter?"]);
    change(&["--unset", "kind"]).failed(2, &["unset: kind cannot be left out"]);
    change(&["--cron", "61 * * * *"]).failed(2, &["cron: of schedule nightly: minute: 61 at column 1"]);
    change(&["--unset", "overlap", "--missed-max", "5"]).failed(2, &["missed_max: of schedule nightly"]);
    place.run(&["schedule", "change", "nightli", "--cron", "@daily"]).failed(3, &["did you mean nightly?"]);
    place
        .run(&["schedule", "add", "n", "--kind", "k"])
        .failed(2, &["cron: of schedule n: is missing; say when it runs"]);
}

#[tokio::test]
async fn a_schedule_of_each_second_is_run_by_up_and_its_history_shows_it() {
    let place = Place::new();
    add(&place, "pulse", "@every 1s", &["--args", r#"{"at": "{{ tick.instant }}"}"#]).ok();
    let up = place.start(&[], &["up"]);
    let completed = eventually("two ticks are completed", PATIENCE, async || {
        let list = place.json(&["schedule", "history", "pulse"]);
        let completed: Vec<Value> =
            list.as_array()?.iter().filter(|run| run["state"] == "completed").cloned().collect();
        (completed.len() >= 2).then_some(completed)
    })
    .await;
    for run in &completed {
        assert_eq!((&run["outcome"], run["took_ms"].is_u64()), (&json!("enqueued"), true), "{run}");
        let job = place.json(&["job", "get", run["job"].as_str().expect("a job")]);
        assert_eq!((&job["args"]["at"], &job["metadata"]["tick"]), (&run["tick"], &run["tick"]));
    }
    let list = place.run(&["schedule", "list"]).ok().out;
    assert!(list.contains("every second") && list.contains("active"), "{list}");
    let history = place.run(&["schedule", "history", "pulse", "--limit", "5"]).ok();
    assert!(history.out.contains("completed after "), "{}", history.out);
    assert!(history.err.contains("add --before") || history.out.lines().count() < 6, "{}", history.err);
    let waited = place.run(&["--json", "schedule", "run", "pulse", "--wait"]).ok().value();
    assert_eq!((&waited["state"], &waited["unique_key"]), (&json!("completed"), &Value::Null));

    place.run(&["schedule", "pause", "pulse", "--why", "a test"]).ok();
    let doctor = place.json(&["doctor"]);
    let found = doctor.as_array().expect("findings").iter().find(|row| row["check"] == "schedules").expect("a line");
    assert_eq!((&found["ok"], &found["finding"]), (&json!(true), &json!("1, 1 paused, 0 overdue")));
    stop(up).await;
}

#[tokio::test]
async fn schedules_of_the_configuration_are_changed_in_the_configuration_only() {
    let place = Place::new();
    let one = |name: &str| {
        format!("\n[[schedules]]\nname = \"{name}\"\ncron = \"@daily\"\nqueue = \"mail\"\nkind = \"debug.noop\"\n")
    };
    place.file("lovage.toml", &(one("kept") + &one("gone")));
    add(&place, "kept", "@daily", &["--replace"]).failed(5, &["managed by code", "lovage.toml:2"]);
    let managed = async |wanted: &[&str]| {
        eventually("they are in force", PATIENCE, async || {
            let list = place.json(&["schedule", "list"]);
            let by_code = list.as_array()?.iter().all(|line| line["managed_by"] == "code");
            (by_code && names(&list) == wanted).then_some(())
        })
        .await;
    };
    let up = place.start(&[], &["up"]);
    managed(&["gone", "kept"]).await;
    place
        .run(&["--yes", "schedule", "delete", "gone"])
        .failed(5, &["managed by code", "cannot be deleted", "lovage.toml:8"]);
    place.file("s.toml", one("kept").trim_start());
    place.run(&["schedule", "apply", "s.toml"]).failed(5, &["managed by code", "cannot be changed"]);
    place.run(&["schedule", "pause", "kept", "--why", "a test"]).ok();
    stop(up).await;
    place.file("lovage.toml", &one("kept").replace("debug.noop", "debug.nop"));
    let up = place.start(&[], &["up"]);
    eventually("the other file is in force", PATIENCE, async || {
        let list = place.json(&["schedule", "list"]);
        let states: Vec<&str> = list.as_array()?.iter().filter_map(|line| line["state"].as_str()).collect();
        // A pause outlives a restart.
        (states == ["withdrawn", "paused"]).then_some(())
    })
    .await;
    let shown = place.run(&["schedule", "show", "gone"]).ok();
    assert!(shown.out.contains("no configuration of a scheduler that leads has it"), "{}", shown.out);
    assert!(place.run(&["doctor"]).out.contains("1 paused, 0 overdue, 1 withdrawn by the configuration"));
    let told = up.output();
    assert!(told.contains("no handler for \"debug.nop\"") && told.contains("did you mean \"debug.noop\"?"), "{told}");
    stop(up).await;
    // Without its file a scheduler lets them be, and what was withdrawn may be deleted.
    std::fs::remove_file(place.path().join("lovage.toml")).expect("the file is there");
    let up = place.start(&[], &["up"]);
    eventually("it says so", PATIENCE, async || {
        up.output().contains("this configuration says nothing of schedules").then_some(())
    })
    .await;
    place.run(&["schedule", "show", "kept"]).ok();
    place.run(&["--yes", "schedule", "delete", "gone"]).ok();
    place.run(&["schedule", "change", "kept", "--cron", "@weekly"]).failed(5, &["managed by code"]);
    assert_eq!(names(&place.json(&["schedule", "list"])), ["kept"]);
    stop(up).await;
    place.file("lovage.toml", &one("kept").replace("@daily", "0 99 * * *"));
    place.run(&["up"]).failed(2, &["lovage.toml:4: cron: of schedule kept: hour: 99 at column 3"]);
}

#[test]
fn a_doctor_tells_that_nobody_runs_what_is_due_or_had_no_success() {
    let place = Place::new();
    add(&place, "pulse", "@every 1s", &[]).ok();
    place.run(&["doctor"]).ok();
    change(&place, "UPDATE schedules SET next_at = next_at - 120000");
    place.run(&["doctor"]).failed(1, &["1 of"]);
    let doctor = place.run(&["doctor"]);
    assert!(doctor.out.contains("nobody runs 1 of them: start `lovage scheduler`"), "{}", doctor.out);
    change(&place, "UPDATE schedules SET overdue_since = 1");
    let doctor = place.run(&["doctor"]).failed(1, &["1 of"]);
    assert!(doctor.out.contains("1 overdue (pulse): `lovage schedule history pulse`"), "{}", doctor.out);
    assert_eq!(place.json(&["schedule", "list"])[0]["state"], "overdue");
    change(&place, "UPDATE schedules SET overdue_since = NULL, next_at = next_at + 600000");
    place.run(&["doctor"]).ok();
    place.file("lovage.toml", "[[schedules]]\nname = \"pulse\"\ncron = \"@daily\"\nqueue = \"q\"\nkind = \"k\"\n");
    let doctor = place.run(&["doctor"]).failed(1, &["1 of"]);
    assert!(
        doctor.out.contains("pulse of the configuration has the name of one that an operator has made"),
        "{}",
        doctor.out
    );
}

#[tokio::test]
async fn schedules_without_a_ledger_are_told_of() {
    let place = Place::new();
    let server = RedisServer::start();
    let url = server.url();
    let variables = [("REDIS_URL", url.as_str())];
    place.file(
        "lovage.toml",
        "[[schedules]]\nname = \"n\"\ncron = \"@daily\"\nqueue = \"mail\"\nkind = \"debug.noop\"\n",
    );
    let up = place.start(&variables, &["up"]);
    eventually("it is told", PATIENCE, async || up.output().contains("need a ledger: set ledger.url").then_some(()))
        .await;
    stop(up).await;
    let doctor = place.run_with(&variables, &["doctor"]).failed(1, &[]);
    assert!(doctor.out.contains("without ledger.url (LOVAGE_LEDGER__URL) nobody runs them"), "{}", doctor.out);
    place.run_with(&variables, &["schedule", "list"]).failed(2, &["ledger.url"]);
}
