//! Topics as the cluster lays them out: id, partitions, leaders.

use std::collections::BTreeMap;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::retry::{judge, Failure};

/// Who leads a partition, and since which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The broker's id.
    pub node: i32,
    /// The leader's epoch.
    pub epoch: i32,
}

/// One topic: its id and the leader of every partition that has one.
#[derive(Debug, Clone)]
pub struct TopicLayout {
    /// The id that a topic made again under the same name does not share.
    pub id: Uuid,
    /// Number of partitions.
    pub partitions: i32,
    leaders: BTreeMap<i32, Leader>,
}

impl TopicLayout {
    /// The leader of `partition`; [`Failure::Stale`] while it has none.
    ///
    /// # Errors
    ///
    /// [`Failure::Stale`] if the partition has no leader now.
    pub fn leader(&self, partition: i32) -> Result<Leader, Failure> {
        self.leaders
            .get(&partition)
            .copied()
            .ok_or_else(|| Failure::Stale(format!("partition {partition} has no leader")))
    }

    /// Every partition that has a leader.
    #[must_use]
    pub fn leaders(&self) -> &BTreeMap<i32, Leader> {
        &self.leaders
    }
}

/// The question for one topic, which it must not create.
pub(super) fn request(topic: &str) -> MetadataRequest {
    let wanted = MetadataRequestTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.to_owned()))));
    MetadataRequest::default()
        .with_topics(Some(vec![wanted]))
        .with_allow_auto_topic_creation(false)
}

/// Reads the one topic that was asked for.
pub(super) fn read(topic: &str, response: &MetadataResponse) -> Result<TopicLayout, Failure> {
    let Some(answer) = response
        .topics
        .iter()
        .find(|t| t.name.as_ref().is_some_and(|name| name.as_str() == topic))
    else {
        return Err(Failure::Stale(format!(
            "Metadata says nothing of topic {topic}"
        )));
    };
    judge("Metadata", &format!("topic {topic}"), answer.error_code)?;
    let leaders = answer
        .partitions
        .iter()
        .filter(|partition| partition.leader_id.0 >= 0)
        .map(|partition| {
            let leader = Leader {
                node: partition.leader_id.0,
                epoch: partition.leader_epoch,
            };
            (partition.partition_index, leader)
        })
        .collect();
    Ok(TopicLayout {
        id: answer.topic_id,
        partitions: i32::try_from(answer.partitions.len()).unwrap_or(i32::MAX),
        leaders,
    })
}
