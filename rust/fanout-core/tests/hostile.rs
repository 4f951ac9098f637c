//! Bytes that no sound producer writes: each is refused by name, and none does harm.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "small numbers that the test itself chose"
)]

mod reference;

use fanout_core::batch::{Batch, BatchBuilder, BatchError, Batches, RecordFlaw, Stamp, Unpacker};
use fanout_core::record::Origin;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use reference::{any_batch, batch, payload, with_right_crc, Plain, Shape};

const LIMIT: usize = 1 << 20;

/// Everything a lane does with an answer, sockets apart; returns the records carried.
fn carry(answer: &[u8], check_crc: bool) -> Result<usize, BatchError> {
    let mut unpacker = Unpacker::new(LIMIT);
    let mut builder = BatchBuilder::with_capacity(0);
    let mut carried = 0;
    for batch in Batches::new(answer, LIMIT) {
        let batch = batch?;
        if check_crc {
            batch.verify_crc()?;
        }
        let payload = unpacker.unpack(&batch)?;
        for record in batch.records(payload)? {
            let record = record?;
            let origin = Origin {
                partition: 0,
                offset: batch.header.offset_of(record.offset_delta),
            };
            record.value()?;
            record
                .headers()?
                .try_for_each(|header| header.map(|_| ()))?;
            let timestamp = batch.header.timestamp_of(record.timestamp_delta);
            let pushed = builder.push(&record, timestamp, Stamp::Run(origin));
            pushed.map_err(|flaw| record.flawed(flaw))?;
            carried += 1;
        }
    }
    Ok(carried)
}

/// Two sound batches, one behind the other.
fn two_batches() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (any_batch(1..10), any_batch(1..10)).prop_map(|((first, records), (mut second, mut others))| {
        let next = records.last().unwrap().offset + 1;
        let moved = next - second.base_offset;
        second.base_offset = next;
        for record in &mut others {
            record.offset += moved;
        }
        (batch(&first, &records), batch(&second, &others))
    })
}

proptest! {
    #[test]
    fn bytes_of_any_kind_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = carry(&bytes, false);
        let _ = Batch::parse(&bytes);
    }

    #[test]
    fn bytes_behind_a_header_that_could_be_never_panic(
        bytes in vec(any::<u8>(), 61..300),
        attributes in 0..5_u8,
        count in 0..12_u8,
    ) {
        let mut bytes = bytes;
        let length = bytes.len() as i32 - 12;
        bytes[..8].fill(0);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        bytes[21..27].copy_from_slice(&[0, attributes, 0, 0, 1, 0]);
        bytes[57..61].copy_from_slice(&[0, 0, 0, count]);
        prop_assert!(carry(&bytes, false).is_ok() || carry(&bytes, true).is_err());
    }

    #[test]
    fn a_damaged_batch_never_panics_even_with_a_right_crc(
        (first, second) in two_batches(),
        damage in vec((any::<Index>(), any::<u8>()), 1..5),
    ) {
        let mut damaged = second;
        for (at, byte) in &damage {
            let at = at.index(damaged.len());
            damaged[at] = *byte;
        }
        let damaged = with_right_crc(damaged);
        let _ = carry(&[first, damaged].concat(), true);
    }

    #[test]
    fn a_flipped_bit_that_the_crc_covers_is_seen(
        (shape, records) in any_batch(1..10),
        at in any::<Index>(),
        bit in 0..8_u8,
    ) {
        let mut bytes = batch(&shape, &records);
        let at = 21 + at.index(bytes.len() - 21);
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(carry(&bytes, true).is_err());
    }

    #[test]
    fn an_answer_cut_anywhere_gives_its_whole_batches_and_no_error(
        (first, second) in two_batches(),
        cut in any::<Index>(),
    ) {
        let answer = [&first[..], &second].concat();
        let cut = cut.index(answer.len() + 1);
        let mut batches = Batches::new(&answer[..cut], LIMIT);
        let mut whole = 0;
        for batch in batches.by_ref() {
            whole += batch.expect("nothing is wrong with what is there").bytes().len();
        }
        let expected = [0, first.len(), answer.len()].into_iter().rfind(|&end| end <= cut);
        prop_assert_eq!(Some(whole), expected);
        let needed = match cut {
            1..12 => Some(61),
            12.. if cut < first.len() => Some(first.len()),
            _ => None,
        };
        prop_assert_eq!(batches.cut_first(), needed);
    }
}

fn records() -> Vec<Plain> {
    (0..3)
        .map(|offset| Plain {
            offset: 100 + offset,
            timestamp: 5,
            key: Some(b"key".to_vec()),
            value: Some(b"value".to_vec()),
            headers: vec![(b"h".to_vec(), None)],
        })
        .collect()
}

fn shape() -> Shape {
    Shape {
        base_offset: 100,
        ..Shape::default()
    }
}

