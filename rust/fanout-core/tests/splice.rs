//! Properties of the way a record takes through fanout: walked, copied, sealed.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "small numbers that the test itself chose"
)]

mod reference;

use bytes::Bytes;
use fanout_core::batch::{
    Batch, BatchBuilder, Codec, Packer, SealedBatch, Signature, Stamp, Unpacker,
};
use fanout_core::record::Origin;
use kafka_protocol::records::{Compression, RecordBatchDecoder};
use proptest::prelude::*;
use reference::{any_batch, batch, batch_around, payload, read, Plain, Shape};

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

const SIGNATURE: Signature = Signature {
    id: 77,
    epoch: 5,
    sequence: 1000,
    transactional: true,
};

/// Pushes every record of `bytes` and seals; returns how many headers were stripped as well.
///
/// Whether short records are gathered first makes no difference to the batch.
fn splice(
    bytes: &[u8],
    codec: Codec,
    stamp: impl Fn(i64) -> Stamp<'static>,
) -> (SealedBatch, usize) {
    let batch = Batch::parse(bytes).expect("a sound batch");
    batch.verify_crc().expect("a right CRC");
    let mut unpacker = Unpacker::new(1 << 26);
    let payload = unpacker.unpack(&batch).expect("a sound payload");
    let mut builder = BatchBuilder::with_capacity(1024);
    let mut gathering = BatchBuilder::with_capacity(1024);
    gathering.gather(true);
    let mut stripped = 0;
    for record in batch.records(payload).expect("a count that fits") {
        let record = record.expect("a sound record");
        let timestamp = batch.header.timestamp_of(record.timestamp_delta);
        let offset = batch.header.offset_of(record.offset_delta);
        let before = builder.len();
        let limits: Vec<usize> = (before..before + record.body().len() + 400).collect();
        let fits_from = limits.partition_point(|&most| !builder.fits(&record, stamp(offset), most));
        stripped += builder
            .push(&record, timestamp, stamp(offset))
            .expect("sound headers");
        assert!(builder.len() > before && builder.len() <= limits[fits_from]);
        let gathered = gathering.push(&record, timestamp, stamp(offset));
        gathered.expect("sound headers");
        assert_eq!(gathering.len(), builder.len());
    }
    let [sealed, gathered] = [builder, gathering].map(|mut builder| {
        let sealed = builder.seal(SIGNATURE, codec, &mut Packer::new(), Vec::new());
        sealed.expect("a batch of moderate size")
    });
    assert_eq!(sealed.bytes(), gathered.bytes());
    (sealed, stripped)
}

/// The records of a sealed batch by the plain reader, whatever packs them.
fn unpacked(sealed: &SealedBatch) -> Vec<Plain> {
    let batch = Batch::parse(sealed.bytes()).expect("a sound batch");
    let mut unpacker = Unpacker::new(1 << 26);
    let payload = unpacker.unpack(&batch).expect("a sound payload");
    let mut plain = sealed.bytes()[..61].to_vec();
    plain.extend(payload);
    read(&reference::with_right_crc(plain))
}

