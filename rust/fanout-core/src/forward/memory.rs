//! A twin of fetch, produce and commit in memory: for speed and for faults, never as the proof.
//!
//! It keeps the rules of a broker that a lane leans on: sequences per producer
//! epoch, repeats recognised by their sequence alone, old epochs fenced, records
//! and offset of a transaction visible together or not at all, an epoch that
//! grows at every commit. Faults are planted one by one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::seam::{Aborted, Answer, Commit, Fetch, Fetched, Interrupt, Produce, Step};
use crate::batch::{Batch, BatchHeader};
use crate::cluster::groups::Committed;
use crate::cluster::producers::{fenced, Producer};
use crate::cluster::Failure;
use crate::error::Error;

const NOT_LEADER: i16 = 6;
const OUT_OF_ORDER: i16 = 45;
const OLD_EPOCH: i16 = 47;

/// Something that goes wrong once, at the next request of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next Produce request is answered with this code for every batch and not stored.
    ProduceCode(i16),
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
    /// The next fetch ends the lane as if its offset were gone.
    FetchGone,
    /// Someone else takes the transactional id over before the next end of a transaction.
    TakenOver,
}

/// What a stored batch became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Stored {
    bytes: Vec<u8>,
    fate: Fate,
}

/// What one producer epoch has written to a target: next sequence, and each batch's first with its base offset.
type Written = (i32, BTreeMap<i32, i64>);

#[derive(Debug, Default)]
struct Target {
    log: Vec<Stored>,
    next_offset: i64,
    written: BTreeMap<(i64, i16), Written>,
}

#[derive(Debug, Default)]
struct Store {
    source: Vec<(i64, Vec<u8>)>,
    aborted: Vec<(Aborted, i64)>,
    targets: BTreeMap<i32, Target>,
    epoch: i16,
    /// Whether the epoch grew last by its owner's own commit.
    grew_by_commit: bool,
    committed: Option<Committed>,
    faults: VecDeque<Fault>,
    /// Which of the two brokers leads the even targets.
    even_leader: i32,
    fetch_batches: usize,
}

/// A cluster of one source partition and some target partitions. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryCluster(Arc<Mutex<Store>>);

impl MemoryCluster {
    /// An empty cluster that serves so many source batches a fetch.
    #[must_use]
    pub fn new(fetch_batches: usize) -> Self {
        let cluster = Self::default();
        cluster.store().fetch_batches = fetch_batches;
        cluster
    }

    /// Appends a batch that ends below `next_offset`, as a broker would serve it.
    pub fn append_source(&self, next_offset: i64, batch: Vec<u8>) {
        self.store().source.push((next_offset, batch));
    }

    /// Says that the source holds an aborted transaction, whose marker is at `marker`.
    pub fn abort_source(&self, aborted: Aborted, marker: i64) {
        self.store().aborted.push((aborted, marker));
    }

    /// Plants a fault behind those planted before.
    pub fn plant(&self, fault: Fault) {
        self.store().faults.push_back(fault);
    }

