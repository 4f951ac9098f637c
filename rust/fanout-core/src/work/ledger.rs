//! How far one partition may be committed, and what the records below that point sum up to.
//!
//! Records settle in any order, but a group can only say "everything below N is
//! done". Committing one offset too far loses a record at the next crash, and
//! nobody notices: so this module decides the number, and nothing else does.
//!
//! Invariants:
//!
//! 1. `open` holds the records begun and not yet below the commit point, in
//!    offset order; the one at index `i` has the number `first + i`.
//! 2. The commit point never moves backwards and never passes an open record
//!    that is not settled.
//! 3. Only offsets that were begun are waited for: holes left by compaction,
//!    by aborted transactions or by their markers hold nothing back.
//! 4. The tallies cover exactly the records below the commit point.

use std::collections::VecDeque;

use crate::record::{Origin, Tally};

/// A record's number in its ledger, counted from 0 in the order of reading.
pub type Seq = u64;

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its handler is done with it.
    Done,
    /// The broker has acknowledged it as a dead letter.
    Dead,
}

/// What may be committed: the next record to read, and what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPoint {
    /// Offset of the next record to read.
    pub offset: i64,
    /// Origins of the records below it whose handlers are done.
    pub done: Tally,
    /// Origins of the records below it that became dead letters.
    pub dead: Tally,
}

/// The unsettled tail of one partition during one assignment. `N` is a note kept with each record.
#[derive(Debug)]
pub struct Ledger<N> {
    open: VecDeque<Entry<N>>,
    first: Seq,
    next_offset: i64,
    point: CommitPoint,
}

#[derive(Debug)]
struct Entry<N> {
    offset: i64,
    origin: Option<Origin>,
    state: State<N>,
}

#[derive(Debug)]
enum State<N> {
    Open(N),
    Settled(Fate),
}

impl<N> Ledger<N> {
    /// Starts an empty ledger at what the group has committed.
    #[must_use]
    pub fn starting_at(point: CommitPoint) -> Self {
        Self {
            open: VecDeque::new(),
            first: 0,
            next_offset: point.offset,
            point,
        }
    }

    /// Notes that the record at `offset` was read, and gives it a number.
    ///
    /// `None` for an offset that was read before: a client that reads a stretch
    /// again must not make a second entry of a record that is under way.
    pub fn begin(&mut self, offset: i64, origin: Option<Origin>, note: N) -> Option<Seq> {
        if offset < self.next_offset {
            return None;
        }
        if self.open.is_empty() {
            self.point.offset = offset;
        }
        self.next_offset = offset + 1;
        self.open.push_back(Entry {
            offset,
            origin,
            state: State::Open(note),
        });
        Some(self.first + self.open.len() as Seq - 1)
    }

    /// Notes that the client has read up to `position`, over markers and holes no record tells of.
    pub fn reach(&mut self, position: i64) {
        self.next_offset = self.next_offset.max(position);
        self.advance();
    }

    /// Notes that a record needs no more work, and returns its note.
    ///
    /// `None`, and no change, for a record that is settled already or was never begun.
    pub fn settle(&mut self, seq: Seq, fate: Fate) -> Option<N> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let entry = self.open.get_mut(index)?;
        let State::Open(_) = entry.state else {
            return None;
        };
        let before = std::mem::replace(&mut entry.state, State::Settled(fate));
        if index == 0 {
            self.advance();
        }
        match before {
            State::Open(note) => Some(note),
            State::Settled(_) => None,
        }
    }

    /// What may be committed now.
    #[must_use]
    pub fn point(&self) -> CommitPoint {
        self.point
    }

    /// Offset after the last record read.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.next_offset
    }

    /// Records above the commit point, settled or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether everything begun is settled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Notes of the records that are not settled.
    pub fn unsettled(&self) -> impl Iterator<Item = &N> {
        self.open.iter().filter_map(|entry| match &entry.state {
            State::Open(note) => Some(note),
            State::Settled(_) => None,
        })
    }

    fn advance(&mut self) {
        while let Some(entry) = self.open.front() {
            let State::Settled(fate) = entry.state else {
                self.point.offset = entry.offset;
                return;
            };
            if let Some(origin) = entry.origin {
                match fate {
                    Fate::Done => self.point.done.add(origin),
                    Fate::Dead => self.point.dead.add(origin),
                }
            }
            self.open.pop_front();
            self.first += 1;
        }
        self.point.offset = self.next_offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger_at(offset: i64) -> Ledger<()> {
        Ledger::starting_at(CommitPoint {
            offset,
            done: Tally::default(),
            dead: Tally::default(),
        })
    }

    fn begin(ledger: &mut Ledger<()>, offset: i64) -> Seq {
        ledger.begin(offset, None, ()).expect("not read before")
    }

    #[test]
    fn a_late_head_holds_the_point_back_and_then_frees_it_at_once() {
        let mut ledger = ledger_at(5);
        let seqs: Vec<Seq> = (5..9).map(|offset| begin(&mut ledger, offset)).collect();
        for &seq in &seqs[1..] {
            ledger.settle(seq, Fate::Done);
            assert_eq!(ledger.point().offset, 5);
        }
        ledger.settle(seqs[0], Fate::Done);
        assert_eq!(ledger.point().offset, 9);
    }

    #[test]
    fn the_point_steps_over_holes_only_up_to_the_next_open_record() {
        let mut ledger = ledger_at(0);
        let first = begin(&mut ledger, 2);
        let second = begin(&mut ledger, 7);
        ledger.reach(12);
        ledger.settle(first, Fate::Done);
        assert_eq!(ledger.point().offset, 7);
        ledger.settle(second, Fate::Done);
        assert_eq!(ledger.point().offset, 12);
    }

    #[test]
    fn an_idle_ledger_follows_the_position_over_trailing_markers() {
        let mut ledger = ledger_at(3);
        ledger.reach(4);
        assert_eq!(ledger.point().offset, 4);
        ledger.reach(1);
        assert_eq!(ledger.point().offset, 4);
    }

    #[test]
    fn a_record_counts_once_however_often_it_is_settled_or_read() {
        let mut ledger = ledger_at(0);
        let origin = Origin {
            partition: 2,
            offset: 41,
        };
        let seq = ledger.begin(0, Some(origin), ()).expect("not read before");
        assert!(ledger.begin(0, Some(origin), ()).is_none());
        assert!(ledger.settle(seq, Fate::Done).is_some());
        assert!(ledger.settle(seq, Fate::Dead).is_none());
        assert!(ledger.settle(seq + 9, Fate::Done).is_none());
        let mut once = Tally::default();
        once.add(origin);
        assert_eq!(ledger.point().done, once);
        assert_eq!(ledger.point().dead, Tally::default());
    }

    #[test]
    fn the_tally_covers_only_what_lies_below_the_point() {
        let mut ledger = ledger_at(0);
        let origin = |offset| Origin {
            partition: 0,
            offset,
        };
        let head = ledger.begin(0, Some(origin(100)), ()).expect("new");
        let dead = ledger.begin(1, Some(origin(101)), ()).expect("new");
        ledger.settle(dead, Fate::Dead);
        assert_eq!(ledger.point().dead.count, 0);
        ledger.settle(head, Fate::Done);
        assert_eq!(
            (ledger.point().done.count, ledger.point().dead.count),
            (1, 1)
        );
    }
}
