//! The batches in a Fetch answer.

use super::crc::crc32c;
use super::error::BatchError;
use super::header::{BatchHeader, CRC_FROM, HEADER_LEN, LEAST_LENGTH, LENGTH_ENDS_AT, MAGIC_AT};
use super::records::Records;

/// One batch, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Its header, checked.
    pub header: BatchHeader,
    bytes: &'a [u8],
    gap: Option<Gap>,
}

/// Bytes of a batch that were left elsewhere: the first ones of its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where the batch's header stands among the bytes that are here.
    pub header_at: usize,
    /// So many bytes behind the header are absent.
    pub bytes: usize,
}

impl<'a> Batch<'a> {
    /// Reads the batch that is the whole of `bytes`.
    ///
    /// # Errors
    ///
    /// If `bytes` is shorter or longer than the batch, or its header cannot be.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = Self::header_of(bytes)?;
        let found = bytes.len();
        let needed = header.total_len();
        match bytes.get(..needed) {
            None => Err(BatchError::CutShort { needed, found }),
            Some(_) if needed < found => Err(BatchError::Trailing {
                bytes: found - needed,
            }),
            Some(bytes) => Ok(Self {
                header,
                bytes,
                gap: None,
            }),
        }
    }

    /// Reads the batch that lacks the bytes of `gap`.
    fn parse_around(bytes: &'a [u8], gap: Gap) -> Result<Self, BatchError> {
        Ok(Self {
            header: Self::header_of(bytes)?,
            bytes,
            gap: Some(gap),
        })
    }

    fn header_of(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let header = bytes.first_chunk().ok_or(BatchError::CutShort {
            needed: HEADER_LEN,
            found: bytes.len(),
        })?;
        BatchHeader::parse(header)
    }

    /// What the batch lacks: it can travel whole, but not be read.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        self.gap
    }

    /// All bytes of the batch that are here, header included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records, packed as they are.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// Compares the CRC with the bytes it covers.
    ///
    /// Ask this of control batches and of aborted ones too, before they are passed
    /// over: a flipped bit could have made them so.
    ///
    /// # Errors
    ///
    /// If they differ.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(&self.bytes[CRC_FROM..]);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BatchError::Crc {
            stored: self.header.crc,
            computed,
        })
    }

    /// Walks the records in `payload`: this batch's own, as
    /// [`Unpacker::unpack`](super::Unpacker::unpack) gave it.
    ///
    /// # Errors
    ///
    /// If `payload` is too short for the records announced.
    pub fn records<'p>(&self, payload: &'p [u8]) -> Result<Records<'p>, BatchError> {
        Records::of(&self.header, payload)
    }
}

/// Takes the batches of a Fetch answer one by one.
///
/// An answer may end inside a batch: the iterator ends there too, and the rest
/// comes with the next fetch. Only when not even the first batch is whole can the
/// next fetch not help unless it asks for more: see [`Batches::cut_first`].
///
/// After an error the iterator ends: where the next batch would begin is unknown.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
    /// Bytes taken so far.
    taken: usize,
    /// Those that are still to come.
    gaps: &'a [Gap],
    limit_bytes: usize,
    next_offset: i64,
    cut_first: Option<usize>,
    begun: bool,
}

impl<'a> Batches<'a> {
    /// Reads `records` of a Fetch answer; a batch above `limit_bytes` is an error.
    #[must_use]
    pub fn new(records: &'a [u8], limit_bytes: usize) -> Self {
        Self {
            rest: records,
            taken: 0,
            gaps: &[],
            limit_bytes,
            next_offset: 0,
            cut_first: None,
            begun: false,
        }
    }

    /// The same for `records` that lack these bytes; `gaps` are in order.
    #[must_use]
    pub fn around(self, gaps: &'a [Gap]) -> Self {
        Self { gaps, ..self }
    }

    /// How many bytes the first batch needs, if the answer was too short for it.
    ///
    /// Known once the iterator has ended. An answer that ends inside the length
    /// field itself needs at least a header.
    #[must_use]
    pub fn cut_first(&self) -> Option<usize> {
        self.cut_first
    }

    fn take(&mut self) -> Result<Option<Batch<'a>>, BatchError> {
        let Some(needed) = self.announced_len()? else {
            return Ok(None);
        };
        let gap = self.next_gap();
        let here = needed.saturating_sub(gap.map_or(0, |gap| gap.bytes));
        let Some((bytes, rest)) = self.rest.split_at_checked(here) else {
            return Ok(self.end_cut(needed));
        };
        let batch = match gap {
            None => Batch::parse(bytes)?,
            Some(gap) => Batch::parse_around(bytes, gap)?,
        };
        let (base_offset, expected) = (batch.header.base_offset, self.next_offset);
        if base_offset < expected {
            return Err(BatchError::BaseOffset {
                base_offset,
                expected,
            });
        }
        self.rest = rest;
        self.taken += bytes.len();
        self.next_offset = batch.header.next_offset();
        self.begun = true;
        Ok(Some(batch))
    }

    /// What the batch at the front lacks.
    fn next_gap(&mut self) -> Option<Gap> {
        let (gap, later) = self.gaps.split_first()?;
        if gap.header_at != self.taken {
            return None;
        }
        self.gaps = later;
        Some(*gap)
    }

    /// Bytes of the batch at the front, as far as its first bytes can be believed.
    fn announced_len(&mut self) -> Result<Option<usize>, BatchError> {
        if let Some(&magic) = self.rest.get(MAGIC_AT) {
            // Before the length: older formats have shorter lengths than any v2 batch.
            if magic != 2 {
                let found = magic.cast_signed();
                return Err(BatchError::Magic { found });
            }
        }
        let Some(&[a, b, c, d]) = self.rest.get(8..LENGTH_ENDS_AT) else {
            if !self.rest.is_empty() {
                self.end_cut(HEADER_LEN);
            }
            return Ok(None);
        };
        let length = i32::from_be_bytes([a, b, c, d]);
        let limit = self.limit_bytes.saturating_sub(LENGTH_ENDS_AT);
        match usize::try_from(length) {
            Ok(announced) if (LEAST_LENGTH..=limit).contains(&announced) => {
                Ok(Some(LENGTH_ENDS_AT + announced))
            }
            _ => Err(BatchError::Length { length, limit }),
        }
    }

    fn end_cut(&mut self, needed: usize) -> Option<Batch<'a>> {
        if !self.begun {
            self.cut_first = Some(needed);
        }
        self.rest = &[];
        None
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = self.take();
        if taken.is_err() {
            self.rest = &[];
        }
        taken.transpose()
    }
}
