//! A server process that says on its standard error when it is ready.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A child process; it is stopped when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Announced {
    child: Child,
    stop: &'static str,
    /// The line that announced it.
    pub(crate) line: String,
}

impl Announced {
    /// Starts `command` and waits for the line that contains `ready`. If the process ends before, answers what it
    /// printed. `stop` is the signal that ends it, by its name in `kill(1)`.
    pub(crate) fn start(mut command: Command, ready: &str, stop: &'static str) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?} does not start: {error}"))?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut seen = String::new();
        for line in lines.by_ref().map_while(Result::ok) {
            if line.contains(ready) {
                // Somebody has to go on reading, or the server stops at a full pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Self { child, stop, line });
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        let _ = child.wait();
        Err(seen)
    }

    /// Freezes or wakes the process, by the signal's name in `kill(1)`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {}", self.child.id());
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // A frozen process must wake up to stop.
        for signal in [self.stop, "CONT"] {
            let _ = Command::new("kill").arg(format!("-{signal}")).arg(&pid).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

/// Runs a program to its end and panics with its output if it fails.
pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed ({}): {}", output.status, text());
}
