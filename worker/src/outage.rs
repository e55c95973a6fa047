//! What a part of the worker does while the broker does not answer: it says so once, and comes back at a bounded pace.

use std::time::Duration;

use lovage_broker::BrokerError;
use lovage_core::Entropy;

/// The state of one part's calls. Most pauses are short enough that work goes on within 5 s of the broker's return.
#[derive(Debug)]
pub(crate) struct Outage {
    /// What does not work meanwhile, for the log.
    what: &'static str,
    failures: u32,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

impl Outage {
    pub fn new(what: &'static str) -> Self {
        Self { what, failures: 0 }
    }

    /// A call failed. Answers how long to wait before the next one: doubling, jittered by a half, at most 2 s.
    pub fn failed(&mut self, error: &BrokerError, entropy: &dyn Entropy) -> Duration {
        if self.failures == 0 {
            tracing::warn!(error.message = %error, "cannot {}; trying again until the broker answers", self.what);
        }
        let bound = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(0.5 + entropy.fraction() / 2.0)
    }

    /// A call succeeded. Answers whether that ends an outage.
    pub fn answered(&mut self) -> bool {
        let ended = std::mem::take(&mut self.failures) > 0;
        if ended {
            tracing::info!("the broker answers again: can {}", self.what);
        }
        ended
    }

    /// Whether an outage is going on.
    pub fn is_on(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Most;
    impl Entropy for Most {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0xff);
        }
    }

    #[test]
    fn the_pauses_grow_to_two_seconds_and_start_over() {
        let mut outage = Outage::new("test");
        let error = BrokerError::Unavailable("gone".into());
        let pauses: Vec<u128> = (0..7).map(|_| outage.failed(&error, &Most).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert!(outage.answered());
        assert!(!outage.answered(), "only the first answer ends it");
        assert_eq!(outage.failed(&error, &Most).as_millis(), 100);
    }
}
