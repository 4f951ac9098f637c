//! A batch that travels whole: its header is patched, its records are never read.
//!
//! CRC-32C is linear, so the new sum follows from the old one, the two headers and
//! the length of the payload: `new = old ⊕ shift(crc(old header) ⊕ crc(new header))`.
//! A payload that was damaged on its way keeps a sum that does not fit, and the
//! broker refuses it: passing launders nothing.

use bytes::Bytes;

use super::batches::Batch;
use super::crc::{crc32c, shift};
use super::header::{Attributes, BatchHeader, CRC_FROM, HEADER_LEN};
use super::sealed::Signature;

/// A source batch with the header of one we produce. The payload is still the fetch's memory.
#[derive(Debug)]
pub struct PassedBatch {
    head: [u8; HEADER_LEN],
    header: BatchHeader,
    payload: Bytes,
    absent: usize,
}

impl PassedBatch {
    /// Signs `batch`, whose records are `payload`, behind those that the batch lacks.
    ///
    /// The caller has seen to it that a broker takes it: no control batch, no hole
    /// in its offsets, create time, no delete horizon.
    #[must_use]
    #[inline]
    pub fn new(batch: &Batch<'_>, payload: Bytes, signature: Signature) -> Self {
        let absent = batch.gap().map_or(0, |gap| gap.bytes);
        let source = &batch.header;
        let mut header = BatchHeader {
            base_offset: 0,
            leader_epoch: -1,
            attributes: Attributes::produced(source.codec(), signature.transactional),
            producer_id: signature.id,
            producer_epoch: signature.epoch,
            base_sequence: signature.sequence,
            ..*source
        };
        let mut head = [0; HEADER_LEN];
        header.write(&mut head);
        let covered = &batch.bytes()[CRC_FROM..HEADER_LEN];
        let changed = crc32c(covered) ^ crc32c(&head[CRC_FROM..]);
        header.crc = source.crc ^ shift(changed, absent + payload.len());
        header.write(&mut head);
        Self {
            head,
            header,
            payload,
            absent,
        }
    }

    /// The same with the bytes that it lacked.
    #[must_use]
    pub fn filled(self, absent: &[u8]) -> Self {
        Self {
            payload: [absent, &self.payload].concat().into(),
            absent: 0,
            ..self
        }
    }

    /// Header and records, as they go to the broker one behind the other; what the batch lacks belongs between them.
    #[must_use]
    pub fn slices(&self) -> [&[u8]; 2] {
        [&self.head, &self.payload]
    }

    /// Bytes of the whole batch, those that it lacks too.
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.absent + self.payload.len()
    }

    /// Whether it holds no byte of a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.absent == 0 && self.payload.is_empty()
    }

    /// Records in it: by so many the partition's next sequence is higher.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }
}
