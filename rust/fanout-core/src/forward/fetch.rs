//! Fetching one source partition from Kafka.

mod parking;

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::time::Duration;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest};
use uuid::Uuid;

use parking::Arrived;

use super::seam::{Aborted, Fetch, Fetched, Interrupt, ParkedPayloads, Step};
use crate::cluster::ends::{offsets, Place};
use crate::cluster::retry::judge;
use crate::cluster::{Client, Failure, Use};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::record::TopicPartition;
use crate::wire::WireError;

/// With topic ids, so that a topic made again under the same name is noticed.
const FETCH: RangeInclusive<i16> = 13..=16;

const READ_COMMITTED: i8 = 1;

/// The Kafka side of [`Fetch`].
pub struct KafkaFetch {
    client: Client,
    from: Source,
    asked: Option<Question>,
    sent: Option<Sent>,
}

/// Which partition is read, and how much at once.
struct Source {
    at: TopicPartition,
    topic_id: Uuid,
    fetch_bytes: usize,
    /// Whether long payloads may be left in the kernel.
    parks: bool,
    /// So much is asked for then.
    pipe_bytes: Cell<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Question {
    offset: i64,
    wait: Duration,
}

/// A request on its way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    node: i32,
    version: i16,
    /// Whether so little was asked for that a pipe holds its payloads.
    parks: bool,
}

impl KafkaFetch {
    /// Reads `at` in fetches of about `fetch_bytes`.
    ///
    /// # Errors
    ///
    /// If the topic does not exist.
    pub fn new(mut client: Client, at: TopicPartition, fetch_bytes: usize) -> Result<Self> {
        let topic_id = client.retry(|client| Ok(client.layout(&at.topic)?.id))?;
        Ok(Self {
            client,
            from: Source {
                at,
                topic_id,
                fetch_bytes,
                parks: false,
                pipe_bytes: Cell::new(parking::FETCH_BYTES),
            },
            asked: None,
            sent: None,
        })
    }

    /// Asks and waits for the answer, for as long as the broker wants to hear nothing too.
    ///
    /// # Errors
    ///
    /// As [`Fetch::take`].
    pub(super) fn read(&mut self, offset: i64, wait: Duration) -> Result<Fetched> {
        loop {
            match self.ask(offset, wait).and_then(|()| self.take()) {
                Ok(Some(fetched)) => return Ok(fetched),
                Ok(None) => {}
                Err(Interrupt::Stop(error)) => return Err(error),
                Err(Interrupt::Renew(reason)) => return Err(Error::Unreachable { reason }),
            }
        }
    }
}

impl Fetch for KafkaFetch {
    fn allow_parking(&mut self, allowed: bool) {
        self.from.parks = allowed;
    }

    fn ask(&mut self, offset: i64, wait: Duration) -> Step<()> {
        if let Some(unread) = self.sent.take() {
            // An answer nobody took: the connection is out of step with us.
            self.client.disconnect(unread.node, Use::Fetch);
        }
        let question = Question { offset, wait };
        self.asked = Some(question);
        // A request that cannot be sent now is sent again by `take`, which may wait.
        let sent = self.from.send(&mut self.client, question, Duration::ZERO);
        self.sent = sent.ok().flatten();
        failpoint::reach("fetch-asked");
        Ok(())
    }

    fn take(&mut self) -> Step<Option<Fetched>> {
        let Some(question) = self.asked.take() else {
            return Ok(Some(Fetched::default()));
        };
        let from = &self.from;
        let mut sent = self.sent.take();
        failpoint::reach("fetch-to-take");
        let fetched = self.client.retry(|client| {
            let sent = match sent.take() {
                Some(sent) => Some(sent),
                None => from.send(client, question, question.wait)?,
            };
            sent.map(|sent| from.receive(client, question, sent))
                .transpose()
        })?;
        failpoint::reach("fetch-taken");
        Ok(fetched)
    }
}

