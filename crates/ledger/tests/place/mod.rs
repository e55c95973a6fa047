//! A ledger in each kind of database, and somebody who has the database's password.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lovage_ledger::{Ledger, LedgerAddress, migrate};
use lovage_testkit::PostgresServer;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
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
