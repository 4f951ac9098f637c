//! The lane's transactional id and committed offset, at Kafka's coordinators.

use std::ops::RangeInclusive;
use std::time::Duration;

use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, EndTxnRequest, GroupId, ProducerId, TopicName, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::protocol::{Protocol, Transactions};
use super::seam::{Commit, Interrupt, Step};
use super::verdict::{settle, tell, Told};
use crate::cluster::client::Coordinates;
use crate::cluster::groups::{committed, Committed, Pending};
use crate::cluster::producers::{initialise, is_aborted_for, name, Producer, NOBODY};
use crate::cluster::{Client, Failure};
use crate::error::Error;
use crate::failpoint;
use crate::record::TopicPartition;

const ADD_OFFSETS: RangeInclusive<i16> = 3..=4;

/// A commit that took no longer was repeated by nobody on the way: proxies and balancers that send
/// a request again wait longer for its answer first. A hundred times what a quiet broker takes, so
/// that a busy one is not asked for new epochs too.
const PROMPT: Duration = Duration::from_secs(1);

/// The Kafka side of [`Commit`].
pub struct KafkaCommit {
    client: Client,
    group: String,
    at: TopicPartition,
    transactions: Transactions,
}

impl KafkaCommit {
    /// Commits the offsets of `at` for `group` within `transactions`.
    #[must_use]
    pub fn new(
        client: Client,
        group: &str,
        at: TopicPartition,
        transactions: Transactions,
    ) -> Self {
        Self {
            client,
            group: group.to_owned(),
            at,
            transactions,
        }
    }

    /// Makes the group part of the transaction, where brokers do not do so by themselves.
    fn enlist_group(&mut self, producer: Producer) -> Step<()> {
        let id = &self.transactions.id;
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(name(id))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_group_id(GroupId(StrBytes::from_string(self.group.clone())));
        let subject = format!("group {}, transactional id {id}", self.group);
        let began = self.client.settings().clock.now();
        // A late copy adds the group to a later transaction, which adds it anyway.
        let told = self.client.retry(|client| {
            let asked = (&request, &ADD_OFFSETS);
            let response = client.ask_coordinator(Coordinates::Transaction, id, asked)?;
            tell("AddOffsetsToTxn", &subject, response.error_code, ())
        })?;
        settle(told)?;
        self.transactions.opened.at(began);
        Ok(())
    }

    fn add_offset(&mut self, producer: Producer, place: &Committed) -> Step<()> {
        let protocol = self.transactions.protocol;
        let request = self.offset_request(producer, place);
        let subject = format!("group {}, {}", self.group, self.at);
        let told = self.client.retry(|client| {
            let node = client.coordinator(Coordinates::Group, &self.group)?;
            failpoint::reach("commit-to-add-offset");
            let response = match client.ask(node, &request, &protocol.txn_offset_commit()) {
                // A late copy would set a later transaction's offset back.
                Err(Failure::Stale(reason)) if protocol == Protocol::EpochKept => {
                    return Ok(Told::Unclear(reason))
                }
                answered => answered?,
            };
            failpoint::reach("commit-offset-added");
            let mut codes = response.topics.iter().flat_map(|t| &t.partitions);
            let code = codes.next().map_or(-1, |partition| partition.error_code);
            tell("TxnOffsetCommit", &subject, code, ())
        })?;
        settle(told)
    }

