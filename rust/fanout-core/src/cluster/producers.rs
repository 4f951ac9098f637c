//! Producer ids: taking a transactional id over, and finding out whether it was taken.

use std::ops::RangeInclusive;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, InitProducerIdRequest, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::client::Coordinates;
use super::retry::judge;
use super::{Client, Failure};
use crate::error::{Error, Result};

const INIT_PRODUCER_ID: RangeInclusive<i16> = 4..=5;
const DESCRIBE_TRANSACTIONS: RangeInclusive<i16> = 0..=0;

/// A producer id with the epoch that fences all earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// The id.
    pub id: i64,
    /// The epoch.
    pub epoch: i16,
}

/// No producer yet: `InitProducerId` with it takes the transactional id over whoever holds it.
pub const NOBODY: Producer = Producer { id: -1, epoch: -1 };

/// `InitProducerId`: aborts what is open under the id and returns only when its markers are written.
///
/// With [`NOBODY`] it always takes over. With the current producer it tells
/// whether someone else took over meanwhile, and does not steal the id back.
///
/// # Errors
///
/// [`Error::Fenced`] if `current` is no longer the owner.
pub fn initialise(
    client: &mut Client,
    transactional_id: &str,
    timeout_ms: i32,
    current: Producer,
) -> Result<Producer> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(name(transactional_id)))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(ProducerId(current.id))
        .with_producer_epoch(current.epoch);
    client.retry(|client| {
        let asked = (&request, &INIT_PRODUCER_ID);
        let response = client.ask_coordinator(Coordinates::Transaction, transactional_id, asked)?;
        if let Some(ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch) =
            response.error_code.err()
        {
            return Err(Failure::Stop(fenced(transactional_id)));
        }
        let subject = format!("transactional id {transactional_id}");
        judge("InitProducerId", &subject, response.error_code)?;
        Ok(Producer {
            id: response.producer_id.0,
            epoch: response.producer_epoch,
        })
    })
}

/// Whether the last transaction of the id was aborted and `owner` is who the coordinator has on its books.
///
/// # Errors
///
/// If the coordinator refuses or cannot be reached.
pub(crate) fn is_aborted_for(
    client: &mut Client,
    transactional_id: &str,
    owner: Producer,
) -> Result<bool> {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![name(transactional_id)]);
    client.retry(|client| {
        let asked = (&request, &DESCRIBE_TRANSACTIONS);
        let response = client.ask_coordinator(Coordinates::Transaction, transactional_id, asked)?;
        let Some(found) = response.transaction_states.first() else {
            return Err(Failure::Stale(format!(
                "DescribeTransactions says nothing of {transactional_id}"
            )));
        };
        let subject = format!("transactional id {transactional_id}");
        judge("DescribeTransactions", &subject, found.error_code)?;
        let on_the_books = Producer {
            id: found.producer_id.0,
            epoch: found.producer_epoch,
        };
        let state = found.transaction_state.as_str();
        Ok(on_the_books == owner && ["PrepareAbort", "CompleteAbort"].contains(&state))
    })
}

/// `InitProducerId` without a transactional id: a producer whose repeats brokers recognise, and no more.
///
/// # Errors
///
/// If no broker answers, or they refuse.
pub fn introduce(client: &mut Client) -> Result<Producer> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id(ProducerId(NOBODY.id))
        .with_producer_epoch(NOBODY.epoch);
    client.retry(|client| {
        let response = client.ask_any(&request, &INIT_PRODUCER_ID)?;
        judge(
            "InitProducerId",
            "an idempotent producer",
            response.error_code,
        )?;
        Ok(Producer {
            id: response.producer_id.0,
            epoch: response.producer_epoch,
        })
    })
}

pub(crate) fn fenced(transactional_id: &str) -> Error {
    Error::Fenced {
        transactional_id: transactional_id.to_owned(),
    }
}

pub(crate) fn name(transactional_id: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(transactional_id.to_owned()))
}
