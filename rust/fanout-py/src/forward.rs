//! The forward engine: settings in once, counters out at any time, how each lane ended at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use fanout_core::batch::Codec;
use fanout_core::cluster::ClientSettings;
use fanout_core::error::{Error, Result};
use fanout_core::forward::crew::Leave;
use fanout_core::forward::engine::Engine;
use fanout_core::forward::lane::{self, Outcome};
use fanout_core::forward::plan::{Delivery, ForwardLimits, ForwardPlan, Stamping, FLOW_FROM_BYTES};
use fanout_core::forward::rate::RateLimits;
use fanout_core::forward::stats::{LaneStats as LaneCounters, State};
use fanout_core::route::{Partitioner, Policy};
use pyo3::prelude::*;

use crate::client::client_settings;
use crate::error::raise;

/// The attributes of `fanout.config.forward.ForwardSettings`.
#[derive(FromPyObject)]
pub(crate) struct ForwardSettings {
    properties: BTreeMap<String, String>,
    source: String,
    target: String,
    group: String,
    transactional_prefix: String,
    partitions: Vec<i32>,
    start: BTreeMap<i32, i64>,
    end: Option<BTreeMap<i32, i64>>,
    route: String,
    partitioner: String,
    allotments: Option<BTreeMap<i32, Vec<i32>>>,
    origin: String,
    delivery: String,
    compression: String,
    fetch_bytes: usize,
    batch_bytes: usize,
    grown_batch_bytes: usize,
    merge_below_bytes: usize,
    transaction_bytes: usize,
    transaction_ms: u64,
    lane_memory_bytes: usize,
    max_rate: Option<f64>,
    max_bytes: Option<f64>,
}

impl ForwardSettings {
    fn into_plan(self, client: ClientSettings) -> Result<ForwardPlan> {
        Ok(ForwardPlan {
            client,
            policy: policy(&self.route, &self.partitioner)?,
            stamping: stamping(&self.origin)?,
            codec: codec(&self.compression)?,
            delivery: delivery(&self.delivery)?,
            limits: ForwardLimits {
                fetch_bytes: self.fetch_bytes,
                batch_bytes: self.batch_bytes,
                grown_batch_bytes: self.grown_batch_bytes,
                merge_below_bytes: self.merge_below_bytes,
                flow_from_bytes: FLOW_FROM_BYTES,
                transaction_bytes: self.transaction_bytes,
                transaction_ms: self.transaction_ms,
                lane_memory_bytes: self.lane_memory_bytes,
            },
            rates: RateLimits {
                records: self.max_rate,
                bytes: self.max_bytes,
            },
            source: self.source,
            target: self.target,
            group: self.group,
            transactional_prefix: self.transactional_prefix,
            partitions: self.partitions,
            start: self.start,
            end: self.end,
            allotments: self.allotments,
        })
    }
}

fn policy(route: &str, partitioner: &str) -> Result<Policy> {
    match route {
        "key" => Ok(Policy::Key(self::partitioner(partitioner)?)),
        "round-robin" => Ok(Policy::RoundRobin),
        "batch" => Ok(Policy::Batch),
        _ => Err(unknown("route", route, "key, round-robin or batch")),
    }
}

/// Reads a partitioner's name.
pub(crate) fn partitioner(name: &str) -> Result<Partitioner> {
    match name {
        "murmur2" => Ok(Partitioner::Murmur2),
        "crc32" => Ok(Partitioner::Crc32),
        "fnv1a" => Ok(Partitioner::Fnv1a),
        "xxh3" => Ok(Partitioner::Xxh3),
        _ => Err(unknown(
            "partitioner",
            name,
            "murmur2, crc32, fnv1a or xxh3",
        )),
    }
}

fn stamping(origin: &str) -> Result<Stamping> {
    match origin {
        "none" => Ok(Stamping::None),
        "run" => Ok(Stamping::Run),
        "text" => Ok(Stamping::Text),
        _ => Err(unknown("origin", origin, "none, run or text")),
    }
}

fn delivery(promise: &str) -> Result<Delivery> {
    match promise {
        "exactly-once" => Ok(Delivery::ExactlyOnce),
        "at-least-once" => Ok(Delivery::AtLeastOnce),
        _ => Err(unknown(
            "delivery",
            promise,
            "exactly-once or at-least-once",
        )),
    }
}

fn codec(compression: &str) -> Result<Option<Codec>> {
    match compression {
        "same" => Ok(None),
        "none" => Ok(Some(Codec::None)),
        "gzip" => Ok(Some(Codec::Gzip)),
        "snappy" => Ok(Some(Codec::Snappy)),
        "lz4" => Ok(Some(Codec::Lz4)),
        "zstd" => Ok(Some(Codec::Zstd)),
        _ => Err(unknown(
            "compression",
            compression,
            "same, none, gzip, snappy, lz4 or zstd",
        )),
    }
}

