//! The demo and the files that it leaves: the first thing that a newcomer sees.

use std::io::{Seek as _, SeekFrom, Write as _};

use lovage_artifacts::{ArtifactStore, StoreConfig};
use lovage_testkit::{RedisServer, S3Server};
use serde_json::{Value, json};

use crate::place::Place;

/// Runs the demo and answers the first of its files, a CSV, with the command that checks it.
fn demo(place: &Place, variables: &[(&str, &str)]) -> Value {
    let mut shown = place.run_with(variables, &["--json", "demo", "--rows", "5000"]).ok().value();
    let files = shown["files"].as_array().expect("a list");
    assert_eq!(files.len(), 7, "every format");
    assert!(files.iter().all(|file| file["rows"] == 5_000), "{files:?}");
    let mut first = files[0].clone();
    (first["verify"], first["audit"]) = (shown["verify"].take(), shown["audit"].take());
    first
}

#[test]
fn the_demo_exports_and_its_file_can_be_verified() {
    let place = Place::new();
    let first = demo(&place, &[]);
    assert_eq!(first["rows"], json!(5_000));
    let path = first["artifact"].as_str().expect("a path").to_owned();
    let text = std::fs::read_to_string(&path).expect("the artifact is a file");
    assert_eq!(text.len() as u64, first["bytes"].as_u64().expect("a number"));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("id,customer,city,status,items,amount,currency,note,created_at,paid_at"));
    assert!(
        lines.next().is_some_and(|line| line.starts_with("9007199254740993,王伟,北京,")),
        "exact integers and text"
    );
    assert!(first["verify"].as_str().is_some_and(|command| command.ends_with(&format!("artifact verify {path}"))));

    let verified = place.json(&["artifact", "verify", &path]);
    assert_eq!((&verified["verified"], &verified["job"]), (&json!(true), &first["job"]));
    assert_eq!(verified["files"][0]["sha256"], first["sha256"]);
    let view = place.json(&["job", "get", first["job"].as_str().expect("an id")]);
    assert_eq!((&view["state"], &view["attempt"]), (&json!("completed"), &json!(1)));

    let second = demo(&place, &[]);
    assert_ne!(first["job"], second["job"], "it can be run again");
    assert_eq!(first["sha256"], second["sha256"], "the same content");
    let trail = |shown: &Value| (shown["audit"]["verified"].clone(), shown["audit"]["records"].clone());
    assert_eq!((trail(&first), trail(&second)), ((json!(true), json!(10_000)), (json!(true), json!(20_000))));

    let mut file = std::fs::File::options().write(true).open(&path).expect("the artifact can be opened");
    file.seek(SeekFrom::Start(1_000)).and_then(|_| file.write_all(b"#")).expect("one byte is changed");
    place.run(&["artifact", "verify", &path]).failed(1, &["sha256", "the manifest says"]);
    let kept = second["artifact"].as_str().expect("a path");
    place.run(&["artifact", "verify", kept]).ok();
    std::fs::remove_file(kept).expect("the artifact can be removed");
    let manifest = std::path::Path::new(kept).ancestors().nth(2).expect("the job's folder").join("manifest.json");
    place.run(&["artifact", "verify", manifest.to_str().expect("text")]).failed(1, &["missing"]);
}

#[test]
fn the_demo_runs_on_redis_too() {
    let server = RedisServer::start();
    let place = Place::new();
    let url = server.url();
    let shown = demo(&place, &[("REDIS_URL", &url)]);
    assert_eq!(shown["rows"], json!(5_000));
    assert!(!place.path().join("lovage-data/lovage.db").exists(), "the embedded broker is not touched");
    let listed = place.run_with(&[("REDIS_URL", &url)], &["--json", "queue", "list"]).ok().value();
    assert_eq!((&listed[0]["name"], &listed[0]["counts"]["completed"]), (&json!("demo"), &json!(7)));
}

