//! Starts what brings the tasks of apalis-redis producers into our queues, beside a worker of this process.

use lovage_adopt::{AdoptError, Adopter, AdopterConfig, Adoption, Batch};
use lovage_core::WorkerId;
use lovage_worker::Shutdown;
use tracing::info;

use crate::beside::Beside;
use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::rooms;

/// Starts an adopter for each queue that the settings name; they stop when the worker is to drain. With `first` it comes
/// back only when what lies there now has been adopted, or the worker is to drain: for a worker that ends when there is
/// nothing to do.
pub async fn start(config: &Config, worker: &WorkerId, shutdown: &Shutdown, first: bool) -> Outcome<Beside> {
    let mut adopting = Beside::new(shutdown);
    for mut adopter in adopters(config, worker).await? {
        if first {
            match adopting.before(adopter.drain_until(&adopting.stop)).await.transpose()?.flatten() {
                Some(Batch { adopted, known, dead }) => info!(adopted, known, dead, "adopted what was there"),
                None if adopting.stop.is_cancelled() => info!("not adopting: the worker is to stop"),
                None => info!("another worker adopts it"),
            }
        }
        adopting.spawn(adopter.run(adopting.stop.clone()));
    }
    Ok(adopting)
}

async fn adopters(config: &Config, worker: &WorkerId) -> Outcome<Vec<Adopter>> {
    let adoptions = &config.adopt_apalis.0;
    if adoptions.is_empty() {
        return Ok(Vec::new());
    }
    let jobs = rooms::broker(config).await?;
    let make = |adoption: &Adoption| {
        info!(source = adoption.source, queue = %adoption.queue, kind = %adoption.kind, "adopting from apalis");
        Ok(Adopter::new(settings(config, adoption, worker.as_str())?, jobs.clone())?)
    };
    adoptions.iter().map(make).collect()
}

fn settings(config: &Config, adoption: &Adoption, holder: &str) -> Outcome<AdopterConfig> {
    let Some(url) = config.adopt_redis_url.as_ref().or(config.redis_url.as_ref()) else {
        let help = "set redis_url (REDIS_URL), or adopt.redis_url (LOVAGE_ADOPT__REDIS_URL) for one of apalis' own";
        return Err(Failure::usage("adopt.redis_url", format!("there is no Redis to adopt {adoption} from; {help}")));
    };
    Ok(AdopterConfig::new(url.reveal(), adoption.clone(), holder))
}

/// What lies in each queue that is adopted, for `lovage doctor`: its name and the finding.
pub async fn findings(config: &Config) -> Vec<(String, Outcome<String>)> {
    let mut findings = Vec::new();
    for adoption in &config.adopt_apalis.0 {
        findings.push((format!("apalis {}", adoption.source), backlog(config, adoption).await));
    }
    findings
}

async fn backlog(config: &Config, adoption: &Adoption) -> Outcome<String> {
    let jobs = rooms::broker(config).await?;
    let backlog = Adopter::new(settings(config, adoption, "doctor")?, jobs)?.backlog().await?;
    let (waiting, dead, source) = (backlog.waiting, backlog.dead, &adoption.source);
    Ok(format!("{waiting} tasks wait for queue {}, {dead} are dead in {source}:dead", adoption.queue))
}

impl From<AdoptError> for Failure {
    fn from(error: AdoptError) -> Self {
        match error {
            AdoptError::Invalid(invalid) => invalid.into(),
            AdoptError::Broker(error) => error.into(),
            AdoptError::Source { .. } | AdoptError::Overtaken | AdoptError::Full(_) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}
