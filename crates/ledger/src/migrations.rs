//! The schema's versions: which there are, which a ledger has, and bringing one to the newest.
//!
//! The tables of PostgreSQL lie in a schema `lovage` of their own, so a ledger may share a database with others.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration as Step, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection as _, SqlSafeStr as _};

use crate::address::{LedgerAddress, Place};
use crate::error::LedgerError;
use crate::ledger::PATIENCE;

/// The table of what was applied.
const POSTGRES_TABLE: &str = "lovage.migrations";
const SQLITE_TABLE: &str = "migrations";

/// How often migrations of a SQLite file are tried that somebody else migrates, too.
const TRIES: u32 = 10;
/// Between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Whether the ledger has it.
    pub applied: bool,
}

/// The steps of both kinds of database, under the same numbers and names.
const STEPS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "audit",
        include_str!("../../../migrations/postgres/0001_audit.sql"),
        include_str!("../../../migrations/sqlite/0001_audit.sql"),
    ),
    (
        2,
        "history",
        include_str!("../../../migrations/postgres/0002_history.sql"),
        include_str!("../../../migrations/sqlite/0002_history.sql"),
    ),
    (
        3,
        "schedules",
        include_str!("../../../migrations/postgres/0003_schedules.sql"),
        include_str!("../../../migrations/sqlite/0003_schedules.sql"),
    ),
    (
        4,
        "schedules_withdrawn",
        include_str!("../../../migrations/postgres/0004_schedules_withdrawn.sql"),
        include_str!("../../../migrations/sqlite/0004_schedules_withdrawn.sql"),
    ),
];

fn postgres() -> Migrator {
    let steps = STEPS.iter().map(|(version, name, sql, _)| step(*version, name, sql));
    let mut migrator = Migrator::with_migrations(steps.collect());
    migrator.dangerous_set_table_name(POSTGRES_TABLE);
    migrator.create_schemas = Cow::Owned(vec![Cow::Borrowed("lovage")]);
    migrator
}

fn sqlite() -> Migrator {
    let steps = STEPS.iter().map(|(version, name, _, sql)| step(*version, name, sql));
    let mut migrator = Migrator::with_migrations(steps.collect());
    migrator.dangerous_set_table_name(SQLITE_TABLE);
    migrator
}

fn step(version: i64, name: &'static str, sql: &'static str) -> Step {
    Step::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
}

/// Brings a ledger to the newest version, creating it if it is not there. Answers the steps that it had not when this began.
/// Several that do so at once do not disturb each other.
pub async fn migrate(address: &LedgerAddress) -> Result<Vec<Migration>, LedgerError> {
    let before = status(address).await?;
    if before.iter().all(|step| step.applied) {
        return Ok(Vec::new());
    }
    let mut tries = 0;
    loop {
        let Err(error) = run(address).await else {
            return Ok(before.into_iter().filter(|step| !step.applied).collect());
        };
        tries += 1;
        // SQLite has no lock for migrations: who comes second meets the lock or the tables of the first, and looks again.
        if tries >= TRIES || matches!(address.0, Place::Postgres(_)) {
            return Err(error);
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

async fn run(address: &LedgerAddress) -> Result<(), LedgerError> {
    let failed = |error: MigrateError| of_migration(address, error);
    match &address.0 {
        Place::Postgres(options) => {
            let mut connection = connect(options.as_ref()).await?;
            postgres().run(&mut connection).await.map_err(failed)?;
            let _ = connection.close().await;
        }
        Place::Sqlite(options) => {
            if let Some(folder) = options.get_filename().parent() {
                std::fs::create_dir_all(folder).map_err(|error| {
                    LedgerError::Unavailable(format!("the folder {} cannot be made: {error}", folder.display()))
                })?;
            }
            let options = options.as_ref().clone().create_if_missing(true);
            let mut connection: SqliteConnection = connect(&options).await?;
            sqlite().run(&mut connection).await.map_err(failed)?;
            let _ = connection.close().await;
        }
    }
    Ok(())
}

/// All steps, with whether the ledger has them. A ledger that is not there has none.
pub async fn status(address: &LedgerAddress) -> Result<Vec<Migration>, LedgerError> {
    let applied = applied(address).await?;
    let newest = STEPS.last().map_or(0, |(version, ..)| *version);
    if let Some(&version) = applied.iter().find(|version| **version > newest) {
        return Err(LedgerError::Newer { place: address.to_string(), version });
    }
    let of = |(version, name, ..): &(i64, &str, &str, &str)| Migration {
        version: *version,
        name: format!("{version:04}_{name}"),
        applied: applied.contains(version),
    };
    Ok(STEPS.iter().map(of).collect())
}

/// [`LedgerError::Pending`] unless the ledger has all steps.
pub(crate) async fn check(address: &LedgerAddress) -> Result<(), LedgerError> {
    let pending: Vec<Migration> = status(address).await?.into_iter().filter(|step| !step.applied).collect();
    match pending.first() {
        None => Ok(()),
        Some(next) => {
            Err(LedgerError::Pending { place: address.to_string(), pending: pending.len(), next: next.name.clone() })
        }
    }
}

/// The versions that a ledger has.
async fn applied(address: &LedgerAddress) -> Result<Vec<i64>, LedgerError> {
    let versions = match &address.0 {
        Place::Postgres(options) => {
            let mut connection = connect(options.as_ref()).await?;
            let versions = postgres_versions(&mut connection).await;
            let _ = connection.close().await;
            versions
        }
        Place::Sqlite(options) => {
            if !options.get_filename().exists() {
                return Ok(Vec::new());
            }
            let mut connection = connect(options.as_ref()).await?;
            let versions = sqlite_versions(&mut connection).await;
            let _ = connection.close().await;
            versions
        }
    };
    versions.map_err(|error| of_migration(address, error))
}

/// A connection. A server that takes it and says nothing is not waited for.
async fn connect<O: ConnectOptions>(options: &O) -> Result<O::Connection, LedgerError>
where
    O::Connection: Sized,
{
    match tokio::time::timeout(PATIENCE, options.connect()).await {
        Ok(connected) => connected.map_err(|error| LedgerError::of(&error)),
        Err(_) => Err(LedgerError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

async fn postgres_versions(connection: &mut PgConnection) -> Result<Vec<i64>, MigrateError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(POSTGRES_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if there { versions(connection, POSTGRES_TABLE).await } else { Ok(Vec::new()) }
}

async fn sqlite_versions(connection: &mut SqliteConnection) -> Result<Vec<i64>, MigrateError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?)";
    let there: bool = sqlx::query_scalar(sql).bind(SQLITE_TABLE).fetch_one(&mut *connection).await?;
    if there { versions(connection, SQLITE_TABLE).await } else { Ok(Vec::new()) }
}

async fn versions(connection: &mut impl Migrate, table: &str) -> Result<Vec<i64>, MigrateError> {
    if let Some(version) = connection.dirty_version(table).await? {
        return Err(MigrateError::Dirty(version));
    }
    Ok(connection.list_applied_migrations(table).await?.into_iter().map(|applied| applied.version).collect())
}

fn of_migration(address: &LedgerAddress, error: MigrateError) -> LedgerError {
    match error {
        MigrateError::Execute(error) => LedgerError::Unavailable(error.to_string()),
        other => LedgerError::Broken { place: address.to_string(), problem: other.to_string() },
    }
}
