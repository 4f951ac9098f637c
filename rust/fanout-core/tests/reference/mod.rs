//! Batches written and read the plain way, from the description of the format alone.
//!
//! Nothing here uses fanout's own varints, walk or builder: it is what they are compared with.
//! `kafka-protocol` is the second witness, but it keeps headers in a map and so drops double ones.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A header: name and value.
pub(crate) type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record, with its absolute offset and timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
}

/// What a batch says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) base_offset: i64,
    pub(crate) attributes: i16,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer: (i64, i16, i32),
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            base_offset: 0,
            attributes: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            producer: (-1, -1, -1),
        }
    }
}

pub(crate) fn varint(out: &mut Vec<u8>, value: i64) {
    let mut raw = (value.wrapping_shl(1) ^ (value >> 63)) as u64;
    while raw > 127 {
        out.push(raw as u8 | 128);
        raw /= 128;
    }
    out.push(raw as u8);
}

fn bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

/// The payload of a batch with `records`.
pub(crate) fn payload(shape: &Shape, records: &[Plain]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let mut body = vec![0];
        varint(
            &mut body,
            record.timestamp.wrapping_sub(shape.base_timestamp),
        );
        varint(&mut body, record.offset - shape.base_offset);
        bytes(&mut body, record.key.as_deref());
        bytes(&mut body, record.value.as_deref());
        varint(&mut body, record.headers.len() as i64);
        for (name, value) in &record.headers {
            bytes(&mut body, Some(name));
            bytes(&mut body, value.as_deref());
        }
        varint(&mut out, body.len() as i64);
        out.extend(body);
    }
    out
}

/// A batch of `records` around a payload that may be packed.
pub(crate) fn batch_around(shape: &Shape, records: &[Plain], payload: &[u8]) -> Vec<u8> {
    let last = records
        .last()
        .map_or(0, |record| record.offset - shape.base_offset);
    let mut summed = Vec::new();
    summed.extend(shape.attributes.to_be_bytes());
    summed.extend((last as i32).to_be_bytes());
    summed.extend(shape.base_timestamp.to_be_bytes());
    summed.extend(shape.max_timestamp.to_be_bytes());
    summed.extend(shape.producer.0.to_be_bytes());
    summed.extend(shape.producer.1.to_be_bytes());
    summed.extend(shape.producer.2.to_be_bytes());
    summed.extend((records.len() as i32).to_be_bytes());
    summed.extend(payload);
    let mut out = Vec::new();
    out.extend(shape.base_offset.to_be_bytes());
    out.extend((summed.len() as i32 + 9).to_be_bytes());
    out.extend(3_i32.to_be_bytes());
    out.push(2);
    out.extend(crc32c(&summed).to_be_bytes());
    out.extend(summed);
    out
}

/// A batch that is not packed.
pub(crate) fn batch(shape: &Shape, records: &[Plain]) -> Vec<u8> {
    batch_around(shape, records, &payload(shape, records))
}

/// The sum a batch's own says it has, put right after its bytes were changed.
pub(crate) fn with_right_crc(mut batch: Vec<u8>) -> Vec<u8> {
    let sum = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&sum.to_be_bytes());
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Reads batches that are whole, sound and not packed; panics on any other.
pub(crate) fn read(mut batch: &[u8]) -> Vec<Plain> {
    let base_offset = i64::from_be_bytes(batch[..8].try_into().unwrap());
    let base_timestamp = i64::from_be_bytes(batch[27..35].try_into().unwrap());
    let count = i32::from_be_bytes(batch[57..61].try_into().unwrap());
    assert_eq!(batch[16], 2);
    assert_eq!(batch[17..21], crc32c(&batch[21..]).to_be_bytes());
    batch = &batch[61..];
    let records = (0..count)
        .map(|_| {
            let length = read_varint(&mut batch);
            let end = batch.len() - length as usize;
            batch = &batch[1..];
            let record = Plain {
                timestamp: base_timestamp.wrapping_add(read_varint(&mut batch)),
                offset: base_offset + read_varint(&mut batch),
                key: read_bytes(&mut batch),
                value: read_bytes(&mut batch),
                headers: (0..read_varint(&mut batch))
                    .map(|_| (read_bytes(&mut batch).unwrap(), read_bytes(&mut batch)))
                    .collect(),
            };
            assert_eq!(batch.len(), end);
            record
        })
        .collect();
    assert!(batch.is_empty());
    records
}

fn read_varint(rest: &mut &[u8]) -> i64 {
    let end = rest.iter().position(|&byte| byte < 128).unwrap() + 1;
    let raw = rest[..end]
        .iter()
        .rev()
        .fold(0_u64, |raw, &byte| (raw << 7) | u64::from(byte & 127));
    *rest = &rest[end..];
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

fn read_bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(read_varint(rest)).ok()?;
    let (bytes, after) = rest.split_at(length);
    *rest = after;
    Some(bytes.to_vec())
}

fn blob(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        1 => vec(any::<u8>(), 60..70),
        1 => vec(any::<u8>(), 0..most),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-c]{0,3}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..6),
        1 => Just(b"fanout".to_vec()),
    ]
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 1_700_000_000_000..1_700_000_100_000_i64,
        1 => prop::sample::select(vec![-1, 0, 1, i64::MAX, i64::MIN]),
        1 => any::<i64>(),
    ]
}

prop_compose! {
    fn record()(
        gap in prop_oneof![6 => Just(0_i64), 1 => 1..200_i64],
        timestamp in timestamp(),
        key in option::of(blob(300)),
        value in option::of(blob(9000)),
        headers in vec((name(), option::of(blob(100))), 0..4),
    ) -> (i64, Plain) {
        (gap, Plain { offset: 0, timestamp, key, value, headers })
    }
}

/// A sound batch, with holes as compaction leaves them, and its records.
pub(crate) fn any_batch(
    records: std::ops::Range<usize>,
) -> impl Strategy<Value = (Shape, Vec<Plain>)> {
    (vec(record(), records), 0..i64::from(i32::MAX), timestamp()).prop_map(
        |(records, base_offset, base_timestamp)| {
            let mut next = base_offset;
            let records: Vec<Plain> = records
                .into_iter()
                .map(|(gap, mut record)| {
                    record.offset = next + gap;
                    next = record.offset + 1;
                    record
                })
                .collect();
            let max_timestamp = records.iter().map(|record| record.timestamp).max();
            let shape = Shape {
                base_offset,
                base_timestamp,
                max_timestamp: max_timestamp.unwrap_or(-1),
                ..Shape::default()
            };
            (shape, records)
        },
    )
}
