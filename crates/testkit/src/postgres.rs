//! A private PostgreSQL cluster: its own folder, its own port, no durability.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::announced::{Announced, run};

/// How often another port is tried: between choosing a free one and using it somebody else may take it.
const TRIES: usize = 5;

/// A running server. Everybody on this machine may connect as `postgres` without a password.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    // Stopped before its folder is removed: fields are dropped in this order.
    _server: Announced,
    _folder: TempDir,
}

impl PostgresServer {
    /// Makes a cluster and starts it; takes about two seconds.
    pub fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("lovage-postgres-").tempdir().expect("a temporary folder");
        // The server refuses to run as root, so it gets the folder and runs as the user that the package made.
        let root = std::fs::metadata(folder.path()).expect("it is there").uid() == 0;
        if root {
            run(Command::new("chown").arg("postgres:postgres").arg(folder.path()));
        }
        let data = folder.path().join("data");
        run(as_server_user(root, &programs.join("initdb"), folder.path())
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg("--pgdata")
            .arg(&data));
        let mut said = String::new();
        for _ in 0..TRIES {
            let port = free_port();
            let mut command = as_server_user(root, &programs.join("postgres"), folder.path());
            command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p"]).arg(port.to_string());
            let off = ["fsync", "synchronous_commit", "full_page_writes", "logging_collector", "autovacuum"];
            command.args(off.iter().flat_map(|name| ["-c".to_owned(), format!("{name}=off")]));
            command.args(["-c", "unix_socket_directories=", "-c", "max_connections=40", "-c", "shared_buffers=32MB"]);
            command.args(["-c", "lc_messages=C"]);
            match Announced::start(command, "database system is ready to accept connections", "QUIT") {
                Ok(server) => return Self { port, _server: server, _folder: folder },
                Err(output) => said = output,
            }
        }
        panic!("PostgreSQL does not start: {said}");
    }

    /// The address of its database `postgres`, as the user of the same name.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn as_server_user(root: bool, program: &Path, folder: &Path) -> Command {
    let mut command;
    if root {
        command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    } else {
        command = Command::new(program);
    }
    // The working directory of the test may be closed to that user.
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    command
}

/// The folder of the server's programs: the newest that Debian's packages installed, or wherever the search path leads.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = versions.filter(|entry| entry.path().join("bin/initdb").exists()).max_by_key(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().parse::<u32>().unwrap_or_default()
    });
    if let Some(entry) = newest {
        return entry.path().join("bin");
    }
    let found = Command::new("sh").args(["-c", "command -v initdb"]).output().ok();
    let path = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    assert!(
        !path.is_empty(),
        "these tests need PostgreSQL's server programs; install them, e.g. `apt-get install postgresql`"
    );
    PathBuf::from(path).parent().expect("a program lies in a folder").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_server_listens_while_its_handle_lives() {
        let server = PostgresServer::start();
        let address = ("127.0.0.1", server.port());
        assert!(std::net::TcpStream::connect(address).is_ok());
        drop(server);
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
