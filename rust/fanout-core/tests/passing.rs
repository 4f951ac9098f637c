//! Batches that travel whole: what is patched, what is left alone, and which do not pass.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "small numbers that the test itself chose"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use fanout_core::batch::{Batch, Codec, PassedBatch, Signature};
use fanout_core::error::Error;
use fanout_core::forward::lane::Outcome;
use fanout_core::forward::memory::{Fault, MemoryCluster};
use fanout_core::forward::plan::{Spreading, Stamping};
use fanout_core::forward::stats::Reason;
use fanout_core::note::Note;
use fanout_core::record::Tally;
use fanout_core::route::Policy;
use faults::fault;
use kafka_protocol::records::RecordBatchDecoder;
use lane::{batch, source, Kind, TARGETS};
use proptest::prelude::*;

#[path = "lane/faults.rs"]
mod faults;
mod lane;
mod reference;

const WHOLE: Spreading = Spreading {
    policy: Policy::Batch,
    stamping: Stamping::None,
    codec: None,
};

/// Source batches by `way:reason`, as summaries show them.
fn ways(cluster: &MemoryCluster, end: i64, how: Spreading) -> BTreeMap<String, u64> {
    let (end, stats) = lane::run(cluster, end, how);
    assert_eq!(
        end.outcome.expect("nothing stands in the way"),
        Outcome::End
    );
    let counts = stats.batches().into_iter();
    counts
        .map(|(way, reason, count)| (format!("{}:{}", way.name(), reason.name()), count))
        .collect()
}

/// Values that readers of the targets see, all together.
fn values(cluster: &MemoryCluster) -> Vec<String> {
    let mut values = Vec::new();
    for bytes in TARGETS
        .into_iter()
        .flat_map(|target| cluster.visible(target))
    {
        let set = RecordBatchDecoder::decode(&mut Bytes::from(bytes)).expect("a sound batch");
        let texts = set
            .records
            .into_iter()
            .map(|record| record.value.expect("a value"));
        values.extend(texts.map(|text| String::from_utf8(text.to_vec()).expect("text")));
    }
    values.sort_unstable();
    values
}

fn expected(offsets: std::ops::Range<i64>) -> Vec<String> {
    let mut values: Vec<_> = offsets.map(|offset| format!("value {offset}")).collect();
    values.sort_unstable();
    values
}

/// The tally that the lane left beside its offset, and that of all records below it.
fn tallies(cluster: &MemoryCluster) -> (Tally, Tally) {
    let place = cluster.committed().expect("a commit");
    let mut all = Tally::default();
    all.add_range(2, 0, place.offset);
    (place.metadata.parse::<Note>().expect("ours").done, all)
}

proptest! {
    #[test]
    fn a_passed_batch_keeps_every_record_byte_and_has_a_right_checksum(
        (shape, records) in reference::any_batch(1..30),
        codec in 0..5_i16,
        signature in (any::<i64>(), any::<i16>(), 0..i32::MAX, any::<bool>()),
    ) {
        let shape = reference::Shape { attributes: codec, ..shape };
        // To the pass way a payload is bytes, packed or not.
        let bytes = Bytes::from(reference::batch(&shape, &records));
        let source = Batch::parse(&bytes).expect("a sound batch");
        let (id, epoch, sequence, transactional) = signature;

        let passed = PassedBatch::new(
            &source,
            bytes.slice_ref(source.payload()),
            Signature { id, epoch, sequence, transactional },
        );

        let whole = passed.slices().concat();
        prop_assert_eq!(whole.len(), passed.len());
        prop_assert_eq!(&whole[61..], source.payload());
        let read = Batch::parse(&whole).expect("a sound batch");
        prop_assert!(read.verify_crc().is_ok());
        let header = read.header;
        prop_assert_eq!((header.base_offset, header.leader_epoch), (0, -1));
        prop_assert_eq!(header.attributes.bits(), codec | i16::from(transactional) << 4);
        prop_assert_eq!(
            (header.producer_id, header.producer_epoch, header.base_sequence),
            (id, epoch, sequence)
        );
        prop_assert_eq!(header.record_count, source.header.record_count);
        prop_assert_eq!(header.last_offset_delta, source.header.last_offset_delta);
        prop_assert_eq!(header.base_timestamp, source.header.base_timestamp);
        prop_assert_eq!(header.max_timestamp, source.header.max_timestamp);
        let moved = records.iter().map(|record| reference::Plain {
            offset: record.offset - shape.base_offset,
            ..record.clone()
        });
        prop_assert_eq!(reference::read(&whole), moved.collect::<Vec<_>>());
    }

    #[test]
    fn damage_to_a_payload_stays_visible_in_a_passed_batch(
        (shape, records) in reference::any_batch(1..10),
        at in any::<prop::sample::Index>(),
    ) {
        let mut bytes = reference::batch(&shape, &records);
        let at = 61 + at.index(bytes.len() - 61);
        bytes[at] ^= 1;
        let bytes = Bytes::from(bytes);
        let source = Batch::parse(&bytes).expect("a sound header");
        let signature = Signature { id: 1, epoch: 2, sequence: 3, transactional: true };
        let passed = PassedBatch::new(&source, bytes.slice_ref(source.payload()), signature);
        let whole = passed.slices().concat();
        prop_assert!(Batch::parse(&whole).expect("a sound header").verify_crc().is_err());
    }
}

