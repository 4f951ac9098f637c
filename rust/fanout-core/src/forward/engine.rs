//! Starts lanes, all of them or one by one, and gathers how they ended.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::commit::KafkaCommit;
use super::crew::{Crew, Leave};
use super::fetch::KafkaFetch;
use super::lane::{Control, Lane, LaneEnd, LanePlan, Seams};
use super::offsets::KafkaOffsets;
use super::outbox::{Outbox, Spares};
use super::plan::{Delivery, ForwardPlan, TRANSACTION_TIMEOUT_MS};
use super::produce::KafkaProduce;
use super::protocol::{Opened, Protocol, Transactions};
use super::rate::Rates;
use super::seam::Commit;
use super::spread::Spread;
use super::stats::{LaneStats, State};
use crate::cluster::ends::{offsets, Place};
use crate::cluster::topics::most_batch_bytes;
use crate::cluster::{Client, ClientSettings};
use crate::error::{Error, Result};
use crate::record::{Tally, TopicPartition};
use crate::wire::{FramePool, Throttled};

/// Forwards some partitions of one topic to another.
pub struct Engine {
    plan: ForwardPlan,
    /// Of the look at the cluster; each lane has its own.
    control: Control,
    lanes: BTreeMap<i32, Arc<LaneStats>>,
    target: OnceLock<Target>,
    rates: Arc<Rates>,
    frames: FramePool,
    spares: Spares,
    crew: Arc<Crew>,
}

