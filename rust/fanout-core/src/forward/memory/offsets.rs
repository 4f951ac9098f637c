//! The coordinator of a group's offsets alone: the twin of a lane without transactions.

use super::store::Fault;
use super::MemoryCluster;
use crate::cluster::groups::Committed;
use crate::cluster::producers::Producer;
use crate::forward::seam::{Commit, Interrupt, Step};

/// Commits offsets outside transactions. Each producer it introduces has an epoch of its own.
#[derive(Debug)]
pub struct MemoryOffsets {
    cluster: MemoryCluster,
}

impl MemoryCluster {
    /// What commits for a lane without transactions.
    #[must_use]
    pub fn offsets(&self) -> MemoryOffsets {
        MemoryOffsets {
            cluster: self.clone(),
        }
    }
}

impl Commit for MemoryOffsets {
    fn acquire(&mut self) -> Step<Producer> {
        Ok(self.cluster.store().next_epoch(false))
    }

    fn renew(&mut self, _: Producer) -> Step<Producer> {
        self.acquire()
    }

    fn position(&mut self) -> Step<Option<Committed>> {
        Ok(self.cluster.committed())
    }

    fn commit(&mut self, producer: Producer, place: &Committed) -> Step<Producer> {
        let mut store = self.cluster.store();
        if store.take_fault(|fault| fault == Fault::EndLost).is_some() {
            return Err(Interrupt::Renew("planted".to_owned()));
        }
        store.committed = Some(place.clone());
        Ok(producer)
    }
}