#[test]
fn large_batches_pass_whole_and_the_tally_counts_every_record() {
    let cluster = source(20, 300);
    assert_eq!(
        ways(&cluster, 6000, WHOLE),
        // The first fetch shows that batches can pass, by then the second one is asked for.
        BTreeMap::from([("pass:unread".to_owned(), 16), ("pass:whole".to_owned(), 4)])
    );
    assert_eq!(values(&cluster), expected(0..6000));
    let (done, all) = tallies(&cluster);
    assert_eq!(done, all);
    let batches: Vec<_> = TARGETS.map(|target| cluster.visible(target).len()).into();
    // The emptiest is next, or one nearly as empty where a request goes anyway.
    assert!(
        batches.iter().all(|count| (3..=7).contains(count)),
        "{batches:?}"
    );
}

#[test]
fn small_batches_are_merged_and_a_lane_says_so() {
    let cluster = source(120, 5);
    assert_eq!(
        ways(&cluster, 600, WHOLE),
        BTreeMap::from([("splice:merge".to_owned(), 120)])
    );
    assert_eq!(values(&cluster), expected(0..600));
    let produced: usize = TARGETS
        .map(|target| cluster.visible(target).len())
        .iter()
        .sum();
    assert!(produced < 60, "{produced} batches of 120");
}

#[test]
fn a_batch_that_reaches_over_the_end_is_cut_and_the_rest_passes() {
    let cluster = source(2, 300);
    let found = ways(&cluster, 450, WHOLE);
    assert_eq!(
        found,
        BTreeMap::from([("pass:whole".to_owned(), 1), ("splice:cut".to_owned(), 1)])
    );
    let found = ways(&cluster, 600, WHOLE);
    assert_eq!(found, BTreeMap::from([("splice:cut".to_owned(), 1)]));
    assert_eq!(values(&cluster), expected(0..600));
    let (done, all) = tallies(&cluster);
    assert_eq!(done, all);
}

#[test]
fn what_the_user_asks_for_is_the_first_reason_not_to_pass() {
    let asked = [
        (
            Spreading {
                stamping: Stamping::Run,
                ..WHOLE
            },
            "splice:origin",
        ),
        (
            Spreading {
                stamping: Stamping::Text,
                ..WHOLE
            },
            "splice:origin",
        ),
        (
            Spreading {
                codec: Some(Codec::Lz4),
                ..WHOLE
            },
            "splice:codec",
        ),
        (
            Spreading {
                policy: Policy::RoundRobin,
                ..WHOLE
            },
            "splice:spread",
        ),
    ];
    for (how, reason) in asked {
        let found = ways(&source(2, 300), 600, how);
        assert_eq!(found, BTreeMap::from([(reason.to_owned(), 2)]));
    }
}

#[test]
fn what_a_broker_would_refuse_or_change_does_not_pass() {
    let with = |at: usize, bits: u8| {
        let mut bytes = batch(0..300, Kind::default());
        bytes[at] |= bits;
        reference::with_right_crc(bytes)
    };
    let odd = [
        (with(22, 8), "splice:append-time"),
        (with(22, 64), "splice:compacted"),
        (with(25, 8), "splice:compacted"),
    ];
    for (bytes, reason) in odd {
        let next = Batch::parse(&bytes).expect("sound").header.next_offset();
        let cluster = MemoryCluster::new(2);
        cluster.append_source(next, bytes);
        let found = ways(&cluster, next, WHOLE);
        assert_eq!(found, BTreeMap::from([(reason.to_owned(), 1)]));
        assert_eq!(values(&cluster), expected(0..300));
    }
}

