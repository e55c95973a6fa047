//! A private redis-server: free loopback port, temporary folder, gone with its handle.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::redis_command::{Reply, command};
use crate::redis_keys::KeyWatch;
use crate::redis_tls::Certificates;

const PROGRAM: &str = "redis-server";
const HOW_TO_INSTALL: &str = "redis-server is not installed or not on the PATH; the tests need version 7.0 or newer \
                              (Debian and Ubuntu: `apt-get install redis-server`, macOS: `brew install redis`)";
/// Longest wait for a server to come up or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a server and a sentinel print when they are up.
const UP: [&str; 2] = ["Ready to accept connections", "+monitor master"];

/// A running redis-server that belongs to one test.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: TempDir,
    settings: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further settings as on its command line, e.g. `["--appendonly", "yes"]`. Later settings
    /// win over the defaults (no snapshots, no append-only file).
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let settings = settings.iter().map(ToString::to_string).collect();
        let mut server = Self { port: 0, folder, settings, process: None };
        assert!(server.try_ports(), "redis-server did not come up on five ports in a row");
        server
    }

    /// Between finding a free port and listening on it, somebody else may take it.
    fn try_ports(&mut self) -> bool {
        (0..5).any(|_| {
            self.port = free_port();
            self.launch()
        })
    }

    /// Starts a sentinel that watches the primary at a port of this machine. It keeps its settings in a file.
    pub(crate) fn start_sentinel(name: &str, primary: u16) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let file = folder.path().join("sentinel.conf");
        let settings = [
            format!("sentinel monitor {name} 127.0.0.1 {primary} 2"),
            format!("sentinel down-after-milliseconds {name} 1000"),
            format!("sentinel failover-timeout {name} 5000"),
        ];
        std::fs::write(&file, settings.join("\n")).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut sentinel = Self { port: 0, folder, settings: vec!["--sentinel".into()], process: None };
        assert!(sentinel.try_ports(), "a sentinel did not come up on five ports in a row");
        sentinel
    }

    /// The address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, e.g. for a [`Proxy`](crate::Proxy).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Sends one command and answers the raw reply, e.g. `+OK`; one that begins with `-` panics. For settings and
    /// faults (`CONFIG SET`, `REPLICAOF`, `CLIENT KILL`) whose replies are short.
    pub fn ask(&self, command: &[&str]) -> String {
        self.try_ask(&[command]).unwrap_or_else(|problem| panic!("{command:?}: {problem}"))
    }

    /// As [`Self::ask`], after giving the password of the default user.
    pub fn ask_with_password(&self, password: &str, command: &[&str]) -> String {
        let answer = self.try_ask(&[&["AUTH", password], command]);
        answer.unwrap_or_else(|problem| panic!("{command:?}: {problem}"))
    }

    fn try_ask(&self, commands: &[&[&str]]) -> std::io::Result<String> {
        let stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut reader, mut writer) = (BufReader::new(&stream), &stream);
        let mut answer = String::new();
        for command in commands {
            let arguments = command.iter().map(|text| format!("${}\r\n{text}\r\n", text.len()));
            writer.write_all(format!("*{}\r\n{}", command.len(), arguments.collect::<String>()).as_bytes())?;
            answer.clear();
            reader.read_line(&mut answer)?;
            if answer.starts_with('-') {
                return Err(std::io::Error::other(answer));
            }
        }
        Ok(answer.trim_end().to_owned())
    }

    /// The port on which the servers of a cluster speak to each other; of other servers the one that they would use.
    #[must_use]
    pub(crate) fn bus_port(&self) -> u16 {
        let named = self.settings.iter().skip_while(|setting| *setting != "--cluster-port").nth(1);
        named.and_then(|port| port.parse().ok()).unwrap_or(self.port.wrapping_add(10_000))
    }

    /// Sends one command and answers what Redis says; an error fails the test.
    pub fn command(&self, words: &[&str]) -> Reply {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends one command.
    ///
    /// # Errors
    /// The text of what went wrong, in Redis or on the way.
    pub fn try_command(&self, words: &[&str]) -> Result<Reply, String> {
        command(self.port, words)
    }

    /// Whether it was not stopped or killed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Watches which keys are used from now on; see [`KeyWatch`].
    #[must_use]
    pub fn watch_keys(&self) -> KeyWatch {
        KeyWatch::start(self.port)
    }

    /// Starts a server that also listens with TLS. Answers the port for that: others see nothing of TLS.
    #[must_use]
    pub fn start_with_tls(certificates: &Certificates, settings: &[&str]) -> (Self, u16) {
        let port = free_port();
        let (number, path) = (port.to_string(), |path: std::path::PathBuf| path.display().to_string());
        let (ca, certificate, key) =
            (path(certificates.ca()), path(certificates.certificate()), path(certificates.key()));
        let mut all = vec!["--tls-port", &number, "--tls-ca-cert-file", &ca, "--tls-cert-file", &certificate];
        all.extend(["--tls-key-file", &key, "--tls-auth-clients", "no"]);
        all.extend(settings);
        (Self::start_with(&all), port)
    }

    /// Ends the server in an orderly way, with its append-only file flushed. Its data stays for a [`Self::restart`].
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let _ = connection.set_read_timeout(Some(PATIENCE));
            let _ = connection.write_all(b"SHUTDOWN\r\n");
            // The server closes the connection when it is on its way out; an error reply (a password) ends here too.
            let _ = connection.read(&mut [0; 256]);
        }
        let _ = process.kill();
        let _ = process.wait();
    }

    /// Kills the server as a crash would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts the server again on the same port with the same settings and folder, after ending it if it still runs.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.launch(), "redis-server did not come up again on port {}", self.port);
    }

    fn launch(&mut self) -> bool {
        let mut launched = Command::new(PROGRAM);
        // A sentinel has its settings in a file, which it writes too.
        let file = self.folder.path().join("sentinel.conf");
        if file.exists() {
            launched.arg(file);
        }
        let spawned = launched
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--logfile", ""])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) => panic!("{HOW_TO_INSTALL} ({error})"),
        };
        let Some(output) = process.stdout.take() else { return false };
        let (ready, up) = mpsc::channel();
        // Reads to the end, so that a chatty server never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if UP.iter().any(|sign| line.contains(sign)) {
                    let _ = ready.send(());
                }
            }
        });
        // A server that gives up closes its output, which ends the thread and with it this wait.
        if up.recv_timeout(PATIENCE).is_ok() {
            self.process = Some(process);
            return true;
        }
        let _ = process.kill();
        let _ = process.wait();
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A loopback port that nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port: {error}")).port()
}
