//! The batches that grow for the targets of one lane, one a target.

use std::sync::Arc;

use super::carried::{Broken, Carried};
use super::outbox::{Load, Outbox};
use super::plan::{ForwardLimits, Spreading, Stamping};
use super::seam::{Fetched, Interrupt, Produce, Step};
use super::stats::{Reason, Way};
use crate::batch::{
    Batch, BatchBuilder, BatchError, BatchHeader, Codec, Packer, PassedBatch, Record, RecordFlaw,
    Signature, Stamp,
};
use crate::cluster::producers::{Producer as Owner, NOBODY};
use crate::record::{Origin, Tally, TopicPartition};
use crate::route::Router;

/// Open batches that a processor's cache holds, those of all lanes together, in bytes.
const CACHED: usize = 8 << 20;

/// So many bytes a target may be ahead of the emptiest one for the sake of larger requests.
const LITTLE_MORE: u64 = 1 << 20;

/// A target partition with the batch that grows for it.
struct Target {
    partition: i32,
    builder: BatchBuilder,
    /// Its batch is closed at this size.
    limit: usize,
    /// Source offset of the first record in the builder.
    first_offset: i64,
    /// Sequence of the next batch in the owner's epoch.
    sequence: i32,
    /// Bytes posted so far, packed.
    posted: u64,
}

impl Target {
    /// Bytes it was given so far.
    fn given(&self) -> u64 {
        self.posted + self.builder.len() as u64
    }
}

/// One growing batch a target.
pub(super) struct Builders {
    at: TopicPartition,
    /// `<topic>/<partition>/`, where the origin is written as text.
    place: Arc<str>,
    how: Spreading,
    router: Router,
    targets: Vec<Target>,
    /// Targets whose batches hold a record.
    open: usize,
    owner: Owner,
    /// Behind the latest source batch that was packed, and its codec. What is read again after a fault may lie before it.
    packed: (i64, Codec),
    /// Where batches are closed, and where those of a lane that fills few targets are.
    batch_bytes: (usize, usize),
    packer: Packer,
    /// Whether batches are parts of transactions.
    pub(super) transactional: bool,
    /// Lanes that share the processor's cache.
    pub(super) lanes: usize,
}

impl Builders {
    pub(super) fn new(
        at: TopicPartition,
        router: Router,
        how: Spreading,
        limits: &ForwardLimits,
    ) -> Self {
        let target = |&partition: &i32| Target {
            partition,
            builder: BatchBuilder::with_capacity(limits.batch_bytes),
            limit: limits.batch_bytes,
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
            open: 0,
            owner: NOBODY,
            packed: (i64::MIN, Codec::None),
            batch_bytes: (limits.batch_bytes, limits.grown_batch_bytes),
            packer: Packer::default(),
            transactional: true,
            lanes: 1,
        }
    }

    /// A new transaction begins: builders are empty, and with a new epoch sequences start at 0.
    pub(super) fn begin(&mut self, owner: Owner) {
        let renewed = owner != self.owner;
        self.owner = owner;
        self.open = 0;
        for target in &mut self.targets {
            target.builder.clear();
            target.limit = self.batch_bytes.0;
            if renewed {
                target.sequence = 0;
            }
        }
    }

    /// The records of this source batch come next.
    pub(super) fn note_codec(&mut self, header: &BatchHeader) {
        if header.codec() != Codec::None {
            self.packed = (header.next_offset(), header.codec());
        }
    }

    /// How a target's batch is packed, unless told otherwise: as the latest source batch of which it may hold records.
    ///
    /// Sources mix codecs, batch by batch: so do two producers that differ, and librdkafka leaves a batch unpacked
    /// that packing would not shorten. A batch that ended at every change would be no longer than those of the source.
    fn codec(&self, target: &Target) -> Codec {
        let (behind, codec) = self.packed;
        let own = if target.first_offset < behind {
            codec
        } else {
            Codec::None
        };
        self.how.codec.unwrap_or(own)
    }

    pub(super) fn post_all<P: Produce>(&mut self, outbox: &mut Outbox<P>) -> Step<()> {
        for index in 0..self.targets.len() {
            if !self.targets[index].builder.is_empty() {
                self.post(index, outbox)?;
            }
        }
        Ok(())
    }

