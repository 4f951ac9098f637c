//! Starts a lane per source partition, each on a thread of its own, and gathers how they ended.

use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;

use uuid::Uuid;

use super::commit::KafkaCommit;
use super::fetch::KafkaFetch;
use super::lane::{Control, Lane, LaneEnd, LanePlan, Seams};
use super::outbox::Outbox;
use super::plan::{ForwardPlan, TRANSACTION_TIMEOUT_MS};
use super::produce::KafkaProduce;
use super::spread::Spread;
use super::stats::{LaneStats, State};
use crate::cluster::ends::{offsets, Place};
use crate::cluster::topics::most_batch_bytes;
use crate::cluster::{Client, ClientSettings};
use crate::error::{Error, Result};
use crate::record::{Tally, TopicPartition};

/// The transaction version from which a late end of a transaction cannot end the next one (KIP-890).
const NEEDED_TRANSACTION_VERSION: i16 = 2;

/// Forwards some partitions of one topic to another.
pub struct Engine {
    plan: ForwardPlan,
    control: Control,
    lanes: BTreeMap<i32, Arc<LaneStats>>,
}

/// What the cluster says of the target before any lane starts.
struct Target {
    id: Uuid,
    partitions: i32,
    /// The longest batch it takes.
    most_batch_bytes: usize,
}

impl Engine {
    /// Checks the plan; nothing is dialled yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the setting that cannot work.
    pub fn new(plan: ForwardPlan) -> Result<Self> {
        plan.check()?;
        let lanes = plan.partitions.iter();
        Ok(Self {
            lanes: lanes.map(|&p| (p, Arc::default())).collect(),
            control: Control::default(),
            plan,
        })
    }

    /// Runs every lane to its end. A lane that fails leaves the others alone: its error is in its [`LaneEnd`].
    ///
    /// # Errors
    ///
    /// If the cluster does not allow the work: then no lane was started.
    pub fn run(&self) -> Result<Vec<LaneEnd>> {
        let target = self.look_at_cluster().inspect_err(|_| {
            for stats in self.lanes.values() {
                stats.set_state(State::Ended);
            }
        })?;
        Ok(thread::scope(|scope| {
            let running: Vec<_> = self
                .lanes
                .iter()
                .map(|(&partition, stats)| {
                    let lane = scope.spawn({
                        let target = &target;
                        move || self.run_lane(partition, target, stats)
                    });
                    (partition, lane)
                })
                .collect();
            running
                .into_iter()
                .map(|(partition, lane)| match lane.join() {
                    Ok(end) => end,
                    Err(_) => self.failed(partition, self.broken_by_panic(partition)),
                })
                .collect()
        }))
    }

    /// Lets every lane commit what it has carried, then end.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Ends every lane at its next wait; open transactions are aborted by their next owner.
    pub fn cancel(&self) {
        self.control.cancel.cancel();
    }

    /// What each lane has done so far, by source partition.
    #[must_use]
    pub fn stats(&self) -> &BTreeMap<i32, Arc<LaneStats>> {
        &self.lanes
    }

    fn client(&self) -> ClientSettings {
        let mut settings = self.plan.client.clone();
        settings.connection.cancel = self.control.cancel.clone();
        settings.connection.max_answer_bytes = self.plan.limits.lane_memory_bytes;
        settings
    }

