//! Puts records from many batches together into one for a target partition.
//!
//! A record's body is copied once, straight behind the record before it; only its
//! length, deltas and header count are written anew. The 61 bytes of the batch
//! header are kept free in front and filled when the batch is sealed.

#![expect(
    clippy::inline_always,
    reason = "a record handed on in memory costs a lane an eighth more instructions"
)]

use super::codec::{Codec, Packer};
use super::error::{BatchError, RecordFlaw};
use super::head::{Head, MOST_HEAD};
use super::header::{Attributes, BatchHeader, HEADER_LEN};
use super::records::{Headers, Record};
use super::sealed::{finish, SealedBatch, Signature};
use super::stamp::{self, Stamp};
use super::varint::{put_i32, MAX_I32};
use crate::record::RESERVED_PREFIX;

/// Records are gathered to so many bytes, where they are gathered.
const GATHERED: usize = 2 * 1024;

/// A longer record is as good as several that were gathered.
const SHORT: usize = GATHERED / 4;

/// The batch of one target that is still open.
#[derive(Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    /// Records that will stand behind those in `buffer`.
    gathered: Vec<u8>,
    /// Whether short records are gathered.
    gathers: bool,
    /// Bytes a buffer is given at its first record: it would grow there step by step, copied at each.
    room: usize,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// Where the stamps that are text are written.
    stamp: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch that takes room for `capacity` bytes with its first record.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut builder = Self {
            room: capacity,
            buffer: Vec::new(),
            gathered: Vec::new(),
            gathers: false,
            count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            stamp: Vec::new(),
        };
        builder.clear();
        builder
    }

    /// Whether short records are put together before they go behind the others.
    ///
    /// Where more batches are open than the processor's cache holds, each record waits for memory
    /// to be written to. Some at once wait once: that is worth the second copy.
    pub fn gather(&mut self, gathers: bool) {
        self.settle();
        self.gathers = gathers;
    }

    /// Whether they are.
    #[must_use]
    pub fn gathers(&self) -> bool {
        self.gathers
    }

    /// Forgets the records in it and keeps the buffer.
    pub fn clear(&mut self) {
        self.gathered.clear();
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
        self.count = 0;
    }

    /// Bytes of the batch so far, header included, before it is packed.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len() + self.gathered.len()
    }

    /// Records in it.
    #[must_use]
    #[inline]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether no record is in it.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the batch surely stays within `limit_bytes` with `record` in it.
    ///
    /// Counts the longest head a record can have: up to 20 bytes too careful.
    #[must_use]
    #[inline]
    pub fn fits(&self, record: &Record<'_>, stamp: Stamp<'_>, limit_bytes: usize) -> bool {
        self.len() + MOST_HEAD + record.body().len() + stamp.most_bytes() <= limit_bytes
    }

    /// Copies `record` to the end of the batch.
    ///
    /// With a stamp, headers from outside that bear our reserved prefix are left
    /// out, because a forged one must never steer us; returns how many.
    ///
    /// # Errors
    ///
    /// If a stamp is to be added and the record's value or headers are not sound:
    /// [`Record::flawed`] makes an error of the flaw. The batch is then as it was.
    // A flaw fits in a register. A whole `BatchError` was written to memory and read back in
    // pieces for every record, sound ones too.
    #[inline(always)]
    pub fn push(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        stamp: Stamp<'_>,
    ) -> Result<usize, RecordFlaw> {
        match stamp {
            Stamp::None => {
                let body = record.body();
                let end = self.open_record(record.attributes, timestamp, body.len());
                end.extend_from_slice(body);
                Ok(0)
            }
            Stamp::Run(origin) => self.push_stamped(record, timestamp, &stamp::run(origin)),
            Stamp::Text { place, offset } => self.push_text(record, timestamp, (place, offset)),
        }
    }

    /// Ends the batch and leaves an empty one in `spare`'s place.
    ///
    /// # Errors
    ///
    /// If the codec fails, or the batch is longer than its length field can say.
    pub fn seal(
        &mut self,
        signature: Signature,
        codec: Codec,
        packer: &mut Packer,
        mut spare: Vec<u8>,
    ) -> Result<SealedBatch, BatchError> {
        self.settle();
        let unpacked_len = self.buffer.len();
        let mut used = codec;
        if codec != Codec::None {
            spare.clear();
            spare.resize(HEADER_LEN, 0);
            packer.pack(codec, &self.buffer[HEADER_LEN..], &mut spare)?;
            if spare.len() >= unpacked_len {
                // Packing did not pay. Every batch says how it is packed, so none is fine.
                used = Codec::None;
            }
        }
        let header = self.header(signature, used);
        let bytes = if used == Codec::None {
            std::mem::replace(&mut self.buffer, spare)
        } else {
            spare
        };
        self.clear();
        finish(header, bytes, unpacked_len)
    }

    /// Writes what stands in front of a body, and makes room for `body_len` bytes of it: returns where.
    #[inline]
    fn open_record(&mut self, attributes: u8, timestamp: i64, body_len: usize) -> &mut Vec<u8> {
        if self.count == 0 {
            self.open(timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let head = Head {
            attributes,
            timestamp_delta: timestamp.wrapping_sub(self.base_timestamp),
            offset_delta: self.count,
            body_len,
        };
        self.count += 1;
        let end = if self.gathers {
            self.gathered_end(body_len)
        } else {
            &mut self.buffer
        };
        head.append(end);
        end
    }

    /// The first record comes.
    #[cold]
    fn open(&mut self, timestamp: i64) {
        self.base_timestamp = timestamp;
        self.max_timestamp = timestamp;
        self.buffer.reserve(self.room.saturating_sub(HEADER_LEN));
    }

    /// Where a record with so long a body is written, where records are gathered.
    fn gathered_end(&mut self, body_len: usize) -> &mut Vec<u8> {
        let is_short = body_len <= SHORT;
        if !is_short || self.gathered.len() >= GATHERED {
            self.settle();
        }
        if is_short {
            &mut self.gathered
        } else {
            &mut self.buffer
        }
    }

    /// Puts what was gathered behind the records before it.
    fn settle(&mut self) {
        self.buffer.extend_from_slice(&self.gathered);
        self.gathered.clear();
    }

    #[inline(never)]
    fn push_text(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        (place, offset): (&str, i64),
    ) -> Result<usize, RecordFlaw> {
        let mut text = std::mem::take(&mut self.stamp);
        stamp::write_text(&mut text, place, offset);
        let pushed = self.push_stamped(record, timestamp, &text);
        self.stamp = text;
        pushed
    }

    /// `stamp` is a header count of one and the header.
    #[inline(never)]
    fn push_stamped(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        stamp: &[u8],
    ) -> Result<usize, RecordFlaw> {
        let headers = record.find_headers()?;
        if headers.remaining() > 0 || !headers.bytes().is_empty() {
            return self.push_among_headers(record, timestamp, (headers, &stamp[1..]));
        }
        let kept = &record.body()[..headers.count_at];
        let end = self.open_record(record.attributes, timestamp, kept.len() + stamp.len());
        end.extend_from_slice(kept);
        end.extend_from_slice(stamp);
        Ok(0)
    }

    #[inline(never)]
    fn push_among_headers(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        (mut headers, stamp): (Headers<'_>, &[u8]),
    ) -> Result<usize, RecordFlaw> {
        let (mut stripped, mut stripped_bytes) = (0, 0);
        let mut looked_at = headers.clone();
        while let Some(header) = looked_at.next_sound() {
            let header = header?;
            if header.name.starts_with(RESERVED_PREFIX) {
                stripped += 1;
                stripped_bytes += header.bytes.len();
            }
        }
        let count =
            i32::try_from(headers.remaining() - stripped + 1).map_err(|_| RecordFlaw::Length)?;
        let kept = &record.body()[..headers.count_at];
        let headers_len = headers.bytes().len() - stripped_bytes + stamp.len();
        let mut room = [0; MAX_I32];
        let count_len = put_i32(&mut room, 0, count);
        let end = self.open_record(
            record.attributes,
            timestamp,
            kept.len() + count_len + headers_len,
        );
        end.extend_from_slice(kept);
        end.extend_from_slice(&room[..count_len]);
        if stripped == 0 {
            end.extend_from_slice(headers.bytes());
        } else {
            while let Some(header) = headers.next_sound() {
                let header = header?;
                if !header.name.starts_with(RESERVED_PREFIX) {
                    end.extend_from_slice(header.bytes);
                }
            }
        }
        end.extend_from_slice(stamp);
        Ok(stripped)
    }

    /// The header, but for length and CRC.
    fn header(&self, signature: Signature, codec: Codec) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            length: 0,
            leader_epoch: -1,
            crc: 0,
            attributes: Attributes::produced(codec, signature.transactional),
            last_offset_delta: (self.count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: signature.id,
            producer_epoch: signature.epoch,
            base_sequence: signature.sequence,
            record_count: self.count,
        }
    }
}
