//! `lovage doctor`: is everything there that the settings name, and set up so that no job is lost?

use std::time::Duration;

use lovage_ledger::{Ledger, ManagedBy, Schedule};
use serde::Serialize;

use super::Context;
use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::output::Table;
use crate::{adoption, relaying, rooms};

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    #[serde(rename = "finding")]
    text: String,
    ok: bool,
}

/// Runs all checks; exit code 1 if anything is wrong.
pub async fn run(context: &Context) -> Outcome {
    let mut findings = Vec::new();
    settings(context, &mut findings);
    broker(context, &mut findings).await;
    storage(context, &mut findings).await;
    sources(context, &mut findings).await;
    ledger(context, &mut findings).await;
    for (check, result) in adoption::findings(context.config()).await {
        add(&mut findings, &check, result.map_err(|failure| failure.to_string()));
    }
    if let Some(result) = relaying::finding(context.config()).await {
        add(&mut findings, "outbox", result.map_err(|failure| failure.to_string()));
    }
    context.output.many(&findings, table)?;
    let wrong = findings.iter().filter(|finding| !finding.ok).count();
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure::Failed(format!("{wrong} of {} checks found something to mend", findings.len())))
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["check", "", "finding"], "Nothing was checked.");
    for finding in findings {
        let mark = if finding.ok { "ok" } else { "MEND" };
        table.row(vec![finding.check.clone(), mark.to_owned(), finding.text.clone()]);
    }
    table
}

fn add(findings: &mut Vec<Finding>, check: &str, result: Result<String, String>) {
    let ok = result.is_ok();
    findings.push(Finding { check: check.to_owned(), text: result.unwrap_or_else(|problem| problem), ok });
}

fn settings(context: &Context, findings: &mut Vec<Finding>) {
    let config = context.config();
    add(findings, "version", Ok(format!("lovage {}", env!("CARGO_PKG_VERSION"))));
    let (stop, lease) = (config.shutdown_timeout.as_secs(), config.lease.as_secs());
    add(findings, "settings", Ok(format!("lease {lease} s, shutdown within {stop} s, queues {}", config.queues)));
}

async fn broker(context: &Context, findings: &mut Vec<Finding>) {
    let name = rooms::broker_name(context.config());
    let broker = match context.broker().await {
        Ok(broker) => broker,
        Err(failure) => return add(findings, "broker", Err(format!("{name}: {failure}"))),
    };
    add(findings, "broker", Ok(name));
    match broker.diagnose().await {
        Ok(rows) => {
            findings.extend(rows.into_iter().map(|(check, text, ok)| Finding { check, text, ok }));
        }
        Err(error) => add(findings, "broker", Err(error.to_string())),
    }
    let workers = match broker.workers().await {
        Ok(workers) => workers,
        Err(error) => return add(findings, "workers", Err(error.to_string())),
    };
    add(findings, "workers", Ok(format!("{} heard of within the last minute", workers.len())));
    match broker.queues().await {
        Ok(queues) => {
            for queue in queues {
                let served = workers.iter().any(|worker| worker.queues.contains_key(&queue.name));
                let waiting = queue.counts.available + queue.counts.scheduled + queue.counts.retryable;
                if waiting > 0 && !served {
                    let help = format!("start one with `lovage worker --queues {}`", queue.name);
                    let problem = format!("{waiting} jobs wait and no worker serves it; {help}");
                    add(findings, &format!("queue {}", queue.name), Err(problem));
                }
            }
        }
        Err(error) => add(findings, "queues", Err(error.to_string())),
    }
}

