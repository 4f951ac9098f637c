//! A lane against the twin in memory: whatever goes wrong, every record arrives once and in order.

use std::collections::BTreeMap;

use bytes::Bytes;
use fanout_core::error::Error;
use fanout_core::forward::lane::{LaneEnd, Outcome};
use fanout_core::forward::memory::{Fault, MemoryCluster};
use fanout_core::forward::plan::{Spreading, Stamping};
use fanout_core::forward::protocol::Protocol;
use fanout_core::forward::seam::Aborted;
use fanout_core::note::Note;
use fanout_core::record::{Origin, Tally};
use fanout_core::route::{Partitioner, Policy};
use faults::fault;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::RecordBatchDecoder;
use lane::{batch, source, Kind, TARGETS};
use proptest::prelude::*;

#[path = "lane/faults.rs"]
mod faults;
mod lane;

/// A run's lane: by key, with origins.
fn run(cluster: &MemoryCluster, end: i64) -> LaneEnd {
    let spreading = Spreading {
        policy: Policy::Key(Partitioner::Xxh3),
        stamping: Stamping::Run,
        codec: None,
    };
    lane::run(cluster, end, spreading).0
}

/// The origins that a reader of each target sees, in order.
fn carried(cluster: &MemoryCluster) -> BTreeMap<i32, Vec<i64>> {
    let mut seen = BTreeMap::new();
    for target in TARGETS {
        let mut offsets = Vec::new();
        for bytes in cluster.visible(target) {
            let set = RecordBatchDecoder::decode(&mut Bytes::from(bytes)).expect("sound batch");
            for record in set.records {
                let header = record
                    .headers
                    .get(&StrBytes::from_static_str("fanout.origin"));
                let value = header.and_then(Option::as_ref).expect("an origin");
                offsets.push(Origin::from_bytes(value).expect("well formed").offset);
            }
        }
        seen.insert(target, offsets);
    }
    seen
}

/// Checks that `expected` arrived once each, in order a target, and that the tally says so.
fn assert_exactly(cluster: &MemoryCluster, expected: impl Iterator<Item = i64>) {
    let mut all: Vec<i64> = Vec::new();
    for offsets in carried(cluster).into_values() {
        assert!(
            offsets.is_sorted_by(|a, b| a < b),
            "out of order: {offsets:?}"
        );
        all.extend(offsets);
    }
    all.sort_unstable();
    let expected: Vec<i64> = expected.collect();
    assert_eq!(all, expected);
    let mut tally = Tally::default();
    for offset in expected {
        tally.add(Origin {
            partition: 2,
            offset,
        });
    }
    let place = cluster.committed().expect("a commit");
    assert_eq!(place.metadata.parse::<Note>().expect("ours").done, tally);
    assert!(!cluster.has_open_transaction());
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::EpochEach), Just(Protocol::EpochKept)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_record_arrives_once_whatever_goes_wrong(
        faults in proptest::collection::vec(fault(), 0..8),
        protocol in protocol(),
    ) {
        let cluster = source(120, 50).speaking(protocol);
        for &fault in &faults {
            cluster.plant(fault);
        }

        let end = run(&cluster, 6000);

        prop_assert_eq!(end.outcome.expect("no fault is final"), Outcome::End);
        prop_assert_eq!(cluster.faults_left(), 0, "a fault that did not happen proves nothing");
        assert_exactly(&cluster, 0..6000);
    }
}

#[test]
fn a_lost_answer_to_the_end_of_a_transaction_neither_loses_nor_doubles() {
    for protocol in [Protocol::EpochEach, Protocol::EpochKept] {
        for fault in [Fault::EndAnswerLost, Fault::EndLost] {
            let cluster = source(4, 50).speaking(protocol);
            cluster.plant(fault);
            let end = run(&cluster, 200);
            assert_eq!(end.outcome.expect("renewed"), Outcome::End);
            assert_exactly(&cluster, 0..200);
        }
    }
}

