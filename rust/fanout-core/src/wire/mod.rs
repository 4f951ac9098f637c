//! One connection to one broker: frames out, frames in, in order.
//!
//! ```text
//! request ─▶ versions (which version both speak) ─▶ frame (header + body) ─▶ transport (TCP, or tls over it)
//! ```
//!
//! Before its first request a connection is made one that can be trusted: `tls`
//! (with `trust`, which judges certificates, and `pem`, which reads ours) and `sasl`
//! (with `scram` and `token`). `probe` finds out what listens where that failed.
//!
//! A connection is a blocking socket with a queue of answers still owed. After
//! any [`WireError`] it is out of step and must be dropped: nothing here retries.

mod address;
mod cancel;
mod connection;
mod frame;
mod patience;
pub mod pem;
mod piece;
mod pipe;
mod probe;
mod sasl;
mod scram;
mod secret;
mod shape;
mod shapes;
mod throttle;
mod tls;
mod token;
mod transport;
mod trust;
mod versions;

pub use address::Address;
pub use cancel::Cancel;
pub use connection::{Connection, ConnectionSettings, OpenAnswer};
pub use frame::FramePool;
pub use piece::Piece;
pub use pipe::{Parked, Pipes, SharedPipe, Socket, PIPE_BYTES};
pub use sasl::{wants_login, Login};
pub use scram::Hash;
pub use secret::Secret;
pub use shape::{decode, Answered, Part};
pub use throttle::Throttled;
pub use tls::{TlsDial, TlsSettings};
pub use token::{NoToken, Token, TokenSource, Tokens};
pub use transport::{Dial, PlainDial, Transport};
pub use trust::Scrutiny;
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

    /// Broker and client do not trust each other, or do not speak one language. Dialling again does not help.
    #[error("{address}: {refusal}")]
    Refused {
        /// The broker's address.
        address: Address,
        /// What is wrong, and what to do.
        refusal: Refusal,
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

impl WireError {
    /// A failed stream, or what it failed of where trying again does not help.
    fn of(address: &Address, source: io::Error) -> Self {
        let address = address.clone();
        match Refusal::of(&source) {
            Some(refusal) => Self::Refused { address, refusal },
            None => Self::Io { address, source },
        }
    }
}

/// What stands between two sides that would have to trust each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {remedy}")]
pub struct Refusal {
    /// What is wrong, in one clause.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Refusal {
    pub(crate) fn new(problem: impl Into<String>, remedy: &str) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.to_owned(),
        }
    }

    /// Through the seam of streams, which knows errors of input and output only.
    fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, self)
    }

    /// The refusal that came through the seam, if it is one.
    fn of(error: &io::Error) -> Option<Self> {
        let own = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Self>());
        own.cloned().or_else(|| tls::late_refusal(error))
    }
}
