//! How long to wait before the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::limits::{MAX_ATTEMPTS, MAX_HORIZON};

/// Exponential backoff with full jitter: attempt `n` failed, so wait a time drawn evenly from
/// `0..=min(cap, base * factor^(n-1))`. Full jitter spreads a crowd of failures best of the common schemes
/// (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
///
/// The default is 10 attempts, 1 s doubling to at most 10 minutes: the upper bounds add up to about 17 minutes, so a
/// dependency that is away for a coffee break costs no job; what needs days of patience says so in its own policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Failed attempts before the job is discarded, 1 to 1,000.
    pub max_attempts: u32,
    /// Upper bound of the first wait, in milliseconds.
    pub base_ms: u64,
    /// Growth from one wait to the next, at least 1.
    pub factor: f64,
    /// Upper bound of any wait, in milliseconds.
    pub cap_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 10, base_ms: 1_000, factor: 2.0, cap_ms: 600_000 }
    }
}

impl RetryPolicy {
    /// One attempt and no more.
    pub fn never() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// The longest wait after the `failed`-th failure (from 1).
    pub fn upper_bound(&self, failed: u32) -> Duration {
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let raw = self.base_ms as f64 * self.factor.powi(exponent);
        // `min` also turns an overflow to infinity into the cap.
        Duration::from_millis(raw.min(self.cap_ms as f64) as u64)
    }

    /// The wait after the `failed`-th failure (from 1), for a `fraction` drawn from `0.0..1.0`.
    pub fn delay(&self, failed: u32, fraction: f64) -> Duration {
        self.upper_bound(failed).mul_f64(fraction.clamp(0.0, 1.0))
    }

    /// Checks the policy; `field` is the prefix of the names in the error, e.g. `retry`.
    pub fn validate(&self, field: &str) -> Result<(), Invalid> {
        if self.max_attempts == 0 || self.max_attempts > MAX_ATTEMPTS {
            let help = format!("use 1 to {MAX_ATTEMPTS}");
            return Err(Invalid::new(format!("{field}.max_attempts"), format!("is {}", self.max_attempts), help));
        }
        if !(1.0..=100.0).contains(&self.factor) {
            return Err(Invalid::new(format!("{field}.factor"), format!("is {}", self.factor), "use 1.0 to 100.0"));
        }
        if u128::from(self.cap_ms) > MAX_HORIZON.as_millis() {
            return Err(Invalid::new(
                format!("{field}.cap_ms"),
                format!("is {}", self.cap_ms),
                "use at most 100 years",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_upper_bound_doubles_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let bounds: Vec<u64> = (1..=11).map(|n| policy.upper_bound(n).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
    }

    proptest! {
        #[test]
        fn the_wait_is_bounded_for_any_policy(
            failed in 0u32..=u32::MAX, base_ms in 0u64..=u64::MAX / 2, factor in 1.0f64..100.0,
            cap_ms in 0u64..3_000_000_000_000, fraction in 0.0f64..1.0,
        ) {
            let policy = RetryPolicy { max_attempts: 3, base_ms, factor, cap_ms };
            prop_assert!(policy.delay(failed, fraction) <= Duration::from_millis(cap_ms));
        }

        #[test]
        fn the_wait_never_shrinks_with_more_failures(failed in 1u32..1_000, fraction in 0.0f64..1.0) {
            let policy = RetryPolicy::default();
            prop_assert!(policy.delay(failed + 1, fraction) >= policy.delay(failed, fraction));
        }
    }
}
