//! The choice among the targets of one lane.

use super::partitioner::Partitioner;

/// How a lane chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Equal keys to the same target, in source order; records without a place go round.
    Key(Partitioner),
    /// Record by record in turn. The order is given up.
    RoundRobin,
    /// Whole batches to the target with the least outstanding. The order is given up.
    Batch,
}

/// Chooses targets for the records of one lane.
///
/// Answers are indices into the lane's targets, so that the lane can keep its
/// builders in a slice; [`Router::partition`] tells the partition behind one.
#[derive(Debug, Clone)]
pub struct Router {
    policy: Policy,
    targets: Vec<i32>,
    count: u32,
    turn: u32,
}

impl Router {
    /// Chooses among `targets`, whose order matters: it must be the same after a restart.
    ///
    /// Returns `None` if there are no targets.
    #[must_use]
    pub fn new(policy: Policy, targets: Vec<i32>) -> Option<Self> {
        let count = u32::try_from(targets.len())
            .ok()
            .filter(|&count| count > 0)?;
        Some(Self {
            policy,
            targets,
            count,
            turn: 0,
        })
    }

    /// The lane's targets.
    #[must_use]
    pub fn targets(&self) -> &[i32] {
        &self.targets
    }

    /// The partition behind an index this router gave.
    ///
    /// # Panics
    ///
    /// If the index is not one of ours.
    #[must_use]
    #[inline]
    pub fn partition(&self, index: usize) -> i32 {
        self.targets[index]
    }

    /// Whether one target takes a whole batch: then ask [`Router::for_batch`].
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.policy == Policy::Batch
    }

    /// The target of the next record.
    ///
    /// Under [`Policy::Batch`] it goes round as well: records that come without
    /// their batch are no reason to stop.
    #[inline]
    pub fn for_record(&mut self, key: Option<&[u8]>) -> usize {
        let place = match self.policy {
            Policy::Key(partitioner) => partitioner.place(key, self.count),
            Policy::RoundRobin | Policy::Batch => None,
        };
        place.unwrap_or_else(|| self.next_in_turn()) as usize
    }

    /// The target of the next batch: the one with the least `outstanding` bytes.
    ///
    /// Among equals it goes round, so that an idle lane does not fill one target only.
    pub fn for_batch(&mut self, outstanding: impl Fn(usize) -> u64) -> usize {
        let start = self.next_in_turn() as usize;
        let count = self.targets.len();
        (0..count)
            .map(|step| (start + step) % count)
            .min_by_key(|&index| outstanding(index))
            .unwrap_or(start)
    }

    #[inline]
    fn next_in_turn(&mut self) -> u32 {
        let turn = self.turn;
        self.turn = if turn + 1 == self.count { 0 } else { turn + 1 };
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(policy: Policy) -> Router {
        Router::new(policy, vec![4, 5, 6]).expect("three targets")
    }

    #[test]
    fn a_key_always_meets_the_same_target_and_records_without_one_go_round() {
        let mut router = router(Policy::Key(Partitioner::Xxh3));
        let first = router.for_record(Some(b"k"));
        let round: Vec<usize> = (0..6).map(|_| router.for_record(None)).collect();
        assert_eq!(round, [0, 1, 2, 0, 1, 2]);
        assert_eq!(router.for_record(Some(b"k")), first);
        assert_eq!(router.partition(first), [4, 5, 6][first]);
    }

    #[test]
    fn round_robin_pays_no_heed_to_keys() {
        let mut router = router(Policy::RoundRobin);
        let round: Vec<usize> = (0..4).map(|_| router.for_record(Some(b"k"))).collect();
        assert_eq!(round, [0, 1, 2, 0]);
    }

    #[test]
    fn a_batch_goes_to_the_emptiest_target_and_among_equals_in_turn() {
        let mut router = router(Policy::Batch);
        assert!(router.takes_batches());
        assert_eq!(router.for_batch(|index| [9, 4, 9][index]), 1);
        let round: Vec<usize> = (0..3).map(|_| router.for_batch(|_| 0)).collect();
        assert_eq!(round, [1, 2, 0]);
    }

    #[test]
    fn a_router_without_targets_is_none() {
        assert!(Router::new(Policy::Batch, Vec::new()).is_none());
    }
}