    pub(super) fn walk<P: Produce>(
        &mut self,
        (batch, payload): (&Batch<'_>, &[u8]),
        (from, end): (i64, i64),
        mut carried: Carried,
        outbox: &mut Outbox<P>,
    ) -> Step<Result<Carried, Broken>> {
        let header = &batch.header;
        let mut reached = header.base_offset.max(from);
        let broken = |offset, tally, error: &BatchError| Broken::at(offset, error).after(tally);
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
                Err(flaw) => {
                    let error = record.flawed(flaw);
                    return Ok(Err(broken(reached, carried.tally, &error)));
                }
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
    ) -> Step<Result<u64, RecordFlaw>> {
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
        let target = &self.targets[index];
        if target.builder.is_empty() {
            self.begin_batch(index, offset);
        } else if !target.builder.fits(record, stamp, target.limit) {
            self.widen(index, outbox);
            let target = &self.targets[index];
            if !target.builder.fits(record, stamp, target.limit) {
                self.post(index, outbox)?;
                self.begin_batch(index, offset);
            }
        }
        let pushed = self.targets[index].builder.push(record, timestamp, stamp);
        Ok(pushed.map(|stripped| stripped as u64))
    }

    /// Lets a full batch grow where those that are open, all of them full, would make no half request.
    ///
    /// A request takes one batch a target: a lane that fills few would send many small ones.
    fn widen<P: Produce>(&mut self, index: usize, outbox: &Outbox<P>) {
        let limit = &mut self.targets[index].limit;
        if self.open * *limit < outbox.request_bytes() / 2 {
            let (step, most) = self.batch_bytes;
            *limit = most.min(*limit + step).max(*limit);
        }
    }

    /// Sends a whole batch on to the emptiest target, behind the records that its builder holds.
    pub(super) fn pass<P: Produce>(
        &mut self,
        (batch, fetched): (&Batch<'_>, &Fetched),
        outbox: &mut Outbox<P>,
    ) -> Step<Carried> {
        let index = match batch.gap() {
            None => self.emptiest(),
            Some(_) => self.emptiest_on_the_way(outbox),
        };
        if !self.targets[index].builder.is_empty() {
            self.post(index, outbox)?;
        }
        let payload = fetched.records.slice_ref(batch.payload());
        let passed = PassedBatch::new(batch, payload, self.signature(index));
        let target = &mut self.targets[index];
        target.posted += passed.len() as u64;
        target.sequence = next_sequence(target.sequence, passed.record_count());
        let (first, next) = (batch.header.base_offset, batch.header.next_offset());
        let (load, reason) = match batch.gap().and_then(|gap| fetched.parked.of(gap)) {
            None => (Load::Passed(passed), Reason::Whole),
            Some(parked) => (Load::Parked(passed, Some(parked.clone())), Reason::Unread),
        };
        outbox.post(target.partition, load, first)?;
        let mut tally = Tally::default();
        tally.add_range(self.at.partition, first, next);
        Ok(Carried {
            tally,
            stripped: 0,
            next,
            way: Way::Pass,
            reason,
        })
    }

    /// A batch begins with the record at `offset`.
    fn begin_batch(&mut self, index: usize, offset: i64) {
        self.open += 1;
        let open_bytes = self.open * self.lanes * self.batch_bytes.0;
        let target = &mut self.targets[index];
        target.first_offset = offset;
        target.builder.gather(open_bytes > CACHED);
    }

    /// Who writes the next batch of a target, and with which sequence.
    fn signature(&self, index: usize) -> Signature {
        Signature {
            id: self.owner.id,
            epoch: self.owner.epoch,
            sequence: self.targets[index].sequence,
            transactional: self.transactional,
        }
    }

    fn post<P: Produce>(&mut self, index: usize, outbox: &mut Outbox<P>) -> Step<()> {
        let (signature, codec) = (self.signature(index), self.codec(&self.targets[index]));
        let target = &mut self.targets[index];
        let spare = outbox.spare_buffer();
        let sealed = target
            .builder
            .seal(signature, codec, &mut self.packer, spare)
            .map_err(|error| {
                Interrupt::Stop(Broken::at(target.first_offset, &error).halted(&self.at))
            })?;
        self.open -= 1;
        target.limit = self.batch_bytes.0;
        target.posted += sealed.bytes().len() as u64;
        target.sequence = next_sequence(target.sequence, sealed.record_count());
        outbox.post(target.partition, sealed, target.first_offset)
    }

    /// The target that was given least so far.
    fn emptiest(&mut self) -> usize {
        let targets = &self.targets;
        self.router.for_batch(|index| targets[index].given())
    }

    /// The same, or one that was given little more and lies where the next request goes: each request costs a broker.
    fn emptiest_on_the_way<P: Produce>(&mut self, outbox: &mut Outbox<P>) -> usize {
        let emptiest = self.emptiest();
        let mut joins = |index: usize| outbox.joins(self.targets[index].partition);
        if joins(emptiest) {
            return emptiest;
        }
        let most = self.targets[emptiest].given() + LITTLE_MORE;
        let near = |&index: &usize| self.targets[index].given() <= most;
        let others = (0..self.targets.len()).filter(near);
        others
            .filter(|&index| joins(index))
            .min_by_key(|&index| self.targets[index].given())
            .unwrap_or(emptiest)
    }
}

/// The sequence after a batch: it wraps from 2^31 − 1 to 0.
fn next_sequence(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}

#[cfg(test)]
mod tests;
