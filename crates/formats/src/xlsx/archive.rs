//! The zip archive that a workbook is, written front to back to something that cannot be wound back.
//!
//! Sizes and checksums follow each part, as zip calls it in a data descriptor. All stays below 4 GiB, because Excel takes
//! archives of the larger kind (zip64) for damaged unless they are made just so, and a streamed one cannot be.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use crate::encoder::Output;

/// Bytes that are collected before they are handed on.
const FULL: usize = 64 * 1024;
/// The fastest: the next levels make files a little smaller and take much longer.
const LEVEL: i64 = 1;

/// An archive under way.
pub(super) struct Archive {
    // Fields are dropped in this order.
    shutter: Shutter,
    zip: ZipWriter<StreamWriter<BufWriter<Tap>>>,
    options: SimpleFileOptions,
}

/// What is known of the output from outside of the writers that own it.
#[derive(Default)]
struct State {
    /// Bytes that were handed on.
    written: AtomicU64,
    /// The archive is being completed: whoever waits for it sees an error, and nobody tries again.
    finishing: AtomicBool,
    /// Nothing is handed on any more.
    shut: AtomicBool,
}

/// The output. Zip writers complete their archive when they are dropped, which must not happen to a file that is given
/// up, nor may they say on standard error that it went wrong.
struct Tap {
    out: Output,
    state: Arc<State>,
    failed: bool,
}

/// Shuts the tap when it is dropped.
struct Shutter(Arc<State>);

impl Drop for Shutter {
    fn drop(&mut self) {
        self.0.shut.store(true, Ordering::Relaxed);
    }
}

impl Archive {
    pub(super) fn new(out: Output) -> Self {
        let state = Arc::new(State::default());
        let tap = Tap { out, state: Arc::clone(&state), failed: false };
        // Without a time: the same records make the same bytes.
        let options = SimpleFileOptions::DEFAULT
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(LEVEL))
            .last_modified_time(zip::DateTime::DEFAULT);
        let zip = ZipWriter::new_stream(BufWriter::with_capacity(FULL, tap));
        Self { shutter: Shutter(state), zip, options }
    }

    /// Begins a part. What is written from now on is its content.
    pub(super) fn begin(&mut self, name: &str) -> io::Result<()> {
        self.zip.start_file(name, self.options).map_err(io::Error::from)
    }

    /// Adds a part that is complete.
    pub(super) fn part(&mut self, name: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        self.begin(name)?;
        self.write(content.as_ref())
    }

    /// Adds to the part that was begun last.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.zip.write_all(bytes)
    }

    /// How many bytes went out.
    pub(super) fn written(&self) -> u64 {
        self.shutter.0.written.load(Ordering::Relaxed)
    }

    /// Completes the archive.
    pub(super) fn finish(self) -> io::Result<()> {
        self.shutter.0.finishing.store(true, Ordering::Relaxed);
        self.zip.finish().map_err(io::Error::from)?.into_inner().flush()
    }
}

impl Tap {
    fn is_shut(&self) -> bool {
        self.state.shut.load(Ordering::Relaxed)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_shut() {
            return Ok(bytes.len());
        }
        if self.failed {
            return Err(io::Error::other("the output has failed before"));
        }
        let result = self.out.write(bytes);
        match &result {
            Ok(written) => drop(self.state.written.fetch_add(*written as u64, Ordering::Relaxed)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                self.failed = true;
                self.state.shut.store(self.state.finishing.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_shut() { Ok(()) } else { self.out.flush() }
    }
}
