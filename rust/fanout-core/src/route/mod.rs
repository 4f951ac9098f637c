//! Which target partition a record goes to.
//!
//! In a run each source partition has an [`allotment`]: target partitions
//! that it alone writes. In a plain forward every lane may write all of them. A
//! [`Router`] chooses among the targets of one lane.
//!
//! **A trap.** Inside one source partition the producers' partitioner has already
//! fixed `murmur2(key) mod n`. The same hash again would send all its keys to the
//! same few targets. So inside an allotment the hash is xxh3, which knows nothing
//! of murmur2: see [`Partitioner::Xxh3`].

pub mod allotment;
pub mod hash;
mod partitioner;
mod router;

pub use allotment::{allot, TooFewTargets};
pub use partitioner::Partitioner;
pub use router::{Policy, Router};
