//! From a source batch to the target's builders: walk, route, splice.

use super::builders::Builders;
use super::carried::{Broken, Carried};
use super::outbox::Outbox;
use super::pass::Passing;
use super::plan::{ForwardLimits, Spreading};
use super::seam::{Fetched, Interrupt, Produce, Step};
use super::visible::Visible;
use crate::batch::{Batch, BatchError, Unpacker, HEADER_LEN};
use crate::cluster::producers::Producer as Owner;
use crate::failpoint;
use crate::record::TopicPartition;
use crate::route::Router;

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
            builders: Builders::new(at, router, how, limits),
        })
    }

    /// The same for targets that take no longer batch than `bytes`.
    #[must_use]
    pub fn with_target_limit(mut self, bytes: usize) -> Self {
        self.passing.limit(bytes);
        self
    }

    /// The same for one of `lanes` that run side by side.
    #[must_use]
    pub fn among(mut self, lanes: usize) -> Self {
        self.builders.lanes = lanes;
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

    /// Whether what comes next will travel whole, so that nobody here has to see it.
    pub(super) fn flows(&self) -> bool {
        self.passing.flows()
    }

    /// Sends `batch`, which lies in `fetched`, on whole, or spreads its records within `bounds`
    /// over the builders; full ones are posted.
    ///
    /// The inner result tells a broken batch, up to which everything was carried.
    pub(super) fn batch<P: Produce>(
        &mut self,
        (batch, fetched): (&Batch<'_>, &Fetched),
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
            return Ok(Ok(self.builders.pass((batch, fetched), outbox)?));
        };
        let whole = whole(batch, fetched, outbox)?;
        let batch = match whole.as_deref().map(Batch::parse) {
            None => *batch,
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return broken(error),
        };
        self.builders.note_codec(header);
        let payload = batch
            .verify_crc()
            .and_then(|()| self.unpacker.unpack(&batch));
        match payload {
            Ok(payload) => {
                let carried = Carried::opened(header, reason);
                self.builders
                    .walk((&batch, payload), bounds, carried, outbox)
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

/// The bytes of a batch that lacks some: those before it in its pipe are sent first. `None` if all are here.
fn whole<P: Produce>(
    batch: &Batch<'_>,
    fetched: &Fetched,
    outbox: &mut Outbox<P>,
) -> Step<Option<Vec<u8>>> {
    let Some(parked) = batch.gap().and_then(|gap| fetched.parked.of(gap)) else {
        return Ok(None);
    };
    outbox.dispatch()?;
    let parked = parked
        .read()
        .map_err(|error| Interrupt::Renew(error.to_string()))?;
    let (head, tail) = batch.bytes().split_at(HEADER_LEN);
    Ok(Some([head, &parked, tail].concat()))
}
