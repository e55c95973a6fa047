//! Opens the other rooms by the settings: broker, storage, sources, and a worker with the handlers.

use std::sync::Arc;

use lovage_artifacts::{ArtifactError, ArtifactStore, Keep, StoreConfig};
use lovage_broker::{
    Broker, BrokerError, Connect, OsEntropy, RedisBroker, RedisConfig, SqliteBroker, SqliteConfig, SystemClock,
};
use lovage_jobs::{Audit, Datasets, ExportRules, Services, Sources};
use lovage_ledger::{AuditWriter, Ledger, LedgerAddress, LedgerError, Redaction};
use lovage_worker::{Registry, Worker, WorkerConfig, WorkerError};

use crate::config::{self, Config};
use crate::doors::Shown;
use crate::error::{Failure, Outcome};

/// Opens the broker that the settings name: Redis if it has an address, else the embedded one.
pub async fn broker(config: &Config) -> Result<Arc<dyn Broker>, BrokerError> {
    if let Some(url) = &config.redis_url {
        let redis = RedisConfig {
            url: url.reveal().to_owned(),
            tls: config.redis_tls.clone(),
            wait_replicas: config.redis_wait_replicas,
            prefix: config.redis_prefix.clone(),
            retention: config.retention,
            max_payload_bytes: config.max_payload_bytes,
            events_kept: config.events_kept,
            unrecorded_kept: config.unrecorded_kept,
            ..RedisConfig::default()
        };
        return Ok(Arc::new(RedisBroker::connect(redis).await?));
    }
    let sqlite = SqliteConfig {
        retention: config.retention,
        max_payload_bytes: config.max_payload_bytes,
        events_kept: config.events_kept,
        unrecorded_kept: config.unrecorded_kept,
        synchronous_full: config.sqlite_synchronous_full,
        ..SqliteConfig::new(config.database_file())
    };
    Ok(Arc::new(SqliteBroker::open(sqlite).await?))
}

/// Opens further connections of the same broker.
pub fn connect(config: &Config) -> Connect {
    let config = config.clone();
    Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { broker(&config).await })
    })
}

/// Which broker it is, for people; never with a password.
pub fn broker_name(config: &Config) -> String {
    match &config.redis_url {
        Some(url) => format!("Redis {url}"),
        None => format!("embedded SQLite {}", config.database_file().display()),
    }
}

/// Opens the storage of artifacts.
pub fn store(config: &Config) -> Outcome<ArtifactStore> {
    let mut store = StoreConfig::new(config.storage());
    store.public_endpoint.clone_from(&config.storage_public_endpoint);
    let aws = &config.aws;
    let settings = [
        ("AWS_ACCESS_KEY_ID", aws.access_key_id.as_deref()),
        ("AWS_SECRET_ACCESS_KEY", aws.secret_access_key.as_ref().map(config::Secret::reveal)),
        ("AWS_SESSION_TOKEN", aws.session_token.as_ref().map(config::Secret::reveal)),
        ("AWS_REGION", aws.region.as_deref()),
        ("AWS_ENDPOINT_URL", aws.endpoint_url.as_deref()),
    ];
    for (name, value) in settings {
        if let Some(value) = value {
            store = store.with(name, value);
        }
    }
    Ok(ArtifactStore::open(&store)?)
}

/// The databases that exports know by name.
pub fn sources(config: &Config) -> Outcome<Sources> {
    let mut sources = Sources::new();
    if let Some(url) = &config.database_url {
        sources.add("default", url.reveal())?;
    }
    for (name, url) in &config.sources {
        sources.add(name, url.reveal())?;
    }
    Ok(sources)
}

/// The datasets, checked against the sources.
pub fn datasets(config: &Config, sources: &Sources) -> Outcome<Datasets> {
    Ok(Datasets::new(config.datasets.clone(), sources)?)
}

/// How long files of jobs are kept.
fn keep(config: &Config) -> Keep {
    Keep { default: config.exports.keep, tenants: config.exports.keep_by_tenant.0.clone() }
}

/// Where the ledger is: what `ledger.url` says; with the embedded broker without it a file beside that.
pub fn ledger_address(config: &Config) -> Outcome<LedgerAddress> {
    match &config.ledger_url {
        Some(url) => Ok(url.reveal().parse()?),
        None if config.redis_url.is_none() => Ok(LedgerAddress::file(config.ledger_file())),
        None => Err(Failure::usage(
            "ledger.url",
            "ledger.url: is not set, and with Redis the ledger is no file of one machine; set LOVAGE_LEDGER__URL to an \
             address of PostgreSQL, e.g. postgres://lovage@db.example/lovage",
        )),
    }
}