/// A batch with `bytes` written over it at `at`, and the CRC put right.
fn altered(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = batch(&shape(), &records());
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    with_right_crc(batch)
}

/// A batch that announces one record and has these bytes for it.
fn one_record(payload: &[u8]) -> Vec<u8> {
    let records = [records().remove(0)];
    let bytes = reference::batch_around(&shape(), &records, payload);
    assert!(payload.len() >= 7, "else the count is refused first");
    bytes
}

fn refusal(bytes: &[u8]) -> BatchError {
    carry(bytes, true).expect_err("hostile bytes were carried")
}

#[test]
fn the_batch_that_is_altered_below_is_sound_before() {
    assert_eq!(carry(&batch(&shape(), &records()), true), Ok(3));
}

#[test]
fn a_flipped_crc_is_told_with_both_values() {
    let mut bytes = batch(&shape(), &records());
    bytes[17] ^= 0x80;
    let refusal = refusal(&bytes);
    let BatchError::Crc { stored, computed } = refusal else {
        panic!("{refusal}");
    };
    assert_eq!(stored, computed ^ 0x8000_0000);
}

#[test]
fn a_length_that_is_negative_too_small_or_huge_is_refused() {
    for length in [-1, 0, 48, i32::MIN, i32::MAX, LIMIT as i32 - 11] {
        let refusal = refusal(&altered(8, &length.to_be_bytes()));
        let limit = LIMIT - 12;
        assert_eq!(refusal, BatchError::Length { length, limit });
    }
}

#[test]
fn a_record_count_that_nothing_can_hold_is_refused_before_any_record_is_read() {
    for count in [-1, i32::MIN, 4, i32::MAX] {
        let bytes = altered(57, &count.to_be_bytes());
        let refusal = refusal(&bytes);
        assert!(matches!(refusal, BatchError::RecordCount { count: c, .. } if c == count));
    }
    // Offsets enough, but not bytes.
    let mut bytes = altered(57, &1_000_000_i32.to_be_bytes());
    bytes[23..27].copy_from_slice(&1_000_000_i32.to_be_bytes());
    let refusal = refusal(&with_right_crc(bytes));
    let most = payload(&shape(), &records()).len() / 7;
    let count = 1_000_000;
    assert_eq!(refusal, BatchError::RecordCount { count, most });
}

#[test]
fn a_count_too_small_or_too_large_by_one_is_seen_at_the_end() {
    let refused = refusal(&altered(57, &2_i32.to_be_bytes()));
    assert!(matches!(refused, BatchError::Trailing { .. }), "{refused}");
    let mut shorter = altered(23, &9_i32.to_be_bytes());
    shorter[57..61].copy_from_slice(&4_i32.to_be_bytes());
    let (index, flaw) = (3, RecordFlaw::CutShort);
    let refused = refusal(&with_right_crc(shorter));
    assert_eq!(refused, BatchError::Record { index, flaw });
}

#[test]
fn a_last_offset_before_the_first_or_beyond_all_offsets_is_refused() {
    let refused = refusal(&altered(23, &(-1_i32).to_be_bytes()));
    let (delta, base_offset) = (-1, 100);
    assert_eq!(refused, BatchError::LastOffset { delta, base_offset });
    let refused = refusal(&altered(0, &i64::MAX.to_be_bytes()));
    assert!(matches!(refused, BatchError::LastOffset { .. }));
    let refused = refusal(&altered(0, &(-5_i64).to_be_bytes()));
    assert!(matches!(refused, BatchError::BaseOffset { .. }));
}

#[test]
fn a_batch_that_begins_below_the_end_of_the_one_before_is_refused() {
    let answer = batch(&shape(), &records()).repeat(2);
    let (base_offset, expected) = (100, 103);
    let refused = refusal(&answer);
    assert_eq!(
        refused,
        BatchError::BaseOffset {
            base_offset,
            expected
        }
    );
}

#[test]
fn other_message_formats_are_named_whatever_their_length() {
    for found in [0, 1, 3, -1] {
        let mut bytes = altered(16, &[found as u8]);
        assert_eq!(refusal(&bytes), BatchError::Magic { found });
        // A message of the old formats may be shorter than a header of ours.
        bytes[8..12].copy_from_slice(&20_i32.to_be_bytes());
        assert_eq!(refusal(&bytes), BatchError::Magic { found });
    }
}

#[test]
fn codec_bits_without_a_codec_are_refused() {
    for bits in [5_i16, 6, 7] {
        let refused = refusal(&altered(21, &bits.to_be_bytes()));
        assert_eq!(refused, BatchError::UnknownCodec { bits });
    }
}

