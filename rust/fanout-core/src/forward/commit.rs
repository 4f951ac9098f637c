//! The lane's transactional id and committed offset, at Kafka's coordinators.

use std::ops::RangeInclusive;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    EndTxnRequest, GroupId, ProducerId, TopicName, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::seam::{Commit, Interrupt, Step};
use crate::cluster::client::Coordinates;
use crate::cluster::groups::{committed, Committed, Pending};
use crate::cluster::producers::{initialise, name, Producer, NOBODY};
use crate::cluster::retry::{code_name, judge};
use crate::cluster::{Client, Failure};
use crate::failpoint;
use crate::record::TopicPartition;

/// Version 5 adds the group to the transaction by itself.
const TXN_OFFSET_COMMIT: RangeInclusive<i16> = 5..=5;

/// Version 5 answers with the producer of the next transaction: a late copy is fenced by its epoch.
const END_TXN: RangeInclusive<i16> = 5..=5;

/// The Kafka side of [`Commit`].
pub struct KafkaCommit {
    client: Client,
    group: String,
    at: TopicPartition,
    transactional_id: String,
    timeout_ms: i32,
}

/// What an answer says about the transaction it was for.
enum Told<T> {
    Done(T),
    Unclear(String),
}

impl KafkaCommit {
    /// Commits the offsets of `at` for `group` under `transactional_id`.
    #[must_use]
    pub fn new(
        client: Client,
        group: &str,
        at: TopicPartition,
        (transactional_id, timeout_ms): (String, i32),
    ) -> Self {
        Self {
            client,
            group: group.to_owned(),
            at,
            transactional_id,
            timeout_ms,
        }
    }

    fn add_offset(&mut self, producer: Producer, place: &Committed) -> Step<()> {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(self.at.partition)
            .with_committed_offset(place.offset)
            .with_committed_metadata(Some(StrBytes::from_string(place.metadata.clone())));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(self.at.topic.to_string())))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(name(&self.transactional_id))
            .with_group_id(GroupId(StrBytes::from_string(self.group.clone())))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let subject = format!("group {}, {}", self.group, self.at);
        let told = self.client.retry(|client| {
            let asked = (&request, &TXN_OFFSET_COMMIT);
            failpoint::reach("commit-to-add-offset");
            let response = client.ask_coordinator(Coordinates::Group, &self.group, asked)?;
            failpoint::reach("commit-offset-added");
            let mut codes = response.topics.iter().flat_map(|t| &t.partitions);
            let code = codes.next().map_or(-1, |partition| partition.error_code);
            tell("TxnOffsetCommit", &subject, code, ())
        })?;
        settle(told)
    }

    fn end(&mut self, producer: Producer) -> Step<Producer> {
        let request = EndTxnRequest::default()
            .with_transactional_id(name(&self.transactional_id))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(true);
        let id = &self.transactional_id;
        let told = self.client.retry(|client| {
            let node = client.coordinator(Coordinates::Transaction, id)?;
            failpoint::reach("commit-to-end");
            let response = match client.ask(node, &request, &END_TXN) {
                Ok(response) => response,
                // Sent, perhaps, and perhaps done: the outcome is never guessed.
                Err(Failure::Stale(reason)) => return Ok(Told::Unclear(reason)),
                Err(other) => return Err(other),
            };
            failpoint::reach("commit-end-answered");
            let next = Producer {
                id: response.producer_id.0,
                epoch: response.producer_epoch,
            };
            tell("EndTxn", id, response.error_code, next)
        })?;
        settle(told)
    }
}

impl Commit for KafkaCommit {
    fn acquire(&mut self) -> Step<Producer> {
        let id = &self.transactional_id;
        failpoint::reach("commit-to-acquire");
        let producer = initialise(&mut self.client, id, self.timeout_ms, NOBODY)?;
        failpoint::reach("commit-acquired");
        Ok(producer)
    }

    fn renew(&mut self, current: Producer) -> Step<Producer> {
        let id = &self.transactional_id;
        Ok(initialise(&mut self.client, id, self.timeout_ms, current)?)
    }

    fn position(&mut self) -> Step<Option<Committed>> {
        let partitions = [self.at.partition];
        let (client, topic) = (&mut self.client, &self.at.topic);
        let mut found = committed(client, &self.group, topic, &partitions, Pending::Wait)?;
        failpoint::reach("commit-placed");
        Ok(found.remove(&self.at.partition))
    }

    fn commit(&mut self, producer: Producer, place: &Committed) -> Step<Producer> {
        self.add_offset(producer, place)?;
        self.end(producer)
    }
}

/// Sorts a transactional answer: done, ask again, stop, or no longer clear who owns what.
fn tell<T>(request: &'static str, subject: &str, code: i16, value: T) -> Result<Told<T>, Failure> {
    match code.err() {
        None => Ok(Told::Done(value)),
        Some(error) if clouds_the_transaction(error) => Ok(Told::Unclear(format!(
            "{request} for {subject}: {}",
            code_name(code)
        ))),
        Some(_) => judge(request, subject, code).map(|()| Told::Done(value)),
    }
}

fn settle<T>(told: Told<T>) -> Step<T> {
    match told {
        Told::Done(value) => Ok(value),
        Told::Unclear(reason) => Err(Interrupt::Renew(reason)),
    }
}

/// Errors after which only `InitProducerId` tells whether the lane is still ours.
pub(super) fn clouds_the_transaction(error: ResponseError) -> bool {
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
