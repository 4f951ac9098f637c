//! What an engine is asked to do, checked once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rate::RateLimits;
use super::transaction::TransactionLimits;
use crate::batch::Codec;
use crate::cluster::ClientSettings;
use crate::error::{Error, Result};
use crate::route::Policy;

/// The coordinator aborts a transaction that nobody ends for so long: a dead lane holds its readers up no longer.
pub(super) const TRANSACTION_TIMEOUT_MS: i32 = 30_000;

/// Leaves time to end a transaction before the coordinator does.
const MOST_TRANSACTION_MS: u64 = 20_000;

/// Below this a builder is dearer to a broker than what it saves.
const LEAST_BATCH_BYTES: usize = 1024;

/// What all lanes together fetch at once, where they are so many that each fetches less than it was told to.
const FETCHED_TOGETHER: usize = 64 << 20;

/// The least that a lane of many fetches at once: smaller fetches cost more than the memory they spare.
const LEAST_FETCH_SHARE: usize = 512 << 10;

/// What is promised of each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Readers of committed data see it once. It is visible when its transaction has ended.
    #[default]
    ExactlyOnce,
    /// It is never lost, and twice in the target where a lane was interrupted. It is visible at once.
    AtLeastOnce,
}

/// What a record gains on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamping {
    /// Nothing.
    None,
    /// `fanout.origin` with 12 bytes: partition and offset.
    Run,
    /// `fanout.origin` with the text `<topic>/<partition>/<offset>`.
    Text,
}

/// How records are spread.
#[derive(Debug, Clone, Copy)]
pub struct Spreading {
    /// Which target partition of its lane a record goes to.
    pub policy: Policy,
    /// What a record gains.
    pub stamping: Stamping,
    /// The codec of produced batches; `None` keeps the source's own, of several in one batch the latest.
    pub codec: Option<Codec>,
}

/// Everything a forward engine needs to know.
#[derive(Clone)]
pub struct ForwardPlan {
    /// How to reach the cluster.
    pub client: ClientSettings,
    /// Topic to read.
    pub source: String,
    /// Topic to write.
    pub target: String,
    /// What is promised of each record.
    pub delivery: Delivery,
    /// The forwarder's own group: its offsets say what was forwarded.
    pub group: String,
    /// A lane's transactional id is `<prefix>.<source>.<partition>`.
    pub transactional_prefix: String,
    /// Source partitions, one lane each.
    pub partitions: Vec<i32>,
    /// Where a partition begins if nothing is committed.
    pub start: BTreeMap<i32, i64>,
    /// Where each ends; `None` follows the source.
    pub end: Option<BTreeMap<i32, i64>>,
    /// Which target partition a record goes to.
    pub policy: Policy,
    /// In a run: the target partitions of each source partition. `None`: all of them.
    pub allotments: Option<BTreeMap<i32, Vec<i32>>>,
    /// What a record gains.
    pub stamping: Stamping,
    /// The codec of produced batches; `None` keeps the source's own, of several in one batch the latest.
    pub codec: Option<Codec>,
    /// Bounds of each lane.
    pub limits: ForwardLimits,
    /// How fast all lanes together may carry.
    pub rates: RateLimits,
}

/// Shorter batches are read: that takes fewer calls than to have the kernel move each of them.
pub const FLOW_FROM_BYTES: usize = 32 * 1024;

/// Bounds of one lane. Bytes, unless the name says ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardLimits {
    /// Asked of a broker at once, at most.
    pub fetch_bytes: usize,
    /// A produced batch is closed at this size, unpacked.
    pub batch_bytes: usize,
    /// Instead, at up to this one where a lane fills so few targets that its requests would be small.
    pub grown_batch_bytes: usize,
    /// Source batches that could pass are merged where their mean is below it; a sixteenth of it where
    /// they are packed. 0: never.
    pub merge_below_bytes: usize,
    /// Payloads of batches that pass stay in the kernel where the batches' mean is so much, at least: see [`FLOW_FROM_BYTES`].
    pub flow_from_bytes: usize,
    /// A transaction ends at this size.
    pub transaction_bytes: usize,
    /// A transaction ends at this age.
    pub transaction_ms: u64,
    /// Builders take at most a quarter of it, batches in flight another; a fetch, and the
    /// longest batch with its unpacked records, may each be as long as all of it.
    pub lane_memory_bytes: usize,
}

impl ForwardLimits {
    /// The same bounds for a lane with so many targets, none of which takes a longer batch than `most_bytes`:
    /// builders take at most a quarter of its memory.
    pub(super) fn for_targets(&self, targets: usize, most_bytes: usize) -> Self {
        let share = self.lane_memory_bytes / 4 / targets.max(1);
        let bounded = |bytes: usize| bytes.min(share).max(LEAST_BATCH_BYTES).min(most_bytes);
        Self {
            batch_bytes: bounded(self.batch_bytes),
            // What is open counts for no transaction yet: it must not be several times as much as one may hold.
            grown_batch_bytes: bounded(
                self.grown_batch_bytes
                    .min(self.transaction_bytes.max(self.batch_bytes)),
            ),
            ..self.clone()
        }
    }

