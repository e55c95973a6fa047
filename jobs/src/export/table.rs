//! A dataset as a file on this machine, for a job that goes on with its rows: what `export.report` reads.
//!
//! The plan and the pipeline are those of an export, so tenants, parameters, limits, the one snapshot and what follows from
//! an error are the same. The store is a folder beside the file, which is moved out of it at the end.

use std::path::Path;

use lovage_artifacts::{ArtifactStore, ManifestFile, StoreConfig};
use lovage_payloads::DatasetInput;
use lovage_worker::{JobContext, JobError, artifacts};

use super::fault;
use super::plan::{Known, Most};
use super::write::{self, Before};
use crate::Services;

/// Writes the rows that this dataset has for the job into `file`, as Parquet with exact decimals, and answers how an export
/// would describe it; the key in there means nothing. A dataset in chunks is one file here.
///
/// The bound holds while bytes come. A cancelled job stops the query in the server. After an error something may be left
/// beside `file`: its folder is to go with the attempt.
pub async fn read_dataset(
    services: &Services,
    job: &JobContext,
    input: &DatasetInput,
    file: &Path,
    most: Most,
) -> Result<ManifestFile, JobError> {
    let Services { sources, datasets, rules, .. } = services;
    let known = Known { sources, datasets, rules };
    let (query, form, source) = known.table(input, job.tenant(), most).map_err(fault::invalid)?;
    let folder = file.with_extension("incoming");
    // Nobody needs the file after a loss of power.
    let config = StoreConfig { durable: false, ..StoreConfig::new(folder.display().to_string()) };
    let artifacts = ArtifactStore::open(&config).map_err(artifacts::failed)?;
    let local = Services { artifacts, ..services.clone() };
    let written = write::write(&local, job, source, (&query, &form), Before::default()).await?.file;
    let moved = tokio::fs::rename(folder.join(&written.key), file).await;
    moved.map_err(|error| JobError::Retry(anyhow::anyhow!("move a file to {}: {error}", file.display())))?;
    Ok(written)
}
