//! From a source batch to the target's builders: walk, route, splice.

use std::sync::Arc;

use super::outbox::Outbox;
use super::plan::ForwardLimits;
use super::seam::{Interrupt, Produce, Step};
use super::stats::{Reason, Way};
use crate::batch::{
    Batch, BatchBuilder, BatchError, Codec, Packer, Record, Signature, Stamp, Unpacker,
};
use crate::cluster::producers::{Producer as Owner, NOBODY};
use crate::error::Error;
use crate::record::{Origin, Tally, TopicPartition};
use crate::route::{Policy, Router};

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
    /// The codec of produced batches; `None` keeps each source batch's own.
    pub codec: Option<Codec>,
}

/// Where a source partition is broken, and what was carried of the batch before that place.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// First offset not carried.
    pub(super) offset: i64,
    /// Records of the broken batch that were carried.
    pub(super) carried: Tally,
    problem: String,
}

impl Broken {
    pub(super) fn at(offset: i64, error: &BatchError) -> Self {
        Self {
            offset,
            carried: Tally::default(),
            problem: error.to_string(),
        }
    }

    pub(super) fn halted(self, at: &TopicPartition) -> Error {
        Error::Halted {
            at: at.clone(),
            offset: self.offset,
            problem: format!("the batch there is broken: {}", self.problem),
            remedy: format!(
                "everything before it was forwarded and nothing is skipped: restore the partition from a replica, or go on behind it under another group: -t {}:{} --from @OFFSET",
                at.topic, at.partition
            ),
        }
    }
}

/// What became of one source batch.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) tally: Tally,
    /// Reserved headers from outside that were left out.
    pub(super) stripped: u64,
    pub(super) next: i64,
    pub(super) way: Way,
    pub(super) reason: Reason,
}

/// A target partition with the batch that grows for it.
struct Target {
    partition: i32,
    builder: BatchBuilder,
    /// Source offset of the first record in the builder.
    first_offset: i64,
    /// Sequence of the next batch in this epoch.
    sequence: i32,
    /// Bytes posted so far, packed.
    posted: u64,
}

/// Spreads the batches of one lane's source over its targets.
pub struct Spread {
    unpacker: Unpacker,
    builders: Builders,
}

impl Spread {
    /// Builders for `targets`, which the lane of `at` may write; `None` if there are none.
    #[must_use]
    pub fn new(
        at: TopicPartition,
        targets: &[i32],
        how: Spreading,
        limits: &ForwardLimits,
    ) -> Option<Self> {
        let router = Router::new(how.policy, targets.to_vec())?;
        Some(Self {
            unpacker: Unpacker::new(limits.lane_memory_bytes),
            builders: Builders::new(at, router, how, limits.batch_bytes),
        })
    }

    /// A new transaction begins: builders are empty and sequences start at 0.
    pub fn begin(&mut self, owner: Owner) {
        self.builders.begin(owner);
    }

    /// Spreads the records of `batch` within `bounds` over the builders; full ones are posted.
    ///
    /// The inner result tells a broken batch, up to which everything was carried.
    pub(super) fn batch<P: Produce>(
        &mut self,
        batch: &Batch<'_>,
        bounds: (i64, i64),
        outbox: &mut Outbox<P>,
    ) -> Step<Result<Carried, Broken>> {
        let header = &batch.header;
        let from = header.base_offset.max(bounds.0);
        self.builders.pack_as(header.codec(), outbox)?;
        let payload = batch
            .verify_crc()
            .and_then(|()| self.unpacker.unpack(batch));
        match payload {
            Ok(payload) => self.builders.walk((batch, payload), bounds, outbox),
            Err(error) => Ok(Err(Broken::at(from, &error))),
        }
    }

    /// Seals and posts every builder that holds a record.
    ///
    /// # Errors
    ///
    /// If a batch sent earlier cannot be delivered.
    pub fn post_all<P: Produce>(&mut self, outbox: &mut Outbox<P>) -> Step<()> {
        self.builders.post_all(outbox)
    }
}

/// One growing batch a target.
struct Builders {
    at: TopicPartition,
    /// `<topic>/<partition>/`, where the origin is written as text.
    place: Arc<str>,
    how: Spreading,
    router: Router,
    targets: Vec<Target>,
    owner: Owner,
    codec: Codec,
    batch_bytes: usize,
    packer: Packer,
}

impl Builders {
    fn new(at: TopicPartition, router: Router, how: Spreading, batch_bytes: usize) -> Self {
        let target = |&partition: &i32| Target {
            partition,
            builder: BatchBuilder::with_capacity(batch_bytes),
            first_offset: 0,
            sequence: 0,
            posted: 0,
        };
        Self {
            place: format!("{at}/").into(),
            at,
            how,
            targets: router.targets().iter().map(target).collect(),
            router,
            owner: NOBODY,
            codec: how.codec.unwrap_or(Codec::None),
            batch_bytes,
            packer: Packer::default(),
        }
    }

