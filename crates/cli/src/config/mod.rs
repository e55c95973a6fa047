//! The settings of the binary and where they come from: built-in value < file < environment < flag.
//!
//! `settings.rs` is the table of all settings, `file.rs` and `environment.rs` read the two outer sources, both by that
//! table, so that a setting is declared once. Nothing outside this folder looks at the environment.

mod adoptions;
mod environment;
mod file;
mod keeps;
mod machine;
mod schedules;
mod secret;
mod settings;
mod values;
mod weights;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lovage_broker::{RedisTls, Retention};
use lovage_core::limits::MAX_PAYLOAD_BYTES;
use lovage_core::{Kind, ScheduleName, nearest};
use lovage_jobs::Dataset;

pub use adoptions::Adoptions;
pub use file::read_datasets;
pub use keeps::Keeps;
pub use machine::{host, no_color, user};
pub use schedules::{Schedules, read_schedules};
pub use secret::Secret;
pub use settings::SETTINGS;
pub use weights::Weights;

/// The file that is read when it exists and no other is named.
pub const FILE_NAME: &str = "lovage.toml";

/// Everything that can be set, with what holds when nothing is.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "settings are independent of each other: no state hides in them")]
pub struct Config {
    /// Where the embedded broker and storage keep their files.
    pub data_dir: PathBuf,
    /// The Redis that carries the queue; the embedded broker when absent.
    pub redis_url: Option<Secret>,
    /// What all keys in Redis begin with.
    pub redis_prefix: String,
    /// Files of certificates for Redis.
    pub redis_tls: RedisTls,
    /// Replicas that must have a job before its enqueue is confirmed.
    pub redis_wait_replicas: u32,
    /// Where the ledger is; beside the embedded broker when absent.
    pub ledger_url: Option<Secret>,
    /// The database that exports call `default`.
    pub database_url: Option<Secret>,
    /// Further databases for exports, by name.
    pub sources: BTreeMap<String, Secret>,
    /// What may be exported, by name. Only a file can say it.
    pub datasets: BTreeMap<String, Dataset>,
    /// What is enqueued when. Only a file can say it.
    pub schedules: Schedules,
    /// What exports may do.
    pub exports: ExportSettings,
    /// How long the history of jobs is kept.
    pub history_keep: Duration,
    /// Kinds whose arguments and results are not kept in it.
    pub history_without_arguments: Vec<Kind>,
    /// What is recorded in the audit trail, and how it is anchored.
    pub audit: AuditSettings,
    /// What one report may take.
    pub reports: ReportSettings,
    /// Where artifacts go; a folder in the data directory when absent.
    pub storage_url: Option<String>,
    /// The address of an S3 service as those know it who are handed links.
    pub storage_public_endpoint: Option<String>,
    /// Queues that a worker serves, with weights.
    pub queues: Weights,
    /// Jobs that a worker runs at once.
    pub concurrency: usize,
    /// How long a worker owns a job without renewing.
    pub lease: Duration,
    /// How long a stopping worker waits for its jobs.
    pub shutdown_timeout: Duration,
    /// Where a worker answers probes and shows its metrics; nowhere when absent.
    pub metrics_addr: Option<SocketAddr>,
    /// Where the dashboard listens.
    pub http_addr: SocketAddr,
    /// What must be sent for metrics and scaling; nothing when absent.
    pub metrics_token: Option<Secret>,
    /// Whether the dashboard may listen beyond this machine without a token.
    pub metrics_public: bool,
    /// Largest arguments of a job.
    pub max_payload_bytes: usize,
    /// Events kept in a queue's stream.
    pub events_kept: usize,
    /// Events and ended jobs kept beyond that until they are recorded elsewhere.
    pub unrecorded_kept: usize,
    /// Whether the embedded broker waits for the disk at each commit.
    pub sqlite_synchronous_full: bool,
    /// Whether the `debug.*` kinds are served.
    pub debug_kinds: bool,
    /// How long ended jobs are kept.
    pub retention: Retention,
    /// Queues of apalis whose tasks become jobs.
    pub adopt_apalis: Adoptions,
    /// The Redis that apalis uses; the one that carries our queue when absent.
    pub adopt_redis_url: Option<Secret>,
    /// The outbox of commands that name none.
    pub outbox: OutboxSettings,
    /// Logs as JSON lines instead of text.
    pub log_json: bool,
    /// What is logged; the command's own default when absent.
    pub log: Option<String>,
    /// The name of the deployment, for logs.
    pub environment: Option<String>,
    /// What an S3-compatible store needs.
    pub aws: Aws,
}

/// What exports may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportSettings {
    /// Whether jobs may carry SQL of their own.
    pub allow_raw_sql: bool,
    /// How long files are kept whose dataset does not say; for ever when absent.
    pub keep: Option<Duration>,
    /// How long the files of single tenants are kept at most.
    pub keep_by_tenant: Keeps,
}

/// What is recorded in the audit trail, and how it is anchored.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditSettings {
    /// Whether what operators do is recorded.
    pub operators: bool,
    /// Paths into events whose values are stored as hashes.
    pub secret: Option<String>,
    /// The key of those hashes.
    pub secret_key: Option<Secret>,
    /// The seed of the key that signs anchors.
    pub signing_key: Option<Secret>,
    /// The key that must have signed them.
    pub public_key: Option<String>,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { operators: true, secret: None, secret_key: None, signing_key: None, public_key: None }
    }
}

