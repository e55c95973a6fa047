//! Settings: which source wins, and what is refused.

use serde_json::json;

use crate::place::Place;

#[test]
fn a_later_source_wins_and_is_named() {
    let place = Place::new();
    place.file("lovage.toml", "concurrency = 3\nlease_seconds = 40\n\n[sources.shop]\nurl = \"sqlite:shop.db\"\n");
    let args = ["--json", "--set", "environment=test", "config", "print"];
    let printed = place.run_with(&[("LOVAGE_LEASE_SECONDS", "50")], &args).ok().value();
    assert_eq!(printed["concurrency"], json!({"value": "3", "origin": "lovage.toml:1"}));
    assert_eq!(printed["lease_seconds"], json!({"value": "50", "origin": "environment LOVAGE_LEASE_SECONDS"}));
    assert_eq!(printed["environment"], json!({"value": "test", "origin": "option --set"}));
    assert_eq!(printed["queues"]["origin"], "default");
    place.file("other.toml", "concurrency = 9\n");
    let printed = place.json(&["--config", "other.toml", "config", "print"]);
    assert_eq!(printed["concurrency"]["value"], "9");
    assert_eq!(printed["lease_seconds"]["value"], "30", "only the named file is read");
}

#[test]
fn what_is_printed_can_be_read_again_and_holds_no_secret() {
    let place = Place::new();
    place.file("secret", "hunter2\n");
    let variables = [
        ("AWS_SECRET_ACCESS_KEY_FILE", "secret"),
        ("DATABASE_URL", "postgres://app:hunter2@db.example/shop"),
        ("LOVAGE_QUEUES", "exports=4,audit=8"),
    ];
    let printed = place.run_with(&variables, &["config", "print", "--redacted"]).ok().out;
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("postgres://app:***@db.example/shop"), "{printed}");
    place.file("lovage.toml", &printed);
    assert_eq!(place.json(&["config", "print"])["queues"]["value"], "exports=4,audit=8");
}

#[test]
fn unknown_names_and_wrong_values_are_refused_with_their_place() {
    let place = Place::new();
    place.file("lovage.toml", "\nquues = \"exports=4\"\n");
    place.run(&["queue", "list"]).failed(2, &["lovage.toml:2", "quues", "did you mean \"queues\"?"]);
    place.file("lovage.toml", "");
    place.run_with(&[("LOVAGE_QEUES", "a=1")], &["queue", "list"]).failed(2, &["LOVAGE_QEUES", "LOVAGE_QUEUES"]);
    place.run_with(&[("LOVAGE_QUEUES", "a=b")], &["queue", "list"]).failed(2, &["LOVAGE_QUEUES", "weight of a"]);
    place.run(&["worker", "--queues", "A=1"]).failed(2, &["option --queues", "a-z"]);
    place.run(&["worker", "--concurrency", "0"]).failed(2, &["option --concurrency", "1 to 1000"]);
    place.run(&["--set", "concurrency", "queue", "list"]).failed(2, &["--set NAME=VALUE"]);
    place.run(&["--set", "concurency=2", "queue", "list"]).failed(2, &["did you mean \"concurrency\"?"]);
    place.run(&["--config", "nowhere.toml", "queue", "list"]).failed(2, &["nowhere.toml", "cannot be read"]);
    place.run_with(&[("RUST_LOG", "lovage=loud")], &["queue", "list"]).failed(2, &["log:", "lovage=loud"]);
    place.run_with(&[("LOVAGE_STORAGE_URL", "ftp://x")], &["worker"]).failed(2, &["ftp"]);
}

#[test]
fn the_data_directory_holds_the_embedded_broker() {
    let place = Place::new();
    place.run_with(&[("LOVAGE_DATA_DIR", "elsewhere")], &["job", "enqueue", "debug.noop"]).ok();
    assert!(place.path().join("elsewhere/lovage.db").exists());
    assert!(!place.path().join("lovage-data").exists());
}