#[test]
fn a_payload_that_its_codec_did_not_write_is_refused() {
    for bits in 1..5_i16 {
        let refused = refusal(&altered(21, &bits.to_be_bytes()));
        assert!(matches!(refused, BatchError::Packed { .. }), "{refused}");
    }
}

#[test]
fn offsets_that_stand_still_or_pass_the_last_are_refused() {
    let mut still = records();
    still[1].offset = 100;
    let flaw = RecordFlaw::Offset;
    let refused = refusal(&batch(&shape(), &still));
    assert_eq!(refused, BatchError::Record { index: 1, flaw });
    let mut beyond = batch(&shape(), &records());
    let third = payload(&shape(), &records()).len() / 3 * 2;
    beyond[61 + third + 3] = 2 * 3;
    let refused = refusal(&with_right_crc(beyond));
    assert_eq!(refused, BatchError::Record { index: 2, flaw });
}

#[test]
fn a_record_whose_fields_do_not_fit_it_is_refused_by_what_is_wrong() {
    use RecordFlaw::{CutShort, Length, NegativeLength, Varint};
    let cases: [(&str, &[u8], RecordFlaw); 12] = [
        (
            "overlong length",
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0, 0],
            Varint,
        ),
        (
            "overlong delta",
            &[14, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f],
            Varint,
        ),
        ("negative length", &[1, 0, 0, 0, 1, 1, 0], NegativeLength),
        ("length −2", &[3, 0, 0, 0, 1, 1, 0], NegativeLength),
        ("length past the end", &[14, 0, 0, 0, 1, 1, 0], CutShort),
        ("empty record", &[0, 0, 0, 0, 1, 1, 0], Length),
        ("key length −2", &[12, 0, 0, 0, 3, 1, 0], NegativeLength),
        ("key past the end", &[12, 0, 0, 0, 8, 1, 0], CutShort),
        ("nothing behind the key", &[12, 0, 0, 0, 2, 7, 7], Length),
        ("value length −2", &[12, 0, 0, 0, 1, 3, 0], NegativeLength),
        ("header count −1", &[12, 0, 0, 0, 1, 1, 1], NegativeLength),
        (
            "headers that are not there",
            &[12, 0, 0, 0, 1, 1, 2],
            CutShort,
        ),
    ];
    for (name, payload, flaw) in cases {
        let refused = refusal(&one_record(payload));
        assert_eq!(refused, BatchError::Record { index: 0, flaw }, "{name}");
    }
}

#[test]
fn headers_that_do_not_fill_the_record_are_refused_and_leave_the_builder_as_it_was() {
    let trailing = [14, 0, 0, 0, 1, 1, 0, 9];
    let nameless = [16, 0, 0, 0, 1, 1, 2, 1, 1];
    for payload in [&trailing[..], &nameless] {
        let bytes = one_record(payload);
        let batch = Batch::parse(&bytes).unwrap();
        let record = batch
            .records(batch.payload())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let mut builder = BatchBuilder::with_capacity(0);
        let origin = Origin {
            partition: 0,
            offset: 0,
        };
        assert!(builder.push(&record, 0, Stamp::Run(origin)).is_err());
        assert!(builder.is_empty());
        assert_eq!(builder.len(), 61);
    }
}

#[test]
fn a_batch_that_compaction_emptied_is_carried_as_nothing() {
    let bytes = altered(57, &0_i32.to_be_bytes());
    let header = with_right_crc([&bytes[..8], &49_i32.to_be_bytes(), &bytes[12..61]].concat());
    assert_eq!(carry(&header, true), Ok(0));
    let batch = Batch::parse(&header).unwrap();
    assert_eq!(batch.header.next_offset(), 103);
}

#[test]
fn a_record_with_ten_thousand_headers_keeps_them_and_gains_one() {
    let mut record = records().remove(0);
    record.headers = (0..10_000_u32)
        .map(|n| (n.to_be_bytes().to_vec(), None))
        .collect();
    let bytes = batch(&shape(), std::slice::from_ref(&record));
    let batch = Batch::parse(&bytes).unwrap();
    let mut builder = BatchBuilder::with_capacity(0);
    for record in batch.records(batch.payload()).unwrap() {
        let stamp = Stamp::Text {
            place: "t/0/",
            offset: 100,
        };
        builder.push(&record.unwrap(), 5, stamp).unwrap();
    }
    let signature = fanout_core::batch::Signature {
        id: 1,
        epoch: 0,
        sequence: 0,
        transactional: true,
    };
    let codec = fanout_core::batch::Codec::None;
    let mut packer = fanout_core::batch::Packer::new();
    let sealed = builder
        .seal(signature, codec, &mut packer, Vec::new())
        .unwrap();
    record
        .headers
        .push((b"fanout.origin".to_vec(), Some(b"t/0/100".to_vec())));
    record.offset = 0;
    assert_eq!(reference::read(sealed.bytes()), [record]);
}
