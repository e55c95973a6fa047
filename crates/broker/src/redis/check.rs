//! Looks at the server: at start whether it can be trusted with jobs, and for `lovage doctor` all that is worth knowing.

use std::collections::HashMap;

use lovage_core::Timestamp;
use tokio::time::Instant;

use super::Result;
use super::fault::is_forbidden;
use super::link::Link;
use super::node::Node;
use super::reply::{count, list, text};
use super::script;
use crate::error::BrokerError;

/// The oldest Redis that has every command that the scripts use.
const OLDEST: (u32, u32) = (7, 0);

/// Name, finding, and whether it is fine.
type Finding = (String, String, bool);

/// What `INFO` says.
struct Facts(HashMap<String, String>);

impl Facts {
    async fn ask(node: &Node) -> Result<Self> {
        let text = text(node.tell(&redis::cmd("INFO")).await?)?;
        Ok(Self(text.lines().filter_map(|line| line.split_once(':')).map(owned).collect()))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn version(&self) -> (u32, u32) {
        let mut numbers = self.get("redis_version").split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    fn has_memory_limit(&self) -> bool {
        !matches!(self.get("maxmemory"), "" | "0")
    }

    /// The policy, if it removes keys when memory is short.
    fn evicting_policy(&self) -> Option<&str> {
        Some(self.get("maxmemory_policy")).filter(|policy| !matches!(*policy, "" | "noeviction"))
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.trim().to_owned())
}

/// Refuses servers that would lose jobs.
pub(super) async fn check(link: &Link) -> Result<()> {
    let (nodes, bare) = link.nodes().await?;
    if bare > 0 {
        let problem = format!("the cluster at {} has no server for {bare} of its slots", link.address());
        return Err(BrokerError::Unavailable(problem));
    }
    for node in nodes {
        check_server(&node, link.is_cluster()).await?;
    }
    Ok(())
}

async fn check_server(node: &Node, in_cluster: bool) -> Result<()> {
    let address = node.address();
    let facts = match Facts::ask(node).await {
        Ok(facts) => facts,
        // Some managed services and access rules forbid INFO; the scripts themselves will show whether it works.
        Err(reason) if is_forbidden(&reason) => {
            tracing::warn!(%reason, "cannot look at the server's settings; make sure that it never evicts keys");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if facts.get("cluster_enabled") == "1" && !in_cluster {
        let help = "begin the address with redis+cluster:// or rediss+cluster://";
        return Err(BrokerError::Misconfigured(format!("redis at {address} is part of a cluster; {help}")));
    }
    let version = facts.version();
    if version != (0, 0) && version < OLDEST {
        let problem = format!("version {} is too old; use Redis 7.0 or newer, or Valkey", facts.get("redis_version"));
        return Err(BrokerError::Misconfigured(format!("redis at {address}: {problem}")));
    }
    match facts.evicting_policy() {
        Some(policy) if facts.has_memory_limit() => {
            let problem = format!("maxmemory-policy is {policy}, which removes jobs when memory is short");
            let help = "set it with CONFIG SET maxmemory-policy noeviction, and in redis.conf";
            Err(BrokerError::Misconfigured(format!("redis at {address}: {problem}; {help}")))
        }
        Some(policy) => {
            tracing::warn!(policy, "Redis would remove jobs if it had a memory limit; set maxmemory-policy noeviction");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Name, finding and whether it is fine, of all that is worth knowing. What cannot be looked at is a finding, too, and
/// keeps nobody from the others.
pub(super) async fn diagnose(link: &Link, machine: Timestamp) -> Vec<Finding> {
    let (nodes, bare) = match link.nodes().await {
        Ok(found) => found,
        Err(error) => return vec![failed("redis", &error)],
    };
    let mut findings = Vec::new();
    if link.is_cluster() {
        let slots = if bare == 0 { "all slots served".to_owned() } else { format!("{bare} slots without a server") };
        findings.push(("redis cluster".into(), format!("{} primaries, {slots}", nodes.len()), bare == 0));
    }
    for node in nodes {
        findings.extend(diagnose_server(&node, machine).await);
    }
    findings
}

/// A look that failed.
pub(super) fn failed(name: &str, error: &BrokerError) -> Finding {
    (name.to_owned(), error.to_string(), false)
}

fn finding(name: &str, text: String, fine: bool) -> Finding {
    (name.to_owned(), text, fine)
}

async fn diagnose_server(node: &Node, machine: Timestamp) -> Vec<Finding> {
    let started = Instant::now();
    let latency = match node.tell(&redis::cmd("PING")).await {
        Ok(_) => {
            let ping = started.elapsed();
            let text = format!("{:.1} ms for a PING", ping.as_secs_f64() * 1_000.0);
            finding("redis latency", text, ping.as_millis() < 100)
        }
        // Whoever does not answer is not asked four times.
        Err(error) if error.is_transient() => return vec![failed("redis", &error)],
        Err(error) => failed("redis latency", &error),
    };
    let mut findings = match Facts::ask(node).await {
        Ok(facts) => settings(&facts, node),
        Err(error) => vec![failed("redis", &error)],
    };
    findings.push(latency);
    findings.push(clock(node, machine).await.unwrap_or_else(|error| failed("redis clock", &error)));
    findings.push(scripts(node).await.unwrap_or_else(|error| failed("redis scripts", &error)));
    findings
}

/// What the server says of itself.
fn settings(facts: &Facts, node: &Node) -> Vec<Finding> {
    let limit = if facts.has_memory_limit() { facts.get("maxmemory_human") } else { "no limit" };
    let persistence = match (facts.get("aof_enabled"), facts.get("aof_last_write_status")) {
        ("1", "ok") => ("append-only file".to_owned(), true),
        ("1", status) => (format!("append-only file, last write: {status}"), false),
        _ => ("no append-only file: a crash of the server loses jobs; set appendonly yes".to_owned(), false),
    };
    let replicas = match facts.get("connected_slaves") {
        "" | "0" => "none: this machine's end is the jobs' end".to_owned(),
        number => format!("{number} connected"),
    };
    let version = format!("{} at {}", facts.get("redis_version"), node.address());
    vec![
        finding("redis", version, facts.version() >= OLDEST),
        finding("redis memory", format!("{} used, {limit}", facts.get("used_memory_human")), true),
        finding("redis eviction", facts.get("maxmemory_policy").to_owned(), facts.evicting_policy().is_none()),
        finding("redis persistence", persistence.0, persistence.1),
        finding("redis replicas", replicas, true),
    ]
}

/// How far the machine's clock is from Redis'. For people only: nothing compares the two.
async fn clock(node: &Node, machine: Timestamp) -> Result<Finding> {
    let time = list(node.tell(&redis::cmd("TIME")).await?)?;
    let parts = time.iter().map(count).collect::<Result<Vec<_>>>()?;
    let [seconds, micros] = parts[..] else { return Err(BrokerError::Protocol("TIME answered no time".into())) };
    let away = machine.as_millis() as i64 - (seconds * 1_000 + micros / 1_000) as i64;
    let text = format!("this machine is {away} ms ahead of Redis (Redis' clock counts)");
    Ok(finding("redis clock", text, away.abs() < 60_000))
}

async fn scripts(node: &Node) -> Result<Finding> {
    let hashes = script::hashes();
    let mut cmd = redis::cmd("SCRIPT");
    cmd.arg("EXISTS").arg(&hashes);
    let known = list(node.tell(&cmd).await?)?.iter().map(count).collect::<Result<Vec<_>>>()?.into_iter().sum::<u64>();
    let text = format!("{known} of {} cached; the others are sent when needed", hashes.len());
    Ok(finding("redis scripts", text, true))
}
