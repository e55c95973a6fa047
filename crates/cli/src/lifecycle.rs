//! Signals: TERM or INT drains, a second one stops now, TSTP claims nothing more, HUP is noted and ignored.

use lovage_worker::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::error::{Failure, Outcome};

/// Listens to signals until the process ends; from now on none of these ends it by itself.
pub fn listen() -> Outcome<Shutdown> {
    let shutdown = Shutdown::new();
    let open =
        |kind: SignalKind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen to signals: {error}")));
    let signals = Signals {
        terminate: open(SignalKind::terminate())?,
        interrupt: open(SignalKind::interrupt())?,
        quiet: open(SignalKind::from_raw(SIGTSTP))?,
        hangup: open(SignalKind::hangup())?,
    };
    tokio::spawn(signals.run(shutdown.clone()));
    Ok(shutdown)
}

/// The number is the same on every Unix that Rust's standard library runs on, MIPS apart.
const SIGTSTP: i32 = if cfg!(any(target_os = "macos", target_os = "freebsd")) { 18 } else { 20 };

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quiet: Signal,
    hangup: Signal,
}

impl Signals {
    async fn run(mut self, shutdown: Shutdown) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "TERM",
                _ = self.interrupt.recv() => "INT",
                _ = self.quiet.recv() => {
                    info!("signal TSTP: claiming nothing more, running jobs go on");
                    shutdown.quiet.cancel();
                    continue;
                }
                _ = self.hangup.recv() => {
                    info!("signal HUP: settings are read at the start only, nothing is reloaded");
                    continue;
                }
            };
            if shutdown.drain.is_cancelled() {
                warn!("signal {name} again: stopping now, unfinished jobs are handed back");
                shutdown.now.cancel();
            } else {
                info!("signal {name}: draining, waiting for running jobs; a second signal stops now");
                shutdown.drain.cancel();
            }
        }
    }
}
