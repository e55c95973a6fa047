//! Which source wins, what is refused, and that the reference file says what is built in.

use std::path::{Path, PathBuf};

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn from_file(text: &str) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded { config: Config::default(), origins: BTreeMap::new() };
    file::apply(&mut loaded, Path::new("lovage.toml"), text).map(|()| loaded)
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let flags = Flags { file: Some(PathBuf::from("/dev/null")), set: Vec::new() };
    load(&flags, environment(pairs))
}

fn reference() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../lovage.default.toml")).unwrap()
}

#[test]
fn the_reference_file_names_every_setting_and_says_the_defaults() {
    let loaded = from_file(&reference()).unwrap();
    assert_eq!(loaded.config, Config::default());
    for setting in SETTINGS {
        assert_ne!(loaded.origin(setting.key), Origin::Default, "{} is missing", setting.key);
        assert!(reference().contains(setting.variable), "{} is missing", setting.variable);
    }
}

#[test]
fn every_setting_reads_back_what_it_shows() {
    for setting in SETTINGS {
        let mut config = Config::default();
        (setting.set)(&mut config, &(setting.show)(&Config::default())).unwrap();
        assert_eq!(config, Config::default(), "{}", setting.key);
    }
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lovage.toml");
    std::fs::write(&path, "concurrency = 3\nlease_seconds = 40\n[queues]\nmail = 2\n").unwrap();
    let flags = Flags { file: Some(path), set: vec![("concurrency".into(), "5".into(), "--concurrency".into())] };
    let loaded = load(&flags, environment(&[("LOVAGE_CONCURRENCY", "4"), ("LOVAGE_LEASE_SECONDS", "50")])).unwrap();
    assert_eq!(loaded.config.concurrency, 5);
    assert_eq!(loaded.config.lease, Duration::from_secs(50));
    assert_eq!(loaded.config.queues.to_string(), "mail=2");
    assert_eq!(loaded.origin("concurrency").to_string(), "option --concurrency");
    assert_eq!(loaded.origin("lease_seconds").to_string(), "environment LOVAGE_LEASE_SECONDS");
    assert_eq!(loaded.origin("data_dir"), Origin::Default);
}

#[test]
fn an_unknown_key_names_the_line_and_the_nearest_name() {
    let error = from_file("# a comment\n\nquues = \"exports=4\"\n").unwrap_err();
    assert_eq!(error.to_string(), "lovage.toml:3: unknown setting \"quues\"; did you mean \"queues\"?");
    let error = from_file("[retention]\ncompleted_ages = \"1h\"\n").unwrap_err();
    assert!(error.to_string().ends_with("did you mean \"retention.completed_age\"?"), "{error}");
}

#[test]
fn a_value_that_cannot_be_used_says_what_can() {
    for (text, line, part) in [
        ("concurrency = 0", 1, "use a whole number from 1 to 1000"),
        ("\nconcurrency = \"many\"", 2, "\"many\""),
        ("queues = [\"a\"]", 1, "is of type array"),
        ("log_format = \"xml\"", 1, "use json or pretty"),
        ("redis_url = \"http://x\"", 1, "begin it with redis: or rediss: or redis+sentinel:"),
        ("redis_wait_replicas = -1", 1, "use a whole number from 0 to 16"),
        ("[sources.Shop]\nurl = \"x\"", 2, "cannot be used"),
        ("[exports.keep_by_tenant]\nacme = \"soon\"", 1, "of tenant acme"),
        ("a = = b", 1, ""),
    ] {
        let error = from_file(text).unwrap_err();
        assert_eq!(error.place, format!("lovage.toml:{line}"), "{text}");
        assert!(error.problem.contains(part), "{text}: {error}");
    }
}

