//! What a lane has carried since its last commit, and when that is worth another one.

use std::time::{Duration, Instant};

use crate::cluster::groups::Committed;
use crate::cluster::producers::Producer;
use crate::note::Note;
use crate::record::Tally;

/// Bounds of one transaction: the first that is reached ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Bytes posted to the target.
    pub bytes: usize,
    /// Age, from the first record on.
    pub age: Duration,
}

/// A place that may be committed once every batch up to `number` is acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checkpoint {
    position: i64,
    tally: Tally,
    /// The last batch that was posted before it.
    pub(super) number: u64,
}

/// The open transaction of a lane; without transactions, what was carried and is not committed.
#[derive(Debug)]
pub(super) struct Transaction {
    /// Who writes it.
    pub(super) producer: Producer,
    /// The source offset that is committed.
    pub(super) committed: i64,
    /// The next source offset to carry; what lies between `committed` and it is in this transaction.
    pub(super) position: i64,
    /// All records forwarded below `position`.
    pub(super) tally: Tally,
    /// All records forwarded below `committed`.
    pub(super) committed_tally: Tally,
    began: Option<Instant>,
    checkpoint: Option<Checkpoint>,
    limits: TransactionLimits,
    /// What stood beside the committed offset: whose it is, and what was left out.
    note: Note,
}

impl Transaction {
    /// Nothing carried yet on top of what is committed.
    pub(super) fn new(
        producer: Producer,
        committed: i64,
        note: Note,
        limits: TransactionLimits,
    ) -> Self {
        let tally = note.done;
        Self {
            producer,
            committed,
            position: committed,
            tally,
            committed_tally: tally,
            began: None,
            checkpoint: None,
            limits,
            note,
        }
    }

    /// Notes that everything below `position` was carried.
    pub(super) fn advance(&mut self, position: i64, now: Instant) {
        if position > self.position {
            self.position = position;
            self.began.get_or_insert(now);
        }
    }

    /// Whether there is anything to commit: records, or markers and aborted data stepped over.
    pub(super) fn has_work(&self) -> bool {
        self.position > self.committed
    }

    /// Whether the transaction, with so many bytes posted, is large or old enough to end.
    pub(super) fn is_due(&self, posted: usize, now: Instant) -> bool {
        self.has_work() && (posted >= self.limits.bytes || self.time_left(now).is_zero())
    }

    /// How long it may go on; the whole age while nothing was carried.
    pub(super) fn time_left(&self, now: Instant) -> Duration {
        let age = self.began.map_or(Duration::ZERO, |began| now - began);
        self.limits.age.saturating_sub(age)
    }

    /// What its end commits.
    pub(super) fn place(&self) -> Committed {
        self.place_at(self.position, self.tally)
    }

    /// What `point` commits.
    pub(super) fn place_of(&self, point: &Checkpoint) -> Committed {
        self.place_at(point.position, point.tally)
    }

    fn place_at(&self, position: i64, tally: Tally) -> Committed {
        let note = Note {
            done: tally,
            ..self.note.clone()
        };
        Committed {
            offset: position,
            metadata: note.to_string(),
        }
    }

    /// Everything carried by now was posted, the last of it as batch `number`.
    pub(super) fn set_checkpoint(&mut self, number: u64, now: Instant) {
        self.checkpoint = Some(Checkpoint {
            position: self.position,
            tally: self.tally,
            number,
        });
        self.began = Some(now);
    }

    pub(super) fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    /// The checkpoint was committed.
    pub(super) fn passed(&mut self, point: &Checkpoint) {
        self.committed = point.position;
        self.committed_tally = point.tally;
        if !self.has_work() {
            self.began = None;
        }
    }

    /// The commit succeeded: the next one begins, written by `producer`.
    pub(super) fn ended(&mut self, producer: Producer) {
        self.producer = producer;
        self.committed = self.position;
        self.committed_tally = self.tally;
        self.began = None;
    }
}
