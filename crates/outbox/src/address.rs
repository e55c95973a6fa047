//! Where an outbox is: an address of PostgreSQL, or a SQLite file. It shows itself without user and password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use lovage_core::Invalid;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

const FIELD: &str = "outbox";
const HELP: &str = "use postgres://USER@HOST/DATABASE, sqlite:FILE or the path of a file";

/// Where an outbox is.
#[derive(Clone)]
pub struct Address(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

impl Address {
    /// A SQLite file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(Box::new(SqliteConnectOptions::new().filename(path.into()))))
    }

    /// The SQL that creates the table, for your own migrations. It changes nothing where the table is there already.
    pub fn sql(&self) -> &'static str {
        match &self.0 {
            Place::Postgres(_) => include_str!("postgres.sql"),
            Place::Sqlite(_) => include_str!("sqlite.sql"),
        }
    }
}

impl FromStr for Address {
    type Err = Invalid;

    /// The text is never repeated in an error: it may carry a password.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let wrong = |problem: &str| Invalid::new(FIELD, problem, HELP);
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "postgres" | "postgresql" => {
                let options = text.parse().map_err(|_| wrong("is not an address of PostgreSQL"))?;
                Ok(Self(Place::Postgres(Box::new(options))))
            }
            "sqlite" => {
                let options: SqliteConnectOptions =
                    text.parse().map_err(|_| wrong("is not an address of a SQLite file"))?;
                if options.get_filename().as_os_str().is_empty() || text.contains(":memory:") {
                    return Err(wrong("names no file"));
                }
                Ok(Self(Place::Sqlite(Box::new(options))))
            }
            _ if text.is_empty() => Err(wrong("is empty")),
            _ if text.contains("://") => Err(wrong("is an address of something that cannot hold an outbox")),
            _ => Ok(Self::file(text)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Postgres(options) => {
                let database = options.get_database().unwrap_or_else(|| options.get_username());
                write!(f, "postgres {}:{}/{database}", options.get_host(), options.get_port())
            }
            Place::Sqlite(options) => write!(f, "{}", options.get_filename().display()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_where_but_never_the_password() {
        for (text, shown) in [
            ("postgres://app:s3cret@db.example:5433/shop?sslmode=require", "postgres db.example:5433/shop"),
            ("postgresql://app:s3cret@db.example/shop", "postgres db.example:5432/shop"),
            ("sqlite:spool.db", "spool.db"),
            ("/var/lib/app/spool.db", "/var/lib/app/spool.db"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(format!("{address} {address:?}"), format!("{shown} {shown}"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_text() {
        for (text, problem) in [
            ("", "is empty"),
            ("mysql://app:s3cret@db/shop", "cannot hold an outbox"),
            ("postgres://app:s3cret@db:port/shop", "is not an address of PostgreSQL"),
            ("sqlite::memory:", "names no file"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