    /// A new transaction begins: builders are empty and sequences start at 0.
    fn begin(&mut self, owner: Owner) {
        self.owner = owner;
        for target in &mut self.targets {
            target.builder.clear();
            target.sequence = 0;
        }
    }

    /// Batches are packed as the source's own unless told otherwise: one batch has one codec.
    fn pack_as<P: Produce>(&mut self, source: Codec, outbox: &mut Outbox<P>) -> Step<()> {
        let codec = self.how.codec.unwrap_or(source);
        if codec != self.codec {
            self.post_all(outbox)?;
            self.codec = codec;
        }
        Ok(())
    }

    fn post_all<P: Produce>(&mut self, outbox: &mut Outbox<P>) -> Step<()> {
        for index in 0..self.targets.len() {
            if !self.targets[index].builder.is_empty() {
                self.post(index, outbox)?;
            }
        }
        Ok(())
    }

    fn walk<P: Produce>(
        &mut self,
        (batch, payload): (&Batch<'_>, &[u8]),
        (from, end): (i64, i64),
        outbox: &mut Outbox<P>,
    ) -> Step<Result<Carried, Broken>> {
        let header = &batch.header;
        let mut carried = self.carried_by(batch);
        let mut reached = header.base_offset.max(from);
        let broken = |offset, tally, error: &BatchError| Broken {
            carried: tally,
            ..Broken::at(offset, error)
        };
        let records = match batch.records(payload) {
            Ok(records) => records,
            Err(error) => return Ok(Err(broken(reached, carried.tally, &error))),
        };
        let whole = self.router.takes_batches().then(|| self.emptiest());
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(error) => return Ok(Err(broken(reached, carried.tally, &error))),
            };
            let offset = header.offset_of(record.offset_delta);
            if offset < from || offset >= end {
                continue;
            }
            let timestamp = header.timestamp_of(record.timestamp_delta);
            let index = whole.unwrap_or_else(|| self.router.for_record(record.key));
            match self.push(index, &record, (offset, timestamp), outbox)? {
                Ok(stripped) => carried.stripped += stripped,
                Err(error) => return Ok(Err(broken(reached, carried.tally, &error))),
            }
            carried.tally.add(Origin {
                partition: self.at.partition,
                offset,
            });
            reached = offset + 1;
        }
        Ok(Ok(carried))
    }

    /// Puts one record into its target's builder, which is posted first where it has no room.
    #[inline]
    fn push<P: Produce>(
        &mut self,
        index: usize,
        record: &Record<'_>,
        (offset, timestamp): (i64, i64),
        outbox: &mut Outbox<P>,
    ) -> Step<Result<u64, BatchError>> {
        let place;
        let stamp = match self.how.stamping {
            Stamping::None => Stamp::None,
            Stamping::Run => Stamp::Run(Origin {
                partition: self.at.partition,
                offset,
            }),
            Stamping::Text => {
                place = Arc::clone(&self.place);
                Stamp::Text {
                    place: &place,
                    offset,
                }
            }
        };
        let target = &mut self.targets[index];
        if target.builder.is_empty() {
            target.first_offset = offset;
        } else if !target.builder.fits(record, stamp, self.batch_bytes) {
            self.post(index, outbox)?;
            self.targets[index].first_offset = offset;
        }
        let pushed = self.targets[index].builder.push(record, timestamp, stamp);
        Ok(pushed.map(|stripped| stripped as u64))
    }

    fn post<P: Produce>(&mut self, index: usize, outbox: &mut Outbox<P>) -> Step<()> {
        let target = &mut self.targets[index];
        let signature = Signature {
            id: self.owner.id,
            epoch: self.owner.epoch,
            sequence: target.sequence,
            transactional: true,
        };
        let spare = outbox.spare_buffer();
        let sealed = target
            .builder
            .seal(signature, self.codec, &mut self.packer, spare)
            .map_err(|error| {
                Interrupt::Stop(Broken::at(target.first_offset, &error).halted(&self.at))
            })?;
        target.posted += sealed.bytes().len() as u64;
        target.sequence = next_sequence(target.sequence, sealed.record_count());
        outbox.post(target.partition, sealed, target.first_offset)
    }

    /// The target that was given least so far.
    fn emptiest(&mut self) -> usize {
        let targets = &self.targets;
        self.router
            .for_batch(|index| targets[index].posted + targets[index].builder.len() as u64)
    }

    fn carried_by(&self, batch: &Batch<'_>) -> Carried {
        let header = &batch.header;
        let way = match header.codec() {
            Codec::None => Way::Splice,
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => Way::Transcode,
        };
        let reason = match (self.how.policy, self.how.stamping) {
            (Policy::Key(_) | Policy::RoundRobin, _) => Reason::Spread,
            (Policy::Batch, Stamping::Run | Stamping::Text) => Reason::Origin,
            (Policy::Batch, Stamping::None) => Reason::Merge,
        };
        Carried {
            tally: Tally::default(),
            stripped: 0,
            next: header.next_offset(),
            way,
            reason,
        }
    }
}

/// The sequence after a batch: it wraps from 2^31 − 1 to 0.
fn next_sequence(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}
