//! Runs one query with the streaming engine and hands its rows on as they come.
//!
//! polars cannot be stopped from outside. Rows that come out are the places at which this looks at the token and counts;
//! a query that gathers before it gives (a group, a sort, a join) comes to its first row before it can be stopped.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lovage_core::Invalid;
use lovage_worker::{JobContext, JobError};
use polars::prelude::{DataFrame, Engine, LazyFrame, PlanCallback, PolarsError, PolarsResult, Schema};
use polars::sql::SQLContext;

use crate::fault;

/// Rows that are handed on at once; also the size of a row group in Parquet.
const AT_ONCE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(131_071);

/// Takes rows, part by part, in their order.
pub(crate) trait Sink: Send + 'static {
    /// Takes some rows, at least one.
    fn take(&mut self, rows: DataFrame) -> PolarsResult<()>;
}

/// The bounds of one query.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub field: String,
    pub max_rows: u64,
}

/// A query that is ready to run.
pub(crate) struct Query {
    frame: LazyFrame,
    pub schema: Arc<Schema>,
}

struct Running<S> {
    sink: S,
    rows: u64,
    failed: Option<PolarsError>,
}

impl Query {
    /// Reads the SQL: unknown tables, columns and functions are found here.
    pub fn new(context: &mut SQLContext, sql: &str, field: &str) -> Result<Self, JobError> {
        let planned = context.execute(sql).and_then(|mut frame| {
            let schema = frame.collect_schema()?;
            Ok(Self { frame, schema })
        });
        planned.map_err(|error| fault::polars(field, &error))
    }

    /// Runs it to its end and answers the sink and the number of rows.
    pub fn run<S: Sink>(self, sink: S, bounds: &Bounds, job: &JobContext) -> Result<(S, u64), JobError> {
        let shared = Arc::new(Mutex::new(Running { sink, rows: 0, failed: None }));
        let (inner, token, max_rows) = (Arc::clone(&shared), job.cancelled().clone(), bounds.max_rows);
        let each = PlanCallback::new(move |rows: DataFrame| {
            let mut running = inner.lock().unwrap_or_else(PoisonError::into_inner);
            running.rows += rows.height() as u64;
            let full = token.is_cancelled() || running.rows > max_rows || running.failed.is_some();
            if !full && rows.height() > 0 {
                running.failed = running.sink.take(rows).err();
            }
            Ok(full || running.failed.is_some())
        });
        let ran = self.frame.sink_batches(each, true, Some(AT_ONCE)).and_then(|frame| {
            // Owns the other half of `shared`, which is dropped with it.
            frame.collect_with_engine(Engine::Streaming)
        });
        if job.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        ran.map_err(|error| fault::polars(&bounds.field, &error))?;
        let running = Arc::into_inner(shared).ok_or_else(|| anyhow::anyhow!("the query still holds its sink"))?;
        let Running { sink, rows, failed } = running.into_inner().unwrap_or_else(PoisonError::into_inner);
        if rows > bounds.max_rows {
            return Err(bounds.exceeded());
        }
        match failed {
            Some(error) => Err(fault::polars(&bounds.field, &error)),
            None => Ok((sink, rows)),
        }
    }
}

impl Bounds {
    fn exceeded(&self) -> JobError {
        let problem = format!("gives more than {} rows", self.max_rows);
        let help = "group, filter or LIMIT, or raise reports.max_rows (a sheet holds 1,048,575)";
        fault::invalid(Invalid::new(&self.field, problem, help))
    }
}

/// Keeps all rows: for what has to be seen whole.
#[derive(Debug, Default)]
pub(crate) struct Kept(Option<DataFrame>);

impl Kept {
    /// The rows as one frame.
    pub fn frame(self, schema: &Schema) -> DataFrame {
        self.0.unwrap_or_else(|| DataFrame::empty_with_schema(schema))
    }
}

impl Sink for Kept {
    fn take(&mut self, rows: DataFrame) -> PolarsResult<()> {
        if let Some(frame) = &mut self.0 {
            return frame.vstack_mut(&rows).map(|_| ());
        }
        self.0 = Some(rows);
        Ok(())
    }
}
