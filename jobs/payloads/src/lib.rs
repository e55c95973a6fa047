//! The argument structs of the shipped job kinds: what another service needs to enqueue them.
//!
//! In the walk of a job this is step 1. Each struct names its kind and turns into a [`NewJob`] for a queue of the
//! caller's choice; the handlers in `lovage-jobs` read the same structs. Unknown fields are refused, so that a typing
//! error in an option does not pass for its default.
//!
//! ```
//! use lovage_payloads::ExportQuery;
//!
//! let mut job = ExportQuery::dataset("customers", serde_json::Map::new()).into_job("exports".parse()?)?;
//! job.tags.push("monthly".to_owned());
//! # Ok::<(), lovage_core::Invalid>(())
//! ```

mod audit;
mod debug;
mod export;
mod report;
mod report_input;

pub use audit::{AuditWrite, AuditWritten};
pub use debug::{DebugAbort, DebugFail, DebugNoop, DebugProgress, DebugSleep};
pub use export::{ExportCompression, ExportFormat, ExportQuery, ExportResult};
pub use report::{
    Aggregate, ChartKind, ExportReport, ReportChart, ReportFormat, ReportParam, ReportPivot, ReportResult, ReportSheet,
};
pub use report_input::{ArtifactInput, DatasetInput, InputFormat, InputFrom, ReportInput};

use lovage_core::{Invalid, NewJob, QueueName};
use serde::Serialize;

/// A job of this kind with these arguments and default options.
fn job(queue: QueueName, kind: &str, args: &impl Serialize) -> Result<NewJob, Invalid> {
    NewJob::new(queue, kind.parse()?, args)
}
