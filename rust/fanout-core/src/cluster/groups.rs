//! Committed offsets of groups: read stable or as they stand, written checked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{
    GroupId, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::client::Coordinates;
use super::retry::judge;
use super::{Client, Failure};
use crate::error::{Error, Result};

const OFFSET_FETCH: RangeInclusive<i16> = 8..=8;
const OFFSET_COMMIT: RangeInclusive<i16> = 8..=8;
const LEAVE_GROUP: RangeInclusive<i16> = 4..=5;

/// A group's committed place in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// What the committer left with it.
    pub metadata: String,
}

/// What to do about an offset that is part of a transaction which has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Wait for the end (`require_stable`): the answer is then the truth, whatever became of the transaction.
    Wait,
    /// Answer with what was committed before it. For looking around while nobody is there to end it: a dead owner's
    /// transaction ends when its successor takes over, not by waiting.
    LeaveOut,
}

/// Reads what `group` has committed for `partitions` of `topic`; a partition without a commit is absent.
///
/// # Errors
///
/// [`Error::Unreachable`] if an offset that is waited for stayed unstable for the whole deadline.
pub fn committed(
    client: &mut Client,
    group: &str,
    topic: &str,
    partitions: &[i32],
    pending: Pending,
) -> Result<BTreeMap<i32, Committed>> {
    let wanted = OffsetFetchRequestTopics::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(partitions.to_vec());
    let request = OffsetFetchRequest::default()
        .with_require_stable(pending == Pending::Wait)
        .with_groups(vec![OffsetFetchRequestGroup::default()
            .with_group_id(group_id(group))
            .with_topics(Some(vec![wanted]))]);
    client.retry(|client| {
        let response =
            client.ask_coordinator(Coordinates::Group, group, (&request, &OFFSET_FETCH))?;
        match response.groups.into_iter().find(|g| g.group_id.0 == *group) {
            Some(answer) => read_committed(group, topic, &answer),
            None => Err(Failure::Stale(format!(
                "OffsetFetch says nothing of group {group}"
            ))),
        }
    })
}

fn read_committed(
    group: &str,
    topic: &str,
    answer: &OffsetFetchResponseGroup,
) -> std::result::Result<BTreeMap<i32, Committed>, Failure> {
    judge("OffsetFetch", &format!("group {group}"), answer.error_code)?;
    let mut found = BTreeMap::new();
    let topics = answer.topics.iter().filter(|t| t.name.0 == *topic);
    for partition in topics.flat_map(|t| &t.partitions) {
        let subject = format!("group {group}, {topic}/{}", partition.partition_index);
        // The number beside an unstable offset reads as "none": look at the error first.
        judge("OffsetFetch", &subject, partition.error_code)?;
        if partition.committed_offset >= 0 {
            let metadata = partition.metadata.as_deref().unwrap_or("");
            let committed = Committed {
                offset: partition.committed_offset,
                // confluent-kafka commits metadata with the NUL that ends it in C.
                metadata: metadata.trim_end_matches('\0').to_owned(),
            };
            found.insert(partition.partition_index, committed);
        }
    }
    Ok(found)
}

/// Writes `offsets` for a group without members, and checks the answer of every partition.
///
/// The broker accepts this even while a group has members: the caller looks first.
///
/// # Errors
///
/// [`Error::Broker`] naming the first partition that was refused.
pub fn commit(
    client: &mut Client,
    group: &str,
    topic: &str,
    offsets: &BTreeMap<i32, Committed>,
) -> Result<()> {
    let partitions = offsets
        .iter()
        .map(|(&partition, committed)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition)
                .with_committed_offset(committed.offset)
                .with_committed_metadata(Some(StrBytes::from_string(committed.metadata.clone())))
        })
        .collect();
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![OffsetCommitRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(partitions)]);
    let answered = client.retry(|client| {
        let response =
            client.ask_coordinator(Coordinates::Group, group, (&request, &OFFSET_COMMIT))?;
        let mut answered = 0;
        for partition in response.topics.iter().flat_map(|t| &t.partitions) {
            let subject = format!("group {group}, {topic}/{}", partition.partition_index);
            judge("OffsetCommit", &subject, partition.error_code)?;
            answered += 1;
        }
        Ok(answered)
    })?;
    if answered == offsets.len() {
        return Ok(());
    }
    Err(Error::Broker {
        request: "OffsetCommit",
        subject: format!("group {group}"),
        code: "partitions are missing from the answer".to_owned(),
        remedy: "read the group's offsets before going on".to_owned(),
    })
}

/// Takes members that are known to be dead out of `group`, so that it need not wait for their session to end.
///
/// A member the group does not know has left already: that is no error.
///
/// # Errors
///
/// [`Error::Broker`] naming the first member that was refused.
pub fn leave(client: &mut Client, group: &str, members: &[String]) -> Result<()> {
    let identity = |member: &String| {
        MemberIdentity::default().with_member_id(StrBytes::from_string(member.clone()))
    };
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id(group))
        .with_members(members.iter().map(identity).collect());
    client.retry(|client| {
        let response =
            client.ask_coordinator(Coordinates::Group, group, (&request, &LEAVE_GROUP))?;
        judge("LeaveGroup", &format!("group {group}"), response.error_code)?;
        for member in &response.members {
            if member.error_code.err() != Some(ResponseError::UnknownMemberId) {
                let subject = format!("group {group}, member {}", member.member_id);
                judge("LeaveGroup", &subject, member.error_code)?;
            }
        }
        Ok(())
    })
}

pub(crate) fn topic_name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}
