//! The peers: installed once into a cache folder, called with the same verbs as our own program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::measures::{APALIS, BULLMQ, PREFORK, SOLO};
use super::program::{call, number};
use crate::step::{cargo, output, program, root, run};

const CELERY_VERSION: &str = "5.7.0";
const BULLMQ_VERSION: &str = "6.7.0";
const APALIS_VERSION: &str = "1.0.0";

/// One peer.
#[derive(Clone)]
pub struct Peer {
    /// Its column.
    pub name: &'static str,
    words: Vec<PathBuf>,
    pool: &'static str,
    /// What part of the jobs of a drain it gets: it should take seconds, not minutes.
    part: u64,
}

/// Most jobs for apalis-redis: with more than some 8,000 due at a time its script fails and its queue stands still
/// (ADR 002).
const MOST_FOR_APALIS: u64 = 7_500;

impl Peer {
    /// Runs a verb to its end.
    pub fn call(&self, verb: &str, url: &str, jobs: u64) -> Result<serde_json::Value> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args([verb, url, &jobs.to_string()]).env("POOL", self.pool);
        call(command)
    }

    /// Fills a Redis in bulk; answers jobs a second.
    pub fn fill(&self, url: &str, jobs: u64) -> Result<f64> {
        Ok(jobs as f64 / number(&self.call("fill", url, jobs)?, "seconds")?)
    }

    /// Whether an idle worker hears of a new job. That of apalis-redis, as its page shows it, looks again with its next
    /// heartbeat, after up to 30 seconds.
    pub fn is_woken(&self) -> bool {
        self.name != APALIS
    }

    /// Its share of `jobs`.
    pub fn share(&self, jobs: u64) -> u64 {
        let most = if self.name == APALIS { MOST_FOR_APALIS } else { u64::MAX };
        (jobs / self.part).clamp(500, most)
    }
}

/// Installs what is missing; answers the peers and what they are, for people.
pub fn install() -> Result<(Vec<Peer>, String)> {
    let cache = cache()?;
    let scripts = root().join("xtask/peers");
    let (python, node) = (celery(&cache)?, bullmq(&cache)?);
    let script = cache.join("bullmq/bullmq_peer.mjs");
    fs::copy(scripts.join("bullmq_peer.mjs"), &script)?;
    let celery = vec![python, scripts.join("celery_peer.py")];
    let peer = |name, words, pool, part| Peer { name, words, pool, part };
    let peers = vec![
        peer(PREFORK, celery.clone(), "prefork", 20),
        peer(SOLO, celery, "solo", 20),
        peer(BULLMQ, vec![node, script], "", 4),
        peer(APALIS, vec![apalis(&cache, &scripts)?], "", 4),
    ];
    let what = format!("Celery {CELERY_VERSION}, BullMQ {BULLMQ_VERSION}, apalis-redis {APALIS_VERSION}");
    Ok((peers, what))
}

/// Where the peers live: `lovage-bench` in the user's cache folder.
#[expect(clippy::disallowed_methods, reason = "the cache folder is the environment's to name")]
pub fn cache() -> Result<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = named.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("lovage-bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Notes what is installed, so that another version is installed anew and the same one is not.
pub fn installed(folder: &Path, version: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let note = folder.join("installed");
    if fs::read_to_string(&note).is_ok_and(|there| there == version) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    install()?;
    Ok(fs::write(note, version)?)
}

fn celery(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("celery");
    let python = folder.join("venv/bin/python");
    installed(&folder, CELERY_VERSION, || {
        run(program("python3", &["-m", "venv", "--clear"]).arg(folder.join("venv")))?;
        let package = format!("celery[redis]=={CELERY_VERSION}");
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &package]))
    })?;
    Ok(python)
}

fn bullmq(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("bullmq");
    installed(&folder, BULLMQ_VERSION, || {
        fs::write(folder.join("package.json"), r#"{ "private": true, "type": "module" }"#)?;
        let package = format!("bullmq@{BULLMQ_VERSION}");
        // Its client of Redis, which it leaves to its user to install.
        let packages = [package.as_str(), "ioredis@5"];
        let install = ["install", "--no-audit", "--no-fund", "--silent"];
        run(program("npm", &[&install[..], &packages[..]].concat()).current_dir(&folder))
    })?;
    let node = output(&mut program("node", &["--print", "process.execPath"]))?;
    ensure!(!node.trim().is_empty(), "node does not say where it is");
    Ok(PathBuf::from(node.trim()))
}

/// A small program of its own, so that apalis-redis is no dependency of the workspace.
fn apalis(cache: &Path, scripts: &Path) -> Result<PathBuf> {
    let folder = cache.join("apalis");
    fs::create_dir_all(folder.join("src"))?;
    fs::copy(scripts.join("apalis/main.rs"), folder.join("src/main.rs"))?;
    let manifest = format!(
        r#"[package]
name = "apalis_peer"
version = "0.0.0"
edition = "2024"

[dependencies]
apalis = "={APALIS_VERSION}"
apalis-redis = "={APALIS_VERSION}"
redis = {{ version = "1", default-features = false, features = ["aio", "tokio-comp"] }}
serde = {{ version = "1", features = ["derive"] }}
tokio = {{ version = "1", features = ["full"] }}

[workspace]
"#
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let target = folder.join("target");
    let build = ["build", "--release", "--quiet"];
    run(cargo(&build).current_dir(&folder).env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release/apalis_peer"))
}
