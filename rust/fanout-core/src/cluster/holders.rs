//! Who holds the last stable offset of a partition back, and since when.

use std::ops::RangeInclusive;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest, ProducerId,
};

use super::client::Coordinates;
use super::groups::topic_name;
use super::producers::name;
use super::retry::judge;
use super::{Client, Failure};
use crate::error::Result;

const DESCRIBE_PRODUCERS: RangeInclusive<i16> = 0..=0;
const LIST_TRANSACTIONS: RangeInclusive<i16> = 0..=0;
const DESCRIBE_TRANSACTIONS: RangeInclusive<i16> = 0..=0;

/// A producer with an open transaction in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i32,
    /// First offset of the open transaction: the last stable offset cannot pass it.
    pub first_offset: i64,
    /// When the producer last wrote to the partition, in ms since 1970.
    pub last_write_ms: i64,
    /// What its coordinator says of it; `None` if none knows it, or we may not see it.
    pub known: Option<Known>,
}

/// A transaction as its coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The producer's transactional id.
    pub transactional_id: String,
    /// When the transaction began, in ms since 1970.
    pub began_ms: i64,
}

/// Who holds the last stable offset of a partition back.
///
/// # Errors
///
/// If the leader cannot be reached or refuses.
pub fn open_transactions(
    client: &mut Client,
    topic: &str,
    partition: i32,
) -> Result<Vec<OpenTransaction>> {
    let mut open = client.retry(|client| ask_leader(client, topic, partition))?;
    for held in &mut open {
        // Only to say more: a coordinator that does not answer must not hide what the leader told.
        match find(client, held.producer_id) {
            Ok(known) => held.known = known,
            Err(failure) => tracing::debug!(?failure, "nothing more is known of a transaction"),
        }
    }
    Ok(open)
}

fn ask_leader(
    client: &mut Client,
    topic: &str,
    partition: i32,
) -> std::result::Result<Vec<OpenTransaction>, Failure> {
    let request = DescribeProducersRequest::default().with_topics(vec![TopicRequest::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![partition])]);
    let leader = client.layout(topic)?.leader(partition)?;
    let response = client.ask(leader.node, &request, &DESCRIBE_PRODUCERS)?;
    let mut open = Vec::new();
    for answer in response.topics.iter().flat_map(|t| &t.partitions) {
        let subject = format!("{topic}/{partition}");
        judge("DescribeProducers", &subject, answer.error_code)?;
        let holding = answer
            .active_producers
            .iter()
            .filter(|producer| producer.current_txn_start_offset >= 0);
        open.extend(holding.map(|producer| OpenTransaction {
            producer_id: producer.producer_id.0,
            epoch: producer.producer_epoch,
            first_offset: producer.current_txn_start_offset,
            last_write_ms: producer.last_timestamp,
            known: None,
        }));
    }
    Ok(open)
}

/// The transaction of a producer, whose coordinator may be any broker.
fn find(client: &mut Client, producer: i64) -> std::result::Result<Option<Known>, Failure> {
    let request =
        ListTransactionsRequest::default().with_producer_id_filters(vec![ProducerId(producer)]);
    for node in client.nodes() {
        let listed = client.ask(node, &request, &LIST_TRANSACTIONS)?;
        judge("ListTransactions", "the producer", listed.error_code)?;
        if let Some(found) = listed.transaction_states.first() {
            let id = found.transactional_id.to_string();
            return describe(client, id);
        }
    }
    Ok(None)
}

fn describe(client: &mut Client, id: String) -> std::result::Result<Option<Known>, Failure> {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![name(&id)]);
    let asked = (&request, &DESCRIBE_TRANSACTIONS);
    let response = client.ask_coordinator(Coordinates::Transaction, &id, asked)?;
    let Some(state) = response.transaction_states.first() else {
        return Ok(None);
    };
    judge("DescribeTransactions", &id, state.error_code)?;
    Ok(Some(state.transaction_start_time_ms)
        .filter(|&began_ms| began_ms >= 0)
        .map(|began_ms| Known {
            transactional_id: id,
            began_ms,
        }))
}
