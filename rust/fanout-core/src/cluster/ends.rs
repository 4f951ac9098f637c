//! Where partitions begin and end, and who holds an end back.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, DescribeProducersRequest, ListOffsetsRequest, ListOffsetsResponse,
};

use super::groups::topic_name;
use super::retry::judge;
use super::{Client, Failure};
use crate::error::Result;

const LIST_OFFSETS: RangeInclusive<i16> = 7..=7;
const DESCRIBE_PRODUCERS: RangeInclusive<i16> = 0..=0;

/// A place in a partition that the cluster can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The log start.
    Earliest,
    /// The high watermark: everything below is replicated.
    Latest,
    /// The last stable offset: no transaction below it is open.
    Stable,
    /// The first record with this timestamp or a later one, in ms since 1970; the high watermark where there is none.
    AtOrAfter(i64),
}

/// The offset of `place` in every partition of `topic`.
///
/// # Errors
///
/// [`Error::Refused`](crate::error::Error::Refused) if the topic does not exist.
pub fn offsets(client: &mut Client, topic: &str, place: Place) -> Result<BTreeMap<i32, i64>> {
    let mut found = client.retry(|client| ask_leaders(client, topic, place))?;
    if found.values().any(|&offset| offset < 0) {
        let ends = client.retry(|client| ask_leaders(client, topic, Place::Latest))?;
        for (partition, offset) in &mut found {
            if *offset < 0 {
                *offset = ends.get(partition).copied().unwrap_or(0);
            }
        }
    }
    Ok(found)
}

fn ask_leaders(
    client: &mut Client,
    topic: &str,
    place: Place,
) -> std::result::Result<BTreeMap<i32, i64>, Failure> {
    let (isolation, timestamp) = match place {
        Place::Earliest => (0, -2),
        Place::Latest => (0, -1),
        Place::Stable => (1, -1),
        Place::AtOrAfter(millis) => (0, millis),
    };
    let mut by_node: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    let layout = client.layout(topic)?;
    for partition in 0..layout.partitions {
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_timestamp(timestamp);
        by_node
            .entry(layout.leader(partition)?.node)
            .or_default()
            .push(asked);
    }
    let mut found = BTreeMap::new();
    for (node, partitions) in by_node {
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(isolation)
            .with_topics(vec![ListOffsetsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions)]);
        let response: ListOffsetsResponse = client.ask(node, &request, &LIST_OFFSETS)?;
        for answer in response.topics.iter().flat_map(|t| &t.partitions) {
            let subject = format!("{topic}/{}", answer.partition_index);
            judge("ListOffsets", &subject, answer.error_code)?;
            found.insert(answer.partition_index, answer.offset);
        }
    }
    Ok(found)
}

/// A producer with an open transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i32,
    /// First offset of the open transaction: the last stable offset cannot pass it.
    pub first_offset: i64,
    /// When the producer last wrote, in ms since 1970.
    pub last_write_ms: i64,
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
    let request = DescribeProducersRequest::default().with_topics(vec![TopicRequest::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![partition])]);
    client.retry(|client| {
        let leader = client.layout(topic)?.leader(partition)?;
        let response = client.ask(leader.node, &request, &DESCRIBE_PRODUCERS)?;
        let mut open = Vec::new();
        for answer in response.topics.iter().flat_map(|t| &t.partitions) {
            judge(
                "DescribeProducers",
                &format!("{topic}/{partition}"),
                answer.error_code,
            )?;
            let holding = answer
                .active_producers
                .iter()
                .filter(|producer| producer.current_txn_start_offset >= 0);
            open.extend(holding.map(|producer| OpenTransaction {
                producer_id: producer.producer_id.0,
                epoch: producer.producer_epoch,
                first_offset: producer.current_txn_start_offset,
                last_write_ms: producer.last_timestamp,
            }));
        }
        Ok(open)
    })
}
