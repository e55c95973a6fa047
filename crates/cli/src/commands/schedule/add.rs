//! `lovage schedule add`: a schedule from options.

use clap::Args;
use lovage_ledger::Change;
use serde_json::Value;

use super::by_code;
use super::options::SpecArgs;
use super::put::{put, sentence};
use crate::commands::Context;
use crate::error::Outcome;
use crate::rooms;
use crate::schedules::{self, Kinds};
use crate::trail::Trail;

/// Options of `schedule add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name, which no other schedule has
    name: String,
    #[command(flatten)]
    spec: SpecArgs,
    /// If there is one of that name, make it this one: what is not given is as if it were new. With other times it goes on from now
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
pub async fn run(context: &Context, args: &AddArgs) -> Outcome {
    // Read and checked before anything is opened.
    let mut fields = args.spec.fields()?;
    fields.push(("name".to_owned(), Value::from(args.name.as_str()).to_string()));
    if fields.iter().all(|(field, _)| field != "queue") {
        fields.push(("queue".to_owned(), Value::from("default").to_string()));
    }
    let spec = schedules::spec(&fields)?;
    let ledger = rooms::required_ledger(context.config()).await?;
    if context.loaded.schedule(&spec.name).is_some() {
        return Err(by_code(context, &spec.name, "changed"));
    }
    let trail = Trail::open(context).await?;
    let specs = std::slice::from_ref(&spec);
    let change = Change { specs, replace: args.replace, revision: None, remove: &[], rehearse: false };
    let mut done = put(context, &ledger, Some(&trail), change).await?.remove(0);
    done.warnings = Kinds::of(context.config(), &ledger).warn(&spec);
    let now = ledger.now().await?;
    context.output.one(&done, || sentence(&done, &spec, now))
}
