//! Puts records from many batches together into one for a target partition.
//!
//! A record's body is copied once, straight behind the record before it; only its
//! length, deltas and header count are written anew. The 61 bytes of the batch
//! header are kept free in front and filled when the batch is sealed.

use super::codec::{Codec, Packer};
use super::crc::crc32c;
use super::error::{BatchError, RecordFlaw};
use super::header::{Attributes, BatchHeader, CRC_AT, CRC_FROM, HEADER_LEN, LENGTH_ENDS_AT};
use super::records::{Headers, Record};
use super::stamp::{self, Stamp};
use super::varint::{len_i32, len_i64, put_i32, put_i64, put_len, Short, MAX_I32, MAX_I64};
use crate::record::RESERVED_PREFIX;

/// The most bytes in front of a record's body: length, attributes, two deltas.
const MOST_HEAD: usize = MAX_I32 + 1 + MAX_I64 + MAX_I32;

/// What stands in front of a record's body.
struct Head {
    attributes: u8,
    timestamp_delta: i64,
    offset_delta: i32,
    body_len: usize,
}

impl Head {
    /// The head and its length in bytes, if it takes eight at most: nearly all do.
    #[inline]
    fn in_register(&self) -> Option<(u64, usize)> {
        let timestamp = Short::of(self.timestamp_delta)?;
        let offset = Short::of(i64::from(self.offset_delta))?;
        let fields = 1 + timestamp.len + offset.len;
        let length = Short::of_len(fields as usize + self.body_len)?;
        let len = length.len + fields;
        if len > u64::BITS / 8 {
            return None;
        }
        let deltas = timestamp.bits | offset.bits << (8 * timestamp.len);
        let fields = u64::from(self.attributes) | deltas << 8;
        Some((length.bits | fields << (8 * length.len), len as usize))
    }

    /// Appends a head of any length.
    #[cold]
    fn write(&self, out: &mut Vec<u8>) {
        let mut room = [0; MOST_HEAD];
        let deltas = len_i64(self.timestamp_delta) + len_i32(self.offset_delta);
        let mut end = put_len(&mut room, 0, 1 + deltas + self.body_len);
        room[end] = self.attributes;
        end = put_i64(&mut room, end + 1, self.timestamp_delta);
        end = put_i32(&mut room, end, self.offset_delta);
        out.extend_from_slice(&room[..end]);
    }
}

/// On whose behalf a batch is produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Signature id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence of the batch's first record in this partition and epoch.
    pub sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

/// A batch ready to be produced.
#[derive(Debug)]
pub struct SealedBatch {
    bytes: Vec<u8>,
    header: BatchHeader,
    unpacked_len: usize,
}

impl SealedBatch {
    /// The whole batch as it goes to the broker.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Records in it: by so many the partition's next sequence is higher.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// What its size would be if it were not packed.
    #[must_use]
    pub fn unpacked_len(&self) -> usize {
        self.unpacked_len
    }

    /// Gives the buffer back, to be used for another batch.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

impl AsRef<[u8]> for SealedBatch {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The batch of one target that is still open.
#[derive(Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// Where the stamps that are text are written.
    stamp: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::from_buffer(Vec::with_capacity(capacity.max(HEADER_LEN)))
    }

    /// An empty batch in a buffer that was used before.
    #[must_use]
    pub fn from_buffer(buffer: Vec<u8>) -> Self {
        let mut builder = Self {
            buffer,
            count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            stamp: Vec::new(),
        };
        builder.clear();
        builder
    }