    /// The same for one of `lanes` that run side by side: what many have fetched would fill no cache.
    pub(super) fn among(&self, lanes: usize) -> Self {
        let share = FETCHED_TOGETHER / lanes.max(1);
        Self {
            fetch_bytes: self.fetch_bytes.min(share.max(LEAST_FETCH_SHARE)),
            ..self.clone()
        }
    }

    /// Batches without an answer may hold a quarter of the lane's memory.
    pub(super) fn outbox_bytes(&self) -> usize {
        self.lane_memory_bytes / 4
    }

    pub(super) fn transaction(&self) -> TransactionLimits {
        TransactionLimits {
            bytes: self.transaction_bytes,
            age: Duration::from_millis(self.transaction_ms),
        }
    }
}

impl ForwardPlan {
    pub(super) fn transactional_id(&self, partition: i32) -> String {
        format!("{}.{}.{partition}", self.transactional_prefix, self.source)
    }

    /// The target partitions that a source partition may write, `all` of them outside a run.
    pub(super) fn targets(&self, partition: i32, all: i32) -> Vec<i32> {
        match &self.allotments {
            Some(allotments) => allotments.get(&partition).cloned().unwrap_or_default(),
            None => (0..all).collect(),
        }
    }

    pub(super) fn spreading(&self) -> Spreading {
        Spreading {
            policy: self.policy,
            stamping: self.stamping,
            codec: self.codec,
        }
    }

    /// Checks what can be checked without a cluster.
    pub(super) fn check(&self) -> Result<()> {
        if self.source == self.target {
            return Err(config(
                "target",
                "is the source: records would be carried round for ever",
            ));
        }
        if self.partitions.is_empty() {
            return Err(config("partitions", "names none"));
        }
        let distinct: BTreeSet<_> = self.partitions.iter().collect();
        if distinct.len() < self.partitions.len() {
            return Err(config("partitions", "names one twice"));
        }
        let limits = &self.limits;
        let least = limits.fetch_bytes.saturating_mul(4);
        if limits.fetch_bytes < 64 << 10 {
            return Err(config("fetch_bytes", "is below 65536"));
        }
        if limits.lane_memory_bytes < least {
            let problem = format!("is below {least}, four times fetch_bytes");
            return Err(config("lane_memory_bytes", &problem));
        }
        if limits.batch_bytes < LEAST_BATCH_BYTES {
            return Err(config("batch_bytes", "is below 1024"));
        }
        if !(10..=MOST_TRANSACTION_MS).contains(&limits.transaction_ms) {
            let problem = format!("is not from 10 to {MOST_TRANSACTION_MS}: a transaction that is open for 30 s is aborted");
            return Err(config("transaction_ms", &problem));
        }
        let rates = [
            ("max_rate", self.rates.records),
            ("max_bytes", self.rates.bytes),
        ];
        for (setting, rate) in rates {
            if rate.is_some_and(|rate| !(rate.is_finite() && rate >= 1.0)) {
                return Err(config(setting, "is no number from 1 a second on"));
            }
        }
        Ok(())
    }

    /// Checks the allotments against the target as it is.
    pub(super) fn check_allotments(&self, targets: i32) -> Result<()> {
        let Some(allotments) = &self.allotments else {
            return Ok(());
        };
        let mut owned = BTreeSet::new();
        for &partition in &self.partitions {
            let own = allotments.get(&partition).map_or(&[][..], Vec::as_slice);
            if own.is_empty() {
                let problem = format!("give source partition {partition} no target partition");
                return Err(config("allotments", &problem));
            }
            for &target in own {
                if target < 0 || target >= targets {
                    let problem =
                        format!("name target partition {target}, the topic has {targets}");
                    return Err(config("allotments", &problem));
                }
                if !owned.insert(target) {
                    let problem = format!("give target partition {target} to two lanes");
                    return Err(config("allotments", &problem));
                }
            }
        }
        Ok(())
    }
}

fn config(setting: &str, problem: &str) -> Error {
    Error::Config {
        setting: setting.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lanes_fetch_less_each_and_few_as_much_as_they_were_told() {
        let limits = ForwardLimits {
            fetch_bytes: 2 << 20,
            batch_bytes: 64 << 10,
            grown_batch_bytes: 256 << 10,
            merge_below_bytes: 16 << 10,
            flow_from_bytes: FLOW_FROM_BYTES,
            transaction_bytes: 32 << 20,
            transaction_ms: 500,
            lane_memory_bytes: 64 << 20,
        };
        let fetched = |lanes| limits.among(lanes).fetch_bytes >> 10;
        assert_eq!([1, 32, 64, 200].map(fetched), [2048, 2048, 1024, 512]);
    }
}
