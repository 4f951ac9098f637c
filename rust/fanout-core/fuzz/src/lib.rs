//! What fanout reads from strangers, each reader with the promise it must keep for bytes of any kind.
//!
//! The targets stand here once: libFuzzer runs them (`fuzz_targets`), the tests
//! replay the corpus through them, and the mutator of `make fuzz` does on any
//! compiler what libFuzzer does on a nightly one.

#![allow(
    unreachable_pub,
    reason = "the root of one crate, and a module of two others"
)]

use bytes::Bytes;
use fanout_core::batch::{Batch, BatchBuilder, Batches, Codec, Packer, Signature, Stamp, Unpacker};
use fanout_core::note::Note;
use fanout_core::record::Origin;
use fanout_core::wire::{decode, Address, Answered};
use kafka_protocol::messages as m;

/// A reader under test.
pub type Target = fn(&[u8]);

/// Every reader by the name of its folder in the corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("header", header),
    ("records", records),
    ("splice", splice),
    ("gzip", gzip),
    ("snappy", snappy),
    ("lz4", lz4),
    ("zstd", zstd),
    ("answers", answers),
    ("notes", notes),
];

/// Bytes that a batch may have, packed or not.
const LIMIT: usize = 1 << 20;

/// The frames of a Fetch answer: each batch lies in it, offsets only grow.
pub fn header(bytes: &[u8]) {
    let mut next = 0;
    let mut taken = 0;
    let mut batches = Batches::new(bytes, LIMIT);
    for batch in batches.by_ref().map_while(Result::ok) {
        let header = &batch.header;
        assert!(header.base_offset >= next && header.next_offset() > header.base_offset);
        next = header.next_offset();
        taken += batch.bytes().len();
        assert_eq!(batch.bytes().len(), header.total_len());
    }
    assert!(taken <= bytes.len());
}

/// The walk over records: no more of them than were announced, each inside the payload.
pub fn records(bytes: &[u8]) {
    let bytes = with_right_crc(bytes);
    for batch in Batches::new(&bytes, LIMIT).map_while(Result::ok) {
        let mut unpacker = Unpacker::new(LIMIT);
        let Ok(payload) = unpacker.unpack(&batch) else {
            return;
        };
        assert!(payload.len() <= LIMIT);
        let Ok(records) = batch.records(payload) else {
            return;
        };
        let mut walked = 0;
        for record in records.map_while(Result::ok) {
            walked += 1;
            assert!(record.body().len() <= payload.len());
            let _ = record.value();
            if let Ok(headers) = record.headers() {
                let _ = headers.count();
            }
        }
        assert!(walked <= batch.header.record_count);
    }
}

/// The splice: what a lane builds from any batch is a batch that reads back, with as many records.
pub fn splice(bytes: &[u8]) {
    let bytes = with_right_crc(bytes);
    let Some(Ok(batch)) = Batches::new(&bytes, LIMIT).next() else {
        return;
    };
    let stamps = [
        Stamp::None,
        Stamp::Run(Origin {
            partition: 3,
            offset: 1 << 40,
        }),
        Stamp::Text {
            place: "orders/3/",
            offset: i64::MAX,
        },
    ];
    for stamp in stamps {
        let mut builder = BatchBuilder::with_capacity(0);
        if build(&batch, stamp, &mut builder).is_none() || builder.is_empty() {
            continue;
        }
        let count = builder.count();
        let signature = Signature {
            id: 1,
            epoch: 0,
            sequence: 0,
            transactional: true,
        };
        let codec = batch.header.codec();
        let sealed = builder.seal(signature, codec, &mut Packer::new(), Vec::new());
        let sealed = sealed.expect("what was walked can be packed");
        let built = Batch::parse(sealed.bytes()).expect("a batch of ours");
        built.verify_crc().expect("with its own sum");
        let mut unpacker = Unpacker::new(4 * LIMIT);
        let payload = unpacker.unpack(&built).expect("packed by us");
        let records = built.records(payload).expect("as many as announced");
        let mut sound = 0;
        for record in records {
            record.expect("copied whole");
            sound += 1;
        }
        assert_eq!(sound, count);
    }
}

