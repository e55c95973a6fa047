//! A ledger in each kind of database, and somebody who has the database's password.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lovage_ledger::{Ledger, LedgerAddress, migrate};
use lovage_testkit::PostgresServer;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqlSafeStr as _};
use tempfile::TempDir;

/// Where a ledger is.
pub struct Place {
    pub address: LedgerAddress,
    url: String,
    server: Option<Arc<PostgresServer>>,
    _folder: Option<TempDir>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.server.is_some() { "PostgreSQL" } else { "SQLite" })
    }
}

/// A migrated ledger of each kind.
pub async fn places() -> Vec<Place> {
    let places = Place::all();
    for place in &places {
        migrate(&place.address).await.unwrap();
    }
    places
}

impl Place {
    /// An empty place of each kind.
    pub fn all() -> Vec<Self> {
        let server = Arc::new(PostgresServer::start());
        let url = server.url();
        vec![Self::sqlite(), Self { address: url.parse().unwrap(), url, server: Some(server), _folder: None }]
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("new/ledger.db").display());
        Self { address: url.parse().unwrap(), url, server: None, _folder: Some(folder) }
    }

    /// Another one of the same kind, migrated.
    pub async fn fresh(&self) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let place = match &self.server {
            None => Self::sqlite(),
            Some(server) => {
                let name = format!("fresh_{}", NEXT.fetch_add(1, Ordering::Relaxed));
                self.run(&format!("CREATE DATABASE {name}")).await;
                let (server_url, _) = self.url.rsplit_once('/').unwrap();
                let url = format!("{server_url}/{name}");
                Self { address: url.parse().unwrap(), url, server: Some(Arc::clone(server)), _folder: None }
            }
        };
        migrate(&place.address).await.unwrap();
        place
    }

    pub async fn ledger(&self) -> Ledger {
        Ledger::open(&self.address).await.unwrap()
    }

    /// Runs a statement on the tables of the ledger.
    pub async fn tamper(&self, statement: &str) {
        let id = if self.server.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
        let statement = statement.replace("{id}", id);
        if self.server.is_some() {
            self.run(&format!("SET search_path = lovage; {statement}")).await;
        } else {
            self.run(&statement).await;
        }
    }

    /// Has all batches be written at this many milliseconds, an expression of SQL.
    pub async fn written(&self, millis: &str) {
        let at = if self.server.is_some() { format!("to_timestamp(({millis}) / 1000.0)") } else { millis.to_owned() };
        self.tamper(&format!("UPDATE audit_batches SET written_at = {at}")).await;
    }

    /// Has the database refuse events of this actor.
    pub async fn refuse(&self, actor: &str) {
        if self.server.is_some() {
            let function = "CREATE FUNCTION lovage.refuse() RETURNS trigger LANGUAGE plpgsql
                            AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$";
            self.run(function).await;
            self.run(&format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON lovage.audit_events FOR EACH ROW WHEN (NEW.actor = '{actor}')
                 EXECUTE FUNCTION lovage.refuse()"
            ))
            .await;
        } else {
            self.run(&format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON audit_events WHEN NEW.actor = '{actor}'
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            ))
            .await;
        }
    }

    /// The first column, a text, of what a query on the tables of the ledger answers.
    pub async fn texts(&self, select: &str) -> Vec<String> {
        let sql = AssertSqlSafe(select.to_owned());
        if self.server.is_some() {
            let options: sqlx::postgres::PgConnectOptions = self.url.parse().unwrap();
            let mut connection = options.options([("search_path", "lovage")]).connect().await.unwrap();
            let texts = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            texts
        } else {
            let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            let texts = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            texts
        }
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    /// Applies one step of the schema and no other: its SQL for PostgreSQL and for SQLite.
    pub async fn apply(&self, version: i64, name: &'static str, [postgres, sqlite]: [&'static str; 2]) {
        let migrator = |sql: &'static str, table: &'static str| {
            let sql = sql.into_sql_str();
            let step = Migration::new(version, name.into(), MigrationType::Simple, sql, false);
            let mut migrator = Migrator::with_migrations(vec![step]);
            migrator.dangerous_set_table_name(table);
            migrator.set_ignore_missing(true);
            migrator
        };
        if self.server.is_some() {
            let options: sqlx::postgres::PgConnectOptions = self.url.parse().unwrap();
            let mut migrator = migrator(postgres, "lovage.migrations");
            migrator.create_schemas = vec!["lovage".into()].into();
            migrator.run(&mut options.connect().await.unwrap()).await.unwrap();
        } else {
            let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().unwrap();
            std::fs::create_dir_all(options.get_filename().parent().unwrap()).unwrap();
            let mut connection = options.create_if_missing(true).connect().await.unwrap();
            migrator(sqlite, "migrations").run(&mut connection).await.unwrap();
        }
    }

    async fn run(&self, statement: &str) {
        let sql = AssertSqlSafe(statement.to_owned());
        if self.server.is_some() {
            let options: sqlx::postgres::PgConnectOptions = self.url.parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            connection.execute(sqlx::raw_sql(sql)).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            connection.execute(sqlx::raw_sql(sql)).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}
