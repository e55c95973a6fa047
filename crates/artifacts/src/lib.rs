//! Artifacts: the files that jobs leave behind, on a local folder or any object store.
//!
//! In the walk of a job this is step 7. A handler streams bytes through an [`ArtifactWriter`] to a key that belongs to
//! its attempt alone, then hands a [`Manifest`] to [`ArtifactStore::publish`]. The manifest, put if absent at a key that
//! belongs to the job, is the commit point: before it nothing is visible, after it one attempt's files are, and no
//! second manifest can follow. [`ArtifactStore::verify`] checks files against their manifest;
//! [`ArtifactStore::sweep_orphans`] removes what dead attempts left.
//!
//! No clock, no randomness and no environment is read here: settings, times and tokens come in as arguments.

#[cfg(test)]
mod awkward;
#[cfg(test)]
mod awkward_tests;
mod config;
mod digest;
mod error;
mod keys;
mod leftovers;
mod manifest;
mod objects;
mod open;
mod parts;
mod publish;
mod store;
mod sweep;
mod verify;
mod writer;

pub use config::StoreConfig;
pub use error::{ArtifactError, LeaseLost};
pub use keys::{AttemptKey, FileName};
pub use manifest::{Column, MANIFEST_VERSION, Manifest, ManifestFile, Origin};
pub use objects::StoredObject;
pub use publish::{LeaseCheck, Published};
pub use store::ArtifactStore;
pub use sweep::{SweepOptions, SweepReport};
pub use verify::{Verified, VerifiedFile};
pub use writer::{ArtifactWriter, Staged};
