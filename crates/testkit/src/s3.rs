//! A real S3 server on loopback: moto from the Python package index, in an environment of its own.
//!
//! It keeps objects in memory, so tests send it small ones. The environment is made once per machine, on first use
//! (`cargo xtask test` does it up front), under the user's cache folder. It also has the libraries with which tests read
//! back the files that we write.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use crate::announced::{Announced, run};

/// The packages, pinned: another release may answer differently. Whoever changes them gives the folder another number.
const PACKAGES: [&str; 3] = ["moto[server]==5.2.5", "openpyxl==3.1.5", "pyarrow==26.0.1"];
const FOLDER: &str = "lovage-test/python-1";

/// A running server with one bucket.
#[derive(Debug)]
pub struct S3Server {
    address: String,
    bucket: String,
    server: Announced,
}

/// Where the environment lies.
pub fn folder() -> PathBuf {
    let home = std::env::home_dir().expect("a home folder for the test environment");
    home.join(".cache").join(FOLDER)
}

/// Makes the environment unless it is there; answers its Python. Several tests may ask at once, one of them works.
pub fn ensure_installed() -> PathBuf {
    let folder = folder();
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    std::fs::create_dir_all(&folder).expect("the cache folder can be written");
    let lock = File::create(folder.join("lock")).expect("the cache folder can be written");
    lock.lock().expect("file locks work in the cache folder");
    if !ready.exists() {
        let help = "these tests need Python 3 with venv, e.g. `apt-get install python3-venv`";
        assert!(Command::new("python3").arg("--version").output().is_ok(), "{help}");
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let mut pip = Command::new(&python);
        run(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES));
        File::create(ready).expect("the cache folder can be written");
    }
    python
}

impl S3Server {
    /// Starts a server and makes an empty bucket called `bucket`.
    pub fn start(bucket: &str) -> Self {
        let mut command = Command::new(ensure_installed());
        // Its answers carry dates; its credentials are never checked.
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]).env("NO_COLOR", "1");
        let server = Announced::start(command, "Running on http://", "TERM");
        let server = server.unwrap_or_else(|output| panic!("the S3 server does not start: {output}"));
        let address = server.line.rsplit("http://").next().expect("the line names it").trim().to_owned();
        let started = Self { address, bucket: bucket.to_owned(), server };
        let (status, body) = started.request("PUT", &format!("/{bucket}"));
        assert_eq!(status, 200, "the bucket is made: {body}");
        started
    }

    /// Its address, e.g. `http://127.0.0.1:4711`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its address for a [`Proxy`](crate::Proxy).
    pub fn socket(&self) -> SocketAddr {
        self.address.parse().expect("an address and a port")
    }

    /// The settings that a client needs, by the names of Amazon's own tools.
    pub fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// The keys in the bucket.
    pub fn keys(&self) -> Vec<String> {
        let (_, body) = self.request("GET", &format!("/{}?list-type=2", self.bucket));
        elements(&body, "Key")
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        let (_, body) = self.request("GET", &format!("/{}?uploads", self.bucket));
        elements(&body, "UploadId").len()
    }

    /// Parts that uploads have which were begun and neither completed nor aborted.
    pub fn unfinished_parts(&self) -> usize {
        let (_, body) = self.request("GET", &format!("/{}?uploads", self.bucket));
        let uploads = elements(&body, "Key").into_iter().zip(elements(&body, "UploadId"));
        let parts = uploads.map(|(key, id)| {
            let (_, body) = self.request("GET", &format!("/{}/{key}?uploadId={id}", self.bucket));
            elements(&body, "PartNumber").len()
        });
        parts.sum()
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.server.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.server.signal("CONT");
    }

    /// Puts an object into the bucket, as somebody else does who shares it.
    pub fn put(&self, key: &str, content: &[u8]) {
        let (status, body) = self.send("PUT", &format!("/{}/{key}", self.bucket), content);
        assert_eq!(status, 200, "the object is put: {body}");
    }

    /// One plain request; answers the status and the body.
    pub fn request(&self, method: &str, path: &str) -> (u16, String) {
        self.send(method, path, &[])
    }

    fn send(&self, method: &str, path: &str, content: &[u8]) -> (u16, String) {
        let mut connection = TcpStream::connect(&self.address).expect("the S3 server listens");
        let (host, length) = (&self.address, content.len());
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        let sent = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(content));
        sent.expect("the S3 server takes the request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("the S3 server answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }
}

/// The texts of all elements with this name; enough for the two flat lists above.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rest = xml.split(open.as_str()).skip(1);
    rest.filter_map(|text| text.split_once(close.as_str())).map(|(text, _)| text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_server_has_its_bucket_and_nothing_in_it() {
        let server = S3Server::start("files");
        assert_eq!(server.request("GET", "/files?list-type=2").0, 200);
        assert!(server.keys().is_empty());
        assert_eq!(server.unfinished_uploads(), 0);
        assert_eq!(server.request("GET", "/others?list-type=2").0, 404);
    }
}
