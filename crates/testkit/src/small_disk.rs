//! A disk that is full soon.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A file system of a few hundred KiB in memory, mounted on a temporary folder and gone with its handle.
///
/// Mounting takes root's rights; without them the test fails and says so.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts a disk with this much room.
    pub fn new(kib: u32) -> Self {
        let disk = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        disk.mount(&format!("size={kib}k,mode=0777"));
        disk
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives it this much room; what is on it stays.
    pub fn resize(&self, kib: u32) {
        self.mount(&format!("remount,size={kib}k"));
    }

    fn mount(&self, options: &str) {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{command:?}: {said}; a test of a full disk mounts one: run it as root, in a container with CAP_SYS_ADMIN"
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a file which is still open does not keep it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
