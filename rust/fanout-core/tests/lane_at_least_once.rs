//! A lane without transactions, against the twin in memory: whatever goes wrong, nothing is lost.

use std::collections::BTreeMap;

use bytes::Bytes;
use fanout_core::forward::lane::{LaneEnd, Outcome};
use fanout_core::forward::memory::{Fault, MemoryCluster};
use fanout_core::forward::plan::Delivery;
use fanout_core::forward::plan::{Spreading, Stamping};
use fanout_core::note::Note;
use fanout_core::record::{Origin, Tally};
use fanout_core::route::{Partitioner, Policy};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::RecordBatchDecoder;
use lane::{source, TARGETS};
use proptest::prelude::*;

mod lane;

const SPREADING: Spreading = Spreading {
    policy: Policy::Key(Partitioner::Xxh3),
    stamping: Stamping::Run,
    codec: None,
};

fn run(cluster: &MemoryCluster, end: i64) -> LaneEnd {
    let commit = (cluster.offsets(), Delivery::AtLeastOnce);
    lane::run_with(commit, cluster, end, SPREADING).0
}

/// How often each origin stands in the targets.
fn arrived(cluster: &MemoryCluster) -> BTreeMap<i64, u32> {
    let mut seen = BTreeMap::new();
    for bytes in TARGETS.iter().flat_map(|&target| cluster.visible(target)) {
        let set = RecordBatchDecoder::decode(&mut Bytes::from(bytes)).expect("sound batch");
        for record in set.records {
            let name = StrBytes::from_static_str("fanout.origin");
            let value = record.headers.get(&name).and_then(Option::as_ref);
            let origin = Origin::from_bytes(value.expect("an origin")).expect("well formed");
            *seen.entry(origin.offset).or_default() += 1;
        }
    }
    seen
}

/// Checks that all below the committed offset has arrived, and that the tally beside it counts each record once.
fn assert_nothing_lost(cluster: &MemoryCluster) -> i64 {
    let place = cluster.committed().expect("a commit");
    let arrived = arrived(cluster);
    let lost: Vec<i64> = (0..place.offset)
        .filter(|at| !arrived.contains_key(at))
        .collect();
    assert_eq!(lost, [0; 0], "below the committed offset {}", place.offset);
    let mut tally = Tally::default();
    for offset in 0..place.offset {
        tally.add(Origin {
            partition: 2,
            offset,
        });
    }
    assert_eq!(place.metadata.parse::<Note>().expect("ours").done, tally);
    place.offset
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::ProduceCode(6)),
        Just(Fault::ProduceCode(19)),
        Just(Fault::ProduceCode(45)),
        Just(Fault::ProduceCode(59)),
        (0..6_u32, 0..4_usize).prop_map(|(ahead, at)| Fault::ProduceAt(ahead, TARGETS[at], 45)),
        Just(Fault::LeadersMove),
        Just(Fault::ProduceAnswerLost),
        Just(Fault::EndLost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_record_arrives_whatever_goes_wrong(
        faults in proptest::collection::vec(fault(), 0..8),
    ) {
        let cluster = source(60, 50);
        for &fault in &faults {
            cluster.plant(fault);
        }

        let end = run(&cluster, 3000);

        prop_assert_eq!(end.outcome.expect("no fault is final"), Outcome::End);
        prop_assert_eq!(cluster.faults_left(), 0, "a fault that did not happen proves nothing");
        prop_assert_eq!(assert_nothing_lost(&cluster), 3000);
    }

    #[test]
    fn wherever_a_lane_breaks_off_what_it_committed_has_arrived(
        faults in proptest::collection::vec(fault(), 0..4),
    ) {
        let cluster = source(60, 50);
        for fault in faults.into_iter().chain([Fault::FetchGone]) {
            cluster.plant(fault);
        }

        prop_assert!(run(&cluster, 3000).outcome.is_err());
        assert_nothing_lost(&cluster);

        // The next one goes on from there.
        prop_assert_eq!(run(&cluster, 3000).outcome.expect("no fault is left"), Outcome::End);
        prop_assert_eq!(assert_nothing_lost(&cluster), 3000);
    }
}

#[test]
fn a_batch_refused_at_any_place_is_sent_again_before_its_place_is_committed() {
    for ahead in 0.. {
        let cluster = source(20, 50);
        cluster.plant(Fault::ProduceAt(ahead, TARGETS[0], 6));
        let end = run(&cluster, 1000);
        assert_eq!(end.outcome.expect("it is sent again"), Outcome::End);
        assert_eq!(assert_nothing_lost(&cluster), 1000);
        if cluster.faults_left() > 0 {
            // All requests were tried, the last one too.
            assert!(ahead > 5, "{ahead} requests");
            return;
        }
    }
}

#[test]
fn without_a_fault_every_record_arrives_once_and_several_checkpoints_are_committed() {
    let cluster = source(60, 50);
    let commit = (cluster.offsets(), Delivery::AtLeastOnce);
    let (end, stats) = lane::run_with(commit, &cluster, 3000, SPREADING);
    assert_eq!(end.outcome.expect("nothing went wrong"), Outcome::End);
    assert_eq!(assert_nothing_lost(&cluster), 3000);
    assert!(arrived(&cluster).values().all(|&times| times == 1));
    let commits = stats.commits.load(std::sync::atomic::Ordering::Relaxed);
    assert!(commits > 3, "{commits} commits");
}

#[test]
fn a_group_goes_on_under_the_other_promise() {
    let cluster = source(4, 50);
    assert_eq!(lane::run(&cluster, 100, SPREADING).0.position, 100);
    let end = run(&cluster, 200);
    assert_eq!((end.began, end.position, end.forwarded), (100, 200, 100));
    assert_eq!(assert_nothing_lost(&cluster), 200);
}
