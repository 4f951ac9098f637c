//! Produce requests, framed by hand so that batches go out without a copy.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ProduceRequest, ProduceResponse,
    ProducerId,
};
use uuid::Uuid;

use super::protocol::{Protocol, Transactions};
use super::seam::{Answer, Interrupt, Outgoing, Produce, Step};
use super::verdict::{settle, tell};
use crate::cluster::client::Coordinates;
use crate::cluster::groups::topic_name;
use crate::cluster::producers::{name, Producer, NOBODY};
use crate::cluster::retry::judge;
use crate::cluster::{Client, Failure, Use};
use crate::error::Error;
use crate::failpoint;
use crate::wire::Piece;

/// Outside transactions every version of Kafka 3.7 and newer will do.
const PRODUCE_PLAIN: RangeInclusive<i16> = 9..=13;

/// The first version with topic ids.
const BY_ID: i16 = 13;

/// The last version that names one transaction a request.
const ADD_PARTITIONS: RangeInclusive<i16> = 3..=3;

/// Another partition of the same request was refused, and this one not looked at.
const NOT_ATTEMPTED: i16 = 55;

/// So many times shorter than asked for is the first pause before a batch is sent again.
const QUICKER: u32 = 8;

/// Stretches below this size are copied beside the framing: cheaper than another slice to the kernel.
const COPIED_BELOW: usize = 2048;

/// Every in-sync replica, always: with fewer, "exactly once" is a word.
const ACKS_ALL: i16 = -1;

/// The Kafka side of [`Produce`].
pub struct KafkaProduce {
    client: Client,
    topic: String,
    topic_id: Uuid,
    transactions: Option<Transactions>,
    producer: Producer,
    /// Targets that are part of the transaction, where they must be made so.
    enlisted: BTreeSet<i32>,
    framing: Vec<u8>,
    failing_since: Option<Instant>,
}

impl KafkaProduce {
    /// Writes to `topic` within `transactions`, or outside any.
    ///
    /// A topic made again under its name has another id than `topic_id` and is not written to.
    #[must_use]
    pub fn new(
        client: Client,
        (topic, topic_id): (&str, Uuid),
        transactions: Option<Transactions>,
    ) -> Self {
        Self {
            client,
            topic: topic.to_owned(),
            topic_id,
            transactions,
            producer: NOBODY,
            enlisted: BTreeSet::new(),
            framing: Vec::new(),
            failing_since: None,
        }
    }

    fn versions(&self) -> RangeInclusive<i16> {
        let transactions = self.transactions.as_ref();
        transactions.map_or(PRODUCE_PLAIN, |own| own.protocol.produce())
    }
}

impl Produce for KafkaProduce {
    fn begin(&mut self, producer: Producer) {
        self.producer = producer;
        self.enlisted.clear();
    }

