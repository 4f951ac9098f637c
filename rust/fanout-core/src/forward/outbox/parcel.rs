//! A batch on its way, with its target and its place in the order of posting.

use crate::batch::{PassedBatch, SealedBatch};

/// A batch to be produced: built by us, or a source batch that passes.
#[derive(Debug)]
pub enum Load {
    /// Spliced from records of the source.
    Built(SealedBatch),
    /// A source batch with another header.
    Passed(PassedBatch),
}

impl Load {
    /// Its bytes, in two stretches.
    #[must_use]
    pub fn slices(&self) -> [&[u8]; 2] {
        match self {
            Self::Built(sealed) => [&[], sealed.bytes()],
            Self::Passed(passed) => passed.slices(),
        }
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Built(sealed) => sealed.bytes().len(),
            Self::Passed(passed) => passed.len(),
        }
    }

    /// Whether it has no bytes, which no batch has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nobody on this side has compared its checksum with its bytes.
    pub(super) fn is_unchecked(&self) -> bool {
        matches!(self, Self::Passed(_))
    }

    /// Its buffer, where it is ours to use again.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Self::Built(sealed) => Some(sealed.into_buffer()),
            Self::Passed(_) => None,
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