/// What one report may take. There without the feature `reports`, too, so that one file serves both builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSettings {
    /// Most bytes that the inputs of one report have together.
    pub max_input_bytes: u64,
    /// Most rows of one sheet or file.
    pub max_rows: u64,
    /// The folder for temporary files; the system's when absent.
    pub temp_dir: Option<PathBuf>,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self { max_input_bytes: 2 << 30, max_rows: 1_000_000, temp_dir: None }
    }
}

/// An outbox and how it is relayed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutboxSettings {
    /// Where it is.
    pub url: Option<Secret>,
    /// After which time the broker is asked again for a job that it has confirmed; never when absent.
    pub confirm_after: Option<Duration>,
    /// Whether workers relay it, too.
    pub relay: bool,
}

/// Access to an S3-compatible store, by the names that the ecosystem uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aws {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<Secret>,
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL`.
    pub endpoint_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./lovage-data"),
            redis_url: None,
            redis_prefix: "lovage:".to_owned(),
            redis_tls: RedisTls::default(),
            redis_wait_replicas: 0,
            ledger_url: None,
            database_url: None,
            sources: BTreeMap::new(),
            datasets: BTreeMap::new(),
            schedules: Schedules::default(),
            exports: ExportSettings::default(),
            history_keep: Duration::from_hours(24 * 90),
            history_without_arguments: values::kinds("audit.write").unwrap_or_default(),
            audit: AuditSettings::default(),
            reports: ReportSettings::default(),
            storage_url: None,
            storage_public_endpoint: None,
            queues: Weights::default(),
            concurrency: 10,
            lease: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(25),
            metrics_addr: None,
            http_addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_token: None,
            metrics_public: false,
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            events_kept: 100_000,
            unrecorded_kept: 500_000,
            sqlite_synchronous_full: true,
            debug_kinds: false,
            retention: Retention::default(),
            adopt_apalis: Adoptions::default(),
            adopt_redis_url: None,
            outbox: OutboxSettings::default(),
            log_json: false,
            log: None,
            environment: None,
            aws: Aws::default(),
        }
    }
}

impl Config {
    /// The file of the embedded broker.
    pub fn database_file(&self) -> PathBuf {
        self.data_dir.join("lovage.db")
    }

    /// The file of the embedded ledger.
    pub fn ledger_file(&self) -> PathBuf {
        self.data_dir.join("ledger.db")
    }

    /// Where artifacts go, as an address that the store understands.
    pub fn storage(&self) -> String {
        self.storage_url.clone().unwrap_or_else(|| self.data_dir.join("artifacts").to_string_lossy().into_owned())
    }

    /// All settings that have a name of their own in the file: the table's and one a source.
    pub fn entries(&self) -> Vec<(String, String)> {
        let table = SETTINGS.iter().map(|setting| (setting.key.to_owned(), (setting.show)(self)));
        let sources = self.sources.iter().map(|(name, url)| (format!("sources.{name}.url"), url.to_string()));
        table.chain(sources).collect()
    }
}

/// Where a setting's value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in value.
    Default,
    /// In a file, at a line.
    File(PathBuf, usize),
    /// In a variable of the environment.
    Environment(String),
    /// On the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "option {name}"),
        }
    }
}

/// The settings with their origins.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

/// A setting that cannot be used: where it was said, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// The file and line, the variable or the option.
    pub place: String,
    /// The setting, if it is known which.
    pub key: Option<String>,
    /// One sentence.
    pub problem: String,
}

impl Loaded {
    /// Where the value of `key` was said.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Where a schedule of the file stands.
    pub fn schedule(&self, name: &ScheduleName) -> Option<&Origin> {
        self.origins.get(&format!("schedules.{name}"))
    }

    /// Sets `key` from text. The caller says where the text stood.
    fn set(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let failed = |problem: String| ConfigError { place: origin.to_string(), key: Some(key.to_owned()), problem };
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            (setting.set)(&mut self.config, text).map_err(|problem| failed(format!("{key}: {problem}")))?;
        } else if let Some(name) = settings::source_name(key) {
            let name = name.map_err(|problem| failed(format!("{key}: {problem}")))?;
            self.config.sources.insert(name.to_owned(), Secret::new(text));
        } else {
            return Err(failed(unknown("setting", key, &settings::keys())));
        }
        self.origins.insert(key.to_owned(), origin);
        Ok(())
    }
}

/// `unknown setting "quues"; did you mean "queues"?`
fn unknown(what: &str, name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(candidate) => format!("unknown {what} {name:?}; did you mean {candidate:?}?"),
        None => format!("unknown {what} {name:?}; `lovage reference` lists them all"),
    }
}

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: this file and no other.
    pub file: Option<PathBuf>,
    /// Settings by key, with the option that said so.
    pub set: Vec<(String, String, String)>,
}

/// Reads all sources. `variables` is the process' environment, or a test's.
pub fn load(flags: &Flags, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded { config: Config::default(), origins: BTreeMap::new() };
    let path = flags.file.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
    if let Some(text) = read(&path, flags.file.is_some())? {
        file::apply(&mut loaded, &path, &text)?;
    }
    environment::apply(&mut loaded, variables)?;
    for (key, text, option) in &flags.set {
        loaded.set(key, text, Origin::Flag(option.clone()))?;
    }
    Ok(loaded)
}

/// The environment of this process.
pub fn variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

fn read(path: &Path, wanted: bool) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !wanted => Ok(None),
        Err(error) => Err(ConfigError {
            place: path.display().to_string(),
            key: None,
            problem: format!("cannot be read: {error}; name another file with --config"),
        }),
    }
}

#[cfg(test)]
mod tests;
