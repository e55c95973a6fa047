//! Files that appear under their name when they are whole.

use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::error::{Failure, Outcome};

/// A file beside the one that is wanted: what has the name is whole.
/// `field` is the option's name in errors.
pub fn create(field: &str, path: &Path) -> Outcome<(File, PathBuf)> {
    let failed = |problem: String| Failure::usage(field, format!("{field}: {} {problem}", path.display()));
    if path.exists() {
        return Err(failed("is there already; name another one, or remove it".to_owned()));
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // What jobs and records say is nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&draft).map_err(|error| failed(format!("cannot be written ({error})")))?;
    Ok((file, draft.into()))
}

/// On disk first, then under its name.
pub fn publish(out: BufWriter<File>, draft: &Path, path: &Path) -> std::io::Result<()> {
    out.into_inner()?.sync_all()?;
    std::fs::rename(draft, path)
}
