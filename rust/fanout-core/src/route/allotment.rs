//! Which target partitions each source partition of a run may write.
//!
//! Every target has one writer, so its records come in source order. The run ends
//! when its slowest source partition does; so targets are dealt such that the
//! largest load per target is as small as it can be:
//!
//! 1. Each source partition gets one target.
//! 2. Each further target goes to the source partition with the most load per
//!    target it has.
//!
//! Where loads divide evenly this is exactly in proportion. It is the same on
//! every machine: ties go to who has fewer targets, then to the lower partition.

use std::cmp::Ordering;
use std::ops::Range;

/// A run needs at least one target partition for each source partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{targets} target partitions for {sources} source partitions: each needs at least one")]
pub struct TooFewTargets {
    /// Source partitions.
    pub sources: usize,
    /// Target partitions.
    pub targets: i32,
}

/// Deals target partitions `0..targets` to source partitions with `loads` records to carry.
///
/// The load of a source partition is its backlog, and what will flow in until the
/// end. Each gets a range, in order; together they are all targets.
///
/// # Errors
///
/// If there are fewer targets than source partitions.
pub fn allot(loads: &[u64], targets: i32) -> Result<Vec<Range<i32>>, TooFewTargets> {
    let spare = usize::try_from(targets)
        .ok()
        .and_then(|targets| targets.checked_sub(loads.len()))
        .ok_or(TooFewTargets {
            sources: loads.len(),
            targets,
        })?;
    let mut shares = vec![1_i32; loads.len()];
    let dealt = if loads.is_empty() { 0 } else { spare };
    for _ in 0..dealt {
        let neediest = (0..loads.len()).reduce(|a, b| {
            match compare((loads[a], shares[a]), (loads[b], shares[b])) {
                Ordering::Less => b,
                Ordering::Equal | Ordering::Greater => a,
            }
        });
        if let Some(neediest) = neediest {
            shares[neediest] += 1;
        }
    }
    let mut next = 0;
    Ok(shares
        .into_iter()
        .map(|share| {
            let first = next;
            next += share;
            first..next
        })
        .collect())
}

/// Compares the need of two source partitions: load per target, then few targets.
fn compare(a: (u64, i32), b: (u64, i32)) -> Ordering {
    let (load_a, share_a) = (u128::from(a.0), u128::from(a.1.unsigned_abs()));
    let (load_b, share_b) = (u128::from(b.0), u128::from(b.1.unsigned_abs()));
    (load_a * share_b)
        .cmp(&(load_b * share_a))
        .then(share_b.cmp(&share_a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(loads: &[u64], targets: i32) -> Vec<usize> {
        let ranges = allot(loads, targets).expect("enough targets");
        ranges.iter().map(ExactSizeIterator::len).collect()
    }

    #[test]
    fn ten_targets_over_three_equal_sources_are_four_three_three() {
        assert_eq!(allot(&[7, 7, 7], 10), Ok(vec![0..4, 4..7, 7..10]));
    }

    #[test]
    fn the_source_with_most_of_the_work_gets_most_of_the_targets() {
        assert_eq!(shares(&[800_000, 100_000, 100_000], 10), [8, 1, 1]);
        assert_eq!(shares(&[u64::MAX, 0, 1], 30), [28, 1, 1]);
    }

    #[test]
    fn sources_without_work_share_evenly() {
        assert_eq!(shares(&[0, 0, 0], 8), [3, 3, 2]);
    }

    #[test]
    fn fewer_targets_than_sources_are_refused_with_both_numbers() {
        let refusal = allot(&[1, 1, 1], 2).expect_err("one source has no target");
        let (sources, targets) = (3, 2);
        assert_eq!(refusal, TooFewTargets { sources, targets });
        assert!(allot(&[1], -1).is_err());
    }
}
