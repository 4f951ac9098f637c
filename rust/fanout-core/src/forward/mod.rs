//! Forwarding: one lane per source partition.

pub mod commit;
pub mod fetch;
pub mod outbox;
pub mod produce;
pub mod seam;
mod verdict;
