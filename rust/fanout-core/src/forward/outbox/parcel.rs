//! A batch on its way, with its target and its place in the order of posting.

use std::io;

use super::super::seam::Outgoing;
use crate::batch::{PassedBatch, SealedBatch};
use crate::wire::Parked;

/// A batch to be produced: built by us, or a source batch that passes.
#[derive(Debug)]
pub enum Load {
    /// Spliced from records of the source.
    Built(SealedBatch),
    /// A source batch with another header.
    Passed(PassedBatch),
    /// The same, with what was left of it in the kernel: it can be sent once, and is not there any more then.
    Parked(PassedBatch, Option<Parked>),
}

impl Load {
    /// As it goes to `target`.
    #[must_use]
    pub(super) fn outgoing(&self, target: i32) -> Outgoing<'_> {
        let (slices, parked) = match self {
            Self::Built(sealed) => ([&[], sealed.bytes()], None),
            Self::Passed(passed) => (passed.slices(), None),
            Self::Parked(passed, parked) => (passed.slices(), parked.as_ref()),
        };
        Outgoing {
            target,
            slices,
            parked,
        }
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Built(sealed) => sealed.bytes().len(),
            Self::Passed(passed) | Self::Parked(passed, _) => passed.len(),
        }
    }

    /// Whether it has no bytes, which no batch has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nobody on this side has compared its checksum with its bytes.
    pub(super) fn is_unchecked(&self) -> bool {
        !matches!(self, Self::Built(_))
    }

    /// Whether it can be sent once only.
    pub(super) fn is_parked(&self) -> bool {
        matches!(self, Self::Parked(..))
    }

    /// It was sent: nothing of it is in the kernel.
    pub(super) fn was_sent(&mut self) {
        if let Self::Parked(_, parked) = self {
            *parked = None;
        }
    }

    /// The same with its payload in memory, so that it can be sent again.
    pub(super) fn read(self) -> io::Result<Self> {
        match self {
            Self::Parked(passed, Some(parked)) => Ok(Self::Passed(passed.filled(&parked.read()?))),
            other => Ok(other),
        }
    }

    /// Its buffer, where it is ours to use again.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Self::Built(sealed) => Some(sealed.into_buffer()),
            Self::Passed(_) | Self::Parked(..) => None,
        }
    }
}

impl From<SealedBatch> for Load {
    fn from(sealed: SealedBatch) -> Self {
        Self::Built(sealed)
    }
}

impl From<PassedBatch> for Load {
    fn from(passed: PassedBatch) -> Self {
        Self::Passed(passed)
    }
}

/// A batch with its target and its place in the order of posting.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) target: i32,
    pub(super) number: u64,
    pub(super) load: Load,
    /// Source offset of its first record.
    pub(super) first_offset: i64,
    pub(super) sent: bool,
}

impl Parcel {
    /// Whether an older batch of the same target is among `unsent`.
    pub(super) fn follows(&self, unsent: &[Parcel]) -> bool {
        let mut older = unsent.iter().filter(|other| other.number < self.number);
        older.any(|other| other.target == self.target)
    }
}