/// What the cluster says of the target before any lane starts.
#[derive(Debug, Clone, Copy)]
struct Target {
    id: Uuid,
    partitions: i32,
    /// The longest batch it takes.
    most_batch_bytes: usize,
    protocol: Protocol,
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
            target: OnceLock::new(),
            rates: Arc::new(Rates::new(plan.rates)),
            frames: FramePool::shared_by(plan.partitions.len()),
            spares: Spares::default(),
            crew: Arc::default(),
            plan,
        })
    }

    /// Runs every lane to its end. A lane that fails leaves the others alone: its error is in its [`LaneEnd`].
    ///
    /// # Errors
    ///
    /// If the cluster does not allow the work: then no lane was started.
    pub fn run(self: &Arc<Self>) -> Result<Vec<LaneEnd>> {
        self.target().inspect_err(|_| {
            for stats in self.lanes.values() {
                stats.set_state(State::Ended);
            }
        })?;
        let mut ends = Vec::new();
        for &partition in self.lanes.keys() {
            if let Err(error) = self.start(partition) {
                ends.push(self.failed(partition, error));
            }
        }
        ends.extend(self.crew.await_ends(&self.lanes.keys().copied().collect()));
        Ok(ends)
    }

    /// Starts the lane of one partition of the plan beside those that run.
    ///
    /// # Errors
    ///
    /// If the cluster does not allow the work, or the partition has a lane already.
    pub fn start(self: &Arc<Self>, partition: i32) -> Result<()> {
        let target = self.target()?;
        let Some(stats) = self.lanes.get(&partition).cloned() else {
            return Err(Error::Config {
                setting: "partitions".to_owned(),
                problem: format!("do not name {partition}"),
            });
        };
        let engine = Arc::clone(self);
        self.crew.start(partition, move |control| {
            engine.run_lane(partition, target, (control, stats))
        })
    }

    /// Ends the lanes of `partitions`, waits for them (a lane takes at most about 8 s) and leaves the others alone.
    ///
    /// Those of them that run no lane are passed over.
    pub fn end(&self, partitions: &BTreeSet<i32>, how: Leave) -> Vec<LaneEnd> {
        self.crew.end(partitions, how)
    }

    /// How lanes ended since it was asked last, those apart that [`Engine::run`] or [`Engine::end`] told of.
    #[must_use]
    pub fn take_ended(&self) -> Vec<LaneEnd> {
        self.crew.take_ended()
    }

    /// Lets the lanes here use only this part of the plan's rates: other processes use the rest.
    pub fn set_share(&self, share: f64) {
        self.rates.set_share(share);
    }

    /// Lets every lane commit what it has carried, then end.
    pub fn stop(&self) {
        self.control.stop();
        self.crew.dismiss(Leave::Finish);
    }

    /// Ends every lane at its next wait; open transactions are aborted by their next owner.
    pub fn cancel(&self) {
        self.control.cancel.cancel();
        self.crew.dismiss(Leave::AtOnce);
    }

    /// What each lane has done so far, by source partition.
    #[must_use]
    pub fn stats(&self) -> &BTreeMap<i32, Arc<LaneStats>> {
        &self.lanes
    }

    fn client(&self, control: &Control, throttled: &Throttled) -> ClientSettings {
        let mut settings = self.plan.client.clone();
        settings.connection.cancel = control.cancel.clone();
        settings.connection.throttled = throttled.clone();
        settings.connection.frames = self.frames.clone();
        settings.connection.max_answer_bytes = self.plan.limits.lane_memory_bytes;
        settings
    }

    /// The target as it was when a lane was started first.
    fn target(&self) -> Result<Target> {
        if let Some(&known) = self.target.get() {
            return Ok(known);
        }
        let found = self.look_at_cluster()?;
        Ok(*self.target.get_or_init(|| found))
    }

    /// Refuses what cannot work and waits until every target partition answers.
    fn look_at_cluster(&self) -> Result<Target> {
        let plan = &self.plan;
        let mut client = Client::new(self.client(&self.control, &Throttled::default()));
        let protocol = Protocol::of(&client.versions()?);
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
            protocol,
        })
    }

    /// A lane's panic ends that lane alone, as an error like any other.
    fn run_lane(
        &self,
        partition: i32,
        target: Target,
        (control, stats): (Control, Arc<LaneStats>),
    ) -> LaneEnd {
        let run = || match self.lane(partition, target, (control, stats)) {
            Ok(lane) => lane.run(),
            Err(error) => self.failed(partition, error),
        };
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| self.failed(partition, self.broken_by_panic(partition)))
    }

    fn lane(
        &self,
        partition: i32,
        target: Target,
        (control, stats): (Control, Arc<LaneStats>),
    ) -> Result<Lane<KafkaFetch, KafkaProduce, Box<dyn Commit>>> {
        let plan = &self.plan;
        let at = TopicPartition::new(plan.source.as_str(), partition);
        let transactions = match plan.delivery {
            Delivery::ExactlyOnce => Some(Transactions {
                id: plan.transactional_id(partition),
                timeout_ms: TRANSACTION_TIMEOUT_MS,
                protocol: target.protocol,
                opened: Opened::default(),
            }),
            Delivery::AtLeastOnce => None,
        };
        let client = || Client::new(self.client(&control, &stats.throttled));
        let lanes = self.lanes.len();
        let targets = plan.targets(partition, target.partitions);
        let limits = plan
            .limits
            .for_targets(targets.len(), target.most_batch_bytes)
            .among(lanes);
        let topic = (&plan.target[..], target.id);
        let produce = KafkaProduce::new(client(), topic, transactions.clone());
        let seams = Seams {
            fetch: KafkaFetch::new(client(), at.clone(), limits.fetch_bytes)?,
            produce: Outbox::new(produce, at.clone(), limits.outbox_bytes())
                .among(lanes, self.spares.clone()),
            commit: self.commit(client(), at.clone(), transactions),
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
        let spread = spread
            .with_target_limit(target.most_batch_bytes)
            .among(lanes);
        let lane = Lane::new(lane, seams, spread, (control, clock), stats);
        let lane = lane.with_rates(Arc::clone(&self.rates));
        Ok(lane.with_delivery(plan.delivery))
    }

    fn commit(
        &self,
        client: Client,
        at: TopicPartition,
        transactions: Option<Transactions>,
    ) -> Box<dyn Commit> {
        let group = &self.plan.group;
        match transactions {
            Some(transactions) => Box::new(KafkaCommit::new(client, group, at, transactions)),
            None => Box::new(KafkaOffsets::new(client, group, at)),
        }
    }

    fn failed(&self, partition: i32, error: Error) -> LaneEnd {
        if let Some(stats) = self.lanes.get(&partition) {
            stats.set_state(State::Ended);
        }
        LaneEnd {
            at: TopicPartition::new(self.plan.source.as_str(), partition),
            began: -1,
            position: -1,
            forwarded: 0,
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
