//! A twin of fetch, produce and commit in memory: for speed and for faults, never as the proof.
//!
//! It keeps the rules of a broker that a lane leans on: sequences per producer
//! epoch, repeats recognised by their sequence alone, old epochs fenced, records
//! and offset of a transaction visible together or not at all, and by protocol an
//! epoch that grows at every commit, or targets that must be enlisted and an epoch
//! that stays. Faults are planted one by one.

mod offsets;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub use offsets::MemoryOffsets;
pub use store::Fault;
use store::{leads, Fate, Store, NOT_LEADER};

use super::protocol::Protocol;
use super::seam::{
    Aborted, Answer, Commit, Fetch, Fetched, Interrupt, Outgoing, ParkedPayloads, Produce, Step,
};
use crate::batch::{Batch, HEADER_LEN};
use crate::cluster::groups::Committed;
use crate::cluster::producers::{fenced, Producer};
use crate::cluster::Failure;
use crate::error::Error;
use crate::wire::Pipes;

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

    /// The same cluster with brokers that speak `protocol`.
    #[must_use]
    pub fn speaking(self, protocol: Protocol) -> Self {
        self.store().protocol = protocol;
        self
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

    /// Produce requests that came.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.store().requests
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

/// The source partition.
pub struct MemoryFetch {
    cluster: MemoryCluster,
    asked: Option<i64>,
    /// Whether payloads are left in pipes, which are real ones.
    parks: bool,
    pipes: Pipes,
}

/// The target partitions.
#[derive(Debug)]
pub struct MemoryProduce {
    cluster: MemoryCluster,
    producer: Option<Producer>,
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
            parks: false,
            pipes: Pipes::default(),
        };
        let produce = MemoryProduce {
            cluster: self.clone(),
            producer: None,
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
    fn allow_parking(&mut self, allowed: bool) {
        self.parks = allowed;
    }

    fn ask(&mut self, offset: i64, _wait: Duration) -> Step<()> {
        self.asked = Some(offset);
        Ok(())
    }

    fn take(&mut self) -> Step<Option<Fetched>> {
        let Some(offset) = self.asked.take() else {
            return Ok(Some(Fetched::default()));
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
        let parks = self.parks && store.aborted.is_empty();
        let pipe = parks.then(|| self.pipes.lend()).flatten();
        let mut records = Vec::new();
        let mut parked = ParkedPayloads::default();
        for (_, bytes) in batches.take(store.fetch_batches) {
            let is_plain = Batch::parse(bytes).is_ok_and(|batch| !batch.header.is_control());
            let (header, payload) = bytes.split_at(HEADER_LEN.min(bytes.len()));
            match &pipe {
                Some(pipe) if is_plain => {
                    let stretch = pipe.park(payload).map_err(|error| unparked(&error))?;
                    parked.push(records.len(), stretch);
                    records.extend_from_slice(header);
                }
                _ => records.extend_from_slice(bytes),
            }
        }
        // A broker lists the transactions that reach into what it serves, no others.
        let aborted = store.aborted.iter().filter(|(_, marker)| *marker >= offset);
        Ok(Some(Fetched {
            records: Bytes::from(records),
            parked,
            aborted: aborted.map(|(transaction, _)| *transaction).collect(),
            last_stable: store.source.last().map_or(0, |(next, _)| *next),
        }))
    }
}

fn unparked(error: &io::Error) -> Interrupt {
    Interrupt::Stop(Error::Unreachable {
        reason: format!("not parked: {error}"),
    })
}

impl Produce for MemoryProduce {
    fn begin(&mut self, producer: Producer) {
        self.producer = Some(producer);
    }

    fn enlist(&mut self, batches: &[Outgoing<'_>]) -> Step<()> {
        let mut store = self.cluster.store();
        if store.protocol == Protocol::EpochEach {
            return Ok(());
        }
        if self.producer != Some(store.producer()) {
            return Err(Interrupt::Renew("an old epoch enlists".to_owned()));
        }
        store
            .enlisted
            .extend(batches.iter().map(|batch| batch.target));
        Ok(())
    }

    fn leader(&mut self, target: i32) -> Result<i32, Failure> {
        let now = self.cluster.store().even_leader;
        Ok(leads(*self.known_leader.get_or_insert(now), target))
    }

    fn send(&mut self, node: i32, batches: &[Outgoing<'_>]) -> Result<(), Failure> {
        let mut store = self.cluster.store();
        let fault = store.produce_fault(batches);
        let mut answers = Vec::new();
        for batch in batches {
            // A request that is refused was read, too.
            let bytes = batch
                .read()
                .map_err(|error| Failure::Stale(error.to_string()))?;
            let target = batch.target;
            let (code, base_offset) = match fault {
                Some(Fault::ProduceCode(code)) => (code, -1),
                Some(Fault::ProduceAt(_, wanted, code)) if wanted == target => (code, -1),
                _ if leads(store.even_leader, target) != node => (NOT_LEADER, -1),
                _ => store.append(target, &bytes),
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
                Fault::EndAnswerLost | Fault::EndLost | Fault::EndLate | Fault::TakenOver
            )
        });
        if fault == Some(Fault::TakenOver) {
            store.settle(Fate::Aborted);
            store.next_epoch(false);
        }
        if fault == Some(Fault::EndLate) {
            store.late_end = Some(producer);
        }
        if producer != store.producer() || matches!(fault, Some(Fault::EndLost | Fault::EndLate)) {
            return Err(Interrupt::Renew("planted, or an old epoch".to_owned()));
        }
        store.settle(Fate::Committed);
        store.committed = Some(place.clone());
        let next = match store.protocol {
            Protocol::EpochEach => store.next_epoch(true),
            Protocol::EpochKept => store.producer(),
        };
        if fault == Some(Fault::EndAnswerLost) {
            return Err(Interrupt::Renew("planted".to_owned()));
        }
        Ok(next)
    }
}
