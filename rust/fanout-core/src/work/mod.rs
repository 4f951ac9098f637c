//! What a worker keeps while handlers run: how far it may commit, and what may run now.
//!
//! ```text
//! records read ─▶ intake ─▶ witness ─▶ ledger ─▶ queues ─▶ runnable ─▶ (a handler) ─▶ settle ─▶ commit point
//!                   │      own source?  waits    one of a                                │
//!                   └─ budget           for it   key at a time ◀─────────────────────────┘
//! ```
//!
//! Nothing here knows Python, Kafka's client or time: records come in with a
//! payload of the caller's own, and settled ones go out as commit points.

mod budget;
mod intake;
mod ledger;
mod queues;
mod values;
mod witness;

pub use budget::{Budget, Limits};
pub use intake::Intake;
pub use ledger::{CommitPoint, Fate, Ledger, Seq};
pub use queues::Queues;
pub use values::{Arrival, Due, Order, RecordId, Run, Setup, Start};
pub use witness::Witness;
