//! Everything that can stop a lane or a control call, and what its owner may do about it.
//!
//! Deliberately not `#[non_exhaustive]`: `fanout-py` matches every variant, so
//! adding one here fails to compile until it has a Python exception.

use crate::record::TopicPartition;

/// Shorthand for results whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// A reason to stop.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A setting is missing or out of range. Fix it and start again.
    #[error("{setting}: {problem}")]
    Config {
        /// The setting as the user writes it: `security.protocol`.
        setting: String,
        /// What is wrong with it, in one clause.
        problem: String,
    },

    /// What the cluster holds does not allow the work. Nothing was changed.
    #[error("{problem}: {remedy}")]
    Refused {
        /// What stands in the way.
        problem: String,
        /// What to do about it.
        remedy: String,
    },

    /// No broker answered within the deadline. The same call may succeed later.
    #[error("no answer from the cluster: {reason}")]
    Unreachable {
        /// The last thing that went wrong, with the address.
        reason: String,
    },

    /// A broker and this client do not trust each other. Trying again does not help.
    #[error("{problem}: {remedy}")]
    Security {
        /// What is wrong, with the broker's address.
        problem: String,
        /// What to do about it.
        remedy: String,
    },

    /// A broker answered with an error that waiting does not cure.
    #[error("{request} for {subject}: {code}: {remedy}")]
    Broker {
        /// The request, by Kafka's name: `TxnOffsetCommit`.
        request: &'static str,
        /// What was asked about: a topic, a group, a transactional id.
        subject: String,
        /// Kafka's name of the error, with its number.
        code: String,
        /// What to do about it.
        remedy: String,
    },

    /// Another owner has taken the transactional id over. Do not fight for it.
    #[error("{transactional_id} is owned by another process now: this one stops")]
    Fenced {
        /// The id that was taken over.
        transactional_id: String,
    },

    /// A lane cannot pass this place of its source partition, and does not skip it.
    #[error("{at} at offset {offset}: {problem}: {remedy}")]
    Halted {
        /// The source partition.
        at: TopicPartition,
        /// First offset that was not forwarded.
        offset: i64,
        /// What is wrong there.
        problem: String,
        /// What to do about it.
        remedy: String,
    },

    /// Workers stopped before their work was finished. Unsettled records are read again.
    #[error("{problem}: {remedy}")]
    Work {
        /// What stands in the way.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Error {
    /// Whether the same work, started again unchanged, may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Config { .. }
            | Self::Refused { .. }
            | Self::Security { .. }
            | Self::Broker { .. }
            | Self::Fenced { .. }
            | Self::Halted { .. }
            | Self::Work { .. } => false,
        }
    }
}
