//! What a lane has done so far, readable from any thread without stopping it.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicU8, Ordering::Relaxed};

/// How a source batch travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Its records were spread into new batches.
    Splice,
    /// It was unpacked first.
    Transcode,
}

/// Why a source batch could not travel whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its records go to several targets.
    Spread,
    /// Each record gets an origin header.
    Origin,
    /// It is merged with its neighbours into larger batches.
    Merge,
}

/// Every way with every reason, in the order of [`LaneStats::batches`].
pub const WAYS: [(Way, Reason); 6] = [
    (Way::Splice, Reason::Spread),
    (Way::Splice, Reason::Origin),
    (Way::Splice, Reason::Merge),
    (Way::Transcode, Reason::Spread),
    (Way::Transcode, Reason::Origin),
    (Way::Transcode, Reason::Merge),
];

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Taking over its transactional id.
    Starting = 0,
    /// Carrying records.
    Running = 1,
    /// At the end of its source, waiting for more.
    Waiting = 2,
    /// Done, stopped or failed.
    Ended = 3,
}

/// Counters of one lane; each grows by whole fetches and transactions.
#[derive(Debug, Default)]
pub struct LaneStats {
    /// A [`State`].
    state: AtomicU8,
    /// Committed source offset.
    pub position: AtomicI64,
    /// The source's last stable offset at the last fetch.
    pub last_stable: AtomicI64,
    /// Records posted to the target, those of aborted transactions too.
    pub records: AtomicU64,
    /// Record bytes read from the source.
    pub bytes: AtomicU64,
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Transactions given up and begun again.
    pub renewals: AtomicU64,
    /// Batches sent more than once.
    pub resends: AtomicU64,
    /// Reserved headers from outside that were stripped.
    pub stripped: AtomicU64,
    batches: [AtomicU64; WAYS.len()],
}

impl LaneStats {
    /// Counts one source batch.
    pub fn count_batch(&self, way: Way, reason: Reason) {
        if let Some(at) = WAYS.iter().position(|&known| known == (way, reason)) {
            self.batches[at].fetch_add(1, Relaxed);
        }
    }

    /// Source batches by way and reason, in the order of [`WAYS`].
    #[must_use]
    pub fn batches(&self) -> [u64; WAYS.len()] {
        std::array::from_fn(|at| self.batches[at].load(Relaxed))
    }

    /// Notes where the lane stands.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Where the lane stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            0 => State::Starting,
            1 => State::Running,
            2 => State::Waiting,
            _ => State::Ended,
        }
    }
}
