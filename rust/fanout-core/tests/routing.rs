//! Properties of allotments, and of the choice among a lane's targets.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "small numbers that the test itself chose"
)]

use fanout_core::route::{allot, Partitioner, Policy, Router};
use proptest::collection::vec;
use proptest::prelude::*;

/// Loads of some source partitions, and targets enough for them.
fn loads_and_targets(most: usize, spare: i32) -> impl Strategy<Value = (Vec<u64>, i32)> {
    let load = prop_oneof![
        4 => 0..1_000_000_u64,
        1 => Just(0_u64),
        1 => any::<u64>(),
    ];
    (vec(load, 1..most), 0..spare).prop_map(|(loads, spare)| {
        let targets = loads.len() as i32 + spare;
        (loads, targets)
    })
}

/// The largest load per target, as a fraction that compares exactly.
fn slowest(loads: &[u64], shares: &[u64]) -> (u128, u128) {
    let fractions = loads
        .iter()
        .zip(shares)
        .map(|(&load, &share)| (u128::from(load), u128::from(share)));
    fractions
        .reduce(|a, b| if a.0 * b.1 >= b.0 * a.1 { a } else { b })
        .unwrap()
}

/// Every way to give `targets` to `sources`, one each at least.
fn every_way(sources: usize, targets: u64) -> Vec<Vec<u64>> {
    if sources == 1 {
        return vec![vec![targets]];
    }
    let most = targets - (sources as u64 - 1);
    (1..=most)
        .flat_map(|first| {
            every_way(sources - 1, targets - first)
                .into_iter()
                .map(move |mut rest| {
                    rest.insert(0, first);
                    rest
                })
        })
        .collect()
}

proptest! {
    #[test]
    fn an_allotment_gives_every_target_to_one_source_and_each_source_at_least_one(
        (loads, targets) in loads_and_targets(40, 100),
    ) {
        let allotment = allot(&loads, targets).unwrap();
        prop_assert_eq!(allotment.len(), loads.len());
        prop_assert!(allotment.iter().all(|range| !range.is_empty()));
        let dealt: Vec<i32> = allotment.into_iter().flatten().collect();
        prop_assert_eq!(dealt, (0..targets).collect::<Vec<_>>());
    }

    #[test]
    fn no_other_allotment_ends_sooner((loads, targets) in loads_and_targets(5, 8)) {
        let allotment = allot(&loads, targets).unwrap();
        let shares: Vec<u64> = allotment.iter().map(|range| range.len() as u64).collect();
        let ours = slowest(&loads, &shares);
        for other in every_way(loads.len(), targets as u64) {
            let other = slowest(&loads, &other);
            prop_assert!(ours.0 * other.1 <= other.0 * ours.1);
        }
    }

    #[test]
    fn loads_that_divide_evenly_are_met_exactly(
        shares in vec(1..20_u64, 1..20),
        per_target in 1..1_000_000_u64,
    ) {
        let loads: Vec<u64> = shares.iter().map(|share| share * per_target).collect();
        let targets = shares.iter().sum::<u64>() as i32;
        let allotment = allot(&loads, targets).unwrap();
        let dealt: Vec<u64> = allotment.iter().map(|range| range.len() as u64).collect();
        prop_assert_eq!(dealt, shares);
    }

    #[test]
    fn who_has_more_to_carry_never_gets_fewer_targets(
        (loads, targets) in loads_and_targets(20, 60),
    ) {
        let allotment = allot(&loads, targets).unwrap();
        for (a, first) in allotment.iter().enumerate() {
            for (b, second) in allotment.iter().enumerate() {
                prop_assert!(loads[a] <= loads[b] || first.len() >= second.len());
            }
        }
    }

    #[test]
    fn a_key_meets_the_same_target_in_every_process_whatever_came_between(
        keys in vec(proptest::option::of(vec(any::<u8>(), 0..20)), 1..60),
        targets in 1..12_i32,
        rule in prop::sample::select(vec![Partitioner::Murmur2, Partitioner::Fnv1a, Partitioner::Xxh3]),
    ) {
        let mut router = Router::new(Policy::Key(rule), (0..targets).collect()).unwrap();
        for key in keys.iter().map(Option::as_deref) {
            let target = router.for_record(key);
            prop_assert!((target as i32) < targets);
            if key.is_some() {
                let mut fresh = Router::new(Policy::Key(rule), (0..targets).collect()).unwrap();
                prop_assert_eq!(target, fresh.for_record(key));
            }
        }
    }

    #[test]
    fn records_that_go_round_are_spread_evenly(count in 0..500_usize, targets in 1..12_i32) {
        for policy in [Policy::RoundRobin, Policy::Key(Partitioner::Murmur2)] {
            let mut router = Router::new(policy, (0..targets).collect()).unwrap();
            let mut hits = vec![0_usize; targets as usize];
            for _ in 0..count {
                hits[router.for_record(None)] += 1;
            }
            prop_assert!(hits.iter().max().unwrap() - hits.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn a_batch_never_goes_to_a_target_with_more_outstanding_than_another(
        outstanding in vec(0..5_u64, 1..12),
        before in 0..20,
    ) {
        let targets = (0..outstanding.len() as i32).collect();
        let mut router = Router::new(Policy::Batch, targets).unwrap();
        for _ in 0..before {
            router.for_batch(|_| 0);
        }
        let target = router.for_batch(|index| outstanding[index]);
        prop_assert_eq!(outstanding.iter().min(), Some(&outstanding[target]));
    }
}
