//! The two ways in which brokers tell one transaction of a lane from the next.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wire::Versions;

/// The cluster feature that says which way it is.
const FEATURE: &str = "transaction.version";

/// Chosen once an engine, from the cluster's finalized feature.
///
/// It names the versions of every request that a transaction is made of, and
/// brokers go by a request's version, never by the feature: an engine that chose
/// one way stays right when the feature is raised or lowered under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Each transaction has an epoch of its own (version 2, KIP-890): a late copy of
    /// a request is refused by it.
    #[default]
    EpochEach,
    /// The epoch stays (versions 0 and 1): a late copy of a request could touch a later
    /// transaction, so after any unclear end the lane gets a new epoch before anything else.
    EpochKept,
}

impl Protocol {
    /// The way of a cluster whose brokers announced `versions`.
    #[must_use]
    pub fn of(versions: &Versions) -> Self {
        if versions.feature(FEATURE) >= 2 {
            Self::EpochEach
        } else {
            Self::EpochKept
        }
    }

    /// 12 and newer add partitions to the transaction by themselves; 13 names the topic by its id,
    /// so that one made again under its name refuses what was meant for the old one. 10 came with
    /// Kafka 3.7, whose brokers are the first to check an offset's transaction as they check a record's.
    pub(super) fn produce(self) -> RangeInclusive<i16> {
        match self {
            Self::EpochEach => 12..=13,
            Self::EpochKept => 10..=11,
        }
    }

    /// 5 adds the group to the transaction by itself.
    pub(super) fn txn_offset_commit(self) -> RangeInclusive<i16> {
        match self {
            Self::EpochEach => 5..=5,
            Self::EpochKept => 3..=4,
        }
    }

    /// 5 answers with the producer of the next transaction.
    pub(super) fn end_txn(self) -> RangeInclusive<i16> {
        match self {
            Self::EpochEach => 5..=5,
            Self::EpochKept => 3..=4,
        }
    }
}

/// Under which name and by which protocol a lane writes.
#[derive(Debug, Clone)]
pub struct Transactions {
    /// The lane's `transactional.id`.
    pub id: String,
    /// The coordinator aborts a transaction that nobody ends for so long.
    pub timeout_ms: i32,
    /// How its transactions are told apart.
    pub protocol: Protocol,
    /// Since when one is open, as far as the lane knows.
    pub opened: Opened,
}

/// Since when a lane's transaction is open for certain: enlisted in, and never told to end. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Opened(Arc<Mutex<Option<Instant>>>);

impl Opened {
    /// The coordinator took something into the transaction, asked at `asked`.
    pub(super) fn at(&self, asked: Instant) {
        self.since().get_or_insert(asked);
    }

    /// It was told to end, or ended: nothing is certain any more.
    pub(super) fn forget(&self) {
        *self.since() = None;
    }

    /// Whether it is open for longer than `bound`.
    pub(super) fn is_older_than(&self, bound: Duration, now: Instant) -> bool {
        self.since().is_some_and(|since| now - since > bound)
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        // A place in time is whole whatever happened to its last holder.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
