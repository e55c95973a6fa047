//! One connection through the [`Proxy`](crate::Proxy): bytes in both directions, late by as much as was asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::proxy::Weather;

const CHUNK_BYTES: usize = 64 * 1_024;
/// Chunks of one direction that may be under way; a target that does not read then slows its client down.
const MOST_CHUNKS: usize = 256;

/// The number of a connection, and what it has to know of the proxy's state.
type Place = (u64, watch::Receiver<Weather>);

/// Bytes on their way; the permit counts them among those under way.
type Chunk = (Vec<u8>, OwnedSemaphorePermit);

/// Holds chunks back until they are due. A thread, because timers of the runtime count in whole milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Microseconds for each direction.
    delay: Arc<AtomicU64>,
    chunks: std::sync::mpsc::Sender<(Instant, Chunk, mpsc::UnboundedSender<Chunk>)>,
}

impl Line {
    pub fn start(delay: Arc<AtomicU64>) -> Self {
        let (chunks, waiting) = std::sync::mpsc::channel::<(Instant, Chunk, mpsc::UnboundedSender<Chunk>)>();
        std::thread::spawn(move || {
            // All are late by the same time, so they are due in the order in which they come.
            for (due, chunk, out) in waiting {
                while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    std::thread::park_timeout(left);
                }
                // A connection that is gone needs nothing more.
                let _ = out.send(chunk);
            }
        });
        Self { delay, chunks }
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.delay.load(Ordering::Acquire))
    }
}

/// Serves one client until either side ends the connection or it is cut.
pub(crate) async fn connect(mut client: TcpStream, target: SocketAddr, line: Line, (number, mut weather): Place) {
    let mut server = None;
    let mut scissors = weather.clone();
    let work = async {
        weather.wait_for(|weather| weather.passes(number)).await.map_err(io::Error::other)?;
        let server = server.insert(TcpStream::connect(target).await?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        tokio::try_join!(
            pass(client_reads, server_writes, &line, (number, weather.clone())),
            pass(server_reads, client_writes, &line, (number, weather.clone())),
        )
    };
    let ended = tokio::select! {
        ended = work => ended.map(drop),
        _ = scissors.wait_for(|weather| weather.cuts(number)) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    if ended.is_err() {
        // Closing without lingering is a reset; it fails only if the socket is closed already.
        let _ = client.set_zero_linger();
        let _ = server.map(|server| server.set_zero_linger());
    }
}

/// Says the same to whatever the client sends, and listens until it has said everything.
pub(crate) async fn answer(mut client: TcpStream, answer: Arc<[u8]>, (number, mut scissors): Place) {
    let talk = async {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut said = false;
        while client.read(&mut buffer).await? > 0 {
            if !std::mem::replace(&mut said, true) {
                client.write_all(&answer).await?;
                client.shutdown().await?;
            }
        }
        Ok::<_, io::Error>(())
    };
    tokio::select! {
        // A client that goes away has heard enough.
        _ = talk => {}
        _ = scissors.wait_for(|weather| weather.cuts(number)) => {}
    }
}

/// One direction: reads as fast as it comes, writes when it is due and the weather allows.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    line: &Line,
    (number, mut weather): Place,
) -> io::Result<()> {
    let (sender, mut due) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(MOST_CHUNKS));
    let reads = async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        // Once something went through the line, all does: nothing may overtake it.
        let mut late = false;
        loop {
            let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok::<_, io::Error>(());
            }
            let chunk = (buffer[..read].to_vec(), permit);
            let delay = line.delay();
            late |= !delay.is_zero();
            let gone = if late {
                line.chunks.send((Instant::now() + delay, chunk, sender.clone())).is_err()
            } else {
                sender.send(chunk).is_err()
            };
            if gone {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    };
    let writes = async {
        while let Some((bytes, _permit)) = due.recv().await {
            weather.wait_for(|weather| weather.passes(number)).await.map_err(io::Error::other)?;
            to.write_all(&bytes).await?;
        }
        weather.wait_for(|weather| weather.passes(number)).await.map_err(io::Error::other)?;
        to.shutdown().await
    };
    tokio::try_join!(reads, writes).map(drop)
}
