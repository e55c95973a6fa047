//! The table of all settings: one row says name, variable, meaning, and how text becomes a value and back.

use std::path::PathBuf;
use std::time::Duration;

use lovage_core::duration;

use super::values::{REDIS, address, age, flag, kinds, listen, number, optional, path, shown, token};
use super::{Config, Secret};

/// One setting.
pub struct Setting {
    /// Its name in the file, with dots for tables.
    pub key: &'static str,
    /// Its variable in the environment; `NAME_FILE` reads the value from a file.
    pub variable: &'static str,
    /// What it means, in one sentence.
    pub about: &'static str,
    /// The value as text that [`Setting::set`] reads back; secrets are redacted, an absent value is empty.
    pub show: fn(&Config) -> String,
    /// Sets the value from text; the error says what is wrong and what to do.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
}

type Set = Result<(), String>;

macro_rules! setting {
    ($key:literal, $variable:literal, $about:literal, |$c:ident| $show:expr, |$m:ident, $text:ident| $set:expr) => {
        Setting {
            key: $key,
            variable: $variable,
            about: $about,
            show: |$c: &Config| $show,
            set: |$m: &mut Config, $text: &str| -> Set {
                $set;
                Ok(())
            },
        }
    };
}

/// All settings, in the order of `lovage.default.toml`.
pub static SETTINGS: &[Setting] = &[
    setting!(
        "data_dir",
        "LOVAGE_DATA_DIR",
        "Folder of the embedded broker and storage.",
        |c| c.data_dir.display().to_string(),
        |c, text| c.data_dir = optional(text).map(PathBuf::from).ok_or("is empty; name a folder")?
    ),
    setting!(
        "redis_url",
        "REDIS_URL",
        "Redis or Valkey 7+ that carries the queue, one server, sentinels or a cluster; empty for the embedded broker.",
        |c| shown(c.redis_url.as_ref()),
        |c, text| c.redis_url = address(text, REDIS)?
    ),
    setting!(
        "redis_prefix",
        "LOVAGE_REDIS_PREFIX",
        "What all keys in Redis begin with.",
        |c| c.redis_prefix.clone(),
        |c, text| text.clone_into(&mut c.redis_prefix)
    ),
    setting!(
        "redis_ca_file",
        "LOVAGE_REDIS_CA_FILE",
        "PEM file of the authority that signed Redis' certificate; empty for those that the system trusts.",
        |c| path(c.redis_tls.ca_file.as_ref()),
        |c, text| c.redis_tls.ca_file = optional(text).map(PathBuf::from)
    ),
    setting!(
        "redis_cert_file",
        "LOVAGE_REDIS_CERT_FILE",
        "PEM file of the certificate that Redis asks for, if it does.",
        |c| path(c.redis_tls.cert_file.as_ref()),
        |c, text| c.redis_tls.cert_file = optional(text).map(PathBuf::from)
    ),
    setting!(
        "redis_key_file",
        "LOVAGE_REDIS_KEY_FILE",
        "PEM file of the key of that certificate.",
        |c| path(c.redis_tls.key_file.as_ref()),
        |c, text| c.redis_tls.key_file = optional(text).map(PathBuf::from)
    ),
    setting!(
        "redis_wait_replicas",
        "LOVAGE_REDIS_WAIT_REPLICAS",
        "Replicas that must have a job before its enqueue is confirmed, 0 to 16.",
        |c| c.redis_wait_replicas.to_string(),
        |c, text| c.redis_wait_replicas = number(text, 0, 16)?
    ),
    setting!(
        "database_url",
        "DATABASE_URL",
        "Database that exports know as source `default`: postgres: or sqlite:.",
        |c| shown(c.database_url.as_ref()),
        |c, text| c.database_url = address(text, &["postgres", "postgresql", "sqlite"])?
    ),
    setting!(
        "storage_url",
        "LOVAGE_STORAGE_URL",
        "Where artifacts go: s3://bucket/prefix, file:///folder or a path; empty for `artifacts` in data_dir.",
        |c| shown(c.storage_url.as_ref()),
        |c, text| c.storage_url = optional(text)
    ),
    setting!(
        "storage_public_endpoint",
        "LOVAGE_STORAGE_PUBLIC_ENDPOINT",
        "Address of an S3 service in links to files, if others know it by another than AWS_ENDPOINT_URL.",
        |c| shown(c.storage_public_endpoint.as_ref()),
        |c, text| c.storage_public_endpoint = optional(text)
    ),
    setting!(
        "queues",
        "LOVAGE_QUEUES",
        "Queues that a worker serves, with weights: exports=4,audit=8.",
        |c| c.queues.to_string(),
        |c, text| c.queues = text.parse()?
    ),
    setting!(
        "concurrency",
        "LOVAGE_CONCURRENCY",
        "Jobs that a worker runs at once, 1 to 1000.",
        |c| c.concurrency.to_string(),
        |c, text| c.concurrency = number(text, 1, 1_000)?
    ),
    setting!(
        "lease_seconds",
        "LOVAGE_LEASE_SECONDS",
        "Seconds that a worker owns a job without renewing, 1 to 3600; a dead worker's jobs are back after that.",
        |c| c.lease.as_secs().to_string(),
        |c, text| c.lease = Duration::from_secs(number(text, 1, 3_600)?)
    ),
    setting!(
        "shutdown_timeout_seconds",
        "LOVAGE_SHUTDOWN_TIMEOUT_SECONDS",
        "Seconds that a stopping worker waits for its jobs before it hands them back, 0 to 86400.",
        |c| c.shutdown_timeout.as_secs().to_string(),
        |c, text| c.shutdown_timeout = Duration::from_secs(number(text, 0, 86_400)?)
    ),
    setting!(
        "metrics_addr",
        "LOVAGE_METRICS_ADDR",
        "Where a worker answers probes and shows its metrics, e.g. 0.0.0.0:9090; empty for nowhere.",
        |c| shown(c.metrics_addr.as_ref()),
        |c, text| c.metrics_addr = optional(text).as_deref().map(listen).transpose()?
    ),
    setting!(
        "http_addr",
        "LOVAGE_HTTP_ADDR",
        "Where the dashboard listens: probes, metrics of queues, scaling.",
        |c| c.http_addr.to_string(),
        |c, text| c.http_addr = listen(text)?
    ),
    setting!(
        "metrics_token",
        "LOVAGE_METRICS_TOKEN",
        "What must be sent as `Authorization: Bearer` for metrics and scaling; empty for nothing.",
        |c| shown(c.metrics_token.as_ref()),
        |c, text| c.metrics_token = token(text)?
    ),
    setting!(
        "metrics_public",
        "LOVAGE_METRICS_PUBLIC",
        "Whether the dashboard may listen beyond this machine without metrics_token.",
        |c| c.metrics_public.to_string(),
        |c, text| c.metrics_public = flag(text)?
    ),
    setting!(
        "max_payload_bytes",
        "LOVAGE_MAX_PAYLOAD_BYTES",
        "Largest arguments of a job in bytes of JSON, 1 to 16777216.",
        |c| c.max_payload_bytes.to_string(),
        |c, text| c.max_payload_bytes = number(text, 1, 16 * 1024 * 1024)?
    ),
    setting!(
        "events_kept",
        "LOVAGE_EVENTS_KEPT",
        "Events kept in the stream of each queue, 1000 to 100000000.",
        |c| c.events_kept.to_string(),
        |c, text| c.events_kept = number(text, 1_000, 100_000_000)?
    ),
    setting!(
        "unrecorded_kept",
        "LOVAGE_UNRECORDED_KEPT",
        "Events of each queue, and ended jobs of each state, kept beyond events_kept and the retention until they are \
         recorded, 0 to 100000000.",
        |c| c.unrecorded_kept.to_string(),
        |c, text| c.unrecorded_kept = number(text, 0, 100_000_000)?
    ),
    setting!(
        "sqlite_synchronous_full",
        "LOVAGE_SQLITE_SYNCHRONOUS_FULL",
        "Whether the embedded broker waits for the disk at each commit; false may lose the last moments on a power cut.",
        |c| c.sqlite_synchronous_full.to_string(),
        |c, text| c.sqlite_synchronous_full = flag(text)?
    ),
    setting!(
        "debug_kinds",
        "LOVAGE_DEBUG_KINDS",
        "Whether workers serve the debug.* kinds (`lovage up` does unless this says false).",
        |c| c.debug_kinds.to_string(),
        |c, text| c.debug_kinds = flag(text)?
    ),
    setting!(
        "log_format",
        "LOVAGE_LOG_FORMAT",
        "Logs as pretty text or as json lines.",
        |c| if c.log_json { "json" } else { "pretty" }.to_owned(),
        |c, text| c.log_json = match text.trim() {
            "json" => true,
            "pretty" => false,
            other => return Err(format!("is {other:?}; use json or pretty")),
        }
    ),
    setting!(
        "log",
        "RUST_LOG",
        "What is logged, e.g. info or warn,lovage_worker=debug; empty for the command's own default.",
        |c| shown(c.log.as_ref()),
        |c, text| c.log = optional(text)
    ),
    setting!(
        "environment",
        "LOVAGE_ENVIRONMENT",
        "Name of the deployment, written to each log line as `env`.",
        |c| shown(c.environment.as_ref()),
        |c, text| c.environment = optional(text)
    ),
    setting!(
        "retention.completed_age",
        "LOVAGE_RETENTION__COMPLETED_AGE",
        "How long completed and cancelled jobs are kept.",
        |c| duration::exact(c.retention.completed_age),
        |c, text| c.retention.completed_age = age(text)?
    ),
    setting!(
        "retention.completed_count",
        "LOVAGE_RETENTION__COMPLETED_COUNT",
        "How many completed (and how many cancelled) jobs are kept in a queue.",
        |c| c.retention.completed_count.to_string(),
        |c, text| c.retention.completed_count = number(text, 0, u64::from(u32::MAX))?
    ),
    setting!(
        "retention.discarded_age",
        "LOVAGE_RETENTION__DISCARDED_AGE",
        "How long discarded jobs are kept.",
        |c| duration::exact(c.retention.discarded_age),
        |c, text| c.retention.discarded_age = age(text)?
    ),
    setting!(
        "retention.discarded_count",
        "LOVAGE_RETENTION__DISCARDED_COUNT",
        "How many discarded jobs are kept in a queue.",
        |c| c.retention.discarded_count.to_string(),
        |c, text| c.retention.discarded_count = number(text, 0, u64::from(u32::MAX))?
    ),
    setting!(
        "ledger.url",
        "LOVAGE_LEDGER__URL",
        "Database of the ledger, which has history and audit trail: postgres: or sqlite:; empty for ledger.db in data_dir.",
        |c| shown(c.ledger_url.as_ref()),
        |c, text| c.ledger_url = address(text, &["postgres", "postgresql", "sqlite"])?
    ),
    setting!(
        "history.keep",
        "LOVAGE_HISTORY__KEEP",
        "How long the history of jobs is kept after they have ended.",
        |c| duration::exact(c.history_keep),
        |c, text| c.history_keep = age(text)?
    ),
    setting!(
        "history.without_arguments",
        "LOVAGE_HISTORY__WITHOUT_ARGUMENTS",
        "Kinds whose arguments and results are not kept in the history.",
        |c| c.history_without_arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        |c, text| c.history_without_arguments = kinds(text)?
    ),
    setting!(
        "audit.operators",
        "LOVAGE_AUDIT__OPERATORS",
        "Whether what commands change (pause, retry, delete, links, ...) is recorded in the audit trail.",
        |c| c.audit.operators.to_string(),
        |c, text| c.audit.operators = flag(text)?
    ),
    setting!(
        "audit.secret",
        "LOVAGE_AUDIT__SECRET",
        "Paths into events whose values are stored as keyed hashes, e.g. after.card.number,metadata.token.",
        |c| c.audit.secret.clone().unwrap_or_default(),
        |c, text| c.audit.secret = optional(text)
    ),
    setting!(
        "audit.secret_key",
        "LOVAGE_AUDIT__SECRET_KEY",
        "The key of those hashes, 16 bytes or more.",
        |c| shown(c.audit.secret_key.as_ref()),
        |c, text| c.audit.secret_key = optional(text).map(Secret::new)
    ),
    setting!(
        "audit.signing_key",
        "LOVAGE_AUDIT__SIGNING_KEY",
        "Seed of the Ed25519 key that signs anchors, 64 hexadecimal digits; empty with the embedded ledger for audit.key in data_dir.",
        |c| shown(c.audit.signing_key.as_ref()),
        |c, text| c.audit.signing_key = optional(text).map(Secret::new)
    ),
    setting!(
        "audit.public_key",
        "LOVAGE_AUDIT__PUBLIC_KEY",
        "The key that must have signed anchors, 64 hexadecimal digits; empty for that of audit.signing_key.",
        |c| c.audit.public_key.clone().unwrap_or_default(),
        |c, text| c.audit.public_key = optional(text)
    ),
    setting!(
        "exports.allow_raw_sql",
        "LOVAGE_ALLOW_RAW_SQL",
        "Whether export.query takes SQL from a job's arguments; datasets need no such thing.",
        |c| c.exports.allow_raw_sql.to_string(),
        |c, text| c.exports.allow_raw_sql = flag(text)?
    ),
    setting!(
        "exports.keep",
        "LOVAGE_EXPORTS__KEEP",
        "How long exported files are kept whose dataset does not say; empty for ever.",
        |c| c.exports.keep.map(duration::exact).unwrap_or_default(),
        |c, text| c.exports.keep = optional(text).as_deref().map(age).transpose()?
    ),
    setting!(
        "exports.keep_by_tenant",
        "LOVAGE_EXPORTS__KEEP_BY_TENANT",
        "How long exported files and reports of single tenants are kept at most, e.g. acme=7d,umbrella=30d.",
        |c| c.exports.keep_by_tenant.to_string(),
        |c, text| c.exports.keep_by_tenant = text.parse()?
    ),
    setting!(
        "reports.max_input_bytes",
        "LOVAGE_REPORTS__MAX_INPUT_BYTES",
        "Most bytes that the inputs of one export.report have together.",
        |c| c.reports.max_input_bytes.to_string(),
        |c, text| c.reports.max_input_bytes = number(text, 1, i64::MAX as u64)?
    ),
    setting!(
        "reports.max_rows",
        "LOVAGE_REPORTS__MAX_ROWS",
        "Most rows of one sheet or file of export.report.",
        |c| c.reports.max_rows.to_string(),
        |c, text| c.reports.max_rows = number(text, 1, i64::MAX as u64)?
    ),
    setting!(
        "reports.temp_dir",
        "LOVAGE_REPORTS__TEMP_DIR",
        "Folder for the temporary files of export.report; empty for the system's.",
        |c| path(c.reports.temp_dir.as_ref()),
        |c, text| c.reports.temp_dir = optional(text).map(PathBuf::from)
    ),
    setting!(
        "adopt.apalis",
        "LOVAGE_ADOPT__APALIS",
        "Queues of apalis-redis that a worker adopts, [SOURCE@]QUEUE=KIND, several with commas.",
        |c| c.adopt_apalis.to_string(),
        |c, text| c.adopt_apalis = text.parse()?
    ),
    setting!(
        "adopt.redis_url",
        "LOVAGE_ADOPT__REDIS_URL",
        "Redis that apalis uses; empty for the one that carries the queue.",
        |c| shown(c.adopt_redis_url.as_ref()),
        |c, text| c.adopt_redis_url = address(text, &["redis", "rediss"])?
    ),
    setting!(
        "outbox.url",
        "LOVAGE_OUTBOX__URL",
        "Outbox that a relay empties when none is named: postgres: or sqlite:.",
        |c| shown(c.outbox.url.as_ref()),
        |c, text| c.outbox.url = address(text, &["postgres", "postgresql", "sqlite"])?
    ),
    setting!(
        "outbox.confirm_after",
        "LOVAGE_OUTBOX__CONFIRM_AFTER",
        "Age at which the broker is asked again for a job that it has confirmed; empty for never.",
        |c| c.outbox.confirm_after.map(duration::exact).unwrap_or_default(),
        |c, text| c.outbox.confirm_after = optional(text).as_deref().map(age).transpose()?
    ),
    setting!(
        "outbox.relay",
        "LOVAGE_OUTBOX__RELAY",
        "Whether workers and `lovage up` relay that outbox, too.",
        |c| c.outbox.relay.to_string(),
        |c, text| c.outbox.relay = flag(text)?
    ),
    setting!(
        "aws.access_key_id",
        "AWS_ACCESS_KEY_ID",
        "Key id for an S3-compatible store.",
        |c| shown(c.aws.access_key_id.as_ref()),
        |c, text| c.aws.access_key_id = optional(text)
    ),
    setting!(
        "aws.secret_access_key",
        "AWS_SECRET_ACCESS_KEY",
        "Secret key for an S3-compatible store.",
        |c| shown(c.aws.secret_access_key.as_ref()),
        |c, text| c.aws.secret_access_key = optional(text).map(Secret::new)
    ),
    setting!(
        "aws.session_token",
        "AWS_SESSION_TOKEN",
        "Session token for an S3-compatible store.",
        |c| shown(c.aws.session_token.as_ref()),
        |c, text| c.aws.session_token = optional(text).map(Secret::new)
    ),
    setting!("aws.region", "AWS_REGION", "Region of the bucket.", |c| shown(c.aws.region.as_ref()), |c, text| c
        .aws
        .region =
        optional(text)),
    setting!(
        "aws.endpoint_url",
        "AWS_ENDPOINT_URL",
        "Address of an S3-compatible store other than AWS.",
        |c| shown(c.aws.endpoint_url.as_ref()),
        |c, text| c.aws.endpoint_url = optional(text)
    ),
];

/// All names that a file may use, for the nearest-name hint.
pub fn keys() -> Vec<String> {
    let mut keys: Vec<String> = SETTINGS.iter().map(|setting| setting.key.to_owned()).collect();
    keys.extend(["sources.NAME.url", "datasets", "schedules"].map(str::to_owned));
    keys
}

/// Whether a setting with one value has this name.
pub fn is_key(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key == key) || source_name(key).is_some()
}

/// The name in `sources.NAME.url`; nothing if the key is not of that form, an error if the name cannot be used.
pub fn source_name(key: &str) -> Option<Result<&str, String>> {
    let name = key.strip_prefix("sources.")?.strip_suffix(".url")?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
        return Some(Err(format!("the source's name {name:?} cannot be used; use 1 to 64 of a-z, 0-9, `_` and `-`")));
    }
    if name == "default" {
        return Some(Err("the source `default` is database_url; set that, or choose another name".to_owned()));
    }
    Some(Ok(name))
}
