//! The programs that are measured: each runs one verb, may say `ready` and wait for a line, and ends with its result as
//! a line of JSON.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A program that runs; killed when its handle is dropped.
pub struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Program {
    /// Starts it. What it says on standard error goes where ours goes.
    pub fn start(mut command: Command) -> Result<Self> {
        let line = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {line}"))?;
        let output = BufReader::new(child.stdout.take().context("a program without output")?);
        Ok(Self { child, output, line })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line that it prints.
    pub fn said(&mut self) -> Result<String> {
        let mut said = String::new();
        self.output.read_line(&mut said)?;
        ensure!(!said.is_empty(), "ended too early: {}", self.line);
        Ok(said.trim_end().to_owned())
    }

    /// Waits for a line that says exactly this.
    pub fn wait_for(&mut self, wanted: &str) -> Result<()> {
        while self.said()? != wanted {}
        Ok(())
    }

    /// Sends the line that it waits for.
    pub fn go(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().context("a program without input")?;
        Ok(input.write_all(b"go\n")?)
    }

    /// Waits for its end; answers the result, its last line.
    pub fn result(mut self) -> Result<Value> {
        let mut last = String::new();
        for line in (&mut self.output).lines() {
            last = line?;
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "{} ended with {status}", self.line);
        serde_json::from_str(&last).with_context(|| format!("{} ended with `{last}`, which is no JSON", self.line))
    }

    /// Waits for its end, whatever it prints. Fails if it does.
    pub fn wait(mut self) -> Result<()> {
        std::io::copy(&mut self.output, &mut std::io::sink())?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{} ended with {status}", self.line);
        Ok(())
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The most memory that it held at one time, MiB.
    pub fn peak(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    /// Asks it to end, as an operator does, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.id().to_string()).status()?;
        self.child.wait()?;
        Ok(())
    }

    fn memory(&self, name: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.context("the benchmark needs the /proc of Linux")?;
        let kib = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        Ok(kib.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// MiB of memory in use, and seconds of processor time so far.
    pub fn usage(&self) -> Result<(f64, f64)> {
        let memory = self.memory("VmRSS:")?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let [Some(user), Some(system)] = [fields.get(11), fields.get(12)] else { bail!("/proc has no times") };
        Ok((memory, (user.parse::<f64>()? + system.parse::<f64>()?) / 100.0))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program from start to end.
pub fn call(command: Command) -> Result<Value> {
    Program::start(command)?.result()
}

/// A number of a result.
pub fn number(result: &Value, name: &str) -> Result<f64> {
    result[name].as_f64().with_context(|| format!("a result without {name}: {result}"))
}

/// A count of a result.
pub fn count(result: &Value, name: &str) -> Result<u64> {
    result[name].as_u64().with_context(|| format!("a result without {name}: {result}"))
}

/// A stopwatch for the person who reads the table.
pub struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "measuring time is what a benchmark is for")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Lets time pass while something is measured from outside.
#[expect(clippy::disallowed_methods, reason = "an idle process is measured by waiting")]
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}
