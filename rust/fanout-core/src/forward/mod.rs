//! Forwarding: one lane per source partition, its outputs and its offset in one transaction.
//!
//! ```text
//!          ┌──────────────────────────── lane (one thread) ────────────────────────────┐
//! fetch ─▶ visible ─▶ spread (pass, or walk, route, splice) ─▶ outbox ─▶ produce ─▶ transaction ─▶ commit
//!          │ aborted and control                      │ kept until                     │ offset and tally
//!          │ batches left out                         │ acknowledged                   │ with the records
//! ```
//!
//! `engine` makes lanes and gathers their ends · `crew` keeps the roll of those that run ·
//! `plan` is what it is asked to do · `place` where a lane goes on ·
//! `seam` is what a lane needs of a cluster, and `memory` its twin for tests ·
//! `protocol` is how brokers tell transactions apart · `scan` looks without carrying ·
//! `inspect` says what is wrong with one batch.

mod builders;
mod carried;
pub mod commit;
mod control;
pub mod crew;
pub mod engine;
pub mod fetch;
pub mod inspect;
pub mod lane;
pub mod memory;
pub mod offsets;
pub mod outbox;
mod pass;
mod place;
pub mod plan;
pub mod produce;
pub mod protocol;
pub mod rate;
pub mod scan;
pub mod seam;
pub mod spread;
pub mod stats;
pub mod transaction;
mod verdict;
mod visible;
