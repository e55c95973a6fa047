//! How history goes: in slices, the oldest jobs first.

/// Jobs, or runs of schedules, that one call removes at most.
pub(crate) const SLICE: i64 = 2_000;

/// What a call has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrunedJobs {
    /// Jobs.
    pub jobs: u64,
    /// Groups of failures.
    pub failures: u64,
    /// Whether more is left.
    pub more: bool,
}