#[test]
fn the_example_of_a_schedule_in_the_reference_file_is_one() {
    let reference = reference();
    let example = reference.lines().skip_while(|line| *line != "# [[schedules]]").map(|line| &line[2..]);
    let loaded = from_file(&example.collect::<Vec<_>>().join("\n")).unwrap();
    let [spec] = loaded.config.schedules.specs() else { panic!("one schedule") };
    assert_eq!((spec.timezone.as_str(), spec.overlap), ("Asia/Shanghai", lovage_core::schedule::Overlap::Skip));
    assert_eq!(spec.success_within, Some(Duration::from_hours(26)));
    let job = spec.job(crate::instant::parse("2026-11-23T18:30:00Z").unwrap(), &jiff::tz::TimeZone::UTC);
    assert_eq!(job.args.get(), r#"{"dataset":"orders","params":{"from":"2026-11-22"}}"#);
    // It fits the dataset that the file has as an example.
    assert!(reference.contains("tenants = [\"acme\"]") && reference.contains("[datasets.orders.params.from]"));
    assert_eq!(job.tenant.as_ref().map(lovage_core::Tenant::as_str), Some("acme"));
    assert!(matches!(loaded.schedule(&spec.name), Some(Origin::File(_, 1))));
}

#[test]
fn what_is_wrong_with_a_schedule_is_told_with_line_name_and_field() {
    let schedule = |more: &str| {
        let base = "name = \"nightly\"\ncron = \"@daily\"\nqueue = \"q\"\n";
        format!("[[schedules]]\n{base}{more}\n")
    };
    let full = |more: &str| schedule(&format!("kind = \"k\"\n{more}"));
    for (text, line, field, part) in [
        (full("timezone = \"Europe/Berln\""), 6, "timezone", "did you mean \"Europe/Berlin\"?"),
        (full("overlapp = \"skip\""), 6, "overlapp", "did you mean \"overlap\"?"),
        (full("args = \"{{ tick.dat }}\""), 6, "args", "there is no placeholder"),
        (full("args = { n = nan }"), 6, "args", "JSON has no nan"),
        (full("jitter = 5"), 6, "jitter", "invalid type"),
        (full("").replace("@daily", "1--100000000 * * * *"), 3, "cron", "minute"),
        (full("").replace("@daily", "@every 10ms"), 3, "cron", "1s"),
        (schedule(""), 1, "kind", "is missing"),
        (full("") + &full(""), 7, "name", "schedule nightly stands in line 1, too"),
        ("[schedules.nightly]\ncron = \"@daily\"".to_owned(), 1, "schedules", "begin each schedule with [[schedules]]"),
        ("\n[[schedule]]\nname = \"n\"".to_owned(), 2, "schedule", "did you mean \"schedules\"?"),
    ] {
        let error = from_file(&text).unwrap_err();
        assert_eq!((error.place, error.key.as_deref()), (format!("lovage.toml:{line}"), Some(field)), "{text}");
        assert!(error.problem.contains(part), "{text}: {}", error.problem);
    }
}

#[test]
fn numbers_of_a_schedules_arguments_stay_exact() {
    let text = "[[schedules]]\nname = \"n\"\ncron = \"@daily\"\nqueue = \"q\"\nkind = \"k\"\n\
                args = { big = 9007199254740993, huge = 12345678901234567890, hex = 0x1_0, e = 1.10, at = 2026-01-01, l = [true, +1_000] }\n";
    let loaded = from_file(text).unwrap();
    assert_eq!(
        loaded.config.schedules.specs()[0].args.get(),
        r#"{"at":"2026-01-01","big":9007199254740993,"e":1.10,"hex":16,"huge":12345678901234567890,"l":[true,1000]}"#
    );
}

#[test]
fn tenants_keep_their_files_as_a_text_or_a_table_says() {
    for text in ["[exports]\nkeep_by_tenant = \"acme=7d\"", "[exports.keep_by_tenant]\nacme = \"7d\""] {
        let keeps = from_file(text).unwrap().config.exports.keep_by_tenant;
        assert_eq!(keeps.0[&"acme".parse().unwrap()], Duration::from_hours(168), "{text}");
    }
}

#[test]
fn an_unknown_variable_is_refused_unless_kubernetes_made_it() {
    let error = from_environment(&[("LOVAGE_CONCURENCY", "4")]).unwrap_err();
    assert!(error.problem.contains("did you mean \"LOVAGE_CONCURRENCY\"?"), "{error}");
    let links = [
        ("LOVAGE_REDIS_SERVICE_HOST", "10.0.0.1"),
        ("LOVAGE_REDIS_SERVICE_PORT_HTTP", "80"),
        ("LOVAGE_REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("LOVAGE_REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(from_environment(&links).unwrap().config, Config::default());
}

#[test]
fn a_secret_is_read_from_a_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    std::fs::write(&path, "redis://:s3cret@cache:6379\n").unwrap();
    let file = path.to_str().unwrap();
    let loaded = from_environment(&[("REDIS_URL_FILE", file)]).unwrap();
    assert_eq!(loaded.config.redis_url.as_ref().map(Secret::reveal), Some("redis://:s3cret@cache:6379"));
    assert!(!format!("{loaded:?}").contains("s3cret"));
    assert!(loaded.config.entries().iter().all(|(_, value)| !value.contains("s3cret")));
    let both = from_environment(&[("REDIS_URL_FILE", file), ("REDIS_URL", "redis://other")]).unwrap_err();
    assert!(both.problem.contains("together with"), "{both}");
    let gone = from_environment(&[("REDIS_URL_FILE", "/nowhere/at/all")]).unwrap_err();
    assert!(gone.problem.contains("/nowhere/at/all"), "{gone}");
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let loaded = from_environment(&[("REDIS_URL", ""), ("LOVAGE_CONCURRENCY", "")]).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn sources_come_from_the_file_and_the_environment() {
    let loaded = from_file("[sources.shop]\nurl = \"sqlite:shop.db\"\n").unwrap();
    assert_eq!(loaded.config.sources["shop"].reveal(), "sqlite:shop.db");
    let loaded = from_environment(&[("LOVAGE_SOURCES__SHOP__URL", "postgres://db/shop")]).unwrap();
    assert_eq!(loaded.config.sources["shop"].reveal(), "postgres://db/shop");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let flags = Flags { file: Some(PathBuf::from("/nowhere/lovage.toml")), set: Vec::new() };
    let error = load(&flags, environment(&[])).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/lovage.toml: cannot be read"), "{error}");
}