#[test]
fn a_damaged_batch_that_passed_is_found_by_the_broker_and_named_by_the_lane() {
    let cluster = source(2, 300);
    let mut broken = batch(600..900, Kind::default());
    *broken.last_mut().expect("not empty") ^= 1;
    cluster.append_source(900, broken);
    cluster.append_source(1200, batch(900..1200, Kind::default()));

    let (end, stats) = lane::run(&cluster, 1200, WHOLE);

    let Err(Error::Halted {
        offset, problem, ..
    }) = end.outcome
    else {
        panic!("damage is never carried: {:?}", end.outcome);
    };
    assert_eq!((offset, end.position), (600, 600));
    assert!(problem.contains("CRC"), "{problem}");
    assert_eq!(values(&cluster), expected(0..600));
    let renewals = stats.renewals.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(renewals, 1, "once, then checksums are compared here");
}

#[test]
fn a_lost_answer_sends_the_same_bytes_of_a_passed_batch_again() {
    for fault in [
        Fault::ProduceAnswerLost,
        Fault::LeadersMove,
        Fault::EndAnswerLost,
    ] {
        let cluster = source(20, 300);
        cluster.plant(fault);
        ways(&cluster, 6000, WHOLE);
        assert_eq!(cluster.faults_left(), 0);
        assert_eq!(values(&cluster), expected(0..6000));
        let (done, all) = tallies(&cluster);
        assert_eq!(done, all);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_nobody_here_has_read_arrives_once_whatever_goes_wrong(
        (ahead, at) in (2..6_u32, 0..TARGETS.len()),
        faults in proptest::collection::vec(fault(), 0..4),
        end in 22_000_i64..23_000,
    ) {
        let cluster = source(120, 200);
        // The first one comes when payloads stay in the kernel, and the others behind it.
        cluster.plant(Fault::ProduceAt(ahead, TARGETS[at], 6));
        for &fault in &faults {
            cluster.plant(fault);
        }
        let found = ways(&cluster, end, WHOLE);
        prop_assert_eq!(cluster.faults_left(), 0, "a fault that did not happen proves nothing");
        prop_assert!(found.get("pass:unread").is_some_and(|&count| count > 10), "{:?}", found);
        prop_assert_eq!(values(&cluster), expected(0..end));
        let (done, all) = tallies(&cluster);
        prop_assert_eq!(done, all);
        prop_assert!(!cluster.has_open_transaction());
    }
}

#[test]
fn a_payload_that_was_left_in_the_kernel_is_read_where_its_batch_is_cut() {
    let cluster = source(20, 300);
    let found = ways(&cluster, 5950, WHOLE);
    assert_eq!(found.get("splice:cut"), Some(&1), "{found:?}");
    assert_eq!(found.get("pass:unread"), Some(&15), "{found:?}");
    assert_eq!(values(&cluster), expected(0..5950));
}

#[test]
fn a_first_request_that_is_refused_while_markers_are_written_costs_no_transaction() {
    let cluster = source(60, 200);
    // Of each of ten transactions: from the third on their batches come from the kernel.
    for _ in 0..10 {
        cluster.plant(Fault::FirstRefused);
    }
    let (end, stats) = lane::run(&cluster, 12_000, WHOLE);
    assert_eq!(end.outcome.expect("carried"), Outcome::End);
    assert_eq!(cluster.faults_left(), 0);
    assert_eq!(stats.renewals.load(std::sync::atomic::Ordering::Relaxed), 0);
    let unread = stats
        .batches()
        .into_iter()
        .find(|(_, reason, _)| *reason == Reason::Unread);
    assert!(unread.is_some_and(|(.., count)| count > 40), "{unread:?}");
    assert_eq!(values(&cluster), expected(0..12_000));
}

#[test]
fn targets_on_two_brokers_are_sent_requests_as_long_as_those_of_one() {
    // Of the four targets three lie on one broker, the emptiest would be on another one each fourth time.
    let cluster = source(60, 200);
    let found = ways(&cluster, 12_000, WHOLE);
    let requests = cluster.requests();
    assert!(requests <= 36, "{requests} requests for {found:?}");
}