    /// Forgets the records in it and keeps the buffer.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
        self.count = 0;
    }

    /// Bytes of the batch so far, header included, before it is packed.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len()
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
    /// If a stamp is to be added and the record's value or headers are not sound.
    /// The batch is then as it was.
    #[inline]
    pub fn push(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        stamp: Stamp<'_>,
    ) -> Result<usize, BatchError> {
        match stamp {
            Stamp::None => {
                self.open_record(record, timestamp, record.body().len());
                self.buffer.extend_from_slice(record.body());
                Ok(0)
            }
            Stamp::Run(origin) => self.push_stamped(record, timestamp, &stamp::run(origin)),
            Stamp::Text { place, offset } => {
                let mut text = std::mem::take(&mut self.stamp);
                stamp::write_text(&mut text, place, offset);
                let pushed = self.push_stamped(record, timestamp, &text);
                self.stamp = text;
                pushed
            }
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

    /// Writes what stands in front of a body, and makes room for `body_len` bytes of it.
    #[inline]
    fn open_record(&mut self, record: &Record<'_>, timestamp: i64, body_len: usize) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let head = Head {
            attributes: record.attributes,
            timestamp_delta,
            offset_delta: self.count,
            body_len,
        };
        self.buffer.reserve(MOST_HEAD + body_len);
        match head.in_register() {
            Some((bits, len)) => {
                // Eight bytes at once, and the end where it belongs: one store.
                let end = self.buffer.len() + len;
                self.buffer.extend_from_slice(&bits.to_le_bytes());
                self.buffer.truncate(end);
            }
            None => head.write(&mut self.buffer),
        }
        self.count += 1;
    }

    /// `stamp` is a header count of one and the header.
    #[inline]
    fn push_stamped(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        stamp: &[u8],
    ) -> Result<usize, BatchError> {
        let headers = record.find_headers().map_err(|flaw| record.flawed(flaw))?;
        if headers.remaining() > 0 || !headers.bytes().is_empty() {
            return self.push_among_headers(record, timestamp, (headers, &stamp[1..]));
        }
        let kept = &record.body()[..headers.count_at];
        self.open_record(record, timestamp, kept.len() + stamp.len());
        self.buffer.extend_from_slice(kept);
        self.buffer.extend_from_slice(stamp);
        Ok(0)
    }

    #[inline(never)]
    fn push_among_headers(
        &mut self,
        record: &Record<'_>,
        timestamp: i64,
        (headers, stamp): (Headers<'_>, &[u8]),
    ) -> Result<usize, BatchError> {
        let (mut stripped, mut stripped_bytes) = (0, 0);
        for header in headers.clone() {
            let header = header?;
            if header.name.starts_with(RESERVED_PREFIX) {
                stripped += 1;
                stripped_bytes += header.bytes.len();
            }
        }
        let count = i32::try_from(headers.remaining() - stripped + 1)
            .map_err(|_| record.flawed(RecordFlaw::Length))?;
        let kept = &record.body()[..headers.count_at];
        let headers_len = headers.bytes().len() - stripped_bytes + stamp.len();
        self.open_record(record, timestamp, kept.len() + len_i32(count) + headers_len);
        self.buffer.extend_from_slice(kept);
        let mut room = [0; MAX_I32];
        let end = put_i32(&mut room, 0, count);
        self.buffer.extend_from_slice(&room[..end]);
        if stripped == 0 {
            self.buffer.extend_from_slice(headers.bytes());
        } else {
            for header in headers {
                let header = header?;
                if !header.name.starts_with(RESERVED_PREFIX) {
                    self.buffer.extend_from_slice(header.bytes);
                }
            }
        }
        self.buffer.extend_from_slice(stamp);
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

/// Fills in the header in front of the payload, CRC last.
fn finish(
    mut header: BatchHeader,
    mut bytes: Vec<u8>,
    unpacked_len: usize,
) -> Result<SealedBatch, BatchError> {
    header.length =
        i32::try_from(bytes.len() - LENGTH_ENDS_AT).map_err(|_| BatchError::Packing {
            codec: header.codec(),
            problem: format!("{} bytes are more than a batch can say", bytes.len()),
        })?;
    let mut room = [0; HEADER_LEN];
    header.write(&mut room);
    bytes[..HEADER_LEN].copy_from_slice(&room);
    header.crc = crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_AT..CRC_FROM].copy_from_slice(&header.crc.to_be_bytes());
    Ok(SealedBatch {
        bytes,
        header,
        unpacked_len,
    })
}
