//! The machine's clock and randomness: the one place in the workspace that asks for either.

use std::time::{SystemTime, UNIX_EPOCH};

use lovage_core::{Clock, Entropy, Timestamp};
use rand::Rng as _;

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one implementation that is allowed to")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a broken machine; zero keeps the arithmetic sound.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(since_epoch.as_millis() as u64)
    }
}

/// Randomness from the thread's generator, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one implementation that is allowed to")]
    fn fill(&self, buffer: &mut [u8]) {
        rand::rng().fill_bytes(buffer);
    }
}
