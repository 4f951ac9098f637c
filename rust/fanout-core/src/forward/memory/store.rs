//! What the twin keeps, and the rules of a broker that it keeps it by.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::batch::{Batch, BatchHeader};
use crate::cluster::groups::Committed;
use crate::cluster::producers::Producer;
use crate::forward::protocol::Protocol;
use crate::forward::seam::{Aborted, Outgoing};

pub(super) const NOT_LEADER: i16 = 6;
const OUT_OF_ORDER: i16 = 45;
const OLD_EPOCH: i16 = 47;
const MARKERS_PENDING: i16 = 51;
const NOT_ENLISTED: i16 = 48;

/// Something that goes wrong once, at the next request of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next Produce request is answered with this code for every batch and not stored.
    ProduceCode(i16),
    /// The first Produce request of the next epoch's transaction is answered 51: markers are being written.
    FirstRefused,
    /// After so many Produce requests that name a target, its batch in one is answered with this code and not stored.
    ProduceAt(u32, i32, i16),
    /// The targets' leaders change places; who asks the old one is told so.
    LeadersMove,
    /// The next Produce request is stored and its answer lost with the connection.
    ProduceAnswerLost,
    /// The next end of a transaction happens and its answer is lost.
    EndAnswerLost,
    /// The next end of a transaction is lost before it happens.
    EndLost,
    /// The next end of a transaction is lost for the lane, and arrives behind a batch stored later.
    EndLate,
    /// The next fetch ends the lane as if its offset were gone.
    FetchGone,
    /// Someone else takes the transactional id over before the next end of a transaction.
    TakenOver,
}

/// What a stored batch became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) bytes: Vec<u8>,
    pub(super) fate: Fate,
}

/// What one producer epoch has written to a target: next sequence, and each batch's first with its base offset.
type Written = (i32, BTreeMap<i32, i64>);

#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) log: Vec<Stored>,
    pub(super) next_offset: i64,
    pub(super) written: BTreeMap<(i64, i16), Written>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) source: Vec<(i64, Vec<u8>)>,
    pub(super) aborted: Vec<(Aborted, i64)>,
    pub(super) targets: BTreeMap<i32, Target>,
    pub(super) protocol: Protocol,
    /// Targets that the open transaction may write, where it must name them.
    pub(super) enlisted: BTreeSet<i32>,
    /// Whose end of a transaction is still on its way.
    pub(super) late_end: Option<Producer>,
    pub(super) epoch: i16,
    /// Whether the epoch grew last by its owner's own commit.
    pub(super) grew_by_commit: bool,
    pub(super) committed: Option<Committed>,
    pub(super) faults: VecDeque<Fault>,
    /// Which of the two brokers leads the even targets.
    pub(super) even_leader: i32,
    pub(super) fetch_batches: usize,
    /// The epoch of the last first request that was refused.
    pub(super) refused_in: i16,
    /// Produce requests that came.
    pub(super) requests: usize,
}

impl Store {
    pub(super) fn take_fault(&mut self, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        let next = *self.faults.front()?;
        if wanted(next) {
            self.faults.pop_front();
            return Some(next);
        }
        None
    }

    /// The fault of the next Produce request, if it has one; leaders move before it.
    pub(super) fn produce_fault(&mut self, batches: &[Outgoing<'_>]) -> Option<Fault> {
        if self
            .take_fault(|fault| fault == Fault::LeadersMove)
            .is_some()
        {
            self.even_leader = 1 - self.even_leader;
        }
        self.requests += 1;
        match self.faults.front_mut() {
            Some(Fault::FirstRefused) => {
                if self.refused_in == self.epoch {
                    return None;
                }
                self.refused_in = self.epoch;
                self.faults.pop_front();
                Some(Fault::ProduceCode(MARKERS_PENDING))
            }
            Some(Fault::ProduceAt(ahead, wanted, _)) => {
                if !batches.iter().any(|batch| batch.target == *wanted) {
                    return None;
                }
                if *ahead == 0 {
                    return self.faults.pop_front();
                }
                *ahead -= 1;
                None
            }
            _ => self.take_fault(|fault| {
                matches!(fault, Fault::ProduceCode(_) | Fault::ProduceAnswerLost)
            }),
        }
    }

    pub(super) fn settle(&mut self, fate: Fate) {
        self.enlisted.clear();
        for stored in self.targets.values_mut().flat_map(|t| &mut t.log) {
            if stored.fate == Fate::Open {
                stored.fate = fate;
            }
        }
    }

    pub(super) fn next_epoch(&mut self, by_commit: bool) -> Producer {
        self.epoch += 1;
        self.grew_by_commit = by_commit;
        self.producer()
    }

    /// Whether `current` is the owner, perhaps one that has not heard of its own commit.
    pub(super) fn is_owner(&self, current: Producer) -> bool {
        current.epoch == self.epoch || (self.grew_by_commit && current.epoch + 1 == self.epoch)
    }

    pub(super) fn producer(&self) -> Producer {
        Producer {
            id: 7,
            epoch: self.epoch,
        }
    }

    /// Appends as a broker does: a repeat is acknowledged with its old offset and not stored again.
    pub(super) fn append(&mut self, target: i32, bytes: &[u8]) -> (i16, i64) {
        let Some(header) = bytes.first_chunk().map(BatchHeader::parse) else {
            return (87, -1);
        };
        let (Ok(header), Ok(())) = (header, Batch::parse(bytes).and_then(|b| b.verify_crc()))
        else {
            return (2, -1);
        };
        if header.producer_epoch != self.epoch {
            return (OLD_EPOCH, -1);
        }
        if self.protocol == Protocol::EpochKept && !self.enlisted.contains(&target) {
            return (NOT_ENLISTED, -1);
        }
        let target = self.targets.entry(target).or_default();
        let key = (header.producer_id, header.producer_epoch);
        let (next, firsts) = target.written.entry(key).or_default();
        if let Some(&base) = firsts.get(&header.base_sequence) {
            return (0, base);
        }
        if header.base_sequence != *next {
            return (OUT_OF_ORDER, -1);
        }
        let base = target.next_offset;
        firsts.insert(header.base_sequence, base);
        *next += header.record_count;
        target.next_offset += i64::from(header.record_count);
        let fate = if header.is_transactional() {
            Fate::Open
        } else {
            Fate::Committed
        };
        let bytes = bytes.to_vec();
        target.log.push(Stored { bytes, fate });
        self.end_late();
        (0, base)
    }

    /// The late end of an earlier transaction ends this one, unless its epoch is an old one.
    fn end_late(&mut self) {
        if self.late_end.take() == Some(self.producer()) {
            self.settle(Fate::Committed);
        }
    }
}

/// Which of the two brokers leads `target`.
pub(super) fn leads(even_leader: i32, target: i32) -> i32 {
    (even_leader + target) % 2
}
