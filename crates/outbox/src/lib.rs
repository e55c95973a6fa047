//! Jobs get out of a table: an outbox is a table in the database of whoever enqueues, and a relay moves its rows into
//! the broker.
//!
//! A service inserts a row in the transaction that also writes its own data ([`Outbox`] has the table). What is
//! committed is enqueued, what is rolled back never was. A [`Relay`] takes rows by their presence, enqueues each under
//! the row's id, and only then deletes it. Whatever dies between these steps, the row is taken again, and the job that
//! is there already answers for its id.
//!
//! The spool of a producer ([`Spooled`]) is the same table in a local SQLite file: jobs wait in it while the broker is
//! away, and the same relay sends them.
//!
//! `address` says where an outbox is, `row` makes a job of a row and a row of a job (pure), `fate` says what follows
//! from the broker's answer (pure), `postgres` and `sqlite` are the two tables, `relay` does one batch, `run` one
//! after the other, `late` connects to the broker when it is needed.

mod address;
mod error;
mod fate;
mod late;
mod outbox;
mod postgres;
mod relay;
mod row;
mod run;
mod spool;
mod sqlite;

pub use address::Address;
pub use error::OutboxError;
pub use late::LateProducer;
pub use outbox::{FailedRow, Outbox, Status};
pub use relay::{Batch, Relay, RelayConfig};
pub use spool::{Handed, NoRoom, SpoolConfig, Spooled};
