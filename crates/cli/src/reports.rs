//! Joins the handler of reports with the datasets of exports: neither crate knows the other.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use lovage_artifacts::ManifestFile;
use lovage_core::Invalid;
use lovage_jobs::Most;
use lovage_payloads::DatasetInput;
use lovage_reports::{DatasetReader, ExportReportHandler, ReportLimits, Services};
use lovage_worker::{JobContext, JobError};

use crate::config::Config;

/// Datasets as exports read them.
#[derive(Debug)]
struct Datasets(lovage_jobs::Services);

impl DatasetReader for Datasets {
    fn read<'a>(
        &'a self,
        job: &'a JobContext,
        input: &'a DatasetInput,
        file: &'a Path,
        max_bytes: u64,
        beyond: Invalid,
    ) -> BoxFuture<'a, Result<ManifestFile, JobError>> {
        let most = Most { bytes: max_bytes, beyond };
        Box::pin(lovage_jobs::read_dataset(&self.0, job, input, file, most))
    }
}

/// The handler of `export.report`, which works with what exports work with.
pub fn handler(config: &Config, exports: lovage_jobs::Services) -> ExportReportHandler {
    let limits = ReportLimits {
        max_input_bytes: config.reports.max_input_bytes,
        max_rows: config.reports.max_rows,
        temp_dir: config.reports.temp_dir.clone(),
    };
    let (artifacts, clock, keep) = (exports.artifacts.clone(), Arc::clone(&exports.clock), exports.rules.keep.clone());
    let datasets = Some(Arc::new(Datasets(exports)) as Arc<dyn DatasetReader>);
    ExportReportHandler::new(Services { artifacts, datasets, clock, limits, keep })
}