proptest! {
    #[test]
    fn a_spliced_record_keeps_every_byte_and_gains_only_its_stamp(
        (shape, records) in any_batch(1..40),
        codec in prop::sample::select(&CODECS[..]),
    ) {
        let origin = |offset| Origin { partition: 3, offset };
        let (sealed, stripped) = splice(&batch(&shape, &records), codec, |at| Stamp::Run(origin(at)));

        let mut expected = records.clone();
        for (index, record) in expected.iter_mut().enumerate() {
            let stamp = origin(record.offset).to_bytes().to_vec();
            record.headers.push((b"fanout.origin".to_vec(), Some(stamp)));
            record.offset = index as i64;
        }
        prop_assert_eq!(stripped, 0);
        prop_assert_eq!(unpacked(&sealed), expected);
    }

    #[test]
    fn a_record_without_a_stamp_keeps_even_headers_that_bear_our_prefix(
        (shape, mut records) in any_batch(1..20),
    ) {
        for record in &mut records {
            record.headers.insert(0, (b"fanout.origin".to_vec(), None));
        }
        let (sealed, stripped) = splice(&batch(&shape, &records), Codec::None, |_| Stamp::None);
        for (index, record) in records.iter_mut().enumerate() {
            record.offset = index as i64;
        }
        prop_assert_eq!(stripped, 0);
        prop_assert_eq!(read(sealed.bytes()), records);
    }

    #[test]
    fn forged_headers_are_stripped_and_counted_wherever_they_stand(
        (shape, records) in any_batch(1..20),
        forged in prop::collection::vec((0..4_usize, "fanout\\.[a-z]{0,6}"), 1..4),
    ) {
        let mut sent = records.clone();
        for record in &mut sent {
            for (at, name) in &forged {
                let at = (*at).min(record.headers.len());
                record.headers.insert(at, (name.clone().into_bytes(), Some(vec![0; 12])));
            }
        }
        let stamp = |offset| Stamp::Text { place: "orders/2/", offset };
        let (sealed, stripped) = splice(&batch(&shape, &sent), Codec::None, stamp);

        prop_assert_eq!(stripped, forged.len() * records.len());
        for (got, sent) in read(sealed.bytes()).iter().zip(&records) {
            let (stamp, kept) = got.headers.split_last().unwrap();
            prop_assert_eq!(kept, &sent.headers[..]);
            let text = format!("orders/2/{}", sent.offset).into_bytes();
            prop_assert_eq!(stamp, &(b"fanout.origin".to_vec(), Some(text)));
        }
    }

    #[test]
    fn the_header_of_a_sealed_batch_is_what_a_broker_demands(
        (shape, records) in any_batch(1..20),
        codec in prop::sample::select(&CODECS[..]),
    ) {
        let (sealed, _) = splice(&batch(&shape, &records), codec, |_| Stamp::None);
        let parsed = Batch::parse(sealed.bytes()).unwrap();
        prop_assert_eq!(&parsed.header, sealed.header());
        prop_assert!(parsed.verify_crc().is_ok());
        let header = parsed.header;
        let count = records.len() as i32;
        prop_assert_eq!((header.base_offset, header.leader_epoch), (0, -1));
        prop_assert_eq!((header.record_count, header.last_offset_delta), (count, count - 1));
        prop_assert_eq!(header.producer_id, SIGNATURE.id);
        prop_assert_eq!((header.producer_epoch, header.base_sequence), (5, 1000));
        prop_assert_eq!(header.base_timestamp, records[0].timestamp);
        prop_assert_eq!(Some(header.max_timestamp), records.iter().map(|r| r.timestamp).max());
        prop_assert!(header.is_transactional() && !header.is_control());
        prop_assert!(!header.is_log_append_time() && !header.has_delete_horizon());
        prop_assert!(header.codec() == codec || header.codec() == Codec::None);
        prop_assert!(sealed.bytes().len() <= sealed.unpacked_len());
    }

    #[test]
    fn another_decoder_reads_what_was_sealed((shape, mut records) in any_batch(1..20)) {
        for (index, record) in records.iter_mut().enumerate() {
            // That decoder wants text for names, and keeps them in a map.
            record.headers = vec![(format!("h{index}").into_bytes(), Some(vec![index as u8]))];
            // And it does not wrap: Java does, and so do the properties above.
            record.timestamp = record.timestamp.rem_euclid(1 << 62);
        }
        let origin = |offset| Origin { partition: 1, offset };
        let (sealed, _) = splice(&batch(&shape, &records), Codec::None, |at| Stamp::Run(origin(at)));

        let mut bytes = Bytes::copy_from_slice(sealed.bytes());
        let decoded = RecordBatchDecoder::decode(&mut bytes).unwrap();
        prop_assert_eq!(decoded.compression, Compression::None);
        prop_assert_eq!(decoded.records.len(), records.len());
        for (index, (got, sent)) in decoded.records.iter().zip(&records).enumerate() {
            prop_assert_eq!(got.offset, index as i64);
            prop_assert_eq!(got.sequence, 1000 + index as i32);
            prop_assert_eq!(got.timestamp, sent.timestamp);
            prop_assert_eq!(got.key.as_deref(), sent.key.as_deref());
            prop_assert_eq!(got.value.as_deref(), sent.value.as_deref());
            let headers: Vec<_> = got.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref())).collect();
            let stamp = origin(sent.offset).to_bytes();
            prop_assert_eq!(headers.len(), 2);
            prop_assert_eq!(headers[0], (&sent.headers[0].0[..], sent.headers[0].1.as_deref()));
            prop_assert_eq!(headers[1], (&b"fanout.origin"[..], Some(&stamp[..])));
        }
    }

    #[test]
    fn a_packed_batch_gives_the_same_records_as_one_that_is_not(
        (mut shape, records) in any_batch(1..40),
        codec in 1..5_usize,
    ) {
        let mut packed = Vec::new();
        Packer::new().pack(CODECS[codec], &payload(&shape, &records), &mut packed).unwrap();
        let (plain, _) = splice(&batch(&shape, &records), Codec::None, |_| Stamp::None);
        shape.attributes = codec as i16;
        let (transcoded, _) = splice(&batch_around(&shape, &records, &packed), Codec::None, |_| Stamp::None);
        prop_assert_eq!(transcoded.bytes(), plain.bytes());
    }

    #[test]
    fn a_record_of_a_log_append_source_carries_the_append_time(
        (mut shape, records) in any_batch(1..10),
    ) {
        shape.attributes = 1 << 3;
        shape.max_timestamp = 1_800_000_000_000;
        let (sealed, _) = splice(&batch(&shape, &records), Codec::None, |_| Stamp::None);
        for record in read(sealed.bytes()) {
            prop_assert_eq!(record.timestamp, 1_800_000_000_000);
        }
    }
}

#[test]
fn a_builder_whose_buffers_go_round_stops_allocating() {
    let records: Vec<Plain> = (0..50)
        .map(|offset| Plain {
            offset,
            timestamp: offset,
            key: Some(b"key".to_vec()),
            value: Some(vec![7; 80]),
            headers: Vec::new(),
        })
        .collect();
    let bytes = batch(&Shape::default(), &records);
    let source = Batch::parse(&bytes).unwrap();
    let mut builder = BatchBuilder::with_capacity(16 * 1024);
    let mut packer = Packer::new();
    let mut spare = Vec::with_capacity(16 * 1024);
    let mut places = std::collections::BTreeSet::new();
    for _ in 0..10 {
        for record in source.records(source.payload()).unwrap() {
            builder.push(&record.unwrap(), 0, Stamp::None).unwrap();
        }
        let sealed = builder
            .seal(SIGNATURE, Codec::None, &mut packer, spare)
            .unwrap();
        assert!(builder.is_empty());
        places.insert(sealed.bytes().as_ptr());
        spare = sealed.into_buffer();
    }
    assert_eq!(places.len(), 2, "two buffers take turns");
}
