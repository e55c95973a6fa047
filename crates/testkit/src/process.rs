//! Real processes that a test starts, signals and kills.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::eventually::eventually;

/// A signal by its name in `kill(1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Please drain and exit.
    Term,
    /// Exit at once, nothing can be done about it.
    Kill,
    /// Freeze.
    Stop,
    /// Go on.
    Cont,
    /// Claim nothing more.
    Tstp,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Tstp => "TSTP",
        }
    }
}

/// A child process whose output goes to a file; it is killed when the handle is dropped.
#[derive(Debug)]
pub struct Process {
    child: std::process::Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to the file `log`, in addition to what is there.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("the log file can be written");
        let also = file.try_clone().expect("a second handle of the log file");
        command.stdin(Stdio::null()).stdout(file).stderr(also);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let sent = Command::new("kill").arg(format!("-{}", signal.name())).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{} {}", signal.name(), self.id());
    }

    /// Waits until the process has ended, for at most `limit`, and answers how.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = std::sync::Mutex::new(&mut self.child);
        let log = &self.log;
        eventually(&format!("the process ends; its output is in {}", log.display()), limit, async || {
            child.lock().expect("one waiter").try_wait().expect("a child of ours")
        })
        .await
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A frozen process must wake up to die; both calls fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of a machine whose clock is off by that much, e.g. `+600s`.
pub fn skewed(mut command: Command, offset: &str) -> Command {
    command.env("LD_PRELOAD", faketime_library()).env("FAKETIME", offset).env("DONT_FAKE_MONOTONIC", "1");
    command
}

fn faketime_library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    folders
        .chain(["/usr/lib".into()])
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime is missing: install it with `apt-get install faketime`")
}
