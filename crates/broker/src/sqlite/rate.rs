//! A token bucket as one number: the instant at which it is full again.

use lovage_core::Rate;

/// Less than so much of a millisecond is a rounding error: an instant in floating point is exact to a quarter of it.
const ROUNDING: f64 = 1e-3;

/// A bucket at work. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    now: f64,
    /// Time for one token.
    interval: f64,
    burst: f64,
    full_at: f64,
    /// Whether it differs from what is stored.
    pub is_changed: bool,
}

impl Bucket {
    /// The bucket of `rate` that is full at `full_at`. One that was emptied under a slower rate is at most empty now.
    pub(super) fn new(rate: &Rate, full_at: f64, now: i64) -> Self {
        let (now, burst) = (now as f64, f64::from(rate.bucket()));
        let interval = rate.per_ms as f64 / f64::from(rate.count);
        let emptied = now + burst * interval;
        Self { now, interval, burst, full_at: full_at.clamp(now, emptied), is_changed: full_at > emptied }
    }

    /// Whole tokens now.
    pub(super) fn tokens(&self) -> i64 {
        let filled = self.now + self.burst * self.interval - self.full_at;
        ((filled + ROUNDING.min(self.interval * ROUNDING)) / self.interval).floor() as i64
    }

    pub(super) fn spend(&mut self, tokens: i64) {
        self.full_at += tokens as f64 * self.interval;
        self.is_changed = true;
    }

    /// When it is full again.
    pub(super) fn full_at(&self) -> f64 {
        self.full_at
    }

    /// When there is a token, or the next one if there is one now.
    pub(super) fn opens(&self) -> i64 {
        let next = self.full_at - (self.burst - 1.0) * self.interval - ROUNDING.min(self.interval * ROUNDING);
        (next.ceil() as i64).max(self.now as i64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_evenly_up_to_the_burst() {
        let rate = Rate { count: 3, per_ms: 1_000, burst: Some(2) };
        let start = 1_772_323_200_000;
        let mut bucket = Bucket::new(&rate, 0.0, start);
        assert_eq!(bucket.tokens(), 2);
        bucket.spend(2);
        assert_eq!((bucket.tokens(), bucket.opens()), (0, start + 334));
        let later = |by| Bucket::new(&rate, bucket.full_at(), start + by).tokens();
        assert_eq!([later(333), later(334), later(666), later(667), later(9_000)], [0, 1, 1, 2, 2]);
    }

    #[test]
    fn an_edited_rate_holds_at_once() {
        let slow = Rate { count: 1, per_ms: 3_600_000, burst: None };
        let mut bucket = Bucket::new(&slow, 0.0, 1_000);
        bucket.spend(1);
        let fast = Bucket::new(&Rate::per_second(2), bucket.full_at(), 1_000);
        assert_eq!((fast.tokens(), fast.opens()), (0, 1_500));
    }
}
