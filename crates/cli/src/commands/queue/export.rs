//! `lovage queue export`: the queue's own backup.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use lovage_broker::{Broker, ListQuery};
use lovage_core::limits::MAX_PAGE;
use lovage_core::{JobId, QueueName, State};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::archive::{Head, Record, Writer, unwritable};
use crate::commands::{Context, whole};
use crate::error::{Failure, Outcome};
use crate::output;

/// Options of `queue export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The queue
    queue: QueueName,
    /// The file to write; it appears when it is whole [default: standard output]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Also the jobs that run now: an import would run them a second time
    #[arg(long)]
    running: bool,
}

/// What was written, for programs.
#[derive(Debug, Serialize)]
struct Summary {
    queue: QueueName,
    file: Option<PathBuf>,
    exported: u64,
    /// Jobs whose stored form this release cannot read.
    unreadable: u64,
    /// Running jobs that were left out.
    running: u64,
}

/// Runs the command.
pub async fn run(context: &Context, broker: &dyn Broker, args: &ExportArgs) -> Outcome {
    let counts = broker.queue(&args.queue).await?.counts;
    let head = Head::new(args.queue.clone(), counts, Context::now());
    let running = if args.running { 0 } else { counts.running };
    let summary = |exported, unreadable| {
        let (queue, file) = (args.queue.clone(), args.file.clone());
        Summary { queue, file, exported, unreadable, running }
    };
    let summary = if let Some(path) = &args.file {
        let (file, draft) = whole::create("file", path)?;
        let mut walk = Walk::new(Writer::begin(BufWriter::new(file), &head)?);
        walk.all(broker, args).await?;
        let summary = summary(walk.writer.count(), walk.unreadable);
        let exported = summary.exported;
        whole::publish(walk.writer.end()?, &draft, path).map_err(|error| unwritable(&error))?;
        context
            .output
            .one(&summary, || format!("{exported} jobs of queue {} are in {}.", summary.queue, path.display()))?;
        summary
    } else {
        let mut walk = Walk::new(Writer::begin(BufWriter::new(std::io::stdout()), &head)?);
        walk.all(broker, args).await?;
        let summary = summary(walk.writer.count(), walk.unreadable);
        walk.writer.end()?;
        context.output.note(&format!("{} jobs of queue {}.", summary.exported, summary.queue));
        summary
    };
    if summary.running > 0 {
        context.output.note(&format!("{} running jobs were left out; --running takes them along.", summary.running));
    }
    if summary.unreadable > 0 { Err(Failure::Shown(1)) } else { Ok(()) }
}

/// A walk over the states of a queue while jobs may move between them.
struct Walk<W> {
    writer: Writer<W>,
    /// Digests of the ids that are written. A job that moves on is met again and not written twice.
    seen: HashSet<[u8; 16]>,
    unreadable: u64,
}

impl<W: Write> Walk<W> {
    fn new(writer: Writer<W>) -> Self {
        Self { writer, seen: HashSet::new(), unreadable: 0 }
    }

    /// In the direction in which jobs move, so that one that moves is met twice rather than never. What ran and failed
    /// meanwhile is found by a second look.
    async fn all(&mut self, broker: &dyn Broker, args: &ExportArgs) -> Outcome {
        if args.running {
            self.state(broker, &args.queue, State::Running).await?;
        }
        let moving = [State::Scheduled, State::Retryable, State::Available, State::Scheduled, State::Retryable];
        for state in moving.into_iter().chain([State::Discarded]) {
            self.state(broker, &args.queue, state).await?;
        }
        Ok(())
    }

    async fn state(&mut self, broker: &dyn Broker, queue: &QueueName, state: State) -> Outcome {
        let mut cursor = None;
        loop {
            let query = ListQuery { queue: queue.clone(), state, limit: MAX_PAGE, cursor };
            let page = broker.list(&query).await?;
            for view in page.jobs {
                let id = view.id.clone();
                if !self.seen.insert(digest(&id)) {
                    continue;
                }
                if let Some(record) = Record::of(view) {
                    self.writer.add(&record)?;
                } else {
                    self.unreadable += 1;
                    output::warn(&format!("error: job {id} is left out: its stored form cannot be read"));
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

/// Sixteen bytes stand for an id: millions of jobs are to fit into memory.
fn digest(id: &JobId) -> [u8; 16] {
    let hash = Sha256::digest(id.as_str().as_bytes());
    std::array::from_fn(|index| hash[index])
}
