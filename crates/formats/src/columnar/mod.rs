//! Formats whose columns have types: Parquet and Arrow. Both are fed with Arrow's record batches, which are built here.
//!
//! A value goes straight into its column's builder; there are no rows in between. A batch is closed by its rows or by its
//! bytes, whichever is reached first, so that neither many columns nor long texts make it large. Each value is either
//! kept exactly or refused: a column has one type in these formats, and a file that reads back other values than the
//! source had is worse than none.

mod arrow;
mod layout;
mod parquet;
mod store;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use jiff::tz::TimeZone;
use lovage_core::Invalid;

pub(crate) use self::arrow::Arrow;
pub(crate) use self::parquet::Parquet;
use self::store::Store;
use crate::error::EncodeError;
use crate::schema::{Column, Type};
use crate::value::Value;

/// Bytes of values after which a batch is closed.
const FULL: usize = 4 * 1024 * 1024;

/// Records on their way into a batch.
struct Batches {
    schema: SchemaRef,
    columns: Vec<Column>,
    stores: Vec<Store>,
    zone: TimeZone,
    /// Rows after which a batch is closed.
    full_rows: usize,
    /// Of the open batch.
    rows: usize,
    /// Of the open batch.
    bytes: usize,
    /// Of all batches.
    records: u64,
    /// Whether a record was refused half way, so that the columns are no longer equally long.
    torn: bool,
}

impl Batches {
    /// For records of these columns, at most `rows` in a batch.
    fn new(columns: &[Column], zone: &TimeZone, rows: usize) -> Result<Self, EncodeError> {
        if columns.is_empty() {
            return Err(Invalid::new("columns", "has none", "select at least one column, or use csv").into());
        }
        let fields: Vec<_> = columns.iter().map(layout::field).collect::<Result<_, _>>()?;
        // Room for what a batch can hold: fewer rows if there are many columns.
        let width: usize = columns.iter().map(|column| layout::width(column.ty)).sum();
        let full_rows = rows.min(FULL / width.max(1)).max(1);
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            columns: columns.to_vec(),
            stores: columns.iter().map(|column| Store::new(column.ty, full_rows, 0)).collect(),
            zone: zone.clone(),
            full_rows,
            rows: 0,
            bytes: 0,
            records: 0,
            torn: false,
        })
    }

    /// Adds a record; answers the batch if that made it full.
    fn push(&mut self, values: &[Value<'_>]) -> Result<Option<RecordBatch>, EncodeError> {
        self.records += 1;
        if values.len() != self.columns.len() {
            let what = format!("are {}, and record {} has {} values", self.columns.len(), self.records, values.len());
            return Err(Invalid::new("columns", what, "give one value for each column").into());
        }
        self.torn = true;
        for ((store, column), value) in self.stores.iter_mut().zip(&self.columns).zip(values) {
            self.bytes += store.push(value, column.ty, &self.zone).map_err(|problem| EncodeError::Cell {
                column: column.name.clone(),
                record: self.records,
                problem,
            })?;
        }
        self.torn = false;
        self.rows += 1;
        if self.rows < self.full_rows && self.bytes < FULL {
            return Ok(None);
        }
        self.take()
    }

    /// The open batch, unless it is empty. The next one begins with the room that this one needed.
    fn take(&mut self) -> Result<Option<RecordBatch>, EncodeError> {
        if self.torn {
            return Err(std::io::Error::other("a refused record ended this file").into());
        }
        if self.rows == 0 {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = self
            .stores
            .iter_mut()
            .zip(&self.columns)
            .map(|(store, column)| {
                let next = Store::new(column.ty, self.full_rows, store.text_bytes());
                std::mem::replace(store, next).finish()
            })
            .collect();
        (self.rows, self.bytes) = (0, 0);
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(arrow_failed)?))
    }

    /// What people should know about the columns.
    fn notes(&self) -> Vec<String> {
        let named = |ty: Type| {
            let names: Vec<&str> =
                self.columns.iter().filter(|column| column.ty == ty).map(|column| column.name.as_str()).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let numeric = named(Type::Numeric).map(|names| {
            format!(
                "written as text, because their numbers have no declared precision: {names}; cast them in the query to \
                 get numbers, e.g. to numeric(18,2)"
            )
        });
        let any = named(Type::Any).map(|names| {
            format!(
                "written as text, because their values are of no one type: {names}; cast them in the query to get one"
            )
        });
        numeric.into_iter().chain(any).collect()
    }
}

/// An error of the library; one of the output comes out as it went in.
fn arrow_failed(error: ArrowError) -> EncodeError {
    match error {
        ArrowError::IoError(_, error) => EncodeError::Io(error),
        other => EncodeError::Io(std::io::Error::other(other)),
    }
}
