//! Artifacts: the files that jobs leave behind, on a local folder or any object store.
//!
//! In the walk of a job this is step 7. A handler streams bytes through an [`ArtifactWriter`] to a key that belongs to
//! its attempt alone, then hands a [`Manifest`] to [`ArtifactStore::publish`]. The manifest, put if absent at a key that
//! belongs to the job, is the commit point: before it nothing is visible, after it one attempt's files are, and no
//! second manifest can follow. [`ArtifactStore::verify`] checks files against their manifest;
//! [`ArtifactStore::sweep_orphans`] removes what dead attempts left.
//!
//! Afterwards: [`ArtifactStore::list`] shows what was published, [`ArtifactStore::link`] hands a file to somebody without
//! credentials, [`ArtifactStore::expire`] and [`ArtifactStore::delete`] remove files and leave a record of it, and
//! [`ArtifactStore::hold`] keeps them from it.
//!
//! No clock, no randomness and no environment is read here: settings, times and tokens come in as arguments.

mod anchor;
#[cfg(test)]
mod awkward;
#[cfg(test)]
mod awkward_tests;
mod chunk;
mod config;
mod deletion;
mod digest;
mod error;
mod expire;
mod hold;
mod keep;
mod keys;
mod leftovers;
mod link;
mod list;
mod manifest;
mod objects;
mod open;
mod parts;
mod publish;
mod record;
mod sign;
mod store;
mod sweep;
mod verify;
mod writer;

pub use chunk::Chunk;
pub use config::StoreConfig;
pub use deletion::{DeleteOptions, DeletedBy, DeletedFile, Deletion};
pub use digest::sha256_hex;
pub use error::{ArtifactError, LeaseLost};
pub use expire::{ExpireOptions, ExpireReport, Expired};
pub use hold::Hold;
pub use keep::Keep;
pub use keys::{AttemptKey, FileName};
pub use link::{Link, LinkOptions, SignedLink};
pub use list::{ListOptions, Listed, ManifestPage};
pub use manifest::{Column, MANIFEST_VERSION, Manifest, ManifestFile, Origin};
pub use objects::StoredObject;
pub use publish::{LeaseCheck, Published};
pub use store::ArtifactStore;
pub use sweep::{SweepOptions, SweepReport};
pub use verify::{Verified, VerifiedFile};
pub use writer::{ArtifactWriter, Staged};
