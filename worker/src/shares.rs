//! How the free slots are split over the queues: a pure function.

/// Splits `free` slots over queues with these weights; a weight of 0 takes no part. All slots are given away unless
/// nobody takes part.
///
/// The weights lie one after the other on a ring of as many places as their sum; the slots are the `free` places from
/// `rotation` on. Whoever passes on a `rotation` that grows by the slots given gets exact proportions over time, even
/// with a single slot at a time.
pub(crate) fn shares(free: usize, weights: &[u32], rotation: u64) -> Vec<usize> {
    let places: u64 = weights.iter().copied().map(u64::from).sum();
    if places == 0 {
        return vec![0; weights.len()];
    }
    let (rounds, rest) = (free as u64 / places, free as u64 % places);
    let from = rotation % places;
    let to = from + rest;
    let mut start = 0;
    let mut share = |&weight: &u32| {
        let end = start + u64::from(weight);
        // The places taken beyond the full rounds are from..to; what lies over the end of the ring begins anew.
        let overlap = |low: u64, high: u64| end.min(high).saturating_sub(start.max(low));
        let extra = overlap(from, to) + overlap(0, to.saturating_sub(places));
        start = end;
        (rounds * u64::from(weight) + extra) as usize
    };
    weights.iter().map(&mut share).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_free_slots_and_never_more_are_given_to_queues_that_take_part(
            free in 0usize..5_000, weights in prop::collection::vec(0u32..=50, 1..8), rotation in any::<u64>(),
        ) {
            let shares = shares(free, &weights, rotation);
            let given: usize = shares.iter().sum();
            let anybody = weights.iter().any(|&weight| weight > 0);
            prop_assert_eq!(given, if anybody { free } else { 0 });
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(*weight > 0 || *share == 0, "a queue without a weight got {} slots", share);
            }
        }

        #[test]
        fn every_queue_gets_its_share_within_one_round(
            free in 0usize..5_000, weights in prop::collection::vec(1u32..=50, 1..8), rotation in any::<u64>(),
        ) {
            let places: usize = weights.iter().map(|&weight| weight as usize).sum();
            for (share, &weight) in shares(free, &weights, rotation).into_iter().zip(&weights) {
                let weight = weight as usize;
                let least = free / places * weight;
                prop_assert!((least..=least + weight).contains(&share));
            }
        }

        #[test]
        fn one_slot_at_a_time_gives_exact_proportions(weights in prop::collection::vec(0u32..=20, 1..6)) {
            let places: u64 = weights.iter().copied().map(u64::from).sum();
            let mut got = vec![0; weights.len()];
            for rotation in 0..places {
                for (sum, share) in got.iter_mut().zip(shares(1, &weights, rotation)) {
                    *sum += share as u32;
                }
            }
            prop_assert_eq!(got, weights);
        }
    }

    #[test]
    fn the_example_of_the_documentation() {
        assert_eq!(shares(12, &[4, 8], 0), [4, 8]);
        assert_eq!(shares(12, &[4, 0], 0), [12, 0], "a queue without work leaves its share to the others");
    }
}