async fn storage(context: &Context, findings: &mut Vec<Finding>) {
    let place = context.config().storage();
    let checked = match rooms::store(context.config()) {
        Ok(store) => store.check().await.map_err(|error| error.to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    let result = checked
        .map(|()| format!("{place}: can be written, keeps the first of two"))
        .map_err(|problem| format!("{place}: {problem}"));
    add(findings, "storage", result);
}

async fn ledger(context: &Context, findings: &mut Vec<Finding>) {
    let config = context.config();
    let result = match rooms::ledger(config).await {
        Ok(Some(ledger)) => anchored(config, &ledger).await,
        Ok(None) => Ok("none on this machine: audit.write needs a worker with LOVAGE_LEDGER__URL".to_owned()),
        Err(failure) => Err(failure.to_string()),
    };
    add(findings, "ledger", result);
    schedules(config, findings).await;
}

/// How long a scheduler that leads takes at most to look at what is due.
const BEHIND: Duration = Duration::from_mins(1);

async fn schedules(config: &Config, findings: &mut Vec<Finding>) {
    let result = match rooms::ledger(config).await {
        Ok(Some(ledger)) => scheduled(config, &ledger).await,
        Ok(None) if config.schedules.specs().is_empty() => return,
        Ok(None) => {
            Err("the configuration has some, and without ledger.url (LOVAGE_LEDGER__URL) nobody runs them".to_owned())
        }
        // The ledger's own finding says so.
        Err(_) => return,
    };
    add(findings, "schedules", result);
}

async fn scheduled(config: &Config, ledger: &Ledger) -> Result<String, String> {
    let now = ledger.now().await.map_err(|error| error.to_string())?;
    let mut all = super::schedule::all(ledger).await.map_err(|failure| failure.to_string())?;
    let known = all.len();
    all.retain(|schedule| schedule.withdrawn_at.is_none());
    let paused = all.iter().filter(|schedule| schedule.paused.is_some()).count();
    let overdue: Vec<&str> = all
        .iter()
        .filter(|schedule| schedule.overdue_since.is_some() && schedule.paused.is_none())
        .map(|schedule| schedule.spec.name.as_str())
        .collect();
    let mut text = format!("{}, {paused} paused, {} overdue", all.len(), overdue.len());
    if known > all.len() {
        text = format!("{text}, {} withdrawn by the configuration", known - all.len());
    }
    if let [first, ..] = overdue.as_slice() {
        return Err(format!("{text} ({}): `lovage schedule history {first}` says why", overdue.join(", ")));
    }
    let taken = |schedule: &&Schedule| {
        let configured = config.schedules.specs().iter().any(|spec| spec.name == schedule.spec.name);
        configured && schedule.managed_by == ManagedBy::Operator
    };
    if let Some(Schedule { spec, .. }) = all.iter().find(taken) {
        let name = &spec.name;
        let help = format!("`lovage schedule delete {name}` lets it in, or give it another name");
        return Err(format!(
            "{text}; {name} of the configuration has the name of one that an operator has made: {help}"
        ));
    }
    let late = |schedule: &&Schedule| {
        schedule.paused.is_none() && schedule.next_at.is_some_and(|next| next.plus(BEHIND) < now)
    };
    match all.iter().filter(late).count() {
        0 => Ok(text),
        late => Err(format!(
            "{text}; nobody runs {late} of them: start `lovage scheduler`, or read the log of the one that runs"
        )),
    }
}

async fn anchored(config: &Config, ledger: &Ledger) -> Result<String, String> {
    let waiting = ledger.chains_to_anchor(1_000).await.map_err(|error| error.to_string())?;
    let last = ledger.last_anchor().await.map_err(|error| error.to_string())?;
    let place = ledger.place();
    match (waiting.len(), last.number) {
        (0, 0) => Ok(format!("{place}: the audit trail is empty")),
        (0, number) => Ok(format!("{place}: every trail is anchored, last by anchor {number}")),
        // Without a key of its own this machine is not the one that anchors.
        (_, 0) if config.audit.signing_key.is_some() => Err(format!(
            "{place}: no trail was ever anchored; `lovage scheduler` with that key does it, or `lovage audit anchor`"
        )),
        (count, number) => Ok(format!("{place}: {count} trails have grown since anchor {number}")),
    }
}

async fn sources(context: &Context, findings: &mut Vec<Finding>) {
    let config = context.config();
    let default = config.database_url.as_ref().map(|url| ("default", url));
    let named = config.sources.iter().map(|(name, url)| (name.as_str(), url));
    for (name, url) in default.into_iter().chain(named) {
        let result = rooms::probe(url.reveal()).await;
        let result = result.map(|()| format!("{url}: answers")).map_err(|problem| format!("{url}: {problem}"));
        add(findings, &format!("source {name}"), result);
    }
}
