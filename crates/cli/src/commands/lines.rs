//! Lines of a file or of standard input, each with its number, for commands that take a document a line.

use std::io::{BufRead, BufReader, Read as _};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Failure, Outcome};

/// Lines that may wait.
const WAITING: usize = 2_000;

/// A line as it was read, with its number from 1. Blank ones are left out.
pub struct Line {
    /// Its number.
    pub number: u64,
    /// Its text, or what is wrong with it.
    pub text: Result<String, String>,
}

/// A file that is being read.
pub struct Lines {
    receiver: mpsc::Receiver<Line>,
    reader: JoinHandle<std::io::Result<()>>,
    source: String,
}

impl Lines {
    /// Opens a file, or standard input for `-`. `field` is the option's name in errors; a line of more than `longest` bytes is
    /// an error in its place.
    pub fn open(field: &str, source: &str, longest: usize) -> Outcome<Self> {
        let input: Box<dyn BufRead + Send> = if source == "-" {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let file = std::fs::File::open(source).map_err(|error| {
                Failure::usage(field, format!("{field}: {source} cannot be read ({error}); name a readable file"))
            })?;
            Box::new(BufReader::new(file))
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let reader = tokio::task::spawn_blocking(move || read(input, longest, &sender));
        Ok(Self { receiver, reader, source: source.to_owned() })
    }

    /// Adds what is there to `batch`, at most `most`: a slow producer's lines do not wait for a full batch. Nothing is added at
    /// the end.
    pub async fn next(&mut self, batch: &mut Vec<Line>, most: usize) -> usize {
        self.receiver.recv_many(batch, most).await
    }

    /// Reads no further.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    /// Whether everything could be read.
    pub async fn end(self) -> Outcome {
        let Self { reader, source, .. } = self;
        let read = reader.await.map_err(|error| Failure::Failed(format!("reading {source} ended early: {error}")))?;
        read.map_err(|error| Failure::Failed(format!("{source} cannot be read to its end: {error}")))
    }
}

/// Sends the lines that are not blank; ends early when nobody listens any more.
fn read(mut input: impl BufRead, longest: usize, lines: &mpsc::Sender<Line>) -> std::io::Result<()> {
    for number in 1.. {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a line that is too long from one that is not.
        let count = (&mut input).take(longest as u64 + 1).read_until(b'\n', &mut bytes)?;
        if count == 0 {
            break;
        }
        let text = if bytes.last() != Some(&b'\n') && bytes.len() > longest {
            input.skip_until(b'\n')?;
            Err(format!("the line is longer than {longest} bytes; store the data and pass a reference to it"))
        } else {
            String::from_utf8(bytes).map_err(|_| "the line is not UTF-8; write it as UTF-8".to_owned())
        };
        if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
            continue;
        }
        if lines.blocking_send(Line { number, text }).is_err() {
            break;
        }
    }
    Ok(())
}