#[test]
fn the_demo_writes_to_s3_and_its_file_is_verified_there() {
    let server = S3Server::start("files");
    let place = Place::new();
    let settings = server.settings();
    let mut variables: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("LOVAGE_STORAGE_URL", "s3://files/exports"));
    let shown = demo(&place, &variables);
    let artifact = shown["artifact"].as_str().expect("an address");
    assert!(artifact.starts_with("s3://files/exports/jobs/demo/"), "{artifact}");
    let key = artifact.strip_prefix("s3://files/exports/").expect("a key");
    for name in [artifact, key] {
        let verified = place.run_with(&variables, &["--json", "artifact", "verify", name]).ok().value();
        assert_eq!(verified["files"][0]["sha256"], shown["sha256"]);
    }
    let config = StoreConfig::new("s3://files/exports");
    let config = settings.iter().fold(config, |config, (name, value)| config.with(*name, value.as_str()));
    let store = ArtifactStore::open(&config).expect("the bucket opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(store.remove(key)).expect("the file is removed behind the manifest's back");
    place.run_with(&variables, &["artifact", "verify", key]).failed(1, &["missing"]);
    place.run_with(&variables, &["doctor"]).ok();
    variables.push(("LOVAGE_STORAGE_URL", "s3://nowhere"));
    place.run_with(&variables, &["doctor"]).failed(1, &["1 of"]);
}

#[test]
fn people_see_the_way_of_the_demo() {
    let place = Place::new();
    let ran = place.run(&["demo"]).ok();
    for part in [
        "FORMAT",
        "csv for Excel",
        "orders.xlsx",
        "orders.parquet",
        "orders.csv.zst",
        "100000",
        "artifact verify ",
        "A schedule (@every 1s) fired at ",
        "2 of its 2 jobs are completed",
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
    assert!(ran.err.contains("broker   embedded SQLite"), "{}", ran.err);
}

/// What is not known of a job keeps its files, and a command that could not look at all of them did not succeed.
#[test]
fn a_job_that_cannot_be_asked_for_keeps_its_files() {
    let place = Place::new();
    let redis = RedisServer::start();
    let url = redis.url();
    let variables = [("REDIS_URL", url.as_str()), ("LOVAGE_AUDIT__OPERATORS", "false")];
    place.run_with(&variables, &["job", "enqueue", "debug.noop", "--id", "damaged", "--queue", "exports"]).ok();
    redis.ask(&["HSET", "lovage:{exports}:head", "damaged", "x"]);
    let file = |job: &str| {
        let folder = place.path().join(format!("lovage-data/artifacts/jobs/exports/{job}/1-1"));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("half.csv"), "half").expect("a file");
        folder.join("half.csv")
    };
    let (kept, gone) = (file("damaged"), file("gone"));
    let sweep = place.run_with(&variables, &["--json", "--yes", "artifact", "sweep", "--older-than", "0s"]);
    let sweep = sweep.failed(1, &["something unexpected"]);
    assert_eq!(sweep.value()["removed"], json!(["jobs/exports/gone/1-1/half.csv"]));
    assert!(kept.exists() && !gone.exists());
}

#[test]
fn orphans_are_shown_and_swept() {
    let place = Place::new();
    let folder = place.path().join("lovage-data/artifacts/jobs/exports/gone/1-1");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("half.csv"), "half").expect("a file");
    let looked = place.json(&["artifact", "sweep", "--older-than", "0s", "--dry-run"]);
    assert_eq!(looked["removed"], json!(["jobs/exports/gone/1-1/half.csv"]));
    assert_eq!(place.json(&["--yes", "artifact", "sweep"])["removed"], json!([]), "it is too young");
    place.run(&["artifact", "sweep", "--older-than", "0s"]).failed(2, &["--yes"]);
    assert!(folder.join("half.csv").exists());
    assert_eq!(place.json(&["--yes", "artifact", "sweep", "--older-than", "0s"])["bytes"], json!(4));
    assert!(!folder.join("half.csv").exists());

    let newer = folder.parent().expect("the job's folder").join("manifest.json");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("half.csv"), "half").expect("a file");
    std::fs::write(&newer, r#"{"version": 1000}"#).expect("a file");
    let swept = place.json(&["--yes", "artifact", "sweep", "--older-than", "0s"]);
    assert_eq!(swept["removed"], json!([]));
    assert!(swept["unreadable"][0].as_str().is_some_and(|problem| problem.contains("1000")), "{swept}");
    let people = place.run(&["--yes", "artifact", "sweep", "--older-than", "0s"]).ok();
    assert!(people.err.contains("Kept: jobs/exports/gone/manifest.json"), "{}", people.err);
}
