//! Batches on their way to the target: sent in order, kept until acknowledged, sent again identically.
//!
//! Invariants:
//!
//! 1. Per target, batches are sent in the order they were posted, and a batch (but for those
//!    of a `convoy`, which are sent once) is sent again with the same bytes: the broker recognises a repeat by its
//!    sequence numbers alone and drops it.
//! 2. Until a transaction's first success one request is in flight, then at most
//!    five a broker: beyond that a broker forgets what it has seen.
//! 3. After any failure nothing new is sent before everything older was
//!    acknowledged. A failed batch with others behind it makes those fail too
//!    (45, out of order): they are put right by order, one request at a time.
//! 4. Base offsets of a target only grow. One that does not is a sequence used
//!    twice, which the broker answers with success and drops: silent loss.

mod convoy;
mod parcel;
mod resend;
mod spares;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use convoy::Convoy;
pub use parcel::Load;
use parcel::Parcel;
pub use spares::Spares;

use super::seam::{Answer, Interrupt, Produce, Step};
use super::verdict::{judge_answer, Verdict};
use crate::cluster::producers::Producer;
use crate::cluster::Failure;
use crate::failpoint;
use crate::record::TopicPartition;

/// Produce requests without an answer, per broker.
const MAX_IN_FLIGHT: usize = 5;

/// The same of all lanes together: many keep a broker busy with few each, and each request holds its batches.
const IN_FLIGHT_TOGETHER: usize = 32;

/// Posted bytes that are worth a request of their own, at most.
const REQUEST_BYTES: usize = 512 * 1024;

/// Requests that the budget holds, at least: fewer would leave the broker idle.
const REQUESTS_HELD: usize = 8;

/// The batches of one lane that the target has not acknowledged yet.
pub struct Outbox<P> {
    produce: P,
    source: TopicPartition,
    budget: usize,
    request_bytes: usize,
    ready: BTreeMap<i32, VecDeque<Parcel>>,
    /// Parked batches that wait for others; nothing is `ready` then.
    convoy: Convoy,
    flying: BTreeMap<i32, VecDeque<Vec<Parcel>>>,
    posted: u64,
    /// Brokers that were sent anything since the transaction began.
    asked: BTreeSet<i32>,
    transaction_bytes: usize,
    ready_bytes: usize,
    held_bytes: usize,
    gate_open: bool,
    last_base: BTreeMap<i32, i64>,
    spares: Spares,
    /// Produce requests without an answer, per broker.
    most_in_flight: usize,
    resends: u64,
    met_corruption: bool,
}

impl<P: Produce> Outbox<P> {
    /// Holds at most about `budget` bytes before it waits for answers; `source` names the lane in errors.
    pub fn new(produce: P, source: TopicPartition, budget: usize) -> Self {
        Self {
            produce,
            source,
            budget,
            request_bytes: REQUEST_BYTES.min(budget / REQUESTS_HELD),
            ready: BTreeMap::new(),
            convoy: Convoy::default(),
            flying: BTreeMap::new(),
            posted: 0,
            asked: BTreeSet::new(),
            transaction_bytes: 0,
            ready_bytes: 0,
            held_bytes: 0,
            gate_open: false,
            last_base: BTreeMap::new(),
            spares: Spares::default(),
            most_in_flight: MAX_IN_FLIGHT,
            resends: 0,
            met_corruption: false,
        }
    }

    /// The same for one of `lanes` that run side by side, and build their batches in the same buffers.
    #[must_use]
    pub fn among(self, lanes: usize, spares: Spares) -> Self {
        Self {
            most_in_flight: (IN_FLIGHT_TOGETHER / lanes.max(1)).clamp(2, MAX_IN_FLIGHT),
            spares,
            ..self
        }
    }

    /// A buffer of an acknowledged batch, to build the next one in.
    pub fn spare_buffer(&mut self) -> Vec<u8> {
        self.spares.take()
    }

    /// Batches that were sent more than once.
    #[must_use]
    pub fn resends(&self) -> u64 {
        self.resends
    }

    /// Whether a broker found a checksum wrong that we had not compared: see `Passing::verify`.
    #[must_use]
    pub fn met_corruption(&self) -> bool {
        self.met_corruption
    }

    /// What it sends through.
    #[cfg(test)]
    pub(super) fn seam(&self) -> &P {
        &self.produce
    }

    /// So many posted bytes are sent without waiting for more.
    pub(super) fn request_bytes(&self) -> usize {
        self.request_bytes
    }

