//! Buffers of acknowledged batches, to build the next ones in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A longer buffer is let go: a few records of an unusual size would leave every batch of every lane with one.
const MOST_KEPT: usize = 1 << 20;

/// Buffers that all lanes of an engine build batches in: the last one given back is taken first, while it is in the cache.
#[derive(Debug, Clone, Default)]
pub struct Spares(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spares {
    /// A spare buffer, or an empty one.
    pub(super) fn take(&self) -> Vec<u8> {
        self.list().pop().unwrap_or_default()
    }

    /// Nobody needs the bytes in `buffer` any more.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() <= MOST_KEPT {
            self.list().push(buffer);
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // A panic while pushing or popping leaves the list whole: go on with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
