//! One connection to one broker: frames out, frames in, in order.
//!
//! ```text
//! request ─▶ versions (which version both speak) ─▶ frame (header + body) ─▶ transport (TCP; later TLS, SASL)
//! ```
//!
//! A connection is a blocking socket with a queue of answers still owed. After
//! any [`WireError`] it is out of step and must be dropped: nothing here retries.

mod address;
mod cancel;
mod connection;
mod frame;
mod shape;
mod shapes;
mod transport;
mod versions;

pub use address::Address;
pub use cancel::Cancel;
pub use connection::{Connection, ConnectionSettings};
pub use frame::FramePool;
pub use shape::{Answered, Part};
pub use transport::{Dial, PlainDial, Transport};
pub use versions::Versions;

use std::io;

/// Why a connection cannot go on. Drop it and, where the request allows it, dial again.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed, was closed, or did not answer in time.
    #[error("{address}: {source}")]
    Io {
        /// The broker's address.
        address: Address,
        /// The operating system's own words.
        source: io::Error,
    },

    /// What came back is not an answer to what was asked.
    #[error("{address}: {problem}")]
    Protocol {
        /// The broker's address.
        address: Address,
        /// What is wrong with the answer.
        problem: String,
    },

    /// The broker announces an answer above the bound. Nothing of it was read.
    #[error("{address} announces an answer of {announced} bytes, {allowed} are allowed: not a plain Kafka listener, or a batch above the memory bound")]
    TooLong {
        /// The broker's address.
        address: Address,
        /// The length in front of the answer.
        announced: i32,
        /// The bound.
        allowed: usize,
    },

    /// The broker does not offer a version of the request that fanout speaks.
    #[error("{address} offers {request} {offered}, fanout needs {wanted}")]
    Version {
        /// The broker's address.
        address: Address,
        /// The request, by its API key's name.
        request: String,
        /// What the broker offers: `versions 0 to 3`, or `not at all`.
        offered: String,
        /// What fanout speaks.
        wanted: String,
    },
}
