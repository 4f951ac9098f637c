//! Carries Kafka record batches from one topic to another, exactly once.
//!
//! # Layout
//!
//! ```text
//! fetch ─▶ batch ─▶ route ─▶ produce ─▶ transaction        (one lane per source partition)
//! ```

pub mod batch;
pub mod clock;
pub mod cluster;
pub mod error;
pub mod forward;
pub mod record;
pub mod route;
pub mod wire;
pub mod work;
