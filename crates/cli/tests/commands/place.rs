//! A working directory of its own, and the binary run in it with nothing of the environment but the path.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lovage_testkit::Process;
use serde_json::Value;

/// How long any awaited thing may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

pub struct Place(tempfile::TempDir);

/// How a command ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    #[expect(clippy::disallowed_methods, reason = "the binary is to find programs where this test does")]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        command.args(args).current_dir(self.path()).env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
        // Where a process measured for coverage leaves its counts; without it the binary seems never to run.
        command.envs(std::env::var("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
        // Most tests here export one line of SQL; what workers refuse without this is shown in `exports.rs`.
        command.env("LOVAGE_ALLOW_RAW_SQL", "true");
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().expect("the binary runs"))
    }

    pub fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Ran {
        Ran::from(self.command(args).envs(variables.iter().copied()).output().expect("the binary runs"))
    }

    pub fn run_reading(&self, input: &str, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the binary reads");
        Ran::from(child.wait_with_output().expect("the binary ends"))
    }

    /// Runs a command that must succeed and answers its JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        self.run(&all).ok().value()
    }

    /// Enqueues a job and answers its id.
    pub fn enqueue(&self, args: &[&str]) -> String {
        let mut all = vec!["job", "enqueue"];
        all.extend(args);
        self.json(&all)["id"].as_str().expect("an id").to_owned()
    }

    pub fn state(&self, id: &str) -> String {
        self.json(&["job", "get", id])["state"].as_str().expect("a state").to_owned()
    }

    pub fn start(&self, variables: &[(&str, &str)], args: &[&str]) -> Process {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        Process::start(command, &self.path().join("process.log"))
    }
}

/// Commands on one broker.
pub struct Store<'a> {
    pub place: &'a Place,
    variables: Vec<(&'a str, &'a str)>,
}

impl<'a> Store<'a> {
    /// The Redis server at this address, or else the embedded file of the place.
    pub fn new(place: &'a Place, redis: Option<&'a str>) -> Self {
        // Without a ledger the trail is a queue of its own, which would stand in every list.
        let mut variables = vec![("LOVAGE_DEBUG_KINDS", "true"), ("LOVAGE_AUDIT__OPERATORS", "false")];
        variables.extend(redis.map(|url| ("REDIS_URL", url)));
        Self { place, variables }
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.place.run_with(&self.variables, args)
    }

    /// Runs a command that must succeed and answers its JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        self.run(&[&["--json"], args].concat()).ok().value()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ran {
    /// The command succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// The command ended with this code and said all of these on standard error.
    pub fn failed(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// What it wrote, as JSON.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}
