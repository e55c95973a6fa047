//! Whom a limit or a pause is about: from options to a [`Subject`], and from a subject to what the broker knows of it.

use clap::Args;
use lovage_broker::Broker;
use lovage_core::limits::MAX_PAGE;
use lovage_core::{FlowKey, FlowView, Kind, QueueName, Subject, Tenant};

use crate::error::Outcome;

/// One of the subjects that can be limited; the queue itself without any option.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct SubjectArgs {
    /// The jobs of this tenant
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Each tenant that has no limits of its own, for itself
    #[arg(long)]
    every_tenant: bool,
    /// The jobs of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// The jobs with this key
    #[arg(long)]
    key: Option<FlowKey>,
    /// Each key that has no limits of its own, for itself
    #[arg(long)]
    every_key: bool,
}

impl SubjectArgs {
    /// Whom it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self { tenant: Some(tenant), .. } => Subject::Tenant(tenant.clone()),
            Self { kind: Some(kind), .. } => Subject::Kind(kind.clone()),
            Self { key: Some(key), .. } => Subject::Key(key.clone()),
            Self { every_tenant: true, .. } => Subject::AnyTenant,
            Self { every_key: true, .. } => Subject::AnyKey,
            _ => Subject::Queue,
        }
    }
}

/// One of the subjects that can be paused; the queue itself without any option.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct PausableArgs {
    /// Only the jobs of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only the jobs of this tenant
    #[arg(long)]
    tenant: Option<Tenant>,
}

impl PausableArgs {
    /// Whom it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self { kind: Some(kind), .. } => Subject::Kind(kind.clone()),
            Self { tenant: Some(tenant), .. } => Subject::Tenant(tenant.clone()),
            _ => Subject::Queue,
        }
    }

    /// The command that lets claims through again.
    pub fn resume(&self, queue: &QueueName) -> String {
        match self.subject() {
            Subject::Kind(kind) => format!("lovage queue resume {queue} --kind {kind}"),
            Subject::Tenant(tenant) => format!("lovage queue resume {queue} --tenant {tenant}"),
            _ => format!("lovage queue resume {queue}"),
        }
    }
}

/// Everything of a queue that has limits, pauses or breakers.
pub async fn flows(broker: &dyn Broker, queue: &QueueName) -> Outcome<Vec<FlowView>> {
    let mut flows: Vec<FlowView> = Vec::new();
    loop {
        let after = flows.last().map(|flow| flow.subject.clone());
        let page = broker.flow(queue, after.as_ref(), MAX_PAGE).await?;
        let is_last = page.len() < MAX_PAGE;
        flows.extend(page);
        if is_last {
            return Ok(flows);
        }
    }
}

/// What the broker knows of one subject, if it has limits, a pause or a breaker.
pub async fn flow(broker: &dyn Broker, queue: &QueueName, subject: &Subject) -> Outcome<Option<FlowView>> {
    Ok(flows(broker, queue).await?.into_iter().find(|flow| flow.subject == *subject))
}

/// The subject in a sentence.
pub fn name(queue: &QueueName, subject: &Subject) -> String {
    match subject {
        Subject::Queue => format!("queue {queue}"),
        Subject::Tenant(tenant) => format!("tenant {tenant} of queue {queue}"),
        Subject::AnyTenant => format!("each tenant of queue {queue}"),
        Subject::Kind(kind) => format!("kind {kind} of queue {queue}"),
        Subject::Key(key) => format!("key {key} of queue {queue}"),
        Subject::AnyKey => format!("each key of queue {queue}"),
    }
}
