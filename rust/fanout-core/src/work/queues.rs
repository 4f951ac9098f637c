//! One record of a lane at a time, in the order they were read.
//!
//! A lane of the queues is whatever must stay in order: the hash of a key, or a
//! whole partition. Two keys with one hash share a lane; that costs a wait and
//! never an order, so the hash need not be perfect.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::ledger::Seq;

/// Records that wait for an earlier one of their lane. `T` is what the caller wants back.
#[derive(Debug)]
pub struct Queues<T> {
    /// A lane is in the map while a record of it runs. An empty queue owns no memory.
    lanes: HashMap<u64, VecDeque<(Seq, T)>, BuildHasherDefault<AlreadyHashed>>,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            lanes: HashMap::default(),
        }
    }
}

impl<T> Queues<T> {
    /// Hands the record back if it may run now; keeps it while an earlier one of `lane` runs.
    pub fn admit(&mut self, lane: Option<u64>, seq: Seq, payload: T) -> Option<T> {
        let Some(lane) = lane else {
            return Some(payload);
        };
        match self.lanes.entry(lane) {
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                Some(payload)
            }
            Entry::Occupied(mut busy) => {
                busy.get_mut().push_back((seq, payload));
                None
            }
        }
    }

    /// Ends the running record of `lane`, and hands out the next one if any waits.
    pub fn release(&mut self, lane: Option<u64>) -> Option<(Seq, T)> {
        let lane = lane?;
        let Entry::Occupied(mut busy) = self.lanes.entry(lane) else {
            return None;
        };
        let next = busy.get_mut().pop_front();
        if next.is_none() {
            busy.remove();
        }
        next
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        self.lanes.clear();
    }
}

/// Takes a key that is a good hash by itself as it is.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_runs_one_at_a_time_in_order_and_others_do_not_wait() {
        let mut queues = Queues::default();
        assert_eq!(queues.admit(Some(7), 0, "a"), Some("a"));
        assert_eq!(queues.admit(Some(7), 1, "b"), None);
        assert_eq!(queues.admit(Some(7), 2, "c"), None);
        assert_eq!(queues.admit(Some(8), 3, "d"), Some("d"));
        assert_eq!(queues.release(Some(7)), Some((1, "b")));
        assert_eq!(queues.release(Some(7)), Some((2, "c")));
        assert_eq!(queues.release(Some(7)), None);
        assert_eq!(queues.admit(Some(7), 4, "e"), Some("e"));
    }

    #[test]
    fn records_without_a_lane_are_free() {
        let mut queues = Queues::default();
        assert_eq!(queues.admit(None, 0, "a"), Some("a"));
        assert_eq!(queues.admit(None, 1, "b"), Some("b"));
        assert_eq!(queues.release(None), None);
    }
}