/// `None` at the first record that cannot be copied.
fn build(batch: &Batch<'_>, stamp: Stamp<'_>, builder: &mut BatchBuilder) -> Option<()> {
    let mut unpacker = Unpacker::new(LIMIT);
    let payload = unpacker.unpack(batch).ok()?;
    for record in batch.records(payload).ok()? {
        let record = record.ok()?;
        let timestamp = batch.header.timestamp_of(record.timestamp_delta);
        builder.push(&record, timestamp, stamp).ok()?;
    }
    Some(())
}

/// The codec's output stays within its limit, whatever is announced.
pub fn gzip(bytes: &[u8]) {
    unpack(Codec::Gzip, bytes);
}

/// As [`gzip`].
pub fn snappy(bytes: &[u8]) {
    unpack(Codec::Snappy, bytes);
}

/// As [`gzip`].
pub fn lz4(bytes: &[u8]) {
    unpack(Codec::Lz4, bytes);
}

/// As [`gzip`].
pub fn zstd(bytes: &[u8]) {
    unpack(Codec::Zstd, bytes);
}

fn unpack(codec: Codec, bytes: &[u8]) {
    for limit in [0, 100, LIMIT] {
        if let Ok(unpacked) = Unpacker::new(limit).unpack_payload(codec, bytes) {
            assert!(unpacked.len() <= limit);
        }
    }
}

/// Answers to every request: the first byte picks which, the others are its body.
pub fn answers(bytes: &[u8]) {
    let Some((&which, body)) = bytes.split_first() else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    let decoders: [fn(&Bytes); 17] = [
        |body| answer::<m::ApiVersionsRequest>(body, 3),
        |body| answer::<m::MetadataRequest>(body, 12),
        |body| answer::<m::FindCoordinatorRequest>(body, 4),
        |body| answer::<m::InitProducerIdRequest>(body, 5),
        |body| answer::<m::OffsetFetchRequest>(body, 8),
        |body| answer::<m::OffsetCommitRequest>(body, 8),
        |body| answer::<m::ListOffsetsRequest>(body, 7),
        |body| answer::<m::FetchRequest>(body, 16),
        |body| answer::<m::ProduceRequest>(body, 12),
        |body| answer::<m::ProduceRequest>(body, 13),
        |body| answer::<m::TxnOffsetCommitRequest>(body, 5),
        |body| answer::<m::EndTxnRequest>(body, 5),
        |body| answer::<m::DescribeProducersRequest>(body, 0),
        |body| answer::<m::DescribeConfigsRequest>(body, 4),
        |body| answer::<m::SaslHandshakeRequest>(body, 1),
        |body| answer::<m::SaslAuthenticateRequest>(body, 2),
        |body| answer::<m::LeaveGroupRequest>(body, 5),
    ];
    decoders[usize::from(which) % decoders.len()](&body);
}

fn answer<R: Answered>(body: &Bytes, version: i16) {
    let _ = decode::<R>(&mut body.clone(), version);
}

/// What a group's metadata, a header and a setting may hold: read, written and read again they are the same.
pub fn notes(bytes: &[u8]) {
    if let Some(origin) = Origin::from_bytes(bytes) {
        assert_eq!(origin.to_bytes(), bytes);
        let _ = origin.mix();
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(note) = text.parse::<Note>() {
        assert_eq!(note.to_string().parse(), Ok(note));
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
}

/// Sums put right, so that what lies behind the checksum is reached.
fn with_right_crc(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut from = 0;
    while let Some(length) = bytes.get(from + 8..from + 12) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = from.saturating_add(12).saturating_add(length);
        if length < 49 || end > bytes.len() {
            break;
        }
        let sum = crc32c(&bytes[from + 21..end]);
        bytes[from + 17..from + 21].copy_from_slice(&sum.to_be_bytes());
        from = end;
    }
    bytes
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    })
}
