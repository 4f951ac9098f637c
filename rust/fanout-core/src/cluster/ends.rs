//! Where partitions begin and end.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, ListOffsetsResponse};

use super::groups::topic_name;
use super::retry::judge;
use super::{Client, Failure};
use crate::error::Result;

const LIST_OFFSETS: RangeInclusive<i16> = 7..=7;

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