    fn enlist(&mut self, batches: &[Outgoing<'_>]) -> Step<()> {
        let Some(transactions) = &self.transactions else {
            return Ok(());
        };
        if transactions.protocol == Protocol::EpochEach {
            return Ok(());
        }
        let targets = batches.iter().map(|batch| batch.target);
        let missing: Vec<i32> = targets.filter(|t| !self.enlisted.contains(t)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let id = &transactions.id;
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(topic_name(&self.topic))
            .with_partitions(missing.clone());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(name(id))
            .with_v3_and_below_producer_id(ProducerId(self.producer.id))
            .with_v3_and_below_producer_epoch(self.producer.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let subject = format!("topic {}, transactional id {id}", self.topic);
        let began = self.client.settings().clock.now();
        // 51 is usual here: the markers of the last transaction are being written. A late copy
        // adds targets to a later transaction, which at worst puts a marker where no record is.
        let told = self.client.retry(|client| {
            let asked = (&request, &ADD_PARTITIONS);
            let response = client.ask_coordinator(Coordinates::Transaction, id, asked)?;
            tell("AddPartitionsToTxn", &subject, refusal(&response), ())
        })?;
        settle(told)?;
        transactions.opened.at(began);
        self.enlisted.extend(missing);
        Ok(())
    }

    fn leader(&mut self, target: i32) -> Result<i32, Failure> {
        let layout = self.client.layout(&self.topic)?;
        if layout.id == self.topic_id {
            return Ok(layout.leader(target)?.node);
        }
        Err(Failure::Stop(Error::Refused {
            problem: format!(
                "the target topic {} was deleted and another one made under its name",
                self.topic
            ),
            remedy: "what was forwarded is gone with it: start again with another group".to_owned(),
        }))
    }

    fn send(&mut self, node: i32, batches: &[Outgoing<'_>]) -> Result<(), Failure> {
        let timeout = self.client.settings().connection.answer_timeout;
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let versions = self.versions();
        let connection = self.client.connection(node, Use::Produce)?;
        let version = connection.version_of::<ProduceRequest>(&versions)?;
        let topic = match version {
            BY_ID.. => Named::ById(self.topic_id),
            _ => Named::ByName(&self.topic),
        };
        let id = self.transactions.as_ref().map(|own| own.id.as_str());
        let mut framing = std::mem::take(&mut self.framing);
        let cuts = frame(&mut framing, (id, timeout_ms, topic), batches);
        failpoint::reach("produce-to-send");
        let sent = connection.send_pieces::<ProduceRequest>(version, &pieces(&framing, &cuts));
        failpoint::reach("produce-sent");
        self.framing = framing;
        sent.map_err(|error| {
            self.client.disconnect(node, Use::Produce);
            error.into()
        })
    }

    fn receive(&mut self, node: i32) -> Result<Vec<Answer>, Failure> {
        let versions = self.versions();
        let connection = self.client.connection(node, Use::Produce)?;
        let version = connection.version_of::<ProduceRequest>(&versions)?;
        failpoint::reach("produce-to-await");
        match connection.receive::<ProduceRequest>(version) {
            Ok(response) => {
                failpoint::reach("produce-answered");
                self.permitted(answers(&response))
            }
            Err(error) => {
                self.client.distrust(node, Use::Produce);
                Err(error.into())
            }
        }
    }

    fn refresh(&mut self, nodes: &[i32]) {
        self.client.forget();
        for &node in nodes {
            self.client.disconnect(node, Use::Produce);
        }
    }

    fn pause(&mut self, tries: u32, reason: &str) -> Step<()> {
        let settings = self.client.settings();
        let (first, longest) = settings.backoff;
        let now = settings.clock.now();
        if tries == 0 {
            self.failing_since = Some(now);
        }
        let spent = self
            .failing_since
            .map_or(Duration::ZERO, |since| now - since);
        if spent > settings.deadline || settings.connection.cancel.is_cancelled() {
            return Err(Interrupt::Stop(Error::Unreachable {
                reason: reason.to_owned(),
            }));
        }
        // The markers of the last transaction, which its successor waits for, are there within a few
        // milliseconds: the first tries come quickly.
        let pause = (first / QUICKER).saturating_mul(1 << tries.min(16));
        settings.clock.sleep(pause.min(longest));
        Ok(())
    }
}

/// The code that says why a target was not enlisted; 0 if all were.
fn refusal(response: &AddPartitionsToTxnResponse) -> i16 {
    let topics = response.results_by_topic_v3_and_below.iter();
    let codes = topics
        .flat_map(|topic| &topic.results_by_partition)
        .map(|partition| partition.partition_error_code);
    let refused: Vec<i16> = codes.filter(|&code| code != 0).collect();
    let why = refused.iter().find(|&&code| code != NOT_ATTEMPTED);
    why.or(refused.first()).copied().unwrap_or(0)
}

impl KafkaProduce {
    /// A want of rights concerns the whole topic or the transactional id: it is told by their names.
    fn permitted(&self, answers: Vec<Answer>) -> Result<Vec<Answer>, Failure> {
        use ResponseError as E;
        for answer in &answers {
            match answer.code.err() {
                Some(E::TopicAuthorizationFailed) => {
                    judge("Produce", &format!("topic {}", self.topic), answer.code)?;
                }
                Some(E::TransactionalIdAuthorizationFailed) => {
                    let id = self.transactions.as_ref().map_or("", |own| &own.id);
                    judge("Produce", id, answer.code)?;
                }
                _ => {}
            }
        }
        Ok(answers)
    }
}

/// Where bytes go between two stretches of framing: their place in `framing`, and they.
struct Cut<'a> {
    at: usize,
    piece: Piece<'a>,
}

/// How a request names its topic.
#[derive(Clone, Copy)]
enum Named<'a> {
    ByName(&'a str),
    ById(Uuid),
}

/// Writes all of the body but the long stretches of batches into `framing`; returns where those belong.
fn frame<'a>(
    framing: &mut Vec<u8>,
    (transactional_id, timeout_ms, topic): (Option<&str>, i32, Named<'_>),
    batches: &[Outgoing<'a>],
) -> Vec<Cut<'a>> {
    framing.clear();
    match transactional_id {
        Some(id) => compact_string(framing, id),
        // Null.
        None => framing.push(0),
    }
    framing.extend_from_slice(&ACKS_ALL.to_be_bytes());
    framing.extend_from_slice(&timeout_ms.to_be_bytes());
    uvarint(framing, 2);
    match topic {
        Named::ByName(name) => compact_string(framing, name),
        Named::ById(id) => framing.extend_from_slice(id.as_bytes()),
    }
    uvarint(framing, batches.len() + 1);
    let mut cuts = Vec::with_capacity(batches.len());
    for batch in batches {
        framing.extend_from_slice(&batch.target.to_be_bytes());
        uvarint(framing, batch.len() + 1);
        let [head, tail] = batch.slices.map(Piece::Bytes);
        let parked = batch.parked.map(Piece::Parked);
        for piece in [Some(head), parked, Some(tail)].into_iter().flatten() {
            match piece {
                Piece::Bytes(bytes) if bytes.len() < COPIED_BELOW => {
                    framing.extend_from_slice(bytes);
                }
                Piece::Bytes(_) | Piece::Parked(_) => {
                    let at = framing.len();
                    cuts.push(Cut { at, piece });
                }
            }
        }
        framing.push(0);
    }
    // No tagged fields, neither of the topic nor of the request.
    framing.extend_from_slice(&[0, 0]);
    cuts
}

fn pieces<'a>(framing: &'a [u8], cuts: &[Cut<'a>]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::with_capacity(2 * cuts.len() + 1);
    let mut from = 0;
    for cut in cuts {
        pieces.push(Piece::Bytes(&framing[from..cut.at]));
        pieces.push(cut.piece);
        from = cut.at;
    }
    pieces.push(Piece::Bytes(&framing[from..]));
    pieces
}

fn compact_string(out: &mut Vec<u8>, text: &str) {
    uvarint(out, text.len() + 1);
    out.extend_from_slice(text.as_bytes());
}

fn uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn answers(response: &ProduceResponse) -> Vec<Answer> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|t| &t.partition_responses);
    partitions
        .map(|partition| Answer {
            target: partition.index,
            code: partition.error_code,
            base_offset: partition.base_offset,
            message: partition.error_message.as_deref().unwrap_or("").to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::protocol::Decodable;

    use super::*;

    #[test]
    fn a_hand_framed_request_reads_back_as_the_protocol_says() {
        let (small, large) = (vec![1_u8; 100], vec![2_u8; 5000]);
        let (small, large) = (Bytes::from(small), Bytes::from(large));
        let mut framing = Vec::new();
        let batches = [(3, [&[], &small[..]]), (130, [&large[..61], &large[61..]])].map(
            |(target, slices)| Outgoing {
                target,
                slices,
                parked: None,
            },
        );
        let id = Uuid::from_u128(7);
        let by_name = Named::ByName("orders");
        let lane = Some("fanout.g.t.0");
        for (version, topic, transactional_id) in [
            (9, by_name, None),
            (10, by_name, lane),
            (11, by_name, lane),
            (12, by_name, lane),
            (13, Named::ById(id), lane),
            (13, Named::ById(id), None),
        ] {
            let cuts = frame(&mut framing, (transactional_id, 30_000, topic), &batches);
            let whole = pieces(&framing, &cuts)
                .into_iter()
                .map(|piece| match piece {
                    Piece::Bytes(bytes) => bytes,
                    Piece::Parked(_) => panic!("nothing was parked"),
                });
            let mut body = Bytes::from(whole.collect::<Vec<_>>().concat());

            let request = ProduceRequest::decode(&mut body, version).expect("well framed");

            assert!(body.is_empty());
            let read_id = request.transactional_id.as_ref().map(|id| id.as_str());
            assert_eq!(read_id, transactional_id);
            assert_eq!((request.acks, request.timeout_ms), (-1, 30_000));
            let topic = &request.topic_data[0];
            let named = (topic.name.as_str(), topic.topic_id);
            let expected = [("orders", Uuid::nil()), ("", id)];
            assert_eq!(named, expected[usize::from(version == 13)]);
            let read = topic.partition_data.iter();
            let read: Vec<_> = read.map(|p| (p.index, p.records.clone())).collect();
            let sent = [(3, Some(small.clone())), (130, Some(large.clone()))];
            assert_eq!(read, sent);
        }
    }
}