    /// Bytes posted since the transaction began, or since the last checkpoint.
    #[must_use]
    pub fn transaction_bytes(&self) -> usize {
        self.transaction_bytes
    }

    /// A new transaction of `producer` begins: one request at a time until the first success.
    pub fn begin(&mut self, producer: Producer) {
        self.produce.begin(producer);
        self.gate_open = false;
        self.transaction_bytes = 0;
        self.asked.clear();
    }

    /// Forgets every batch: their transaction is gone.
    ///
    /// No connection that the transaction used is used again: an answer still
    /// owed on one would be taken for that of a request of the next transaction.
    pub fn clear(&mut self) {
        let asked: Vec<i32> = std::mem::take(&mut self.asked).into_iter().collect();
        self.produce.refresh(&asked);
        self.flying.clear();
        self.convoy = Convoy::default();
        self.ready.clear();
        self.ready_bytes = 0;
        self.held_bytes = 0;
    }

    /// Takes a batch; sends when enough has come together.
    ///
    /// # Errors
    ///
    /// If a batch sent earlier cannot be delivered.
    pub fn post(&mut self, target: i32, load: impl Into<Load>, first_offset: i64) -> Step<()> {
        let load = load.into();
        let size = load.len();
        failpoint::reach("outbox-to-post");
        self.posted += 1;
        let parcel = Parcel {
            target,
            number: self.posted,
            load,
            first_offset,
            sent: false,
        };
        self.held_bytes += size;
        self.transaction_bytes += size;
        if parcel.load.is_parked() {
            return self.post_parked(parcel);
        }
        self.send_convoy()?;
        self.ready.entry(target).or_default().push_back(parcel);
        self.ready_bytes += size;
        if self.ready_bytes >= self.request_bytes {
            // A second batch of a target waits for others: sent now, it would be a request by itself.
            self.dispatch_one_of_each()?;
        }
        // What waits is bounded all the same: the first of a target may be far shorter than those behind it.
        while self.ready_bytes >= 2 * self.request_bytes {
            self.dispatch_one_of_each()?;
        }
        while self.held_bytes > self.budget && self.await_one()? {}
        Ok(())
    }

    /// Sends everything posted, without waiting for more answers than the order of requests needs.
    ///
    /// # Errors
    ///
    /// As [`Outbox::post`].
    pub fn dispatch(&mut self) -> Step<()> {
        self.send_convoy()?;
        while self.ready_bytes > 0 {
            self.dispatch_one_of_each()?;
        }
        Ok(())
    }

    /// Sends the oldest unsent batch of every target.
    fn dispatch_one_of_each(&mut self) -> Step<()> {
        for (node, parcels) in self.next_requests()? {
            self.make_room(node)?;
            self.send(node, parcels)?;
        }
        Ok(())
    }

    /// Sends everything and waits until all of it is acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Outbox::post`].
    pub fn flush(&mut self) -> Step<()> {
        self.dispatch()?;
        while self.await_one()? {}
        Ok(())
    }

    /// Waits until the batch of this number and all before it, which were sent, are acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Outbox::post`].
    pub fn await_through(&mut self, number: u64) -> Step<()> {
        let is_older = |parcel: &Parcel| parcel.number <= number;
        while let Some((&node, _)) = self
            .flying
            .iter()
            .find(|(_, requests)| requests.iter().flatten().any(is_older))
        {
            self.await_answer(node)?;
        }
        Ok(())
    }

    /// The number of the last batch posted; what is posted from now on counts for the next checkpoint.
    pub fn checkpoint(&mut self) -> u64 {
        self.transaction_bytes = 0;
        self.posted
    }

    /// The oldest unsent batch of every target, by the broker that leads it.
    fn next_requests(&mut self) -> Step<BTreeMap<i32, Vec<Parcel>>> {
        let mut requests: BTreeMap<i32, Vec<Parcel>> = BTreeMap::new();
        let mut homeless = Vec::new();
        for (&target, queue) in &mut self.ready {
            let Some(parcel) = queue.pop_front() else {
                continue;
            };
            self.ready_bytes -= parcel.load.len();
            match self.produce.leader(target) {
                Ok(node) => requests.entry(node).or_default().push(parcel),
                Err(Failure::Stop(error)) => return Err(Interrupt::Stop(error)),
                Err(_) => homeless.push(parcel),
            }
        }
        if !homeless.is_empty() {
            homeless.extend(requests.into_values().flatten());
            self.recover(homeless, "a target partition has no leader".to_owned())?;
            return Ok(BTreeMap::new());
        }
        Ok(requests)
    }

