//! Serves routes on a thread and a runtime of its own, with a bound for everything that a stranger can do: connections
//! in all and of one address, their life, time for a header, its size. Bodies are never read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::ProbesError;

/// Connections at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 256;
/// Time for the header of a request, and how long a connection may be silent between two.
const HEADER_WITHIN: Duration = Duration::from_secs(15);
/// Bytes of a request's header.
const MAX_HEADER: usize = 16 * 1024;
/// The same from one address: a stranger who holds all that he gets leaves places for the probes.
const MOST_OF_A_PEER: usize = 16;
/// How long a connection takes requests; scrapers and proxies open another.
const OPEN_FOR: Duration = Duration::from_secs(20);
/// Time after that for the last answer to be made and to be read.
const LAST_ANSWER: Duration = Duration::from_secs(12);
/// After a failed accept, as when the process is out of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A listener that serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Server {
    /// Listens on `address` and serves `routes`.
    pub fn start(address: SocketAddr, routes: Router) -> Result<Self, ProbesError> {
        Self::start_beside(address, routes, std::future::pending())
    }

    /// The same with something that runs beside on the same thread, for as long as it serves.
    pub fn start_beside(
        address: SocketAddr,
        routes: Router,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, ProbesError> {
        let refused = |problem| ProbesError::Listen { address, problem };
        let listener = std::net::TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ProbesError::Start)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serve = move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let both = async { tokio::join!(accept(listener, routes), beside) };
                        stopped.run_until_cancelled(both).await;
                    }
                    Err(error) => tracing::error!(error.message = %error, "the HTTP listener does not serve"),
                }
            });
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("lovage-http".to_owned()).spawn(serve).map_err(ProbesError::Start)?;
        Ok(Self { address: bound, _stop: stop.drop_guard() })
    }

    /// Where it listens; the port is known even if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, routes: Router) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut peers: HashMap<IpAddr, Arc<Semaphore>> = HashMap::new();
    loop {
        // Nobody closes the semaphore.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, peer)) => {
                // Who has no connection any more is forgotten: there are never more than have a place.
                peers.retain(|_, places| places.available_permits() < MOST_OF_A_PEER);
                let places = peers.entry(peer.ip()).or_insert_with(|| Arc::new(Semaphore::new(MOST_OF_A_PEER)));
                let Ok(place_of_peer) = Arc::clone(places).try_acquire_owned() else {
                    tracing::debug!(%peer, "too many connections from one address: this one is closed");
                    continue;
                };
                let routes = routes.clone();
                tokio::spawn(async move {
                    serve(connection, routes).await;
                    drop((place, place_of_peer));
                });
            }
            Err(error) => {
                tracing::debug!(error.message = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn serve(connection: TcpStream, routes: Router) {
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .max_buf_size(MAX_HEADER)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(routes));
    tokio::pin!(serving);
    let mut served = tokio::time::timeout(OPEN_FOR, &mut serving).await;
    if served.is_err() {
        serving.as_mut().graceful_shutdown();
        // Also the bound for a peer that does not read what it asked for.
        served = tokio::time::timeout(LAST_ANSWER, serving).await;
    }
    if let Ok(Err(error)) = served {
        // Whoever is at the other end did not speak HTTP, was too slow or went away: nothing that we could mend.
        tracing::debug!(error.message = %error, "an HTTP connection ended");
    }
}
