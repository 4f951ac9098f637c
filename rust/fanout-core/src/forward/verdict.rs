//! What an answer means to the transaction it was for.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};

use super::seam::{Answer, Interrupt, Step};
use crate::cluster::retry::{code_name, judge};
use crate::cluster::Failure;
use crate::error::Error;
use crate::record::TopicPartition;

/// What an answer says about the transaction it was for.
pub(super) enum Told<T> {
    Done(T),
    Unclear(String),
}

/// Sorts a transactional answer: done, ask again, stop, or no longer clear who owns what.
pub(super) fn tell<T>(
    request: &'static str,
    subject: &str,
    code: i16,
    value: T,
) -> Result<Told<T>, Failure> {
    match code.err() {
        None => Ok(Told::Done(value)),
        Some(error) if clouds_the_transaction(error) => Ok(Told::Unclear(format!(
            "{request} for {subject}: {}",
            code_name(code)
        ))),
        Some(_) => judge(request, subject, code).map(|()| Told::Done(value)),
    }
}

pub(super) fn settle<T>(told: Told<T>) -> Step<T> {
    match told {
        Told::Done(value) => Ok(value),
        Told::Unclear(reason) => Err(Interrupt::Renew(reason)),
    }
}

/// Errors after which only `InitProducerId` tells whether the lane is still ours.
fn clouds_the_transaction(error: ResponseError) -> bool {
    use ResponseError as E;
    matches!(
        error,
        E::InvalidProducerEpoch
            | E::ProducerFenced
            | E::InvalidTxnState
            | E::InvalidProducerIdMapping
            | E::UnknownProducerId
            | E::OutOfOrderSequenceNumber
            | E::TransactionAbortable
            | E::TransactionCoordinatorFenced
    )
}

/// What becomes of a batch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is in the log, at this offset where the broker tells it.
    Acknowledged(Option<i64>),
    /// Send it again, the same bytes.
    Again(String),
    /// The broker finds its checksum wrong.
    Corrupt(String),
    /// An earlier batch of its target is missing.
    OutOfOrder,
    /// The lane must act.
    Interrupt(Interrupt),
}

/// Judges the answer for a batch of so many bytes whose first record came from `offset` of `source`.
pub(super) fn judge_answer(
    answer: Option<&Answer>,
    source: &TopicPartition,
    (offset, bytes): (i64, usize),
) -> Verdict {
    use ResponseError as E;
    let Some(answer) = answer else {
        return Verdict::Again("the answer leaves a partition out".to_owned());
    };
    let words = || {
        let told = if answer.message.is_empty() { "" } else { ": " };
        let code = code_name(answer.code);
        format!(
            "Produce to target partition {}: {code}{told}{}",
            answer.target, answer.message
        )
    };
    match answer.code.err() {
        None => Verdict::Acknowledged(Some(answer.base_offset).filter(|&base| base >= 0)),
        // The broker has it already: the first answer was lost on the way.
        Some(E::DuplicateSequenceNumber) => Verdict::Acknowledged(None),
        Some(E::OutOfOrderSequenceNumber) => Verdict::OutOfOrder,
        Some(E::CorruptMessage) => Verdict::Corrupt(words()),
        Some(error) if clouds_the_transaction(error) => {
            Verdict::Interrupt(Interrupt::Renew(words()))
        }
        Some(error) => match remedy(error) {
            Some(remedy) => Verdict::Interrupt(Interrupt::Stop(Error::Halted {
                at: source.clone(),
                offset,
                problem: format!(
                    "the batch of {bytes} bytes that begins with this record was refused: {}",
                    words()
                ),
                remedy: remedy.to_owned(),
            })),
            None => match judge("Produce", "the target topic", answer.code) {
                Err(Failure::Stop(error)) => Verdict::Interrupt(Interrupt::Stop(error)),
                Ok(()) | Err(_) => Verdict::Again(words()),
            },
        },
    }
}

/// What a user does about a batch that no retry gets in.
fn remedy(error: ResponseError) -> Option<&'static str> {
    use ResponseError as E;
    match error {
        E::MessageTooLarge | E::RecordListTooLarge => {
            Some("raise max.message.bytes of the target topic to that size at least, then start again: nothing was skipped")
        }
        E::InvalidTimestamp => Some(
            "raise message.timestamp.before.max.ms and message.timestamp.after.max.ms of the target topic, then start again",
        ),
        E::InvalidRecord => {
            Some("the target topic does not take such records (a null key on a compacted topic?): change its cleanup.policy, then start again")
        }
        E::UnsupportedForMessageFormat | E::UnsupportedCompressionType => {
            Some("choose another --compression, then start again")
        }
        _ => None,
    }
}
