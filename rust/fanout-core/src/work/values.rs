//! What goes into an intake, and what comes out of it.

use std::collections::HashMap;
use std::sync::Arc;

use super::budget::Limits;
use super::ledger::Seq;
use crate::record::Origin;

/// What runs one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Records of one key; records without a key are free.
    Key,
    /// Records of one partition.
    Partition,
    /// Nothing.
    None,
}

/// What a worker knows before it is given a partition.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The topic that is read, for messages.
    pub topic: Arc<str>,
    /// What runs one at a time.
    pub order: Order,
    /// How much may be in flight.
    pub limits: Limits,
    /// The run this is a worker of.
    pub run: Option<Run>,
}

/// What a worker of a run holds its records and commits against.
#[derive(Debug, Clone)]
pub struct Run {
    /// The run's id: the tag of its commits.
    pub id: String,
    /// The source partition that each target partition takes records from.
    pub sources: HashMap<i32, i32>,
}

/// Where the group stands in a partition: what one offset fetch answered.
#[derive(Debug, Clone)]
pub struct Start {
    /// Next record to read.
    pub offset: i64,
    /// The metadata that was committed with it.
    pub metadata: String,
}

/// A record as it is read.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Partition of the topic that is read.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// Hash of its key; `None` without a key.
    pub key: Option<u64>,
    /// Size of key and value.
    pub bytes: usize,
    /// Where it was before it was forwarded.
    pub origin: Option<Origin>,
}

/// What to commit for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The partition.
    pub partition: i32,
    /// Next record to read.
    pub offset: i64,
    /// Empty outside a run.
    pub metadata: String,
}

/// Names one record of one assignment: a partition that is assigned again gets other ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(u64);

impl RecordId {
    /// The lower bits hold the number in the ledger: a million records a second fill them in half a year.
    const SEQ_BITS: u32 = 44;
    const SEQ_MASK: u64 = (1 << Self::SEQ_BITS) - 1;

    pub(super) fn new(assignment: u64, seq: Seq) -> Self {
        Self(assignment << Self::SEQ_BITS | (seq & Self::SEQ_MASK))
    }

    /// The id as a number; its upper bits are [`RecordId::assignment`].
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The id a number stands for.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Which assignment of a partition the record was read under.
    #[must_use]
    pub fn assignment(self) -> u64 {
        self.0 >> Self::SEQ_BITS
    }

    pub(super) fn seq(self) -> Seq {
        self.0 & Self::SEQ_MASK
    }
}
