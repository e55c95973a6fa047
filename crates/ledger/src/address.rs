//! Where a ledger is. It shows itself without user and password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use lovage_core::Invalid;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

const HELP: &str = "use postgres://USER@HOST/DATABASE or sqlite:FILE";

/// An address of PostgreSQL, or a SQLite file.
#[derive(Clone)]
pub struct LedgerAddress(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

impl LedgerAddress {
    /// A SQLite file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(Box::new(SqliteConnectOptions::new().filename(path.into()))))
    }
}

impl FromStr for LedgerAddress {
    type Err = Invalid;

    /// The text is never repeated in an error: it may carry a password.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |problem: &str| Invalid::new("ledger.url", problem, HELP);
        match text.split_once(':').map_or("", |(scheme, _)| scheme) {
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
            _ => Err(wrong("is no address of a ledger")),
        }
    }
}

impl fmt::Display for LedgerAddress {
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

impl fmt::Debug for LedgerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_where_but_never_the_password() {
        let address: LedgerAddress = "postgres://app:s3cret@db.example:5433/lovage".parse().unwrap();
        assert_eq!(format!("{address} {address:?}"), "postgres db.example:5433/lovage postgres db.example:5433/lovage");
        for text in ["", "mysql://a:s3cret@b/c", "postgres://a:s3cret@b:port/c", "sqlite::memory:", "/var/lib/s3cret"] {
            let error = text.parse::<LedgerAddress>().unwrap_err().to_string();
            assert!(error.starts_with("ledger.url: ") && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