impl Source {
    /// `None` where the broker wants to hear nothing now; at most `patience` of that time was waited.
    fn send(
        &self,
        client: &mut Client,
        question: Question,
        patience: Duration,
    ) -> std::result::Result<Option<Sent>, Failure> {
        let layout = client.layout(&self.at.topic)?;
        if layout.id != self.topic_id {
            return Err(Failure::Stop(self.replaced(question.offset)));
        }
        let leader = layout.leader(self.at.partition)?;
        let connection = client.connection(leader.node, Use::Fetch)?;
        if connection.rests(patience) {
            return Ok(None);
        }
        let parks = self.parks && connection.can_pour();
        let most = if parks {
            self.pipe_bytes.get()
        } else {
            usize::MAX
        };
        let fetch_bytes = i32::try_from(self.fetch_bytes.min(most)).unwrap_or(i32::MAX);
        let partition = FetchPartition::default()
            .with_partition(self.at.partition)
            .with_current_leader_epoch(leader.epoch)
            .with_fetch_offset(question.offset)
            .with_partition_max_bytes(fetch_bytes);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(i32::try_from(question.wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(fetch_bytes)
            .with_isolation_level(READ_COMMITTED)
            .with_session_epoch(-1)
            .with_topics(vec![FetchTopic::default()
                .with_topic_id(self.topic_id)
                .with_partitions(vec![partition])]);
        let node = leader.node;
        let version = connection.version_of::<FetchRequest>(&FETCH)?;
        if let Err(error) = connection.send(&request, version) {
            client.disconnect(node, Use::Fetch);
            return Err(error.into());
        }
        Ok(Some(Sent {
            node,
            version,
            parks,
        }))
    }

    fn receive(
        &self,
        client: &mut Client,
        question: Question,
        sent: Sent,
    ) -> std::result::Result<Fetched, Failure> {
        let pipes = &client.settings().connection.pipes;
        // Without one, payloads are read.
        let pipe = sent.parks.then(|| pipes.lend()).flatten();
        let connection = client.connection(sent.node, Use::Fetch)?;
        let answer = if let Some(pipe) = &pipe {
            parking::receive(connection, sent.version, pipe)
        } else {
            let answer = connection.receive::<FetchRequest>(sent.version);
            answer.map(Arrived::whole)
        };
        let arrived = answer.map_err(|error| {
            client.distrust(sent.node, Use::Fetch);
            match error {
                // A negative length is no batch's: the stream is out of step.
                WireError::TooLong { announced, .. } if announced > 0 => {
                    self.too_long(question.offset, &error)
                }
                _ => error.into(),
            }
        })?;
        if let Some(filled) = arrived.filled {
            self.pipe_bytes.set(filled.max(parking::LEAST_FETCH_BYTES));
        }
        let Arrived {
            response, parked, ..
        } = arrived;
        let subject = self.at.to_string();
        judge("Fetch", &subject, response.error_code)?;
        let mut partitions = response.responses.into_iter().flat_map(|t| t.partitions);
        let Some(partition) = partitions.find(|p| p.partition_index == self.at.partition) else {
            return Err(Failure::Stale(format!("Fetch says nothing of {subject}")));
        };
        if partition.error_code.err() == Some(ResponseError::OffsetOutOfRange) {
            return Err(self.out_of_range(client, question.offset));
        }
        judge("Fetch", &subject, partition.error_code)?;
        Ok(fetched(partition, parked))
    }

    /// Names exactly what is gone: a lane never jumps by itself.
    fn out_of_range(&self, client: &mut Client, offset: i64) -> Failure {
        let bounds = offsets(client, &self.at.topic, Place::Earliest)
            .and_then(|start| Ok((start, offsets(client, &self.at.topic, Place::Latest)?)));
        let (start, end) = match bounds {
            Ok((start, end)) => {
                let of = |found: &std::collections::BTreeMap<i32, i64>| {
                    found.get(&self.at.partition).copied().unwrap_or(-1)
                };
                (of(&start), of(&end))
            }
            Err(error) => return Failure::Stop(error),
        };
        let problem = if offset < start {
            format!("offsets {offset} to {} are gone, the log starts at {start}: retention or DeleteRecords overtook the lane", start - 1)
        } else {
            format!("the log ends at {end}: it was truncated or the offset was set beyond it")
        };
        let remedy = format!(
            "nothing is skipped by itself: to go on from {start}, forward the partition under another group: -t {}:{} --from @{start}",
            self.at.topic, self.at.partition
        );
        Failure::Stop(Error::Halted {
            at: self.at.clone(),
            offset,
            problem,
            remedy,
        })
    }

    /// A broker sends the first batch whole, however long it is.
    fn too_long(&self, offset: i64, error: &WireError) -> Failure {
        Failure::Stop(Error::Halted {
            at: self.at.clone(),
            offset,
            problem: error.to_string(),
            remedy:
                "raise lane_memory_bytes above the source's max.message.bytes, then start again"
                    .to_owned(),
        })
    }

    fn replaced(&self, offset: i64) -> Error {
        Error::Halted {
            at: self.at.clone(),
            offset,
            problem: "the topic was deleted and another one made under its name".to_owned(),
            remedy: "committed offsets belong to the old topic: start again with another group"
                .to_owned(),
        }
    }
}

fn fetched(partition: PartitionData, parked: ParkedPayloads) -> Fetched {
    let aborted = partition.aborted_transactions.unwrap_or_default();
    let mut aborted: Vec<Aborted> = aborted
        .iter()
        .map(|transaction| Aborted {
            first_offset: transaction.first_offset,
            producer_id: transaction.producer_id.0,
        })
        .collect();
    aborted.sort_unstable();
    Fetched {
        records: partition.records.unwrap_or_default(),
        parked,
        aborted,
        last_stable: partition.last_stable_offset,
    }
}
