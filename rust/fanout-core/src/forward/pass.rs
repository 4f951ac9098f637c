//! Whether a batch may travel whole, and if not, why.

use super::plan::{ForwardLimits, Spreading, Stamping};
use super::stats::Reason;
use super::visible::Visible;
use crate::batch::{Batch, BatchError, BatchHeader, Codec};
use crate::route::Policy;

/// A packed batch is unpacked and packed again to be merged: that pays only for so much smaller ones.
const PACKED_SHARE: usize = 16;

/// What a lane's batches are asked before they pass.
#[derive(Debug)]
pub(super) struct Passing {
    how: Spreading,
    /// The longest batch that the target takes.
    most_bytes: usize,
    /// See [`ForwardLimits::merge_below_bytes`].
    merge_below_bytes: usize,
    /// See [`ForwardLimits::flow_from_bytes`].
    flow_from_bytes: usize,
    merges: bool,
    /// Whether the last fetch brought long batches, all of which could pass.
    flows: bool,
    verifies: bool,
}

impl Passing {
    pub(super) fn new(how: Spreading, limits: &ForwardLimits) -> Self {
        Self {
            how,
            most_bytes: usize::MAX,
            merge_below_bytes: limits.merge_below_bytes,
            flow_from_bytes: limits.flow_from_bytes,
            merges: false,
            flows: false,
            verifies: false,
        }
    }

    /// Batches above `bytes` do not pass: the target would refuse them.
    pub(super) fn limit(&mut self, bytes: usize) {
        self.most_bytes = bytes;
    }

    /// From now on a batch's checksum is compared before it passes: the broker has refused one.
    pub(super) fn verify(&mut self) {
        self.verifies = true;
    }

    /// The broker compares the checksum of what passes; we do only after it refused one.
    pub(super) fn check(&self, batch: &Batch<'_>) -> Result<(), BatchError> {
        if self.verifies {
            return batch.verify_crc();
        }
        Ok(())
    }

    /// Looks at the batches of one fetch: are they worth merging?
    ///
    /// Once they are, they stay so until their mean has grown by half: a source that
    /// wavers about the bound does not change its way with every fetch.
    pub(super) fn look_at(&mut self, visible: &[Visible<'_>]) {
        let headers = || visible.iter().flatten().map(|batch| &batch.header);
        let Some(first) = headers().next() else {
            return;
        };
        let below = match first.codec() {
            Codec::None => self.merge_below_bytes,
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => {
                self.merge_below_bytes / PACKED_SHARE
            }
        };
        let bound = if self.merges {
            below + below / 2
        } else {
            below
        };
        let total: usize = headers().map(BatchHeader::total_len).sum();
        let mean = total / headers().count();
        self.merges = mean < bound;
        self.flows = mean >= self.flow_from_bytes && {
            let anywhere = (i64::MIN, i64::MAX);
            headers().all(|header| self.obstacle(header, anywhere).is_none())
        };
    }

    /// Whether what comes next will pass, so that its payloads need not come into memory.
    pub(super) fn flows(&self) -> bool {
        self.flows && !self.verifies
    }

    /// Why a batch within `[from, end)` cannot pass; `None` if it can.
    ///
    /// What the user asked for comes before what the batch is.
    pub(super) fn obstacle(&self, header: &BatchHeader, bounds: (i64, i64)) -> Option<Reason> {
        let Spreading {
            policy,
            stamping,
            codec,
        } = self.how;
        let reason = match (policy, stamping) {
            (Policy::Key(_) | Policy::RoundRobin, _) => Some(Reason::Spread),
            (Policy::Batch, Stamping::Run | Stamping::Text) => Some(Reason::Origin),
            (Policy::Batch, Stamping::None) => None,
        };
        let recoded = codec.is_some_and(|codec| codec != header.codec());
        reason
            .or(recoded.then_some(Reason::Codec))
            .or_else(|| unfit(header))
            .or_else(|| cut(header, bounds))
            .or((header.total_len() > self.most_bytes).then_some(Reason::Size))
            .or(self.merges.then_some(Reason::Merge))
    }
}

/// What a broker refuses in a batch, or takes and serves wrongly.
fn unfit(header: &BatchHeader) -> Option<Reason> {
    if header.is_log_append_time() {
        // Passed, its records would show the producers' times, not the times at which they were appended.
        return Some(Reason::AppendTime);
    }
    if header.has_delete_horizon() || header.record_count != header.last_offset_delta + 1 {
        return Some(Reason::Compacted);
    }
    None
}

/// A batch that reaches over an end of what is to be carried is opened.
fn cut(header: &BatchHeader, (from, end): (i64, i64)) -> Option<Reason> {
    let whole = header.base_offset >= from && header.next_offset() <= end;
    (!whole).then_some(Reason::Cut)
}
