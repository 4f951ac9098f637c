//! Batches whose payloads wait in pipes: a pipe gives back what it holds in order, so they are sent as they came.
//!
//! What the kernel has sent it does not have any more. So such a batch is never sent again: what
//! would send another one again ends the transaction, and its records are fetched anew.

use std::io;

use super::super::seam::{Interrupt, Produce, Step};
use super::resend::reason_of;
use super::{Outbox, Parcel};

/// Such batches are worth a request at this size: it holds none of our memory, so it may be longer than others.
const CONVOY_BYTES: usize = 1 << 20;

/// The next request of them: one batch a target, as of any request.
#[derive(Default)]
pub(super) struct Convoy {
    node: i32,
    parcels: Vec<Parcel>,
    bytes: usize,
}

impl Convoy {
    fn takes(&self, parcel: &Parcel, node: i32) -> bool {
        let is_other = |waiting: &Parcel| waiting.target != parcel.target;
        let bytes = self.bytes + parcel.load.len();
        self.node == node && bytes <= CONVOY_BYTES && self.parcels.iter().all(is_other)
    }
}

impl<P: Produce> Outbox<P> {
    /// Whether a parked batch of `target` can be part of the request that waits.
    pub fn joins(&mut self, target: i32) -> bool {
        let waiting = &self.convoy.parcels;
        waiting.is_empty()
            || waiting.iter().all(|parcel| parcel.target != target)
                && self.produce.leader(target).ok() == Some(self.convoy.node)
    }

    /// Takes a batch that can be sent once; sends those before it where it does not fit in with them.
    pub(super) fn post_parked(&mut self, parcel: Parcel) -> Step<()> {
        while self.ready_bytes > 0 {
            self.dispatch_one_of_each()?;
        }
        let node = match self.produce.leader(parcel.target) {
            Ok(node) => node,
            Err(failure) => return Err(Interrupt::Renew(reason_of(failure)?)),
        };
        if !self.convoy.takes(&parcel, node) {
            self.send_convoy()?;
        }
        self.convoy.node = node;
        self.convoy.bytes += parcel.load.len();
        self.convoy.parcels.push(parcel);
        while self.held_bytes > self.budget && self.await_one()? {}
        Ok(())
    }

    /// Sends the parked batches that wait.
    pub(super) fn send_convoy(&mut self) -> Step<()> {
        if self.convoy.parcels.is_empty() {
            return Ok(());
        }
        let Convoy { node, parcels, .. } = std::mem::take(&mut self.convoy);
        self.make_room(node)?;
        if self.gate_open {
            return self.send(node, parcels);
        }
        // The first request of a transaction is often refused while markers of the last one are written: it is one
        // that can be sent again.
        let read = parcels.into_iter().map(|mut parcel| {
            parcel.load = parcel.load.read()?;
            Ok(parcel)
        });
        let parcels = read.collect::<io::Result<_>>();
        let parcels = parcels.map_err(|error| Interrupt::Renew(error.to_string()))?;
        self.send(node, parcels)
    }

    /// Ends the transaction if one of `unsent` cannot be sent again.
    pub(super) fn give_up_parked(&self, unsent: &[Parcel], reason: &str) -> Step<()> {
        let mut flying = self.flying.values().flatten().flatten();
        let is_parked = |parcel: &Parcel| parcel.load.is_parked();
        if unsent.iter().any(is_parked) || flying.any(is_parked) {
            return Err(Interrupt::Renew(reason.to_owned()));
        }
        Ok(())
    }
}
