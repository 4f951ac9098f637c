//! Buffers that answers are read into, used again instead of allocated again.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

/// Answers below this size are allocated afresh: the pool is for fetches.
const POOLED_FROM: usize = 64 * 1024;

/// Spare buffers kept, beside one a sharer: a lane holds the fetch it works on, and those that batches in flight lie in.
const SPARE: usize = 4;

/// Buffers that connections share, lent out as [`Bytes`] and returned when the last slice is dropped.
///
/// Most lanes of many wait: those that work use what the others gave back, warm, instead of touching their own.
#[derive(Debug, Clone)]
pub struct FramePool {
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    most: usize,
}

impl Default for FramePool {
    fn default() -> Self {
        Self::shared_by(0)
    }
}

/// A lent buffer: its first `len` bytes are the frame.
pub(crate) struct Frame {
    buffer: Vec<u8>,
    len: usize,
    home: Option<FramePool>,
}

impl FramePool {
    /// A pool for so many lanes.
    #[must_use]
    pub fn shared_by(lanes: usize) -> Self {
        Self {
            spare: Arc::default(),
            most: lanes + SPARE,
        }
    }

    /// A buffer of `len` bytes, old bytes in it and all: the caller overwrites every one.
    ///
    /// A spare one that is too short is let go, so that those kept become as long as the fetches.
    pub(crate) fn lend(&self, len: usize) -> Frame {
        if len < POOLED_FROM {
            return Frame {
                buffer: vec![0; len],
                len,
                home: None,
            };
        }
        let spare = self.spares().pop().filter(|spare| spare.len() >= len);
        // Fresh zeros come from the operating system, which makes them only where they are touched.
        let buffer = spare.unwrap_or_else(|| vec![0; len]);
        Frame {
            buffer,
            len,
            home: Some(self.clone()),
        }
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A panic while pushing or popping leaves the list whole: go on with it.
        self.spare
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Frame {
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let mut spares = home.spares();
            if spares.len() < home.most {
                spares.push(std::mem::take(&mut self.buffer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_frame_lends_its_memory_to_the_next_one() {
        let pool = FramePool::default();
        let first = pool.lend(POOLED_FROM).into_bytes();
        let address = first.as_ptr();
        let slice = first.slice(10..20);
        drop(first);
        assert!(pool.spares().is_empty(), "a slice is still held");
        drop(slice);
        assert_eq!(pool.lend(POOLED_FROM).as_ref().as_ptr(), address);
    }

    #[test]
    fn those_who_share_a_pool_lend_each_others_memory() {
        let pool = FramePool::shared_by(2);
        let (mine, yours) = (pool.clone(), pool);
        let first = mine.lend(POOLED_FROM).into_bytes();
        let address = first.as_ptr();
        drop(first);
        assert_eq!(yours.lend(POOLED_FROM).as_ref().as_ptr(), address);
    }

    #[test]
    fn a_pooled_frame_has_the_length_asked_for() {
        let pool = FramePool::default();
        drop(pool.lend(3 * POOLED_FROM));
        assert_eq!(pool.lend(POOLED_FROM + 1).as_ref().len(), POOLED_FROM + 1);
    }
}
