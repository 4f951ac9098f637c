//! The records of a batch, as slices of its payload.
//!
//! ```text
//! length · attributes i8 · timestamp delta · offset delta │ key length · key │ value length · value · header count · headers
//!                                                         └──────────────────────── body ─────────────────────────────┘
//! ```
//!
//! To choose a target only the key is needed, and to copy a record only its body.
//! So the walk stops behind the key, and knows the rest by the record's length;
//! value and headers are read when someone asks for them.

#![expect(
    clippy::inline_always,
    reason = "a record that is returned in memory and read back makes the walk half as slow again"
)]

use super::error::{BatchError, RecordFlaw};
use super::front::{take_bytes, Front};
use super::header::BatchHeader;
use super::varint::take_i32;

/// The least a header takes: two lengths.
const LEAST_HEADER: usize = 2;

/// Walks the records of one batch, and ends at the first that is not sound.
///
/// Exactly as many records as announced must fill the payload, and their offsets
/// must grow: two records at one offset would have one origin.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
    least_offset: i32,
    last_offset: i32,
}

impl<'a> Records<'a> {
    pub(super) fn of(header: &BatchHeader, payload: &'a [u8]) -> Result<Self, BatchError> {
        header.check_room(payload.len())?;
        Ok(Self {
            rest: payload,
            index: 0,
            count: header.record_count,
            least_offset: 0,
            last_offset: header.last_offset_delta,
        })
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Record<'a>, RecordFlaw> {
        let front = match Front::short(self.rest) {
            Some(front) => front,
            None => Front::any(self.rest)?,
        };
        let offset_delta = front.offset_delta;
        if offset_delta < self.least_offset || offset_delta > self.last_offset {
            return Err(RecordFlaw::Offset);
        }
        self.rest = front.after;
        // The last offset is an i32: this is at most one above it.
        self.least_offset = offset_delta.saturating_add(1);
        let index = self.index;
        self.index += 1;
        Ok(Record {
            index,
            attributes: front.attributes,
            timestamp_delta: front.timestamp_delta,
            offset_delta,
            key: front.key,
            body: front.body,
            tail: front.tail,
        })
    }

    /// What is left once every record is taken: an error if it is not nothing.
    #[inline]
    fn end(&mut self) -> Option<BatchError> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest).len();
        Some(BatchError::Trailing { bytes })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            return self.end().map(Err);
        }
        match self.take() {
            Ok(record) => Some(Ok(record)),
            Err(flaw) => {
                let index = self.index;
                self.rest = &[];
                self.index = self.count;
                Some(Err(BatchError::Record { index, flaw }))
            }
        }
    }
}

/// One record. Value and headers are read when they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub(super) index: i32,
    pub(super) attributes: u8,
    /// Added to the batch's base timestamp: see [`BatchHeader::timestamp_of`].
    pub timestamp_delta: i64,
    /// Added to the batch's base offset: see [`BatchHeader::offset_of`].
    pub offset_delta: i32,
    /// The key; `None` is no key, which an empty one is not.
    pub key: Option<&'a [u8]>,
    body: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Record<'a> {
    /// The bytes from the key length to the record's end.
    #[must_use]
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The value; `None` is a tombstone.
    ///
    /// # Errors
    ///
    /// If the value's length is not one.
    pub fn value(&self) -> Result<Option<&'a [u8]>, BatchError> {
        take_bytes(&mut { self.tail }).map_err(|flaw| self.flawed(flaw))
    }

    /// The headers, in order.
    ///
    /// # Errors
    ///
    /// If the value's length or the header count is not one.
    pub fn headers(&self) -> Result<Headers<'a>, BatchError> {
        self.find_headers().map_err(|flaw| self.flawed(flaw))
    }

    /// The headers, and with them where their count stands in the body.
    #[inline]
    pub(super) fn find_headers(&self) -> Result<Headers<'a>, RecordFlaw> {
        let mut rest = self.tail;
        take_bytes(&mut rest)?;
        let count_at = self.body.len() - rest.len();
        let count = take_i32(&mut rest)?;
        let count = usize::try_from(count).map_err(|_| RecordFlaw::NegativeLength)?;
        if count > rest.len() / LEAST_HEADER {
            return Err(RecordFlaw::CutShort);
        }
        Ok(Headers {
            left: count,
            rest,
            count_at,
            index: self.index,
        })
    }

    /// The error that says which record of its batch has `flaw`.
    #[must_use]
    pub fn flawed(&self, flaw: RecordFlaw) -> BatchError {
        BatchError::Record {
            index: self.index,
            flaw,
        }
    }
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, which need not be UTF-8.
    pub name: &'a [u8],
    /// The value; `None` is a null.
    pub value: Option<&'a [u8]>,
    /// The header as it stands in the record.
    pub bytes: &'a [u8],
}

/// Walks the headers of one record, and ends at the first that is not sound.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    left: usize,
    rest: &'a [u8],
    pub(super) count_at: usize,
    index: i32,
}

impl<'a> Headers<'a> {
    /// How many headers are left.
    #[must_use]
    #[inline]
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// The headers left, as they stand in the record.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self) -> Result<Header<'a>, RecordFlaw> {
        let mut rest = self.rest;
        let name = take_bytes(&mut rest)?.ok_or(RecordFlaw::NegativeLength)?;
        let value = take_bytes(&mut rest)?;
        let bytes = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        self.left -= 1;
        Ok(Header { name, value, bytes })
    }

    /// The next header, or what is wrong with it; nothing comes after a flaw.
    pub(super) fn next_sound(&mut self) -> Option<Result<Header<'a>, RecordFlaw>> {
        let flaw = match self.left {
            0 if self.rest.is_empty() => return None,
            0 => RecordFlaw::Length,
            _ => match self.take() {
                Ok(header) => return Some(Ok(header)),
                Err(flaw) => flaw,
            },
        };
        self.left = 0;
        self.rest = &[];
        Some(Err(flaw))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index;
        let named = |flaw| BatchError::Record { index, flaw };
        self.next_sound().map(|header| header.map_err(named))
    }
}
