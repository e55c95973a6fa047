//! Certificates of an authority that nobody else trusts, for TLS on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const HOW_TO_INSTALL: &str = "openssl is not installed or not on the PATH; the tests of TLS make certificates with it \
                              (Debian and Ubuntu: `apt-get install openssl`)";

/// An authority, and a certificate for 127.0.0.1 that it signed; gone with the handle.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes an authority of its own and one certificate, valid for two days.
    #[must_use]
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let made = Self { folder };
        made.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.crt");
        std::fs::write(made.path("extra"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").expect("a file");
        made.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=redis -keyout redis.key -out redis.csr");
        made.openssl(
            "x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extra -out redis.crt",
        );
        made
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// The certificate that it signed.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("redis.crt")
    }

    /// The key of that certificate.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.path("redis.key")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let folder: &Path = self.folder.path();
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null());
        let done = command.output().unwrap_or_else(|error| panic!("{HOW_TO_INSTALL} ({error})"));
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