fn unknown(setting: &str, value: &str, known: &str) -> Error {
    Error::Config {
        setting: setting.to_owned(),
        problem: format!("`{value}` is none of {known}"),
    }
}

/// See `_fanout.pyi`.
#[pyclass(module = "fanout._fanout", frozen)]
pub(crate) struct Forwarder {
    engine: Arc<Engine>,
}

/// See `_fanout.pyi`.
#[pyclass(module = "fanout._fanout", frozen, get_all)]
pub(crate) struct LaneStats {
    partition: i32,
    state: &'static str,
    position: i64,
    last_stable: i64,
    records: u64,
    bytes: u64,
    commits: u64,
    renewals: u64,
    resends: u64,
    stripped: u64,
    throttled_ms: u64,
    batches: BTreeMap<String, u64>,
}

/// See `_fanout.pyi`.
#[pyclass(module = "fanout._fanout", frozen, get_all)]
pub(crate) struct LaneEnd {
    partition: i32,
    began: i64,
    position: i64,
    forwarded: u64,
    count: u64,
    sum: u64,
    outcome: &'static str,
    error: Option<Py<PyAny>>,
}

#[pymethods]
impl Forwarder {
    #[new]
    fn new(py: Python<'_>, mut settings: ForwardSettings) -> PyResult<Self> {
        let client = client_settings(py, std::mem::take(&mut settings.properties))?;
        let plan = settings.into_plan(client).map_err(raise)?;
        let engine = Engine::new(plan).map_err(raise)?;
        Ok(Self {
            engine: Arc::new(engine),
        })
    }

    fn run(&self, py: Python<'_>) -> PyResult<Vec<LaneEnd>> {
        let ends = py.detach(|| self.engine.run()).map_err(raise)?;
        Ok(told(py, ends))
    }

    fn start_lane(&self, py: Python<'_>, partition: i32) -> PyResult<()> {
        py.detach(|| self.engine.start(partition)).map_err(raise)
    }

    fn end_lanes(&self, py: Python<'_>, partitions: Vec<i32>, how: &str) -> PyResult<Vec<LaneEnd>> {
        let how = match how {
            "finish" => Leave::Finish,
            "at-once" => Leave::AtOnce,
            _ => return Err(raise(unknown("how", how, "finish or at-once"))),
        };
        let partitions: BTreeSet<i32> = partitions.into_iter().collect();
        let ends = py.detach(|| self.engine.end(&partitions, how));
        Ok(told(py, ends))
    }

    fn ended_lanes(&self, py: Python<'_>) -> Vec<LaneEnd> {
        told(py, self.engine.take_ended())
    }

    fn set_share(&self, share: f64) {
        self.engine.set_share(share);
    }

    fn stop(&self) {
        self.engine.stop();
    }

    fn abort(&self) {
        self.engine.stop();
        self.engine.cancel();
    }

    fn stats(&self) -> Vec<LaneStats> {
        let lanes = self.engine.stats().iter();
        lanes
            .map(|(&partition, stats)| LaneStats {
                partition,
                state: match stats.state() {
                    State::Idle => "idle",
                    State::Starting => "starting",
                    State::Running => "running",
                    State::Waiting => "waiting",
                    State::Ended => "ended",
                },
                position: stats.position.load(Relaxed),
                last_stable: stats.last_stable.load(Relaxed),
                records: stats.records.load(Relaxed),
                bytes: stats.bytes.load(Relaxed),
                commits: stats.commits.load(Relaxed),
                renewals: stats.renewals.load(Relaxed),
                resends: stats.resends.load(Relaxed),
                stripped: stats.stripped.load(Relaxed),
                throttled_ms: stats.throttled.total_ms(),
                batches: batches(stats),
            })
            .collect()
    }
}

fn told(py: Python<'_>, ends: Vec<lane::LaneEnd>) -> Vec<LaneEnd> {
    let ends = ends.into_iter().map(|end| LaneEnd {
        partition: end.at.partition,
        began: end.began,
        position: end.position,
        forwarded: end.forwarded,
        count: end.tally.count,
        sum: end.tally.sum,
        outcome: match end.outcome {
            Ok(Outcome::End) => "end",
            Ok(Outcome::Stopped) => "stopped",
            Err(_) => "failed",
        },
        error: end
            .outcome
            .err()
            .map(|error| raise(error).into_value(py).into_any()),
    });
    ends.collect()
}

/// Counts under `way:reason`.
fn batches(stats: &LaneCounters) -> BTreeMap<String, u64> {
    let counts = stats.batches().into_iter();
    counts
        .map(|(way, reason, count)| (format!("{}:{}", way.name(), reason.name()), count))
        .collect()
}
