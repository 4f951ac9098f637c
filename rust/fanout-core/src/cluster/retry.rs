//! Which answers mean later, which mean elsewhere, which mean stop.
//!
//! The classes are those of Kafka's protocol guide; what a transaction makes of
//! its own errors is decided in `forward`, where the lane's state is known.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};

use super::acl;
use crate::error::Error;
use crate::wire::WireError;

/// Why a try did not succeed, and what to do before the next one.
#[derive(Debug)]
pub enum Failure {
    /// The same question to the same broker, a little later.
    Wait(String),
    /// The leader, coordinator or connection is out of date: look it up again.
    Stale(String),
    /// A topic is unknown: it may be so new that not every broker knows it.
    Missing(Error),
    /// Asking again does not help.
    Stop(Error),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io { .. } | WireError::Protocol { .. } | WireError::TooLong { .. } => {
                Self::Stale(error.to_string())
            }
            WireError::Refused { address, refusal } => Self::Stop(Error::Security {
                problem: format!("{address}: {}", refusal.problem),
                remedy: refusal.remedy,
            }),
            WireError::Version { .. } => Self::Stop(Error::Refused {
                problem: error.to_string(),
                remedy: "fanout needs Apache Kafka 3.7 or newer".to_owned(),
            }),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}

/// Kafka's name of an error code, with its number: `NotLeaderOrFollower (6)`.
#[must_use]
pub fn code_name(code: i16) -> String {
    match code.err() {
        None => "none".to_owned(),
        Some(ResponseError::Unknown(code)) => format!("error {code}"),
        Some(known) => format!("{known:?} ({code})"),
    }
}

/// Reads the error code of an answer to `request` about `subject`.
///
/// # Errors
///
/// What the code asks for, as a [`Failure`].
pub fn judge(request: &'static str, subject: &str, code: i16) -> Result<(), Failure> {
    use ResponseError as E;
    let Some(error) = code.err() else {
        return Ok(());
    };
    let words = || format!("{request} for {subject}: {}", code_name(code));
    Err(match error {
        E::NotLeaderOrFollower
        | E::LeaderNotAvailable
        | E::ReplicaNotAvailable
        | E::FencedLeaderEpoch
        | E::UnknownLeaderEpoch
        | E::CoordinatorNotAvailable
        | E::NotCoordinator
        | E::KafkaStorageError
        | E::OffsetNotAvailable
        | E::NetworkException
        | E::InconsistentTopicId
        | E::ListenerNotFound
        | E::NotController => Failure::Stale(words()),
        E::CoordinatorLoadInProgress
        | E::ConcurrentTransactions
        | E::UnstableOffsetCommit
        | E::RequestTimedOut
        | E::NotEnoughReplicas
        | E::NotEnoughReplicasAfterAppend
        | E::ThrottlingQuotaExceeded
        | E::RebalanceInProgress => Failure::Wait(words()),
        E::UnknownTopicOrPartition | E::UnknownTopicId => Failure::Missing(Error::Refused {
            problem: format!("{subject} does not exist"),
            remedy: "check the name; fanout creates no topic but its own".to_owned(),
        }),
        _ => Failure::Stop(Error::Broker {
            request,
            subject: subject.to_owned(),
            code: code_name(code),
            remedy: remedy(request, subject, error),
        }),
    })
}

/// What a user can do about an error that waiting does not cure.
fn remedy(request: &str, subject: &str, error: ResponseError) -> String {
    use ResponseError as E;
    if let Some(line) = acl::missing(request, subject, error) {
        return format!("grant it: {line}");
    }
    match error {
        E::InvalidTransactionTimeout => {
            "the broker's transaction.max.timeout.ms is shorter: lower the transaction timeout"
                .to_owned()
        }
        E::UnsupportedVersion => "the broker is older than this request".to_owned(),
        E::UnknownMemberId | E::IllegalGeneration => {
            "the group has members: stop them, its offsets are theirs".to_owned()
        }
        _ => "the broker's log says more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_to_one_class_and_no_code_to_success_but_zero() {
        assert!(judge("Fetch", "t", 0).is_ok());
        for code in (-1..140).filter(|&code| code != 0) {
            assert!(judge("Fetch", "t", code).is_err(), "{code}");
        }
        assert!(matches!(judge("Fetch", "t", 6), Err(Failure::Stale(_))));
        assert!(matches!(judge("Fetch", "t", 51), Err(Failure::Wait(_))));
        assert!(matches!(judge("Fetch", "t", 3), Err(Failure::Missing(_))));
        assert!(matches!(judge("Fetch", "t", 29), Err(Failure::Stop(_))));
    }

    #[test]
    fn a_refusal_for_want_of_rights_names_the_acl_to_add() {
        let Err(Failure::Stop(error)) = judge("Produce", "topic orders", 29) else {
            panic!("authorization failures stop");
        };
        assert!(error.to_string().contains("kafka-acls"), "{error}");
    }
}
