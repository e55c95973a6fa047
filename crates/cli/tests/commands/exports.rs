//! Exports after they are done: looked at, handed out, checked, kept, and deleted.

use std::path::PathBuf;

use lovage_testkit::S3Server;
use serde_json::{Value, json};

use crate::place::Place;

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

/// Has the files of an export expire long ago.
fn expire(place: &Place, id: &str) {
    let manifest = place.path().join("lovage-data/artifacts/jobs/exports").join(id).join("manifest.json");
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
    let listed = place.run_with(&variables, &["--json", "export", "list"]).ok().value();
    assert_eq!(listed[0]["job"], json!("first"));
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
