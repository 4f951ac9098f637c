//! The end of a broken batch is told by what follows it, or not at all.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::*;

fn batch(offsets: std::ops::Range<i64>) -> Vec<u8> {
    let record = |offset| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).expect("small"),
        timestamp: 5,
        key: None,
        value: Some(Bytes::from_static(b"value")),
        headers: IndexMap::new(),
    };
    let records: Vec<Record> = offsets.map(record).collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("sound records");
    bytes.to_vec()
}

/// What is said of offset 10, where a batch up to 15 begins that was changed by `damage`, before `behind`.
fn said(damage: impl Fn(&mut [u8]), behind: &[u8], last_stable: i64) -> Look {
    let mut bytes = batch(10..15);
    damage(&mut bytes);
    let fetched = Fetched {
        records: [&bytes[..], behind].concat().into(),
        last_stable,
        ..Fetched::default()
    };
    look(&fetched, 10)
}

fn end_of(look: Look) -> Option<i64> {
    let (Look::Broken(broken) | Look::More(_, Some(broken))) = look else {
        panic!("nothing is wrong with it");
    };
    assert_eq!(broken.from, 10, "{}", broken.problem);
    broken.next
}

fn flip_payload(bytes: &mut [u8]) {
    bytes[70] ^= 1;
}

#[test]
fn a_sound_batch_is_no_reason_to_skip() {
    assert!(matches!(said(|_| {}, &batch(15..20), 20), Look::Sound));
}

#[test]
fn the_next_batch_tells_where_a_broken_one_ends() {
    assert_eq!(end_of(said(flip_payload, &batch(15..20), 20)), Some(15));
    // Compaction took 15 and 16 away.
    assert_eq!(end_of(said(flip_payload, &batch(17..20), 20)), Some(17));
    // Only the first bytes of the next one came.
    assert_eq!(
        end_of(said(flip_payload, &batch(15..20)[..20], 20)),
        Some(15)
    );
}

#[test]
fn a_last_offset_that_lies_does_not_take_sound_batches_along() {
    let further = |bytes: &mut [u8]| bytes[23..27].copy_from_slice(&7_i32.to_be_bytes());
    assert_eq!(end_of(said(further, &batch(15..20), 30)), Some(15));
    assert_eq!(end_of(said(further, &[], 30)), None, "nothing tells");
}

#[test]
fn a_header_that_no_batch_can_have_is_left_by_its_length_alone() {
    let counted = |bytes: &mut [u8]| bytes[57..61].copy_from_slice(&(-3_i32).to_be_bytes());
    assert_eq!(end_of(said(counted, &batch(15..20), 20)), Some(15));
    let endless = |bytes: &mut [u8]| bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(end_of(said(endless, &batch(15..20), 20)), None);
    let shifted = |bytes: &mut [u8]| bytes[11] += 3;
    let found = said(shifted, &batch(15..20), 20);
    assert_eq!(
        end_of(found),
        None,
        "what follows by that length is no batch"
    );
}

#[test]
fn the_last_batch_ends_where_the_log_does() {
    let Look::More(_, Some(broken)) = said(flip_payload, &[], 20) else {
        panic!("what follows may only be missing in this answer");
    };
    assert_eq!(broken.next, None);
    assert_eq!(end_of(said(flip_payload, &[], 15)), Some(15));
}

#[test]
fn records_before_the_flaw_are_not_given_away() {
    let mut bytes = batch(10..15);
    // The fourth record announces a key that is longer than itself.
    let record = (bytes.len() - 61) / 5;
    bytes[61 + 3 * record + 4] = 0x7e;
    let sum = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    let fetched = Fetched {
        records: [bytes, batch(15..20)].concat().into(),
        last_stable: 20,
        ..Fetched::default()
    };
    let Look::Broken(broken) = look(&fetched, 10) else {
        panic!("its fourth record is broken");
    };
    assert_eq!((broken.from, broken.next), (13, Some(15)));
}
