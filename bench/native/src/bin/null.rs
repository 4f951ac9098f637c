//! A forwarder that does nothing: what the sockets and the broker's protocol alone cost.
//!
//! A thread a source partition, as a lane is; the same fetches of 4 MiB, the next one asked for before this one is
//! sent on; the same requests: at most 512 KiB, one batch a target, five in flight, bytes written straight from the
//! fetch. Batches go to the targets in turn. Nothing is looked at but each batch's length, nothing is checked, no
//! transaction holds records and offsets together, and the only bytes written anew are a batch's base offset and
//! leader epoch, which no CRC covers and without which the broker would refuse it. So the source must be written
//! without idempotence: the batches would bear another producer's numbers.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanout_bench::{Order, Usage};
use fanout_core::batch::{Batches, HEADER_LEN};
use fanout_core::cluster::{Client, ClientSettings, Use};
use fanout_core::forward::fetch::KafkaFetch;
use fanout_core::forward::seam::Fetch;
use fanout_core::record::TopicPartition;
use fanout_core::wire::Piece;
use kafka_protocol::messages::ProduceRequest;

const FETCH_BYTES: usize = 4 << 20;
const REQUEST_BYTES: usize = 512 << 10;
const MAX_IN_FLIGHT: usize = 5;
const PRODUCE: i16 = 12;
const WAIT: Duration = Duration::from_millis(500);
/// The longest batch the benches write.
const BATCH_LIMIT: usize = 8 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to be told if stderr is gone: the exit code is all there is.
            writeln!(io::stderr(), "null forwarder: {problem}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let order = Order::read()?;
    let ends = order.ends()?;
    let usage = Usage::begin();
    let first = thread::scope(|scope| {
        let lanes: Vec<_> = ends
            .iter()
            .map(|(&partition, &end)| {
                let order = &order;
                scope.spawn(move || Lane::new(order, partition)?.carry(end))
            })
            .collect();
        let first = lanes
            .into_iter()
            .map(|lane| lane.join().map_err(|_| "a lane panicked".to_owned())?);
        first.collect::<Result<Vec<Instant>, String>>()
    })?;
    let first = first.into_iter().min().ok_or("no source partition")?;
    usage.tell(first).map_err(said)
}

fn said(error: impl Debug) -> String {
    format!("{error:?}")
}

/// One source partition on its way.
struct Lane {
    fetch: KafkaFetch,
    client: Client,
    node: i32,
    topic: String,
    targets: i32,
    /// Target of the next batch.
    turn: i32,
    in_flight: VecDeque<Bytes>,
}

impl Lane {
    fn new(order: &Order, partition: i32) -> Result<Self, String> {
        let bootstrap = order.text("bootstrap")?.to_owned();
        let properties = [("bootstrap.servers".to_owned(), bootstrap)].into();
        let settings = ClientSettings::from_properties(&properties).map_err(said)?;
        let at = TopicPartition::new(order.text("source")?, partition);
        let fetch = KafkaFetch::new(Client::new(settings.clone()), at, FETCH_BYTES);
        let topic = order.text("target")?.to_owned();
        let mut client = Client::new(settings);
        let layout = client.retry(|client| Ok(client.layout(&topic)?.clone()));
        let layout = layout.map_err(said)?;
        let mut nodes: Vec<i32> = layout.leaders().values().map(|at| at.node).collect();
        nodes.dedup();
        let &[node] = &nodes[..] else {
            return Err(format!(
                "{topic} lies on {nodes:?}, one broker is known here"
            ));
        };
        Ok(Self {
            fetch: fetch.map_err(said)?,
            client,
            node,
            topic,
            targets: layout.partitions,
            turn: partition % layout.partitions,
            in_flight: VecDeque::new(),
        })
    }

