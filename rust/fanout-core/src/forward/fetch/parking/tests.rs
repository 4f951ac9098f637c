//! An answer read piece by piece is the one that is read whole, whatever stands in it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{api_versions_response, ApiKey, ApiVersionsResponse, ProducerId};
use kafka_protocol::protocol::Encodable;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;

use super::*;
use crate::batch::Batches;
use crate::cluster::ClientSettings;
use crate::wire::{decode, Pipes, PlainDial};

const VERSION: i16 = 16;
const LIMIT: usize = 300_000;

/// A batch of one record that begins at `offset`.
fn batch(offset: i64, value_bytes: usize, control: bool) -> Vec<u8> {
    let record = Record {
        transactional: control,
        control,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: 7,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: 0,
        timestamp: 1,
        key: Some(vec![0, 0, 0, 1].into()),
        value: Some(vec![offset.to_le_bytes()[0]; value_bytes].into()),
        headers: IndexMap::default(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, [&record], &options).expect("encodes");
    bytes.to_vec()
}

#[derive(Debug, Clone)]
struct Case {
    /// Bytes of each value, and whether it is a marker.
    batches: Vec<(usize, bool)>,
    /// So much is missing at the end.
    cut: usize,
    errors: (i16, i16),
    aborted: usize,
    partitions: usize,
    /// A byte of the answer that is another one.
    flipped: Option<(prop::sample::Index, u8)>,
    /// What stands behind the answer's correlation id: no tagged field, or one.
    tags: &'static [u8],
}

const UNTAGGED: &[u8] = &[0];
const TAGGED: &[u8] = &[1, 5, 2, 0xff, 0xff];

impl Case {
    fn body(&self) -> Vec<u8> {
        let batches = (0..).zip(&self.batches);
        let mut records: Vec<u8> = batches
            .flat_map(|(offset, &(bytes, control))| batch(offset, bytes, control))
            .collect();
        records.truncate(records.len().saturating_sub(self.cut));
        let aborted = AbortedTransaction::default().with_producer_id(ProducerId(7));
        let partition = PartitionData::default()
            .with_error_code(self.errors.1)
            .with_last_stable_offset(100)
            .with_aborted_transactions(Some(vec![aborted; self.aborted]))
            .with_records(Some(records.into()));
        let topic =
            FetchableTopicResponse::default().with_partitions(vec![partition; self.partitions]);
        let response = FetchResponse::default()
            .with_error_code(self.errors.0)
            .with_responses(vec![topic]);
        let mut body = BytesMut::new();
        response.encode(&mut body, VERSION).expect("encodes");
        let mut body = body.to_vec();
        if let Some((at, bits)) = self.flipped {
            // Lengths, errors and the first headers stand in front.
            let most = body.len().min(200);
            body[at.index(most)] ^= bits;
        }
        body
    }
}

fn frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a request");
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("a request");
    frame
}

/// A broker that answers one Fetch by these bytes, and a connection to it on which the Fetch was sent.
fn asked(body: Vec<u8>, tags: &'static [u8]) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("dialled");
        let offered = api_versions_response::ApiVersion::default()
            .with_api_key(ApiKey::Fetch as i16)
            .with_max_version(VERSION);
        let mut versions = BytesMut::new();
        ApiVersionsResponse::default()
            .with_api_keys(vec![offered])
            .encode(&mut versions, 3)
            .expect("encodes");
        for (body, tags) in [(versions.to_vec(), &[][..]), (body, tags)] {
            let correlation = frame(&mut stream)[4..8].to_vec();
            let length = u32::try_from(4 + tags.len() + body.len()).expect("short");
            let answer = [&length.to_be_bytes()[..], &correlation, tags, &body].concat();
            // A connection that has seen enough is gone.
            let _ = stream.write_all(&answer);
        }
    });
    let properties = BTreeMap::from([("bootstrap.servers".to_owned(), address)]);
    let mut settings = ClientSettings::from_properties(&properties).expect("an address");
    settings.connection.answer_timeout = Duration::from_secs(60);
    let dial = PlainDial;
    let mut connection =
        Connection::open(&dial, &settings.bootstrap[0], &settings.connection).expect("opened");
    connection
        .send(&FetchRequest::default(), VERSION)
        .expect("sent");
    connection
}

