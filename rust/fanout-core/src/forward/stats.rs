//! What a lane has done so far, readable from any thread without stopping it.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicU8, Ordering::Relaxed};

use crate::wire::Throttled;

/// How a source batch travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Whole, with another header.
    Pass,
    /// Its records were spread into new batches.
    Splice,
    /// It was unpacked first.
    Transcode,
}

impl Way {
    const ALL: [Self; 3] = [Self::Pass, Self::Splice, Self::Transcode];

    /// The name in metrics and summaries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Splice => "splice",
            Self::Transcode => "transcode",
        }
    }
}

/// Why a source batch travelled so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing stood in the way of passing it.
    Whole,
    /// The same, and its payload, or the first part of it, went from socket to socket within the kernel.
    Unread,
    /// Its records go to several targets.
    Spread,
    /// Each record gets an origin header.
    Origin,
    /// The user wants another codec.
    Codec,
    /// Its records bear the broker's append time, which only a batch of ours can keep.
    AppendTime,
    /// Compaction has left holes in it, or a time to drop tombstones at.
    Compacted,
    /// Only a part of it is to be carried.
    Cut,
    /// It is longer than a batch of the target may be.
    Size,
    /// It is merged with its neighbours into larger batches.
    Merge,
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::Whole,
        Self::Unread,
        Self::Spread,
        Self::Origin,
        Self::Codec,
        Self::AppendTime,
        Self::Compacted,
        Self::Cut,
        Self::Size,
        Self::Merge,
    ];

    /// The name in metrics and summaries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Unread => "unread",
            Self::Spread => "spread",
            Self::Origin => "origin",
            Self::Codec => "codec",
            Self::AppendTime => "append-time",
            Self::Compacted => "compacted",
            Self::Cut => "cut",
            Self::Size => "size",
            Self::Merge => "merge",
        }
    }
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started here; where lanes are shared, perhaps by another process.
    Idle = 0,
    /// Taking over its transactional id.
    Starting = 1,
    /// Carrying records.
    Running = 2,
    /// At the end of its source, waiting for more.
    Waiting = 3,
    /// Done, stopped or failed.
    Ended = 4,
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
    /// What brokers asked it to wait.
    pub throttled: Throttled,
    batches: [[AtomicU64; Reason::ALL.len()]; Way::ALL.len()],
}

impl LaneStats {
    /// Counts one source batch.
    pub fn count_batch(&self, way: Way, reason: Reason) {
        self.batches[way as usize][reason as usize].fetch_add(1, Relaxed);
    }

    /// Source batches by way and reason, those that came.
    #[must_use]
    pub fn batches(&self) -> Vec<(Way, Reason, u64)> {
        let cells = Way::ALL.into_iter().zip(&self.batches);
        cells
            .flat_map(|(way, row)| {
                let counts = Reason::ALL.into_iter().zip(row);
                counts.map(move |(reason, count)| (way, reason, count.load(Relaxed)))
            })
            .filter(|&(.., count)| count > 0)
            .collect()
    }

    /// Notes where the lane stands.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Where the lane stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            0 => State::Idle,
            1 => State::Starting,
            2 => State::Running,
            3 => State::Waiting,
            _ => State::Ended,
        }
    }
}
