//! Bytes that stay in the kernel: out of one socket into a pipe, out of the pipe into another socket.
//!
//! The kernel moves references to pages and copies nothing, and we never see the bytes. So they cannot
//! be sent a second time: whoever parks them must be able to fetch them again.
//!
//! A pipe is read in the order it was written: of what is [`Parked`] in one, the first must be taken first.
//! What was skipped is dropped; what was taken cannot be taken again, and says so.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg_attr(target_os = "linux", path = "pipe/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "pipe/elsewhere.rs")]
mod system;

pub(super) use system::send_more;
use system::Ends;
pub use system::Socket;

/// The longest pipe that Linux gives to everybody, in bytes: room for 256 pages, full or not, some of them long ones.
pub const PIPE_BYTES: usize = 1 << 20;

/// Two file descriptors each; and all processes of a user who is not root may have 64 that are so long.
const MOST_PIPES: usize = 24;

/// What is read at once of bytes that nobody wants.
const DROPPED_AT_ONCE: usize = 64 * 1024;

/// A pipe, and how many bytes went in and came out of it by now.
#[derive(Debug)]
pub(super) struct Pipe {
    ends: Ends,
    /// Set where the system turns out not to move bytes: no pipe is lent any more.
    refused: Arc<AtomicBool>,
    poured: u64,
    drained: u64,
}

impl Pipe {
    fn new(refused: Arc<AtomicBool>) -> io::Result<Self> {
        Ok(Self {
            ends: Ends::new(PIPE_BYTES)?,
            refused,
            poured: 0,
            drained: 0,
        })
    }

    fn drop_until(&mut self, place: u64) -> io::Result<()> {
        while self.drained < place {
            let left = usize::try_from(place - self.drained).unwrap_or(DROPPED_AT_ONCE);
            self.read(&mut vec![0; left.min(DROPPED_AT_ONCE)])?;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut begun = 0;
        while begun < buffer.len() {
            begun += self.count_drained(|ends| ends.read(&mut buffer[begun..]))?;
        }
        Ok(())
    }

    fn count_drained(
        &mut self,
        drain: impl FnOnce(&Ends) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let drained = drain(&self.ends)?;
        self.drained += drained as u64;
        Ok(drained)
    }

    fn heed(&self, error: &io::Error) {
        use io::ErrorKind as E;
        let refusals = [E::InvalidInput, E::PermissionDenied, E::Unsupported];
        if refusals.contains(&error.kind()) && !self.refused.swap(true, Relaxed) {
            tracing::info!(%error, "the system moves no bytes between sockets: they are read and written");
        }
    }
}

/// Pipes that the lanes of a client share, each used again once it is empty.
#[derive(Debug, Clone, Default)]
pub struct Pipes {
    all: Arc<Mutex<Vec<SharedPipe>>>,
    refused: Arc<AtomicBool>,
}

/// A pipe with whatever is parked in it.
#[derive(Debug, Clone)]
pub struct SharedPipe(Arc<Mutex<Pipe>>);

impl Pipes {
    /// An empty pipe; `None` if enough are in use, or the system gives us none that is long enough.
    #[must_use]
    pub fn lend(&self) -> Option<SharedPipe> {
        if self.refused.load(Relaxed) {
            return None;
        }
        // A panic in here leaves the list whole: go on with it.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // One that somebody holds is left to them. One that is not empty holds what nobody wants any more.
        all.retain(|pipe| !pipe.is_only_ours() || pipe.is_empty());
        let is_free = |pipe: &&SharedPipe| pipe.is_only_ours() && pipe.is_empty();
        if let Some(free) = all.iter().find(is_free) {
            return Some(free.clone());
        }
        if all.len() == MOST_PIPES {
            return None;
        }
        let pipe = SharedPipe(Arc::new(Mutex::new(
            Pipe::new(Arc::clone(&self.refused)).ok()?,
        )));
        all.push(pipe.clone());
        Some(pipe)
    }
}

impl SharedPipe {
    /// Parks bytes of our own: what stands in for a broker does so.
    ///
    /// # Errors
    ///
    /// If the pipe may not have room for them.
    pub fn park(&self, bytes: &[u8]) -> io::Result<Parked> {
        let mut pipe = self.pipe();
        // Written in one go, bytes leave no page but the last one half empty.
        if pipe.poured - pipe.drained + bytes.len() as u64 > PIPE_BYTES as u64 / 2 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut begun = 0;
        while begun < bytes.len() {
            begun += pipe.ends.write(&bytes[begun..])?;
        }
        pipe.poured += bytes.len() as u64;
        drop(pipe);
        Ok(self.last(bytes.len()))
    }

    /// The last `len` bytes that were poured in.
    #[must_use]
    pub fn last(&self, len: usize) -> Parked {
        Parked {
            at: self.pipe().poured.saturating_sub(len as u64),
            pipe: self.clone(),
            len,
        }
    }

    fn is_only_ours(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn is_empty(&self) -> bool {
        let pipe = self.pipe();
        pipe.poured == pipe.drained
    }

    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        // Both counts are set after the kernel has done its part: a panic leaves them right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves up to `len` bytes from `socket` in; 0 if the pipe is full.
    pub(super) fn pour(&self, socket: Socket<'_>, len: usize) -> io::Result<usize> {
        let mut pipe = self.pipe();
        let poured = pipe.ends.pour(socket, len);
        let poured = poured.inspect_err(|error| pipe.heed(error))?;
        pipe.poured += poured as u64;
        Ok(poured)
    }
}

/// A stretch of bytes that waits in a pipe.
#[derive(Clone)]
pub struct Parked {
    pipe: SharedPipe,
    /// Bytes that were poured in before it.
    at: u64,
    len: usize,
}

impl Parked {
    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the bytes into memory.
    ///
    /// # Errors
    ///
    /// If they, or bytes behind them, were taken before.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        self.front()?.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Moves what is left of the bytes to `socket`, as much as it takes at once; `more` says that others follow at once.
    pub(super) fn drain(
        &self,
        socket: Socket<'_>,
        (begun, more): (usize, bool),
    ) -> io::Result<usize> {
        let mut pipe = if begun == 0 {
            self.front()?
        } else {
            self.pipe.pipe()
        };
        pipe.count_drained(|ends| ends.drain(socket, self.len - begun, more))
            .inspect_err(|error| pipe.heed(error))
    }

    /// The pipe with these bytes in front.
    fn front(&self) -> io::Result<MutexGuard<'_, Pipe>> {
        let mut pipe = self.pipe.pipe();
        pipe.drop_until(self.at)?;
        if pipe.drained > self.at || pipe.poured < self.at + self.len as u64 {
            return Err(io::Error::other("parked bytes are there no more"));
        }
        Ok(pipe)
    }
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} parked bytes", self.len)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
