//! The one place that writes to standard output and standard error.
//!
//! A reader that goes away (`| head`) is not an error: it ends the command quietly instead of a panic.

mod export;
mod flow;
mod job;
mod page;
mod queue;
mod record;
mod schedule;
mod table;
mod worker;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde::Serialize;

pub use export::{DeletionLine, ExportLine, ExportPage};
pub use flow::{FlowLine, limits};
pub use job::{JobLine, progress_text};
pub use page::Page;
pub use queue::QueueLine;
pub use record::RecordLine;
pub use schedule::{RunLine, ScheduleLine};
pub use table::{Table, clean};
pub use worker::WorkerLine;

use crate::error::{Failure, Outcome};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line, as results come in.
    Ndjson,
}

/// Where results and remarks go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How results are written.
    pub format: Format,
    /// Whether remarks are left out.
    pub quiet: bool,
}

impl Output {
    /// Whether a program reads along.
    pub fn is_json(self) -> bool {
        self.format != Format::Table
    }

    /// Whether a person sees standard error and may be shown progress.
    pub fn shows_progress(self) -> bool {
        !self.quiet && !self.is_json() && io::stderr().is_terminal()
    }

    /// One result: JSON for programs, `text` for people.
    pub fn one(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Outcome {
        match self.format {
            Format::Table => line(&text()),
            Format::Json => write_out(&json(value, true)?),
            Format::Ndjson => write_out(&json(value, false)?),
        }
    }

    /// Many results: an array, a line each, or a table.
    pub fn many<T: Serialize>(self, items: &[T], table: impl FnOnce(&[T]) -> Table) -> Outcome {
        match self.format {
            Format::Table => write_out(table(items).render().as_bytes()),
            Format::Json => write_out(&json(&items, true)?),
            Format::Ndjson => {
                let lines: Outcome<Vec<_>> = items.iter().map(|item| json(item, false)).collect();
                write_out(&lines?.concat())
            }
        }
    }

    /// A remark for people, on standard error; nothing for programs.
    pub fn note(self, text: &str) {
        if !self.quiet && !self.is_json() {
            write_err(&format!("{text}\n"));
        }
    }

    /// Tells why the command failed, in a sentence and for programs as an object, too.
    pub fn failure(self, failure: &Failure) {
        if matches!(failure, Failure::Shown(_) | Failure::OutputClosed) {
            return;
        }
        write_err(&format!("error: {}\n", clean(&failure.to_string())));
        if self.is_json() {
            object(failure);
        }
    }

    /// Asks before something that cannot be taken back. `yes` is the caller's `--yes`.
    pub fn confirm(self, yes: bool, question: &str) -> Outcome {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || self.is_json() {
            return Err(Failure::usage("yes", format!("{question} Nothing was done: add --yes to go on.")));
        }
        write_err(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::Failed("nothing was done: the question was not answered with y".into()))
    }
}

/// One line of text.
pub fn line(text: &str) -> Outcome {
    write_out(format!("{text}\n").as_bytes())
}

/// Text that ends its lines itself.
pub fn text(text: &str) -> Outcome {
    write_out(text.as_bytes())
}

/// Something that went wrong with a part of the work, on standard error.
pub fn warn(text: &str) {
    write_err(&format!("{text}\n"));
}

/// The text with a capital letter in front, to begin a sentence.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The failure for programs, on standard error.
pub fn object(failure: &Failure) {
    write_err(&format!("{}\n", failure.to_json()));
}

fn json(value: &impl Serialize, pretty: bool) -> Outcome<Vec<u8>> {
    let written = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let mut bytes = written.map_err(|error| Failure::Failed(format!("the result is not JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn write_out(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
    }
}

fn write_err(text: &str) {
    // If standard error is gone as well there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
