//! The handlers of the job kinds that Lovage ships: one folder per family.
//!
//! In the walk of a job this is step 6. A handler is given the services of [`Services`] when the worker starts and
//! reaches everything else through its `JobContext`.

mod audit;
mod debug;
mod export;
mod sources;

use std::sync::Arc;

use lovage_artifacts::ArtifactStore;
use lovage_core::Clock;
use lovage_worker::Registry;

pub use audit::{Audit, AuditWriteHandler};
pub use debug::{Abort, Fail, Noop, ProgressSteps, Sleep};
pub use export::{
    Chunks, ColumnOptions, Count, Dataset, Datasets, ExportQueryHandler, ExportRules, Most, Param, ParamType,
    read_dataset,
};
pub use sources::Sources;

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where files go.
    pub artifacts: ArtifactStore,
    /// The databases that jobs may read.
    pub sources: Sources,
    /// What may be exported, by name.
    pub datasets: Datasets,
    /// What exports may do.
    pub rules: ExportRules,
    /// Where audit events go; without one this worker leaves their jobs to others.
    pub audit: Option<Audit>,
    /// For times that people read; nothing is decided by it.
    pub clock: Arc<dyn Clock>,
}

/// All handlers; those of the debug kinds only if `debug` says so.
pub fn registry(services: Services, debug: bool) -> Registry {
    let audit = services.audit.clone();
    let mut registry = Registry::new().with(ExportQueryHandler::new(services));
    if let Some(audit) = audit {
        registry = registry.with(AuditWriteHandler::new(audit));
    }
    if !debug {
        return registry;
    }
    registry.with(Noop).with(Sleep).with(Fail).with(Abort).with(ProgressSteps)
}