    /// Carries everything below `end`; returns when the first records were in hand.
    fn carry(mut self, end: i64) -> Result<Instant, String> {
        let mut first = None;
        let mut position = 0;
        self.fetch.ask(position, WAIT).map_err(said)?;
        while position < end {
            let fetched = self.fetch.take().map_err(said)?;
            let records = fetched.unwrap_or_default().records;
            let mut batches = Vec::new();
            for batch in Batches::new(&records, BATCH_LIMIT) {
                let batch = batch.map_err(said)?;
                position = batch.header.next_offset();
                batches.push(batch.bytes());
            }
            first.get_or_insert_with(Instant::now);
            if position < end {
                self.fetch.ask(position, WAIT).map_err(said)?;
            }
            self.send_all(&batches, &records)?;
        }
        while !self.in_flight.is_empty() {
            self.receive()?;
        }
        Ok(first.unwrap_or_else(Instant::now))
    }

    /// As few requests as the bounds allow.
    fn send_all(&mut self, mut batches: &[&[u8]], records: &Bytes) -> Result<(), String> {
        let most = usize::try_from(self.targets).map_err(said)?;
        while !batches.is_empty() {
            let mut bytes = 0;
            let fitting = batches.iter().take(most).take_while(|batch| {
                bytes += batch.len();
                bytes <= REQUEST_BYTES
            });
            let (request, rest) = batches.split_at(fitting.count().max(1));
            self.send(request)?;
            // The fetch stays where it is until the request that points into it is answered, as a lane's does.
            self.in_flight.push_back(records.clone());
            batches = rest;
        }
        Ok(())
    }

    fn send(&mut self, batches: &[&[u8]]) -> Result<(), String> {
        while self.in_flight.len() >= MAX_IN_FLIGHT {
            self.receive()?;
        }
        let mut framing = vec![0]; // no transactional id
        framing.extend_from_slice(&(-1_i16).to_be_bytes());
        framing.extend_from_slice(&30_000_i32.to_be_bytes());
        uvarint(&mut framing, 2);
        uvarint(&mut framing, self.topic.len() + 1);
        framing.extend_from_slice(self.topic.as_bytes());
        uvarint(&mut framing, batches.len() + 1);
        let mut cuts = Vec::with_capacity(batches.len());
        for batch in batches {
            framing.extend_from_slice(&self.turn.to_be_bytes());
            self.turn = (self.turn + 1) % self.targets;
            uvarint(&mut framing, batch.len() + 1);
            framing.extend_from_slice(&0_i64.to_be_bytes());
            framing.extend_from_slice(&batch[8..12]);
            framing.extend_from_slice(&(-1_i32).to_be_bytes());
            framing.extend_from_slice(&batch[16..HEADER_LEN]);
            cuts.push(framing.len());
            framing.push(0);
        }
        framing.extend_from_slice(&[0, 0]);
        let mut pieces = Vec::with_capacity(2 * batches.len() + 1);
        let mut from = 0;
        for (batch, &cut) in batches.iter().zip(&cuts) {
            pieces.push(Piece::Bytes(&framing[from..cut]));
            pieces.push(Piece::Bytes(&batch[HEADER_LEN..]));
            from = cut;
        }
        pieces.push(Piece::Bytes(&framing[from..]));
        let connection = self.client.connection(self.node, Use::Produce);
        let connection = connection.map_err(said)?;
        let sent = connection.send_pieces::<ProduceRequest>(PRODUCE, &pieces);
        sent.map_err(said)
    }

    fn receive(&mut self) -> Result<(), String> {
        let connection = self.client.connection(self.node, Use::Produce);
        let connection = connection.map_err(said)?;
        let response = connection.receive::<ProduceRequest>(PRODUCE);
        let response = response.map_err(said)?;
        self.in_flight.pop_front();
        let topics = response.responses.iter();
        let refused = topics
            .flat_map(|topic| &topic.partition_responses)
            .find(|partition| partition.error_code != 0);
        match refused {
            Some(partition) => Err(format!("refused: {partition:?}")),
            None => Ok(()),
        }
    }
}

fn uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}