    fn make_room(&mut self, node: i32) -> Step<()> {
        failpoint::reach("outbox-to-send");
        while !self.gate_open && self.await_one()? {}
        while self.flying.get(&node).map_or(0, VecDeque::len) >= self.most_in_flight {
            self.await_answer(node)?;
        }
        Ok(())
    }

    fn send(&mut self, node: i32, mut parcels: Vec<Parcel>) -> Step<()> {
        let sent = self.hand_over(node, &mut parcels)?;
        for parcel in &mut parcels {
            parcel.load.was_sent();
        }
        self.flying.entry(node).or_default().push_back(parcels);
        match sent {
            Ok(()) => Ok(()),
            Err(failure) => self.recover_after(node, failure),
        }
    }

    /// Makes the targets part of the transaction and sends; the inner result is the connection's.
    fn hand_over(&mut self, node: i32, parcels: &mut [Parcel]) -> Step<Result<(), Failure>> {
        self.asked.insert(node);
        for parcel in &mut *parcels {
            self.resends += u64::from(parcel.sent);
            parcel.sent = true;
        }
        let batches: Vec<_> = parcels
            .iter()
            .map(|parcel| parcel.load.outgoing(parcel.target))
            .collect();
        self.produce.enlist(&batches)?;
        Ok(self.produce.send(node, &batches))
    }

    /// Waits for an answer of the broker that owes most; `false` if none owes any.
    fn await_one(&mut self) -> Step<bool> {
        let busiest = self
            .flying
            .iter()
            .filter(|(_, requests)| !requests.is_empty())
            .max_by_key(|(_, requests)| requests.len());
        let Some((&node, _)) = busiest else {
            return Ok(false);
        };
        self.await_answer(node)?;
        Ok(true)
    }

    fn await_answer(&mut self, node: i32) -> Step<()> {
        let answers = match self.produce.receive(node) {
            Ok(answers) => answers,
            Err(failure) => return self.recover_after(node, failure),
        };
        let request = self.flying.get_mut(&node).and_then(VecDeque::pop_front);
        let (failed, reason) = self.sort_out(request.unwrap_or_default(), &answers, &[])?;
        if failed.is_empty() {
            return Ok(());
        }
        self.recover(failed, reason)
    }

    /// Books what was acknowledged; returns what must be sent again, and why.
    ///
    /// `behind` are batches known to be unsent: a 45 behind one of them is its echo.
    fn sort_out(
        &mut self,
        request: Vec<Parcel>,
        answers: &[Answer],
        behind: &[Parcel],
    ) -> Step<(Vec<Parcel>, String)> {
        let mut failed: Vec<Parcel> = Vec::new();
        let mut why = String::new();
        for parcel in request {
            let answer = answers.iter().find(|answer| answer.target == parcel.target);
            let place = (parcel.first_offset, parcel.load.len());
            match judge_answer(answer, &self.source, place) {
                Verdict::Acknowledged(base) => self.acknowledged(parcel, base)?,
                // Damaged at the source, perhaps: only a lane that compares checksums can tell where.
                Verdict::Corrupt(reason) if parcel.load.is_unchecked() && !self.met_corruption => {
                    self.met_corruption = true;
                    return Err(Interrupt::Renew(reason));
                }
                // Else a byte flipped between us and the broker; ours are still right.
                Verdict::Again(reason) | Verdict::Corrupt(reason) => {
                    why = reason;
                    failed.push(parcel);
                }
                Verdict::OutOfOrder if parcel.follows(behind) => failed.push(parcel),
                Verdict::OutOfOrder => {
                    return Err(Interrupt::Renew(format!(
                        "target partition {} answers out of order",
                        parcel.target
                    )))
                }
                Verdict::Interrupt(interrupt) => return Err(interrupt),
            }
        }
        Ok((failed, why))
    }

    fn acknowledged(&mut self, parcel: Parcel, base: Option<i64>) -> Step<()> {
        self.gate_open = true;
        failpoint::reach("outbox-acknowledged");
        self.held_bytes = self.held_bytes.saturating_sub(parcel.load.len());
        if let Some(base) = base {
            let before = self.last_base.insert(parcel.target, base);
            if before.is_some_and(|before| base <= before) {
                return Err(Interrupt::Renew(format!(
                    "target partition {} acknowledged offset {base} after {before:?}: a sequence was used twice",
                    parcel.target
                )));
            }
        }
        if let Some(buffer) = parcel.load.into_buffer() {
            self.spares.give(buffer);
        }
        Ok(())
    }
}
