//! `lovage audit write`.

use clap::Args;
use lovage_broker::OsEntropy;
use lovage_core::audit::{EventDraft, event_id};
use lovage_core::{Invalid, RawJson, Tenant};
use lovage_ledger::Kept;
use serde_json::json;

use super::Context;
use crate::error::{Failure, Outcome};
use crate::{instant, rooms};

/// Options of `audit write`.
#[derive(Debug, Args)]
pub struct WriteArgs {
    /// Who did it, e.g. user:42
    #[arg(long)]
    actor: String,
    /// What was done, e.g. order.refund
    #[arg(long)]
    action: String,
    /// What it was done to, e.g. order:1001
    #[arg(long)]
    target: Option<String>,
    /// The customer or team whose trail it belongs to
    #[arg(long)]
    tenant: Option<Tenant>,
    /// The address that it came from
    #[arg(long)]
    ip: Option<String>,
    /// The program that it came from
    #[arg(long)]
    user_agent: Option<String>,
    /// The request that it belongs to
    #[arg(long)]
    request_id: Option<String>,
    /// What the target was before, as JSON
    #[arg(long, value_name = "JSON")]
    before: Option<String>,
    /// What it was afterwards, as JSON
    #[arg(long, value_name = "JSON")]
    after: Option<String>,
    /// Anything else, as JSON
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// When it happened [default: now]
    #[arg(long, value_name = "INSTANT")]
    time: Option<String>,
    /// Its id, a UUID; the same id twice is one event [default: made up]
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

/// Writes one event.
pub async fn run(context: &Context, args: WriteArgs) -> Outcome {
    // One instant for both: whoever sends the event again under its id alone sends the same time with it.
    let now = Context::now();
    let mut draft = args.draft()?;
    if let Some(redaction) = rooms::redaction(context.config())? {
        redaction.apply(&mut draft);
    }
    let event = draft.complete(event_id(now, &OsEntropy), now)?;
    let ledger = rooms::required_ledger(context.config()).await?;
    let kept = ledger.append(std::slice::from_ref(&event)).await?;
    let (seq, existing) = match kept.first() {
        Some(Kept::New(seq)) => (*seq, false),
        Some(Kept::Duplicate(seq)) => (*seq, true),
        Some(Kept::Conflict(seq)) => {
            return Err(Failure::Conflict(format!("id: {} is the id of another event (record {seq})", event.id)));
        }
        None => return Err(Failure::Failed("the ledger did not answer what became of the event".to_owned())),
    };
    let answer = json!({ "id": event.id, "tenant": event.tenant, "seq": seq, "duplicate": existing });
    context.output.one(&answer, || {
        let verb = if existing { "was written before as" } else { "is" };
        format!("Event {} {verb} record {seq} of {}.", event.id, super::list::trail(&event.tenant))
    })
}

impl WriteArgs {
    fn draft(self) -> Outcome<EventDraft> {
        Ok(EventDraft {
            id: self.id.as_deref().map(|text| text.parse().map_err(|_| bad("id", text, "use a UUID"))).transpose()?,
            time: self
                .time
                .as_deref()
                .map(instant::parse)
                .transpose()
                .map_err(|problem| Failure::usage("time", format!("time: {problem}")))?
                .map(lovage_core::audit::Moment),
            actor: self.actor,
            action: self.action,
            target: self.target,
            tenant: self.tenant,
            ip: self
                .ip
                .as_deref()
                .map(|text| text.parse().map_err(|_| bad("ip", text, "use an address, e.g. 203.0.113.7")))
                .transpose()?,
            user_agent: self.user_agent,
            request_id: self.request_id,
            before: json_of("before", self.before)?,
            after: json_of("after", self.after)?,
            metadata: json_of("metadata", self.metadata)?,
        })
    }
}

fn bad(field: &str, text: &str, help: &str) -> Failure {
    Invalid::new(field, format!("is {text:?}"), help).into()
}

fn json_of(field: &str, text: Option<String>) -> Outcome<Option<RawJson>> {
    let Some(text) = text else { return Ok(None) };
    let read = serde_json::value::RawValue::from_string(text);
    read.map(Some)
        .map_err(|error| Failure::usage(field, format!("{field}: is not JSON ({error}); quote it for your shell")))
}
