//! Exports after they are done: looked at, handed out, checked, kept, and deleted.

use std::path::PathBuf;

use lovage_testkit::{S3Server, Signal, eventually};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place};

const ARGS: &str = r#"{"sql": "select 1 as id, '王' as name", "name": "订单.csv"}"#;

/// Runs an export of one row under this id; answers nothing, the commands will.
fn export(place: &Place, variables: &[(&str, &str)], id: &str) {
    place.file("empty.db", "");
    let mut variables = variables.to_vec();
    variables.push(("DATABASE_URL", "sqlite:empty.db"));
    let args = ["job", "run", "export.query", "--queue", "exports", "--id", id, "--args", ARGS];
    place.run_with(&variables, &args).ok();
}

fn file(place: &Place, id: &str) -> PathBuf {
    place.json(&["export", "link", id])["path"].as_str().expect("a path").into()
}

fn manifest(place: &Place, id: &str) -> PathBuf {
    place.path().join("lovage-data/artifacts/jobs/exports").join(id).join("manifest.json")
}

/// Has the files of an export expire long ago.
fn expire(place: &Place, id: &str) {
    let manifest = manifest(place, id);
    let mut text: Value = serde_json::from_str(&std::fs::read_to_string(&manifest).expect("a manifest")).expect("JSON");
    text["expires_at"] = json!(1_000);
    std::fs::write(manifest, text.to_string()).expect("the manifest can be changed");
}

