//! A private PostgreSQL with the table that is exported, asked through one session of psql. xtask knows no driver.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process;
use crate::bench::program::{Watch, pass};
use crate::step;

/// The content of the table.
const ORDERS: &str = include_str!("orders.sql");
/// What psql prints behind each answer.
const END: &str = "--end--";

/// A server of one benchmark; it and its files are gone with its handle.
pub struct Postgres {
    process: Child,
    folder: PathBuf,
    port: u16,
    session: Option<Session>,
}

/// A psql that waits for statements.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What an export of the table must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub rows: u64,
    /// The sum of the squares of what is left of each id divided by 1,000,003: a plain sum would not see that floats round
    /// every second one up and every second one down.
    pub ids: String,
    /// The sum of all amounts.
    pub amounts: String,
    /// The characters of all customers and notes.
    pub letters: String,
}

impl Postgres {
    /// Makes a cluster and starts it. Everybody on this machine may connect as `postgres` without a password.
    pub fn start() -> Result<Self> {
        // The defaults of the package but for the cache, which holds most of a million rows.
        Self::start_with(&["shared_buffers=256MB", "max_wal_size=4GB"])
    }

    /// The same with these settings instead of the package's defaults.
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("lovage-bench-postgres-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let root = fs::metadata(&folder)?.uid() == 0;
        if root {
            step::output(Command::new("chown").arg("postgres:postgres").arg(&folder))?;
        }
        let data = folder.join("data");
        step::output(
            as_server_user(root, "initdb", &folder)?
                .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
                .arg("--pgdata")
                .arg(&data),
        )?;
        let log = fs::File::create(folder.join("log"))?;
        let process = as_server_user(root, "postgres", &folder)?
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "unix_socket_directories="])
            .args(["-c", "lc_messages=C"])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("PostgreSQL does not start; `cargo xtask setup` installs it or says how")?;
        let mut server = Self { process, folder, port, session: None };
        server.wait_until_ready()?;
        server.session = Some(Session::start(&server)?);
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let watch = Watch::start();
        let log = self.folder.join("log");
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("database system is ready to accept connections") {
                return Ok(());
            }
            let ended = self.process.try_wait()?.is_some();
            ensure!(!ended && watch.seconds() < 60.0, "PostgreSQL does not come up: {said}");
            pass(Duration::from_millis(20));
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A psql that reads no settings of the user. The server's own program: that of Debian's search path is a script
    /// around it, which would be measured too.
    pub fn psql(&self) -> Result<Command> {
        let mut command = Command::new(programs()?.join("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]).arg(self.url());
        Ok(command)
    }

    /// Makes the table; answers what is in it.
    pub fn fill(&mut self, rows: u64) -> Result<Content> {
        let script = self.folder.join("orders.sql");
        fs::write(&script, ORDERS)?;
        step::output(self.psql()?.args(["-v", &format!("rows={rows}"), "-f"]).arg(&script))?;
        let sums = self.ask(
            "SELECT count(*), sum((id % 1000003) * (id % 1000003)), sum(amount), \
             sum(length(customer) + coalesce(length(note), 0)) FROM orders",
        )?;
        let [count, ids, amounts, letters] = sums.split('|').collect::<Vec<_>>()[..] else { bail!("no sums: {sums}") };
        let [ids, amounts, letters] = [ids, amounts, letters].map(str::to_owned);
        Ok(Content { rows: count.parse()?, ids, amounts, letters })
    }

    /// The answer to a statement: fields with `|` between them.
    pub fn ask(&mut self, sql: &str) -> Result<String> {
        let session = self.session.as_mut().context("no session")?;
        writeln!(session.input, "{sql};\n\\echo {END}")?;
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            ensure!(session.output.read_line(&mut line)? > 0, "psql ended at `{sql}`");
            if line.trim_end() == END {
                return Ok(answer.trim_end().to_owned());
            }
            answer.push_str(&line);
        }
    }

    /// Seconds of processor time of all connections that have ended. Waits until all have but our own. The server's own list
    /// of them does not do: a process leaves it before it ends and its time is known.
    pub fn cpu_seconds(&mut self) -> Result<f64> {
        let watch = Watch::start();
        while process::children(self.process.id())?.iter().filter(|title| is_connection(title)).count() > 1 {
            ensure!(watch.seconds() < 30.0, "a connection to PostgreSQL stays open");
            pass(Duration::from_millis(5));
        }
        process::cpu_of_children(self.process.id())
    }
}

/// Whether a process of the server works for a client, by its title: user and database, or whom it helps. One that has
/// ended and was not yet waited for has no title.
fn is_connection(title: &str) -> bool {
    let begins = ["postgres: postgres postgres ", "postgres: parallel worker "];
    title.is_empty() || begins.iter().any(|begin| title.starts_with(begin))
}

impl Session {
    fn start(server: &Postgres) -> Result<Self> {
        let mut command = server.psql()?;
        let mut child = command.arg("-At").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("psql without input")?;
        let output = BufReader::new(child.stdout.take().context("psql without output")?);
        Ok(Self { child, input, output })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut session) = self.session.take() {
            let _ = session.child.kill();
            let _ = session.child.wait();
        }
        // At SIGQUIT it ends at once and takes its children along, which a kill would leave.
        let _ = Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The server refuses to run as root; then it runs as the user that the package made.
fn as_server_user(root: bool, program: &str, folder: &Path) -> Result<Command> {
    let program = programs()?.join(program);
    let mut command = Command::new(if root { Path::new("setpriv") } else { &program });
    if root {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(&program);
    }
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// The folder of the server's programs, found as the test kit does: the newest of Debian's packages, or the search path.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let number = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or_default();
    let newest = versions.filter(|entry| entry.path().join("bin/initdb").exists()).max_by_key(number);
    if let Some(entry) = newest {
        return Ok(entry.path().join("bin"));
    }
    let found = step::output(Command::new("sh").args(["-c", "command -v initdb"]));
    let found = found.context("PostgreSQL's programs are not found; `cargo xtask setup` installs them or says how")?;
    Ok(Path::new(found.trim()).parent().context("a program lies in a folder")?.to_owned())
}

/// The server's version, for people.
pub fn version() -> Result<String> {
    let said = step::output(Command::new(programs()?.join("postgres")).arg("--version"))?;
    Ok(said.split_whitespace().nth(2).unwrap_or("of unknown version").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_same_content_each_time() {
        let mut server = Postgres::start().unwrap();
        let content = server.fill(1_000).unwrap();
        let [ids, amounts, letters] = ["50532650563500", "488211674.77", "36346"].map(str::to_owned);
        assert_eq!(content, Content { rows: 1_000, ids, amounts, letters });
        let before = server.cpu_seconds().unwrap();
        step::output(server.psql().unwrap().args(["-c", "SELECT count(*) FROM generate_series(1, 1000000)"])).unwrap();
        assert!(server.cpu_seconds().unwrap() > before, "a connection that ended has taken time");
    }
}
