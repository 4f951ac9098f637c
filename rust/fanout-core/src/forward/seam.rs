//! What a lane needs of a cluster: fetch, produce, commit. Kafka stands behind it, and a twin in memory.
//!
//! The three traits are narrow on purpose: retries that need no knowledge of the
//! lane (a leader moved, a coordinator loads) happen behind them; what they
//! raise is what the lane itself must answer.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::batch::Gap;
use crate::cluster::groups::Committed;
use crate::cluster::producers::Producer;
use crate::cluster::Failure;
use crate::error::Error;
use crate::wire::Parked;

/// Why a step of a lane did not succeed, and what the lane does about it.
#[derive(Debug)]
pub enum Interrupt {
    /// The transaction is lost or its outcome unknown: ask who owns the lane, go back to the committed offset.
    Renew(String),
    /// The lane ends.
    Stop(Error),
}

/// The result of one step of a lane.
pub type Step<T> = Result<T, Interrupt>;

impl From<Error> for Interrupt {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}

/// What one fetch brought.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// Whole batches, the last perhaps cut; the first may begin before the offset asked for.
    pub records: Bytes,
    /// What was left in the kernel of them.
    pub parked: ParkedPayloads,
    /// Transactions of this range that were aborted.
    pub aborted: Vec<Aborted>,
    /// No transaction below it is open.
    pub last_stable: i64,
}

/// Payloads of a fetch that wait in pipes, by what the fetched bytes lack for it.
#[derive(Debug, Clone, Default)]
pub struct ParkedPayloads {
    gaps: Vec<Gap>,
    parked: Vec<Parked>,
}

impl ParkedPayloads {
    /// The payload of the batch whose header stands at `header_at`, as far as it is parked. Comes behind those before it.
    pub fn push(&mut self, header_at: usize, parked: Parked) {
        self.gaps.push(Gap {
            header_at,
            bytes: parked.len(),
        });
        self.parked.push(parked);
    }

    /// Bytes in all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gaps.iter().map(|gap| gap.bytes).sum()
    }

    /// Whether nothing is parked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// What the fetched bytes lack.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// What fills `gap`.
    #[must_use]
    pub fn of(&self, gap: Gap) -> Option<&Parked> {
        let found = self
            .gaps
            .binary_search_by_key(&gap.header_at, |gap| gap.header_at);
        found.ok().map(|index| &self.parked[index])
    }
}

impl Fetched {
    /// Bytes that came, parked ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len() + self.parked.len()
    }

    /// Whether none came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An aborted transaction: skip the producer's transactional batches from this offset to its marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aborted {
    /// First offset of the transaction.
    pub first_offset: i64,
    /// Who wrote it.
    pub producer_id: i64,
}

/// Reads one source partition.
pub trait Fetch {
    /// Whether the payloads of long batches may be left in the kernel, from the next question on. Whoever allows it can
    /// send them on once; a source that knows no other way than memory goes on as before.
    fn allow_parking(&mut self, _allowed: bool) {}

    /// Sends the question for `offset` on; the broker may wait for records up to `wait`. Does not wait itself.
    ///
    /// # Errors
    ///
    /// If the lane must end.
    fn ask(&mut self, offset: i64, wait: Duration) -> Step<()>;

    /// Waits for the answer to the last question. No records mean that none came in time; `None`, that the broker still
    /// wants to hear nothing of us: ask again.
    ///
    /// # Errors
    ///
    /// If the lane must end: the offset is gone, the topic is another one.
    fn take(&mut self) -> Step<Option<Fetched>>;
}

/// The answer for one batch of a Produce request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Target partition.
    pub target: i32,
    /// Kafka's error code; 0 is success.
    pub code: i16,
    /// Offset of the batch's first record; −1 where the broker does not tell.
    pub base_offset: i64,
    /// The broker's own words about an error.
    pub message: String,
}