#[test]
fn a_late_end_of_a_transaction_does_not_end_the_next_one() {
    for protocol in [Protocol::EpochEach, Protocol::EpochKept] {
        let cluster = source(120, 50).speaking(protocol);
        cluster.plant(Fault::EndLate);
        let end = run(&cluster, 6000);
        assert_eq!(end.outcome.expect("renewed"), Outcome::End);
        assert_exactly(&cluster, 0..6000);
    }
}

#[test]
fn a_lane_that_was_taken_over_stops_and_shows_nothing_more() {
    let cluster = source(4, 50);
    cluster.plant(Fault::TakenOver);
    let end = run(&cluster, 200);
    assert!(matches!(end.outcome, Err(Error::Fenced { .. })));
    assert!(carried(&cluster).values().all(Vec::is_empty));
    assert!(cluster.committed().is_none());
}

#[test]
fn a_batch_that_the_target_refuses_stops_the_lane_and_leaves_nothing_open() {
    let cluster = source(4, 50);
    cluster.plant(Fault::ProduceCode(10));
    let end = run(&cluster, 200);
    let Err(Error::Halted { at, remedy, .. }) = end.outcome else {
        panic!("too large is final: {:?}", end.outcome);
    };
    assert_eq!(at.to_string(), "orders/2");
    assert!(remedy.contains("max.message.bytes"));
    assert!(!cluster.has_open_transaction());
}

#[test]
fn a_lane_begun_again_goes_on_where_the_committed_offset_says() {
    let cluster = source(4, 50);
    assert_eq!(run(&cluster, 100).position, 100);
    let end = run(&cluster, 200);
    assert_eq!((end.position, end.tally.count), (200, 200));
    assert_exactly(&cluster, 0..200);
}

#[test]
fn a_corrupt_batch_halts_the_lane_there_and_everything_before_it_is_carried() {
    let cluster = source(2, 50);
    let mut broken = batch(100..150, Kind::default());
    *broken.last_mut().expect("not empty") ^= 1;
    cluster.append_source(150, broken);
    let end = run(&cluster, 150);
    let Err(Error::Halted {
        offset, problem, ..
    }) = end.outcome
    else {
        panic!("corrupt data is never passed: {:?}", end.outcome);
    };
    assert_eq!((offset, end.position), (100, 100));
    assert!(problem.contains("CRC"), "{problem}");
    assert_exactly(&cluster, 0..100);
}

#[test]
fn records_of_aborted_transactions_and_markers_are_left_out_and_stepped_over() {
    let cluster = source(1, 50);
    let by_nine = |control| Kind {
        producer: Some(9),
        control,
    };
    cluster.append_source(60, batch(50..60, by_nine(false)));
    cluster.append_source(70, batch(60..70, Kind::default()));
    cluster.append_source(71, batch(70..71, by_nine(true)));
    cluster.append_source(80, batch(71..80, by_nine(false)));
    cluster.append_source(81, batch(80..81, by_nine(true)));
    let aborted = Aborted {
        first_offset: 50,
        producer_id: 9,
    };
    cluster.abort_source(aborted, 70);
    let end = run(&cluster, 81);
    assert_eq!(
        (end.outcome.expect("the end"), end.position),
        (Outcome::End, 81)
    );
    assert_exactly(&cluster, (0..50).chain(60..70).chain(71..80));
}

#[test]
fn an_offset_that_another_tool_moved_stops_the_lane() {
    let foreign = [
        ("", "another tool"),
        ("fanout1 0 0000000000000000 other", "another target"),
    ];
    for (metadata, word) in foreign {
        let cluster = source(2, 50);
        cluster.move_committed(50, metadata);
        let end = run(&cluster, 100);
        let Err(Error::Halted { problem, .. }) = end.outcome else {
            panic!("foreign metadata is final: {:?}", end.outcome);
        };
        assert!(problem.contains(word), "{problem}");
        assert!(carried(&cluster).values().all(Vec::is_empty));
    }
}