    fn offset_request(&self, producer: Producer, place: &Committed) -> TxnOffsetCommitRequest {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(self.at.partition)
            .with_committed_offset(place.offset)
            .with_committed_metadata(Some(StrBytes::from_string(place.metadata.clone())));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(self.at.topic.to_string())))
            .with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(name(&self.transactions.id))
            .with_group_id(GroupId(StrBytes::from_string(self.group.clone())))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic])
    }

    fn end(&mut self, producer: Producer) -> Step<Producer> {
        let Transactions { id, protocol, .. } = &self.transactions;
        let request = end_request(id, producer).with_committed(true);
        self.transactions.opened.forget();
        let told = self.client.retry(|client| {
            let node = client.coordinator(Coordinates::Transaction, id)?;
            failpoint::reach("commit-to-end");
            let response = match client.ask(node, &request, &protocol.end_txn()) {
                Ok(response) => response,
                // Sent, perhaps, and perhaps done: the outcome is never guessed.
                Err(Failure::Stale(reason))
                    if !failpoint::is_planted("unclear-end-asked-again") =>
                {
                    return Ok(Told::Unclear(reason))
                }
                Err(other) => return Err(other),
            };
            failpoint::reach("commit-end-answered");
            let code = response.error_code;
            match protocol {
                Protocol::EpochEach => {
                    let next = Producer {
                        id: response.producer_id.0,
                        epoch: response.producer_epoch,
                    };
                    tell("EndTxn", id, code, next)
                }
                Protocol::EpochKept => match tell("EndTxn", id, code, producer) {
                    // Asked again, there would be two copies on their way.
                    Err(Failure::Wait(reason) | Failure::Stale(reason)) => {
                        Ok(Told::Unclear(reason))
                    }
                    Err(Failure::Missing(error)) => Ok(Told::Unclear(error.to_string())),
                    told => told,
                },
            }
        })?;
        settle(told)
    }

    /// Ends what is open, so that `InitProducerId` finds nothing: where the epoch is kept, it would fence
    /// the very owner that asks, together with the transaction.
    fn abort(&mut self, current: Producer) -> Step<()> {
        let Transactions { id, protocol, .. } = &self.transactions;
        let request = end_request(id, current).with_committed(false);
        let told = self.client.retry(|client| {
            let asked = (&request, &protocol.end_txn());
            let response = client.ask_coordinator(Coordinates::Transaction, id, asked)?;
            tell("EndTxn", id, response.error_code, ())
        })?;
        if let Told::Unclear(reason) = told {
            // Nothing was open, or it is not ours any more: `InitProducerId` knows which.
            tracing::debug!(lane = %self.at, %reason, "nothing was aborted");
        }
        Ok(())
    }

    fn initialise(&mut self, current: Producer) -> Step<Producer> {
        let Transactions { id, timeout_ms, .. } = &self.transactions;
        let owner = initialise(&mut self.client, id, *timeout_ms, current)?;
        self.transactions.opened.forget();
        Ok(owner)
    }

    /// The coordinator shuts the owner of a transaction that was open too long out by raising the
    /// epoch once, and where the epoch is kept it then answers that owner as if another had come.
    ///
    /// Another would have raised it twice, as the transaction was open: so the lane is told apart
    /// from one that was taken over. Asking with the raised epoch succeeds only while it stands.
    fn after_timeout(&mut self, current: Producer, fenced: Error) -> Step<Producer> {
        let Transactions {
            id,
            timeout_ms,
            opened,
            ..
        } = &self.transactions;
        let bound = Duration::from_millis(u64::from(timeout_ms.unsigned_abs()));
        let raised = Producer {
            epoch: current.epoch.saturating_add(1),
            ..current
        };
        let outlived = opened.is_older_than(bound, self.client.settings().clock.now());
        if !outlived || !is_aborted_for(&mut self.client, id, raised)? {
            return Err(fenced.into());
        }
        tracing::warn!(lane = %self.at, "the coordinator ended a transaction that was open too long");
        self.initialise(raised)
    }
}

impl Commit for KafkaCommit {
    fn acquire(&mut self) -> Step<Producer> {
        failpoint::reach("commit-to-acquire");
        let producer = self.initialise(NOBODY)?;
        failpoint::reach("commit-acquired");
        Ok(producer)
    }

    fn renew(&mut self, current: Producer) -> Step<Producer> {
        if self.transactions.protocol == Protocol::EpochEach {
            return self.initialise(current);
        }
        self.abort(current)?;
        match self.initialise(current) {
            Err(Interrupt::Stop(fenced @ Error::Fenced { .. })) => {
                self.after_timeout(current, fenced)
            }
            answered => answered,
        }
    }

    fn position(&mut self) -> Step<Option<Committed>> {
        let partitions = [self.at.partition];
        let (client, topic) = (&mut self.client, &self.at.topic);
        let mut found = committed(client, &self.group, topic, &partitions, Pending::Wait)?;
        failpoint::reach("commit-placed");
        Ok(found.remove(&self.at.partition))
    }

    fn commit(&mut self, producer: Producer, place: &Committed) -> Step<Producer> {
        match self.transactions.protocol {
            Protocol::EpochEach => {
                self.add_offset(producer, place)?;
                self.end(producer)
            }
            Protocol::EpochKept => {
                self.enlist_group(producer)?;
                let clock = self.client.settings().clock.clone();
                let asked = clock.now();
                self.add_offset(producer, place)?;
                let kept = self.end(producer)?;
                let took = clock.now() - asked;
                if took <= PROMPT {
                    return Ok(kept);
                }
                tracing::warn!(lane = %self.at, ?took, "a commit was slow: the lane gets a new epoch");
                self.initialise(kept)
            }
        }
    }
}

fn end_request(id: &str, producer: Producer) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(name(id))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}
