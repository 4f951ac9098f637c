//! From a source batch to the target's builders: walk, route, splice.

use bytes::Bytes;

use super::builders::Builders;
use super::outbox::Outbox;
use super::pass::Passing;
use super::plan::ForwardLimits;
use super::seam::{Produce, Step};
use super::stats::{Reason, Way};
use super::visible::Visible;
use crate::batch::{Batch, BatchError, BatchHeader, Codec, Unpacker};
use crate::cluster::producers::Producer as Owner;
use crate::error::Error;
use crate::failpoint;
use crate::record::{Tally, TopicPartition};
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

    /// The same place, with what was carried of its batch.
    pub(super) fn after(self, carried: Tally) -> Self {
        Self { carried, ..self }
    }

    pub(super) fn halted(self, at: &TopicPartition) -> Error {
        Error::Halted {
            at: at.clone(),
            offset: self.offset,
            problem: format!("the batch there is broken: {}", self.problem),
            remedy: format!(
                "everything before it was forwarded and nothing is skipped: restore the partition from a replica, or have a plain forward leave this one batch out: --skip {}:{}@{}",
                at.topic, at.partition, self.offset
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

impl Carried {
    /// Nothing yet of a batch that is opened because of `reason`.
    fn opened(header: &BatchHeader, reason: Reason) -> Self {
        let way = match header.codec() {
            Codec::None => Way::Splice,
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => Way::Transcode,
        };
        Self {
            tally: Tally::default(),
            stripped: 0,
            next: header.next_offset(),
            way,
            reason,
        }
    }
}

/// Spreads the batches of one lane's source over its targets.
pub struct Spread {
    passing: Passing,
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
            passing: Passing::new(how, limits),
            unpacker: Unpacker::new(limits.lane_memory_bytes),
            builders: Builders::new(at, router, how, limits.batch_bytes),
        })
    }

    /// The same for targets that take no longer batch than `bytes`.
    #[must_use]
    pub fn with_target_limit(mut self, bytes: usize) -> Self {
        self.passing.limit(bytes);
        self
    }

    /// Batches are parts of no transaction, and are read at once.
    #[must_use]
    pub(super) fn without_transactions(mut self) -> Self {
        self.builders.transactional = false;
        self
    }

    /// A new transaction begins: builders are empty, and with a new epoch sequences start at 0.
    pub fn begin(&mut self, owner: Owner) {
        self.builders.begin(owner);
    }

    /// From now on checksums are compared even of batches that pass: the broker has refused one.
    pub(super) fn verify_passed(&mut self) {
        self.passing.verify();
    }

    /// Looks at what one fetch brought before its batches are spread.
    pub(super) fn look_at(&mut self, visible: &[Visible<'_>]) {
        self.passing.look_at(visible);
    }

    /// Sends `batch`, which lies in `fetched`, on whole, or spreads its records within `bounds`
    /// over the builders; full ones are posted.
    ///
    /// The inner result tells a broken batch, up to which everything was carried.
    pub(super) fn batch<P: Produce>(
        &mut self,
        (batch, fetched): (&Batch<'_>, &Bytes),
        bounds: (i64, i64),
        outbox: &mut Outbox<P>,
    ) -> Step<Result<Carried, Broken>> {
        failpoint::reach("spread-to-carry");
        let header = &batch.header;
        let broken = |error: BatchError| {
            let from = header.base_offset.max(bounds.0);
            Ok(Err(Broken::at(from, &error)))
        };
        let Some(reason) = self.passing.obstacle(header, bounds) else {
            if let Err(error) = self.passing.check(batch) {
                return broken(error);
            }
            let payload = fetched.slice_ref(batch.payload());
            return Ok(Ok(self.builders.pass((batch, payload), outbox)?));
        };
        self.builders.pack_as(header.codec(), outbox)?;
        let payload = batch
            .verify_crc()
            .and_then(|()| self.unpacker.unpack(batch));
        match payload {
            Ok(payload) => {
                let carried = Carried::opened(header, reason);
                self.builders
                    .walk((batch, payload), bounds, carried, outbox)
            }
            Err(error) => broken(error),
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