    /// Faults that have not happened.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.store().faults.len()
    }

    /// The committed place of the lane's group.
    #[must_use]
    pub fn committed(&self) -> Option<Committed> {
        self.store().committed.clone()
    }

    /// Moves the committed place, as another tool would.
    pub fn move_committed(&self, offset: i64, metadata: &str) {
        self.store().committed = Some(Committed {
            offset,
            metadata: metadata.to_owned(),
        });
    }

    /// The batches of `target` that a read-committed reader sees, in order.
    #[must_use]
    pub fn visible(&self, target: i32) -> Vec<Vec<u8>> {
        let store = self.store();
        let log = store.targets.get(&target).map_or(&[][..], |t| &t.log[..]);
        let seen = log.iter().filter(|stored| stored.fate == Fate::Committed);
        seen.map(|stored| stored.bytes.clone()).collect()
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn has_open_transaction(&self) -> bool {
        let store = self.store();
        let mut stored = store.targets.values().flat_map(|t| &t.log);
        stored.any(|stored| stored.fate == Fate::Open)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn take_fault(&mut self, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        let next = *self.faults.front()?;
        if wanted(next) {
            self.faults.pop_front();
            return Some(next);
        }
        None
    }

    /// The fault of the next Produce request, if it has one; leaders move before it.
    fn produce_fault(&mut self, batches: &[(i32, &[u8])]) -> Option<Fault> {
        if self
            .take_fault(|fault| fault == Fault::LeadersMove)
            .is_some()
        {
            self.even_leader = 1 - self.even_leader;
        }
        match self.faults.front_mut() {
            Some(Fault::ProduceAt(ahead, wanted, _)) => {
                if !batches.iter().any(|(target, _)| target == wanted) {
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

    fn settle(&mut self, fate: Fate) {
        for stored in self.targets.values_mut().flat_map(|t| &mut t.log) {
            if stored.fate == Fate::Open {
                stored.fate = fate;
            }
        }
    }

    fn next_epoch(&mut self, by_commit: bool) -> Producer {
        self.epoch += 1;
        self.grew_by_commit = by_commit;
        self.producer()
    }

    /// Whether `current` is the owner, perhaps one that has not heard of its own commit.
    fn is_owner(&self, current: Producer) -> bool {
        current.epoch == self.epoch || (self.grew_by_commit && current.epoch + 1 == self.epoch)
    }

    fn producer(&self) -> Producer {
        Producer {
            id: 7,
            epoch: self.epoch,
        }
    }

    /// Appends as a broker does: a repeat is acknowledged with its old offset and not stored again.
    fn append(&mut self, target: i32, bytes: &[u8]) -> (i16, i64) {
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
        target.log.push(Stored {
            bytes: bytes.to_vec(),
            fate: Fate::Open,
        });
        (0, base)
    }
}

/// Which of the two brokers leads `target`.
fn leads(even_leader: i32, target: i32) -> i32 {
    (even_leader + target) % 2
}

/// The source partition.
#[derive(Debug)]
pub struct MemoryFetch {
    cluster: MemoryCluster,
    asked: Option<i64>,
}

/// The target partitions.
#[derive(Debug)]
pub struct MemoryProduce {
    cluster: MemoryCluster,
    /// Owed on the connection to each broker.
    answers: BTreeMap<i32, VecDeque<Result<Vec<Answer>, String>>>,
    /// Whether leaders are looked up again, or those known at first are asked.
    known_leader: Option<i32>,
}

/// The coordinators.
#[derive(Debug)]
pub struct MemoryCommit {
    cluster: MemoryCluster,
}

impl MemoryCluster {
    /// The three seams onto this cluster.
    #[must_use]
    pub fn seams(&self) -> (MemoryFetch, MemoryProduce, MemoryCommit) {
        let fetch = MemoryFetch {
            cluster: self.clone(),
            asked: None,
        };
        let produce = MemoryProduce {
            cluster: self.clone(),
            answers: BTreeMap::new(),
            known_leader: None,
        };
        let commit = MemoryCommit {
            cluster: self.clone(),
        };
        (fetch, produce, commit)
    }
}

impl Fetch for MemoryFetch {
    fn ask(&mut self, offset: i64, _wait: Duration) -> Step<()> {
        self.asked = Some(offset);
        Ok(())
    }

    fn take(&mut self) -> Step<Fetched> {
        let Some(offset) = self.asked.take() else {
            return Ok(Fetched::default());
        };
        let mut store = self.cluster.store();
        if store
            .take_fault(|fault| fault == Fault::FetchGone)
            .is_some()
        {
            return Err(Interrupt::Stop(Error::Unreachable {
                reason: "planted".to_owned(),
            }));
        }
        let batches = store.source.iter().filter(|(next, _)| *next > offset);
        let records: Vec<u8> = batches
            .take(store.fetch_batches)
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect();
        // A broker lists the transactions that reach into what it serves, no others.
        let aborted = store.aborted.iter().filter(|(_, marker)| *marker >= offset);
        Ok(Fetched {
            records: Bytes::from(records),
            aborted: aborted.map(|(transaction, _)| *transaction).collect(),
            last_stable: store.source.last().map_or(0, |(next, _)| *next),
        })
    }
}

impl Produce for MemoryProduce {
    fn leader(&mut self, target: i32) -> Result<i32, Failure> {
        let now = self.cluster.store().even_leader;
        Ok(leads(*self.known_leader.get_or_insert(now), target))
    }

    fn send(&mut self, node: i32, batches: &[(i32, &[u8])]) -> Result<(), Failure> {
        let mut store = self.cluster.store();
        let fault = store.produce_fault(batches);
        let mut answers = Vec::new();
        for &(target, bytes) in batches {
            let (code, base_offset) = match fault {
                Some(Fault::ProduceCode(code)) => (code, -1),
                Some(Fault::ProduceAt(_, wanted, code)) if wanted == target => (code, -1),
                _ if leads(store.even_leader, target) != node => (NOT_LEADER, -1),
                _ => store.append(target, bytes),
            };
            answers.push(Answer {
                target,
                code,
                base_offset,
                message: String::new(),
            });
        }
        let owed = match fault {
            Some(Fault::ProduceAnswerLost) => Err("planted".to_owned()),
            _ => Ok(answers),
        };
        self.answers.entry(node).or_default().push_back(owed);
        Ok(())
    }

    fn receive(&mut self, node: i32) -> Result<Vec<Answer>, Failure> {
        match self.answers.entry(node).or_default().pop_front() {
            Some(Ok(answers)) => Ok(answers),
            Some(Err(reason)) => Err(Failure::Stale(reason)),
            None => Err(Failure::Stale("nothing was asked".to_owned())),
        }
    }

    fn refresh(&mut self, nodes: &[i32]) {
        self.known_leader = None;
        for node in nodes {
            self.answers.remove(node);
        }
    }

    fn pause(&mut self, _tries: u32, _reason: &str) -> Step<()> {
        Ok(())
    }
}

impl Commit for MemoryCommit {
    fn acquire(&mut self) -> Step<Producer> {
        let mut store = self.cluster.store();
        store.settle(Fate::Aborted);
        Ok(store.next_epoch(false))
    }

    fn renew(&mut self, current: Producer) -> Step<Producer> {
        let mut store = self.cluster.store();
        if !store.is_owner(current) {
            return Err(Interrupt::Stop(fenced("memory")));
        }
        store.settle(Fate::Aborted);
        Ok(store.next_epoch(false))
    }

    fn position(&mut self) -> Step<Option<Committed>> {
        Ok(self.cluster.committed())
    }

    fn commit(&mut self, producer: Producer, place: &Committed) -> Step<Producer> {
        let mut store = self.cluster.store();
        let fault = store.take_fault(|fault| {
            matches!(
                fault,
                Fault::EndAnswerLost | Fault::EndLost | Fault::TakenOver
            )
        });
        if fault == Some(Fault::TakenOver) {
            store.settle(Fate::Aborted);
            store.next_epoch(false);
        }
        if producer != store.producer() || fault == Some(Fault::EndLost) {
            return Err(Interrupt::Renew("planted, or an old epoch".to_owned()));
        }
        store.settle(Fate::Committed);
        store.committed = Some(place.clone());
        let next = store.next_epoch(true);
        if fault == Some(Fault::EndAnswerLost) {
            return Err(Interrupt::Renew("planted".to_owned()));
        }
        Ok(next)
    }
}