/// What a lane would find in an answer: its facts, and its batches as far as they can be taken apart.
fn found(
    response: &FetchResponse,
    parked: &ParkedPayloads,
) -> (String, Vec<Result<Vec<u8>, String>>) {
    let mut rest = response.clone();
    let mut records = Bytes::new();
    for partition in rest.responses.iter_mut().flat_map(|t| &mut t.partitions) {
        // Of several, none is parked, and all are the same.
        records = partition.records.take().unwrap_or_default();
    }
    let batches = Batches::new(&records, LIMIT).around(parked.gaps());
    let batches = batches.map(|batch| match batch {
        Err(error) => Err(error.to_string()),
        Ok(batch) => {
            let (head, tail) = batch.bytes().split_at(HEADER_LEN);
            let parked = batch.gap().and_then(|gap| parked.of(gap));
            let parked = parked.map_or(Vec::new(), |parked| parked.read().expect("in order"));
            Ok([head, &parked, tail].concat())
        }
    });
    (format!("{rest:?}"), batches.collect())
}

/// Payloads that were parked, and how many bytes of them filled the pipe.
fn read_both_ways(case: &Case) -> (usize, Option<usize>) {
    let body = case.body();
    let whole = decode::<FetchRequest>(&mut Bytes::from(body.clone()), VERSION);
    let pipe = Pipes::default().lend().expect("a pipe");
    let pieces = receive(&mut asked(body, case.tags), VERSION, &pipe);
    match (whole, pieces) {
        (Err(_), Err(_)) => (0, None),
        (Ok(whole), Ok(arrived)) => {
            let Arrived {
                response, parked, ..
            } = arrived;
            assert_eq!(
                found(&response, &parked),
                found(&whole, &ParkedPayloads::default())
            );
            (parked.gaps().len(), arrived.filled)
        }
        (whole, pieces) => panic!("whole: {whole:?}\nin pieces: {pieces:?}"),
    }
}

fn case() -> impl Strategy<Value = Case> {
    let size = prop_oneof![0..200_usize, 10_000..20_000_usize, 60_000..150_000_usize];
    let rarely = |code| prop_oneof![9 => Just(0_i16), 1 => Just(code)];
    (
        proptest::collection::vec((size, proptest::bool::weighted(0.2)), 0..12),
        prop_oneof![Just(0_usize), 0..100_usize, 0..100_000_usize],
        (rarely(70), rarely(6)),
        prop_oneof![9 => Just(0_usize), 1 => Just(2)],
        prop_oneof![9 => Just(1_usize), 1 => 0..3_usize],
        proptest::option::of((any::<prop::sample::Index>(), 1..=255_u8)),
        prop_oneof![Just(UNTAGGED), Just(TAGGED)],
    )
        .prop_map(
            |(batches, cut, errors, aborted, partitions, flipped, tags)| Case {
                batches,
                cut,
                errors,
                aborted,
                partitions,
                flipped,
                tags,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pieces_make_the_whole(case in case()) {
        read_both_ways(&case);
    }
}

#[test]
fn long_payloads_are_parked_and_those_that_find_no_room_are_read() {
    let mut case = Case {
        batches: vec![(100_000, false); 5],
        cut: 50_000,
        errors: (0, 0),
        aborted: 0,
        partitions: 1,
        flipped: None,
        tags: UNTAGGED,
    };
    assert_eq!(
        read_both_ways(&case),
        (4, None),
        "the last one is not whole"
    );
    case.batches = vec![(100_000, false), (100_000, true), (100_000, false)];
    case.cut = 0;
    assert_eq!(read_both_ways(&case), (2, None), "a marker is looked at");
    case.batches = vec![(299_000, false); 200];
    let (parked, filled) = read_both_ways(&case);
    assert!((2..200).contains(&parked), "{parked}");
    assert!(filled.is_some_and(|bytes| bytes > 299_000), "{filled:?}");
    case.batches = vec![(PARKED_FROM - 100, false); 20];
    assert_eq!(read_both_ways(&case), (0, None));
}
