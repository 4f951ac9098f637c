//! How a lane commits: by ending transactions, or by checkpoints.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::super::plan::Delivery;
use super::super::seam::{Commit, Fetch, Produce, Step};
use super::Lane;
use crate::cluster::producers::NOBODY;
use crate::error::Error;
use crate::failpoint;

impl<F: Fetch, P: Produce, C: Commit> Lane<F, P, C> {
    /// Commits what is due: a transaction's end, or the checkpoint before the one that is set now.
    pub(super) fn end_if_due(&mut self, now: Instant) -> Step<()> {
        let posted = self.outbox.transaction_bytes();
        if !self.transaction.is_due(posted, now) {
            return Ok(());
        }
        match self.delivery {
            Delivery::ExactlyOnce => self.end_transaction(),
            Delivery::AtLeastOnce => self.pass_checkpoint(),
        }
    }

    /// Commits all that was carried.
    pub(super) fn finish(&mut self) -> Step<()> {
        match self.delivery {
            Delivery::ExactlyOnce => self.end_transaction(),
            // The first sets the last checkpoint, the second passes it.
            Delivery::AtLeastOnce => self.pass_checkpoint().and_then(|()| self.pass_checkpoint()),
        }
    }

    /// Everything posted is acknowledged, then it and the offset become visible together.
    fn end_transaction(&mut self) -> Step<()> {
        if !self.transaction.has_work() {
            return Ok(());
        }
        failpoint::reach("lane-to-end");
        self.spread.post_all(&mut self.outbox)?;
        self.outbox.flush()?;
        self.commit_place()
    }

    /// Commits how far the lane has come, with what the transaction holds.
    pub(super) fn commit_place(&mut self) -> Step<()> {
        let place = self.transaction.place();
        let next = self.commit.commit(self.transaction.producer, &place)?;
        failpoint::reach("lane-committed");
        self.transaction.ended(next);
        self.begin(next);
        self.note_commit(place.offset);
        failpoint::reach("lane-ended");
        Ok(())
    }

    /// Commits the last checkpoint and sets the next one behind all that was carried by now.
    ///
    /// The batches below the last one were sent an interval ago: their answers are here, as a rule,
    /// and nothing waits for those of the batches sent now.
    fn pass_checkpoint(&mut self) -> Step<()> {
        if let Some(point) = self.transaction.take_checkpoint() {
            self.outbox.await_through(point.number)?;
            let place = self.transaction.place_of(&point);
            self.commit.commit(self.transaction.producer, &place)?;
            self.transaction.passed(&point);
            self.note_commit(place.offset);
        }
        if self.transaction.has_work() {
            self.post_all()?;
            let number = self.outbox.checkpoint();
            self.transaction.set_checkpoint(number, self.clock.now());
        }
        Ok(())
    }

    /// Sends at once what the builders hold: with nothing more to read, nothing more would come in.
    pub(super) fn post_all(&mut self) -> Step<()> {
        self.spread.post_all(&mut self.outbox)?;
        self.outbox.dispatch()
    }

    fn note_commit(&mut self, position: i64) {
        self.caution.committed();
        self.stats.position.store(position, Relaxed);
        self.stats.resends.store(self.outbox.resends(), Relaxed);
        self.stats.commits.fetch_add(1, Relaxed);
    }

    /// A lane that ends with an error takes its open transaction back, so that readers are not held up.
    pub(super) fn leave_nothing_open(&mut self, error: &Error) {
        let ours = match error {
            Error::Halted { .. } | Error::Broker { .. } | Error::Refused { .. } => true,
            Error::Fenced { .. }
            | Error::Unreachable { .. }
            | Error::Security { .. }
            | Error::Config { .. }
            | Error::Work { .. } => false,
        };
        let producer = self.transaction.producer;
        if self.delivery == Delivery::AtLeastOnce || !ours || producer == NOBODY {
            return;
        }
        if let Err(interrupt) = self.commit.renew(producer) {
            tracing::warn!(lane = %self.plan.at, ?interrupt, "the open transaction is left to its timeout");
        }
    }
}
