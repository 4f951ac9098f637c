//! Carries Kafka record batches from one topic to another, exactly once.
//!
//! # The life of a record
//!
//! ```text
//!  source partition                                                        target partitions
//!  ─────────────────                                                       ─────────────────
//!   fetched bytes ──▶ visible? ──▶ CRC ──▶ unpack ──▶ walk ──▶ route ──▶ copied once into a builder
//!   (forward::fetch)  (…::visible)       (batch)   (batch)   (route)     (batch, forward::spread)
//!                                                                                  │ sealed
//!   source offset and tally, in the same transaction ◀── acknowledged ◀── sent ◀───┘
//!   (forward::commit)                                    (forward::outbox, forward::produce)
//! ```
//!
//! Later a worker reads it: [`work`] says which records may run, and how far it is safe to commit.
//!
//! # Layout
//!
//! | module | what | leans on |
//! |---|---|---|
//! | [`record`], [`note`], [`error`], [`clock`], `failpoint` | origins and tallies; the tally beside a commit; what can stop us; time; crash points of test builds | – |
//! | [`batch`] | `RecordBatch` v2 on raw bytes | record |
//! | [`route`] | which target partition a record goes to | – |
//! | [`wire`] | one connection to one broker | – |
//! | [`cluster`] | leaders, coordinators, committed offsets, ends | wire |
//! | [`forward`] | lanes, and the engine that runs them | all above |
//! | [`work`] | ledger, key queues and budget of a worker | record |
//!
//! There is no Python in this crate; `fanout-py` is the door.

pub mod batch;
pub mod clock;
pub mod cluster;
pub mod error;
mod failpoint;
pub mod forward;
pub mod note;
pub mod record;
pub mod route;
pub mod wire;
pub mod work;