#[test]
fn an_export_is_shown_with_its_job_and_its_files() {
    let place = Place::new();
    export(&place, &[], "first");
    let shown = place.json(&["export", "get", "first"]);
    assert_eq!(
        (&shown["state"], &shown["kind"], &shown["attempt"]),
        (&json!("completed"), &json!("export.query"), &json!(1))
    );
    assert_eq!((&shown["deleted"], &shown["held"], &shown["expires_at"]), (&Value::Null, &Value::Null, &Value::Null));
    let file = &shown["files"][0];
    assert_eq!((&file["name"], &file["rows"], &file["bytes"]), (&json!("订单.csv"), &json!(1), &json!(14)));
    assert_eq!((&file["source"], &file["columns"][1]["name"]), (&json!("default"), &json!("name")));
    let location = file["location"].as_str().expect("a path");
    assert_eq!(std::fs::read_to_string(place.path().join(location)).expect("the file"), "id,name\n1,王\n");

    let page = place.run(&["export", "get", "first"]).ok().out;
    for part in [
        "state        completed",
        "file         订单.csv",
        "rows         1",
        "columns      id",
        "source       default (sqlite)",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    place.run(&["job", "delete", "first", "--yes"]).ok();
    assert_eq!(place.json(&["export", "get", "first"])["state"], Value::Null, "the files outlive the job");

    place.enqueue(&["export.query", "--queue", "exports", "--id", "waiting", "--args", ARGS]);
    let waiting = place.json(&["export", "get", "waiting"]);
    assert_eq!((&waiting["state"], &waiting["files"]), (&json!("available"), &json!([])));
    assert!(place.run(&["export", "get", "waiting"]).ok().out.contains("file         none yet"));
    place.run(&["export", "get", "nothing"]).failed(3, &["there is no export nothing in queue exports"]);
    place.run(&["export", "link", "waiting"]).failed(3, &["no published file of job waiting"]);
}

#[test]
fn exports_are_listed_newest_first() {
    let place = Place::new();
    assert_eq!(place.json(&["export", "list"]), json!([]));
    for id in ["b", "a", "c"] {
        export(&place, &[], id);
    }
    let ids = |args: &[&str]| -> Vec<String> {
        let lines = place.json(args);
        lines.as_array().expect("a list").iter().map(|line| line["job"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&["export", "list"]), ["c", "a", "b"]);
    assert_eq!(ids(&["export", "list", "--limit", "2"]), ["c", "a"]);
    assert!(ids(&["export", "list", "--queue", "others"]).is_empty());
    let ran = place.run(&["export", "list", "--limit", "2"]).ok();
    assert!(ran.out.starts_with("JOB  PUBLISHED") && ran.out.contains("订单.csv"), "{}", ran.out);
    assert!(ran.err.contains("There are more than these 2"), "{}", ran.err);
    std::fs::write(manifest(&place, "a"), "{").expect("the manifest can be changed");
    let ran = place.run(&["export", "list"]).failed(1, &["not shown: jobs/exports/a/manifest.json cannot be read"]);
    assert_eq!(ran.out.lines().count(), 3, "the others are: {}", ran.out);
}

#[test]
fn the_files_of_a_tenant_are_kept_as_long_as_it_was_promised() {
    let place = Place::new();
    place.file("empty.db", "");
    let lines = [
        "database_url = 'sqlite:empty.db'",
        "[exports]\nkeep = '90d'",
        "[exports.keep_by_tenant]\nacme = '7d'",
        "[datasets.rows]\nsql = 'select 1 as id'\nkeep = '30d'",
        "[datasets.plain]\nsql = 'select 1 as id'",
    ];
    place.file("lovage.toml", &lines.join("\n"));
    for (dataset, tenant, days) in [("rows", "acme", 7), ("rows", "globex", 30), ("plain", "globex", 90)] {
        let made = place.json(&["export", "run", dataset, "--tenant", tenant]);
        let job = made["job"].as_str().expect("an id");
        let shown = place.json(&["export", "get", job, "--queue", "run"]);
        let time = |field: &str| shown[field].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
        let kept = time("expires_at").duration_since(time("created_at"));
        assert_eq!((kept.as_hours() + 1) / 24, days, "{shown}");
    }
}

#[test]
fn a_link_to_a_folder_is_the_path_of_the_file() {
    let place = Place::new();
    export(&place, &[], "first");
    let link = place.json(&["export", "link", "first"]);
    assert_eq!((&link["url"], &link["expires_at"], &link["file"]), (&Value::Null, &Value::Null, &json!("订单.csv")));
    let path = link["path"].as_str().expect("a path");
    assert!(path.starts_with('/') && std::fs::exists(path).is_ok_and(|there| there), "{path}");
    let ran = place.run(&["export", "link", "first"]).ok();
    assert_eq!(ran.out.trim(), path, "the path alone, for scripts");
    place.run(&["export", "link", "first", "--file", "other.csv"]).failed(3, &["other.csv", "订单.csv"]);
    place.run(&["export", "link", "first", "--expires", "8d"]).failed(2, &["expires: ", "use 1s to 7d"]);
    place.run(&["export", "link", "first", "--expires", "soon"]).failed(2, &["expires: "]);
    place.run(&["export", "link", "first", "--name", "../x"]).failed(2, &["--name"]);
}

#[test]
fn a_link_to_a_bucket_works_without_credentials_and_carries_the_name() {
    let server = S3Server::start("files");
    let place = Place::new();
    let settings = server.settings();
    let mut variables: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("LOVAGE_STORAGE_URL", "s3://files/some/prefix"));
    export(&place, &variables, "first");
    let args = ["--json", "export", "link", "first", "--expires", "5m", "--name", "下载.csv"];
    let link = place.run_with(&variables, &args).ok().value();
    assert_eq!((&link["saved_as"], &link["path"]), (&json!("下载.csv"), &Value::Null));
    let url = link["url"].as_str().expect("an address");
    let path = url.strip_prefix(&server.endpoint()).expect("an address of the server");
    assert!(
        path.contains("X-Amz-Expires=300") && path.contains("UTF-8%27%27%25E4%25B8%258B%25E8%25BD%25BD.csv"),
        "{path}"
    );
    assert_eq!(server.request("GET", path), (200, "id,name\n1,王\n".to_owned()));
    let ran = place.run_with(&variables, &["export", "link", "first"]).ok();
    assert!(ran.out.starts_with("http://") && ran.out.trim().lines().count() == 1, "{}", ran.out);
    assert!(ran.err.contains("Whoever has this link can fetch 订单.csv until"), "{}", ran.err);
    assert!(!ran.err.contains("X-Amz"), "it is not logged: {}", ran.err);
    variables.push(("LOVAGE_STORAGE_PUBLIC_ENDPOINT", "https://files.example.com"));
    let ran = place.run_with(&variables, &["export", "link", "first"]).ok();
    assert!(ran.out.starts_with("https://files.example.com/files/some/prefix/jobs/exports/first/"), "{}", ran.out);
    let listed = place.run_with(&variables, &["--json", "export", "list"]).ok().value();
    assert_eq!(listed[0]["job"], json!("first"));
}

#[tokio::test]
async fn the_scheduler_deletes_files_whose_time_is_over_and_what_killed_attempts_left() {
    let place = Place::new();
    export(&place, &[], "over");
    let over = file(&place, "over");
    expire(&place, "over");
    let orphan = place.path().join("lovage-data/artifacts/jobs/exports/gone/1-1/half.csv");
    std::fs::create_dir_all(orphan.parent().expect("a folder")).expect("a folder");
    std::fs::write(&orphan, "half").expect("a file");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_hours(1);
    let file = std::fs::File::options().write(true).open(&orphan).expect("the file");
    file.set_modified(long_ago).expect("it is old");

    let mut scheduler = place.start(&[], &["scheduler"]);
    let event = eventually("it is recorded", PATIENCE, async || {
        let list = place.json(&["audit", "list"]);
        list.as_array().and_then(|list| list.iter().find(|event| event["action"] == "artifact.expire").cloned())
    })
    .await;
    assert!(!over.exists() && !orphan.exists());
    assert_eq!((&event["target"], &event["metadata"]), (&json!("artifacts"), &json!({ "jobs": 1, "bytes": 14 })));
    assert!(event["actor"].as_str().is_some_and(|actor| actor.starts_with("scheduler:")), "{event}");
    place.run(&["export", "link", "over"]).failed(3, &["by retention"]);
    scheduler.signal(Signal::Term);
    assert!(scheduler.ended(PATIENCE).await.success(), "{}", scheduler.output());
}

/// Duties that need no storage are done without one.
#[tokio::test]
async fn a_scheduler_without_its_storage_says_so_and_leads() {
    let place = Place::new();
    let variables = [("LOVAGE_STORAGE_URL", "/dev/null/nowhere"), ("LOVAGE_LOG_FORMAT", "json")];
    let mut scheduler = place.start(&variables, &["scheduler"]);
    place.run(&["job", "enqueue", "debug.noop", "--id", "one"]).ok();
    eventually("it is recorded", PATIENCE, async || {
        let list = place.json(&["job", "list", "--filter", "id:one"])["jobs"].take();
        list.as_array().is_some_and(|list| !list.is_empty()).then_some(())
    })
    .await;
    scheduler.signal(Signal::Term);
    assert!(scheduler.ended(PATIENCE).await.success(), "{}", scheduler.output());
    for told in ["nobody removes files", "/dev/null/nowhere"] {
        assert!(scheduler.output().contains(told), "{told} is not in {}", scheduler.output());
    }
}

#[test]
fn an_export_is_verified_by_job_path_or_key() {
    let place = Place::new();
    export(&place, &[], "first");
    let path = file(&place, "first").display().to_string();
    for what in ["first", path.as_str(), "jobs/exports/first/manifest.json", "jobs/exports/first/1-1/订单.csv"] {
        let verified = place.json(&["export", "verify", what]);
        assert_eq!(verified["files"][0]["bytes"], json!(14), "{what}");
        assert_eq!(verified["verified"], json!(true));
    }
    std::fs::write(&path, "id,name\n1,李\n").expect("the file can be changed");
    place.run(&["export", "verify", "first"]).failed(1, &["sha256", "the manifest says"]);
    place.run(&["export", "verify", "nothing"]).failed(3, &["no published file of job nothing"]);
}

#[test]
fn files_go_on_request_or_in_time_and_a_hold_keeps_them() {
    let place = Place::new();
    for id in ["asked", "over", "held", "kept"] {
        export(&place, &[], id);
    }
    let (asked, over) = (file(&place, "asked"), file(&place, "over"));
    place.run(&["export", "delete", "asked"]).failed(2, &["--yes"]);
    assert!(asked.exists());
    let gone = place.json(&["--yes", "export", "delete", "asked", "--reason", "they asked"]);
    assert_eq!(
        (&gone["by"], &gone["reason"], &gone["files"][0]["bytes"]),
        (&json!("request"), &json!("they asked"), &json!(14))
    );
    assert!(!asked.exists());
    for command in ["link", "verify", "hold"] {
        place.run(&["export", command, "asked"]).failed(3, &["were deleted on 20", "on request: they asked"]);
    }
    assert!(place.run(&["export", "get", "asked"]).ok().out.contains("on request: they asked"));
    assert_eq!(place.json(&["--yes", "export", "delete", "asked"])["deleted_at"], gone["deleted_at"], "once is enough");
    place.run(&["--yes", "export", "delete", "nothing"]).failed(3, &["no published file"]);

    expire(&place, "over");
    expire(&place, "held");
    assert_eq!(place.json(&["export", "hold", "held", "--reason", "case 7"])["held"], json!(true));
    place.run(&["--yes", "export", "delete", "held"]).failed(5, &["are held since", "(case 7)", "release"]);
    place.run(&["artifact", "expire"]).failed(2, &["--yes"]);
    let looked = place.json(&["artifact", "expire", "--dry-run"]);
    assert!(over.exists());
    let done = place.json(&["--yes", "artifact", "expire"]);
    assert_eq!((&looked["deleted"], &looked["dry_run"]), (&done["deleted"], &json!(true)));
    assert_eq!(
        (&done["deleted"][0]["job"], &done["bytes"], &done["deleted"].as_array().map(Vec::len)),
        (&json!("over"), &json!(14), &Some(1))
    );
    assert!(!over.exists());
    assert_eq!(done["held"], json!([{ "queue": "exports", "job": "held" }]));
    assert!(place.run(&["export", "list"]).ok().out.contains("deleted "));

    place.run(&["export", "release", "held"]).failed(2, &["--yes"]);
    assert_eq!(place.json(&["--yes", "export", "release", "held"])["held"], json!(false));
    let people = place.run(&["--yes", "artifact", "expire"]).ok();
    assert!(
        people.out.contains("1 jobs, 14 bytes deleted") && people.out.contains("held (queue exports"),
        "{}",
        people.out
    );
    place.run(&["export", "verify", "kept"]).ok();
}

const DATASETS: &str = r#"
[sources.shop]
url = "sqlite:shop.db"

[datasets.items]
source = "shop"
description = "What the shop sells"
sql = "select id, name from item where id >= :from and name in (select value from json_each(:names)) order by id"
formats = ["csv", "jsonl", "excel_csv"]
params.from = { type = "integer", default = 0 }
params.names = { type = "text", list = true }
"#;

fn shop(datasets: &str) -> Place {
    let place = Place::new();
    place.file("lovage.toml", datasets);
    let sql = "create table item (id integer, name text); insert into item values (1, '茶'), (2, '=x'), (3, 'c');";
    let made = std::process::Command::new("sqlite3").arg(place.path().join("shop.db")).arg(sql).status();
    assert!(made.expect("sqlite3 is missing: install it with `apt-get install sqlite3`").success());
    place
}

#[test]
fn a_dataset_is_exported_in_this_process() {
    let place = shop(DATASETS);
    let args = ["export", "run", "items", "--param", "names=茶", "--param", "names==x", "--format", "jsonl"];
    let made = place.json(&args);
    assert_eq!((&made["name"], &made["rows"]), (&json!("items.jsonl"), &json!(2)));
    let link = made["link"].as_str().expect("a path");
    let text = std::fs::read_to_string(link).expect("the file");
    assert_eq!(text, "{\"id\":1,\"name\":\"茶\"}\n{\"id\":2,\"name\":\"=x\"}\n");
    let ran = place.run(&["export", "run", "items", "--param", "names==x", "--format", "excel-csv"]).ok();
    for part in ["file      items.csv", "rows      1", "note      1 text", "link      /"] {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
    // Packed, with a name and a delimiter.
    let packed = ["--compression", "zip", "--name", "货.zip", "--delimiter", "semicolon", "--rows-per-file", "1"];
    let made =
        place.json(&[&["export", "run", "items", "--param", "names=茶", "--param", "names=c"][..], &packed].concat());
    assert_eq!((&made["name"], &made["rows"]), (&json!("货.zip"), &json!(2)));
}

#[test]
fn a_dataset_is_exported_by_a_worker_and_waited_for() {
    let place = shop(DATASETS);
    let _worker = place.start(&[], &["worker", "--queues", "exports=1"]);
    let args = ["export", "new", "items", "--param", "names=c", "--id", "monthly", "--wait", "--wait-timeout", "60s"];
    let made = place.json(&args);
    assert_eq!((&made["job"], &made["queue"], &made["rows"]), (&json!("monthly"), &json!("exports"), &json!(1)));
    assert_eq!(place.json(&args)["sha256"], made["sha256"], "the same id is the same export");
    place.json(&["export", "verify", "monthly"]);
    let shown = place.json(&["export", "get", "monthly"]);
    assert_eq!((&shown["dataset"], &shown["files"][0]["name"]), (&json!("items"), &json!("items.csv")));
}

#[test]
fn what_cannot_be_exported_is_said_with_the_field() {
    let place = shop(DATASETS);
    let run = |args: &[&str]| place.run(&[&["export", "run"], args].concat());
    run(&["itmes", "--param", "names=c"]).failed(1, &["dataset: \"itmes\" is not configured", "use one of: items"]);
    run(&["items"]).failed(1, &["params.names: is missing; send a list, each a text"]);
    run(&["items", "--param", "names=c", "--param", "from=x"])
        .failed(1, &["params.from: is \"x\"; send a whole number"]);
    run(&["items", "--param", "names=c", "--param", "to=3"]).failed(1, &["params.to: is not a parameter"]);
    run(&["items", "--param", "names=c", "--format", "xlsx"]).failed(1, &["format: xlsx is not allowed"]);
    run(&["items", "--param", "names"]).failed(2, &["has no `=`"]);
    run(&["items", "--param", "names=c", "--zone", "Mars/Base"]).failed(1, &["zone: \"Mars/Base\" is not a known"]);
    run(&[]).failed(2, &["DATASET"]);
    let raw = ["export", "run", "--sql", "select 1", "--source", "shop"];
    place.run(&raw).ok();
    place.run_with(&[("LOVAGE_ALLOW_RAW_SQL", "false")], &raw).failed(1, &["sql: is not accepted by this worker"]);
    // A mistake in the configuration stops everything that would use it.
    let broken = shop("[datasets.items]\nsql = \"select :nope\"\n");
    broken.run(&["export", "datasets"]).failed(2, &["datasets.items.sql: uses :nope, which is not a parameter"]);
    let broken = shop("[datasets.items]\nsql = \"select 1\"\nfromats = []\n");
    broken.run(&["export", "datasets"]).failed(2, &["lovage.toml:3", "unknown field `fromats`"]);
}

#[test]
fn datasets_are_listed_with_what_has_to_be_sent() {
    let place = shop(DATASETS);
    let listed = place.json(&["export", "datasets"]);
    assert_eq!((&listed[0]["name"], &listed[0]["params"][1]["required"]), (&json!("items"), &json!(true)));
    let table = place.run(&["export", "datasets"]).ok().out;
    assert!(table.contains("[from:integer] names:text..."), "{table}");
    let none = Place::new().run(&["export", "datasets"]).ok().out;
    assert!(none.contains("No dataset is configured"), "{none}");
}
