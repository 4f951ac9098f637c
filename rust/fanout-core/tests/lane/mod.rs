//! A lane on the twin in memory, with a source that tests fill.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fanout_core::clock::ManualClock;
use fanout_core::forward::lane::{Control, Lane, LaneEnd, LanePlan, Seams};
use fanout_core::forward::memory::MemoryCluster;
use fanout_core::forward::outbox::Outbox;
use fanout_core::forward::plan::{Delivery, ForwardLimits, Spreading};
use fanout_core::forward::seam::Commit;
use fanout_core::forward::spread::Spread;
use fanout_core::forward::stats::LaneStats;
use fanout_core::forward::transaction::TransactionLimits;
use fanout_core::record::TopicPartition;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

pub(crate) const TARGETS: [i32; 4] = [4, 5, 6, 8];
/// Runs of one key fill about a batch, so that requests differ in the targets they name.
const RUN: i64 = 18;
const KEYS: i64 = 61;

/// What is told apart in a source batch.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kind {
    pub(crate) producer: Option<i64>,
    pub(crate) control: bool,
}

fn record(offset: i64, kind: Kind) -> Record {
    let key = if kind.control {
        // Version 0, type 0: the end of an aborted transaction.
        Bytes::from_static(&[0, 0, 0, 0])
    } else {
        Bytes::from(format!("key-{}", offset / RUN % KEYS))
    };
    Record {
        transactional: kind.producer.is_some(),
        control: kind.control,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: kind.producer.unwrap_or(-1),
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).expect("small"),
        timestamp: 1_700_000_000_000 + offset,
        key: Some(key),
        value: Some(Bytes::from(format!("value {offset}"))),
        headers: IndexMap::from([(StrBytes::from_static_str("h"), None)]),
    }
}

pub(crate) fn batch(offsets: std::ops::Range<i64>, kind: Kind) -> Vec<u8> {
    let records: Vec<Record> = offsets.map(|offset| record(offset, kind)).collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("sound records");
    bytes.to_vec()
}

/// A source of `batches` batches of `size` records.
pub(crate) fn source(batches: i64, size: i64) -> MemoryCluster {
    let cluster = MemoryCluster::new(2);
    for start in (0..batches * size).step_by(usize::try_from(size).expect("small")) {
        cluster.append_source(start + size, batch(start..start + size, Kind::default()));
    }
    cluster
}

/// Runs the lane of `orders/2` to `end`; its counters beside its last word.
pub(crate) fn run(
    cluster: &MemoryCluster,
    end: i64,
    spreading: Spreading,
) -> (LaneEnd, Arc<LaneStats>) {
    let (_, _, commit) = cluster.seams();
    run_with((commit, Delivery::ExactlyOnce), cluster, end, spreading)
}

/// The same with what commits, and the promise that it is made for.
pub(crate) fn run_with<C: Commit>(
    (commit, delivery): (C, Delivery),
    cluster: &MemoryCluster,
    end: i64,
    spreading: Spreading,
) -> (LaneEnd, Arc<LaneStats>) {
    let at = TopicPartition::new("orders", 2);
    let limits = ForwardLimits {
        fetch_bytes: 64 << 10,
        batch_bytes: 1024,
        grown_batch_bytes: 1024,
        merge_below_bytes: 4 << 10,
        flow_from_bytes: 4 << 10,
        transaction_bytes: 6 << 10,
        transaction_ms: 500,
        lane_memory_bytes: 1 << 20,
    };
    let (fetch, produce, _) = cluster.seams();
    let seams = Seams {
        fetch,
        produce: Outbox::new(produce, at.clone(), 16 << 10),
        commit,
    };
    let spread = Spread::new(at.clone(), &TARGETS, spreading, &limits).expect("there are targets");
    let plan = LanePlan {
        at,
        start: Some(0),
        end: Some(end),
        tag: "target".to_owned(),
        batch_limit_bytes: 1 << 20,
        limits: TransactionLimits {
            bytes: 20 << 10,
            age: Duration::from_secs(3600),
        },
        patience: Duration::from_secs(3600),
    };
    let control = (Control::default(), Arc::new(ManualClock::default()) as _);
    let stats = Arc::<LaneStats>::default();
    let lane = Lane::new(plan, seams, spread, control, stats.clone());
    (lane.with_delivery(delivery).run(), stats)
}
