//! A program under watch: how long it ran, what it took of the processor and of memory, and when its file began to grow.
//! Read from `/proc`, the same way for ours and for the peers.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bench::program::{Watch, pass};

/// How often a program is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a program took.
#[derive(Debug)]
pub struct Watched {
    /// What it printed.
    pub said: String,
    /// From its start to its end.
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// The most memory that it held at one time, MiB.
    pub peak: f64,
    /// Seconds until something stood in the folder that was watched; nothing if nothing ever did.
    pub first_byte: Option<f64>,
    /// The most memory by the least, from a fifth of the run on.
    pub growth: f64,
}

/// A program that runs and is looked at.
pub struct Watching {
    child: Child,
    watch: Watch,
    folder: PathBuf,
    looks: Vec<(f64, f64)>,
    peak: f64,
    first_byte: Option<f64>,
    seconds: Option<f64>,
}

/// Runs a program to its end. Fails with what it said on standard error if it does.
pub fn watched(command: Command, folder: &Path) -> Result<Watched> {
    let mut watching = Watching::start(command, folder)?;
    while !watching.look()? {
        pass(LOOK);
    }
    watching.end()
}

/// Runs programs at the same time.
pub fn together(commands: Vec<(Command, &Path)>) -> Result<Vec<Watched>> {
    let start = |(command, folder)| Watching::start(command, folder);
    let mut all = commands.into_iter().map(start).collect::<Result<Vec<_>>>()?;
    loop {
        let ended = all.iter_mut().map(Watching::look).collect::<Result<Vec<bool>>>()?;
        if ended.iter().all(|ended| *ended) {
            return all.into_iter().map(Watching::end).collect();
        }
        pass(LOOK);
    }
}

/// What a short program says, unwatched.
pub fn said(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let status = output.status;
    ensure!(status.success(), "ended with {status}: {}", reason(&String::from_utf8_lossy(&output.stderr)));
    Ok(String::from_utf8(output.stdout)?)
}

impl Watching {
    fn start(mut command: Command, folder: &Path) -> Result<Self> {
        let watch = Watch::start();
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let folder = folder.to_owned();
        Ok(Self { child, watch, folder, looks: Vec::new(), peak: 0.0, first_byte: None, seconds: None })
    }

    /// Looks at it once; answers whether it has ended. It stays in the table of processes until [`Self::end`], so that its
    /// times can still be read.
    fn look(&mut self) -> Result<bool> {
        if self.seconds.is_some() {
            return Ok(true);
        }
        let now = self.watch.seconds();
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.context("the benchmark needs the /proc of Linux")?;
        if let (Some(peak), Some(now_held)) = (mebibytes(&status, "VmHWM:"), mebibytes(&status, "VmRSS:")) {
            self.peak = self.peak.max(peak);
            self.looks.push((now, now_held));
        }
        if self.first_byte.is_none() && bytes_below(&self.folder) > 0 {
            self.first_byte = Some(now);
        }
        let ended = status.lines().any(|line| line.starts_with("State:") && line.contains('Z'));
        self.seconds = ended.then_some(now);
        Ok(ended)
    }

    fn end(mut self) -> Result<Watched> {
        let cpu_seconds = cpu(self.child.id(), [11, 12])?;
        let (mut said, mut errors) = (String::new(), String::new());
        self.child.stdout.take().context("no output")?.read_to_string(&mut said)?;
        self.child.stderr.take().context("no output of errors")?.read_to_string(&mut errors)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "ended with {status}: {}", reason(&errors));
        let seconds = self.seconds.unwrap_or_default();
        let growth = growth(&self.looks, seconds);
        Ok(Watched { said, seconds, cpu_seconds, peak: self.peak, first_byte: self.first_byte, growth })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line that says why: ours begin with `error:`, Python's is the last one.
fn reason(errors: &str) -> &str {
    let lines = || errors.lines().filter(|line| !line.trim().is_empty());
    lines().find(|line| line.starts_with("error:")).or_else(|| lines().next_back()).unwrap_or("it said nothing")
}

/// The most by the least of what was held from a fifth of the run on.
fn growth(looks: &[(f64, f64)], seconds: f64) -> f64 {
    let late = || looks.iter().filter(|(at, _)| *at >= seconds / 5.0).map(|(_, held)| *held);
    late().fold(0.0, f64::max) / late().fold(f64::INFINITY, f64::min)
}

fn mebibytes(status: &str, name: &str) -> Option<f64> {
    let kib = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(kib.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

/// Bytes of all files below a folder; those that vanish meanwhile count nothing.
pub fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// The command lines of a process' children.
pub fn children(process: u32) -> Result<Vec<String>> {
    let ids = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    let line = |id| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    Ok(ids.split_whitespace().map(line).collect())
}

/// Seconds of processor time of all children that a process has waited for.
pub fn cpu_of_children(process: u32) -> Result<f64> {
    cpu(process, [13, 14])
}

/// The sum of two fields of `/proc/PID/stat` (proc(5)), counted from behind the name; a hundredth of a second each.
fn cpu(process: u32, fields: [usize; 2]) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let all: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| Ok::<f64, anyhow::Error>(all.get(field).context("/proc has no times")?.parse()?);
    Ok((ticks(fields[0])? + ticks(fields[1])?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("lovage-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_program_is_watched_to_its_end() {
        let folder = folder("watched");
        let mut command = Command::new("sh");
        command.args(["-c", "printf x > file; i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; printf done"]);
        command.current_dir(&folder);
        let watched = watched(command, &folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(watched.said, "done");
        assert!(watched.peak > 0.1 && watched.cpu_seconds > 0.0, "{watched:?}");
        assert!(watched.first_byte.unwrap() <= watched.seconds, "{watched:?}");
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let folder = folder("failure");
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'error: not today' >&2; echo; echo more >&2; exit 3"]);
        let error = watched(command, &folder).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(error, "ended with exit status: 3: error: not today");
        assert_eq!(reason("Traceback\n  somewhere\nKeyError: 'x'\n\n"), "KeyError: 'x'");
    }

    #[test]
    fn growth_leaves_out_the_first_fifth() {
        let looks = [(0.1, 1.0), (2.0, 20.0), (5.0, 30.0), (9.9, 24.0)];
        assert!((growth(&looks, 10.0) - 1.5).abs() < 1e-9);
    }
}
