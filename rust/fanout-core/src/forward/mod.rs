//! Forwarding: one lane per source partition, its outputs and its offset in one transaction.
//!
//! ```text
//!          ┌──────────────────────────── lane (one thread) ────────────────────────────┐
//! fetch ─▶ visible ─▶ spread (pass, or walk, route, splice) ─▶ outbox ─▶ produce ─▶ transaction ─▶ commit
//!          │ aborted and control                      │ kept until                     │ offset and tally
//!          │ batches left out                         │ acknowledged                   │ with the records
//! ```
//!
//! `engine` starts and gathers the lanes · `plan` is what it is asked to do ·
//! `seam` is what a lane needs of a cluster, and `memory` its twin for tests ·
//! `scan` looks without carrying.

mod builders;
pub mod commit;
pub mod engine;
pub mod fetch;
pub mod lane;
pub mod memory;
pub mod outbox;
mod pass;
pub mod plan;
pub mod produce;
pub mod scan;
pub mod seam;
pub mod spread;
pub mod stats;
pub mod transaction;
mod verdict;
mod visible;
