//! What became of a source batch: how it travelled, or where it is broken.

use super::stats::{Reason, Way};
use crate::batch::{BatchError, BatchHeader, Codec};
use crate::error::Error;
use crate::record::{Tally, TopicPartition};

/// Where a source partition is broken, and what was carried of the batch before that place.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// First offset not carried.
    pub(super) offset: i64,
    /// Records of the broken batch that were carried.
    pub(super) carried: Tally,
    problem: String,
}

impl Broken {
    pub(super) fn at(offset: i64, error: &BatchError) -> Self {
        Self {
            offset,
            carried: Tally::default(),
            problem: error.to_string(),
        }
    }

    /// The same place, with what was carried of its batch.
    pub(super) fn after(self, carried: Tally) -> Self {
        Self { carried, ..self }
    }

    pub(super) fn halted(self, at: &TopicPartition) -> Error {
        Error::Halted {
            at: at.clone(),
            offset: self.offset,
            problem: format!("the batch there is broken: {}", self.problem),
            remedy: format!(
                "everything before it was forwarded and nothing is skipped: restore the partition from a replica, or have a plain forward leave this one batch out: --skip {}:{}@{}",
                at.topic, at.partition, self.offset
            ),
        }
    }
}

/// What became of one source batch.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) tally: Tally,
    /// Reserved headers from outside that were left out.
    pub(super) stripped: u64,
    pub(super) next: i64,
    pub(super) way: Way,
    pub(super) reason: Reason,
}

impl Carried {
    /// Nothing yet of a batch that is opened because of `reason`.
    pub(super) fn opened(header: &BatchHeader, reason: Reason) -> Self {
        let way = match header.codec() {
            Codec::None => Way::Splice,
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => Way::Transcode,
        };
        Self {
            tally: Tally::default(),
            stripped: 0,
            next: header.next_offset(),
            way,
            reason,
        }
    }
}