/// What of events is secret, if the settings say so.
pub fn redaction(config: &Config) -> Outcome<Option<Redaction>> {
    let Some(paths) = &config.audit.secret else { return Ok(None) };
    let key = config.audit.secret_key.as_ref().map_or("", config::Secret::reveal);
    Ok(Some(Redaction::parse(paths, key)?))
}

/// Opens the ledger. The embedded one is brought to the newest schema on the way, as the embedded broker is; any other is
/// refused until `lovage migrate up` was run.
pub async fn required_ledger(config: &Config) -> Outcome<Ledger> {
    let address = ledger_address(config)?;
    if config.ledger_url.is_none() {
        lovage_ledger::migrate(&address).await?;
    }
    Ok(Ledger::open(&address).await?)
}

/// Opens the ledger if there is one: with Redis and without `ledger.url` a worker leaves the kinds that need it to others.
pub async fn ledger(config: &Config) -> Outcome<Option<Ledger>> {
    if config.ledger_url.is_none() && config.redis_url.is_some() {
        return Ok(None);
    }
    required_ledger(config).await.map(Some)
}

/// All handlers that this binary has. Those that need the ledger only if there is one.
pub fn handlers(config: &Config, sources: Sources, ledger: Option<Ledger>, debug: bool) -> Outcome<Registry> {
    let datasets = datasets(config, &sources)?;
    let rules = ExportRules { allow_raw_sql: config.exports.allow_raw_sql, keep: keep(config) };
    let artifacts = store(config)?;
    let redaction = redaction(config)?.map(Arc::new);
    let audit = ledger.map(|ledger| Audit { writer: AuditWriter::start(ledger), redaction });
    let services = Services { artifacts, sources, datasets, rules, audit, clock: Arc::new(SystemClock) };
    Ok(with_reports(lovage_jobs::registry(services.clone(), debug), config, services))
}

/// Adds the handler of `export.report` to a build that has it (ADR 011).
#[cfg(feature = "reports")]
fn with_reports(registry: Registry, config: &Config, services: Services) -> Registry {
    registry.with(crate::reports::handler(config, services))
}

/// Without it the kind has no handler: its jobs wait for a worker that has one.
#[cfg(not(feature = "reports"))]
fn with_reports(registry: Registry, _: &Config, _: Services) -> Registry {
    registry
}

/// The settings of a worker of this process.
pub fn worker_config(config: &Config) -> Outcome<WorkerConfig> {
    let host = config::host();
    let id = WorkerConfig::unique_id(&host, &SystemClock, &OsEntropy)?;
    let mut settings = WorkerConfig::new(id, config.queues.0.clone()).lease(config.lease);
    settings.host = host;
    settings.slots = config.concurrency;
    settings.shutdown_timeout = config.shutdown_timeout;
    Ok(settings)
}

/// A worker of this process.
pub fn worker(config: &Config, worker: WorkerConfig, handlers: Registry) -> Worker {
    Worker::new(worker, connect(config), handlers, Arc::new(OsEntropy), Arc::new(SystemClock))
}

/// The same with what it shows to probes and scrapers.
pub fn worker_shown(config: &Config, mut worker: WorkerConfig, handlers: Registry) -> (Worker, Shown) {
    let metrics = lovage_worker::prometheus::Registry::new();
    worker.metrics = Some(metrics.clone());
    let worker = self::worker(config, worker, handlers);
    let health = Arc::new(worker.health());
    (worker, Shown { health, metrics })
}

impl From<ArtifactError> for Failure {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Invalid(invalid) => invalid.into(),
            ArtifactError::NotFound(_) | ArtifactError::Deleted(_) => Self::NotFound(error.to_string()),
            ArtifactError::Held { .. } => Self::Conflict(error.to_string()),
            ArtifactError::Unavailable(_) => Self::Unavailable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Invalid(invalid) => invalid.into(),
            LedgerError::Unavailable(_) => Self::Unavailable(error.to_string()),
            LedgerError::Refused(_)
            | LedgerError::Deposed
            | LedgerError::Pending { .. }
            | LedgerError::Newer { .. }
            | LedgerError::Broken { .. } => Self::Failed(error.to_string()),
        }
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Invalid(invalid) => invalid.into(),
            WorkerError::Broker(error) => error.into(),
            WorkerError::Broken { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// Whether a source's database answers; the error is its own message.
pub async fn probe(url: &str) -> Result<(), String> {
    use sqlx::{ConnectOptions as _, Connection as _};
    let limit = std::time::Duration::from_secs(10);
    let connecting = async {
        if url.starts_with("sqlite:") {
            let options: sqlx::sqlite::SqliteConnectOptions = url.parse()?;
            options.read_only(true).connect().await?.ping().await
        } else {
            let options: sqlx::postgres::PgConnectOptions = url.parse()?;
            options.connect().await?.ping().await
        }
    };
    match tokio::time::timeout(limit, connecting).await {
        Ok(result) => result.map_err(|error: sqlx::Error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}