    /// Refuses what cannot work and waits until every target partition answers.
    fn look_at_cluster(&self) -> Result<Target> {
        let plan = &self.plan;
        let mut client = Client::new(self.client());
        let version = client.versions()?.feature("transaction.version");
        if version < NEEDED_TRANSACTION_VERSION {
            return Err(Error::Refused {
                problem: format!("the cluster's transaction.version is {version}, exactly-once needs {NEEDED_TRANSACTION_VERSION}"),
                remedy: "use Apache Kafka 4.0 or newer and raise the feature: kafka-features upgrade --feature transaction.version=2".to_owned(),
            });
        }
        let sources = client.retry(|client| Ok(client.layout(&plan.source)?.partitions))?;
        if let Some(&beyond) = plan.partitions.iter().find(|&&p| p < 0 || p >= sources) {
            return Err(Error::Refused {
                problem: format!(
                    "{} has no partition {beyond}, it has {sources}",
                    plan.source
                ),
                remedy: "choose among its partitions".to_owned(),
            });
        }
        let (id, partitions) = client.retry(|client| {
            let layout = client.layout(&plan.target)?;
            Ok((layout.id, layout.partitions))
        })?;
        plan.check_allotments(partitions)?;
        let most_batch_bytes = most_batch_bytes(&mut client, &plan.target)?;
        if most_batch_bytes.is_none() {
            tracing::warn!(topic = %plan.target, "max.message.bytes may not be read (DescribeConfigs on the topic): taken for large enough");
        }
        // A partition made a moment ago is named in metadata before its leader takes batches.
        offsets(&mut client, &plan.target, Place::Stable)?;
        Ok(Target {
            id,
            partitions,
            most_batch_bytes: most_batch_bytes.unwrap_or(usize::MAX),
        })
    }

    /// A lane's panic ends that lane alone, as an error like any other.
    fn run_lane(&self, partition: i32, target: &Target, stats: &Arc<LaneStats>) -> LaneEnd {
        let run = || match self.lane(partition, target, stats) {
            Ok(lane) => lane.run(),
            Err(error) => self.failed(partition, error),
        };
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| self.failed(partition, self.broken_by_panic(partition)))
    }

    fn lane(
        &self,
        partition: i32,
        target: &Target,
        stats: &Arc<LaneStats>,
    ) -> Result<Lane<KafkaFetch, KafkaProduce, KafkaCommit>> {
        let plan = &self.plan;
        let at = TopicPartition::new(plan.source.as_str(), partition);
        let id = plan.transactional_id(partition);
        let client = || Client::new(self.client());
        let targets = plan.targets(partition, target.partitions);
        let limits = plan
            .limits
            .for_targets(targets.len(), target.most_batch_bytes);
        let produce = KafkaProduce::new(client(), (&plan.target, target.id), &id);
        let seams = Seams {
            fetch: KafkaFetch::new(client(), at.clone(), limits.fetch_bytes)?,
            produce: Outbox::new(produce, at.clone(), limits.outbox_bytes()),
            commit: KafkaCommit::new(
                client(),
                &plan.group,
                at.clone(),
                (id, TRANSACTION_TIMEOUT_MS),
            ),
        };
        let lane = LanePlan {
            start: plan.start.get(&partition).copied(),
            end: plan
                .end
                .as_ref()
                .and_then(|ends| ends.get(&partition).copied()),
            tag: target.id.to_string(),
            limits: limits.transaction(),
            batch_limit_bytes: limits.lane_memory_bytes,
            patience: plan.client.deadline,
            at: at.clone(),
        };
        let spread =
            Spread::new(at, &targets, plan.spreading(), &limits).ok_or_else(|| Error::Config {
                setting: "allotments".to_owned(),
                problem: format!("give source partition {partition} no target partition"),
            })?;
        let clock = plan.client.clock.clone();
        let control = (self.control.clone(), clock);
        let spread = spread.with_target_limit(target.most_batch_bytes);
        Ok(Lane::new(lane, seams, spread, control, stats.clone()))
    }

    fn failed(&self, partition: i32, error: Error) -> LaneEnd {
        if let Some(stats) = self.lanes.get(&partition) {
            stats.set_state(State::Ended);
        }
        LaneEnd {
            at: TopicPartition::new(self.plan.source.as_str(), partition),
            position: -1,
            tally: Tally::default(),
            outcome: Err(error),
        }
    }

    fn broken_by_panic(&self, partition: i32) -> Error {
        Error::Halted {
            at: TopicPartition::new(self.plan.source.as_str(), partition),
            offset: -1,
            problem: "a fault of fanout's own stopped the lane; the log has its place".to_owned(),
            remedy: "start again: the committed offset is right; and report it".to_owned(),
        }
    }
}