/// One batch of a Produce request.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Target partition.
    pub target: i32,
    /// Its bytes, in two stretches: of a batch that passes, our header and the source's records.
    pub slices: [&'a [u8]; 2],
    /// What belongs between the two and never came into our memory. It can be sent once.
    pub parked: Option<&'a Parked>,
}

impl Outgoing<'_> {
    /// Bytes of the whole batch.
    #[must_use]
    pub fn len(&self) -> usize {
        let [head, tail] = self.slices;
        head.len() + self.parked.map_or(0, Parked::len) + tail.len()
    }

    /// Whether it has no bytes, which no batch has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes in one stretch: a parked one is taken for it.
    ///
    /// # Errors
    ///
    /// If it was taken before.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let parked = self
            .parked
            .map(Parked::read)
            .transpose()?
            .unwrap_or_default();
        let [head, tail] = self.slices;
        Ok([head, &parked, tail].concat())
    }
}

/// Writes to the target partitions: one request in, one answer out, in order, per node.
pub trait Produce {
    /// A transaction of `producer` begins: no target is part of it yet.
    fn begin(&mut self, producer: Producer);

    /// Makes the targets of `batches` part of the transaction, where brokers do not do so by themselves.
    ///
    /// # Errors
    ///
    /// [`Interrupt::Renew`] if the transaction is no longer ours to write.
    fn enlist(&mut self, batches: &[Outgoing<'_>]) -> Step<()>;

    /// Which broker leads `target`.
    ///
    /// # Errors
    ///
    /// What to do before asking again.
    fn leader(&mut self, target: i32) -> Result<i32, Failure>;

    /// Sends one request with at most one batch a target, all led by `node`.
    ///
    /// # Errors
    ///
    /// If the connection is gone: every request to `node` without an answer has an unknown outcome.
    fn send(&mut self, node: i32, batches: &[Outgoing<'_>]) -> Result<(), Failure>;

    /// Waits for the answer to the oldest request to `node`.
    ///
    /// # Errors
    ///
    /// As [`Produce::send`].
    fn receive(&mut self, node: i32) -> Result<Vec<Answer>, Failure>;

    /// Forgets who leads what and drops the connection to each of `nodes`.
    fn refresh(&mut self, nodes: &[i32]);

    /// Waits before a try is repeated; the pause grows with `tries`, the deadline runs from try 0.
    ///
    /// # Errors
    ///
    /// [`Interrupt::Stop`] with [`Error::Unreachable`] when the deadline is over or the wait was cancelled.
    fn pause(&mut self, tries: u32, reason: &str) -> Step<()>;
}

/// Owns the lane's transactional id, where it has one, and its committed source offset.
pub trait Commit {
    /// Takes the lane over from whoever held it; aborts what a dead owner left open.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses or cannot be reached.
    fn acquire(&mut self) -> Step<Producer>;

    /// Ends an unclear transaction as the current owner.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if someone else took the lane over.
    fn renew(&mut self, current: Producer) -> Step<Producer>;

    /// The committed source offset, when no transaction holds it open; `None` without a commit.
    ///
    /// # Errors
    ///
    /// If the coordinator refuses or cannot be reached.
    fn position(&mut self) -> Step<Option<Committed>>;

    /// Puts the offset into the transaction and ends it; the answer is the producer of the next one.
    ///
    /// # Errors
    ///
    /// [`Interrupt::Renew`] when the outcome is unknown.
    fn commit(&mut self, producer: Producer, place: &Committed) -> Step<Producer>;
}

impl Commit for Box<dyn Commit> {
    fn acquire(&mut self) -> Step<Producer> {
        (**self).acquire()
    }

    fn renew(&mut self, current: Producer) -> Step<Producer> {
        (**self).renew(current)
    }

    fn position(&mut self) -> Step<Option<Committed>> {
        (**self).position()
    }

    fn commit(&mut self, producer: Producer, place: &Committed) -> Step<Producer> {
        (**self).commit(producer, place)
    }
}
