//! The 61 bytes in front of a batch's records.
//!
//! ```text
//!  0 base offset i64        17 CRC u32 (of 21..end)      43 producer id i64
//!  8 length i32 (of 12..)   21 attributes i16            51 producer epoch i16
//! 12 leader epoch i32       23 last offset delta i32     53 base sequence i32
//! 16 magic i8               27 base timestamp i64        57 record count i32
//!                           35 max timestamp i64         61 records
//! ```
//!
//! The CRC does not cover base offset, length, leader epoch and magic, because a
//! broker writes them anew; so they are checked against what stands around them.

use super::codec::Codec;
use super::error::BatchError;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// Bytes before those that the length field counts.
pub(super) const LENGTH_ENDS_AT: usize = 12;
/// The length field of a batch without records.
pub(super) const LEAST_LENGTH: usize = HEADER_LEN - LENGTH_ENDS_AT;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
/// First byte that the CRC covers.
pub(super) const CRC_FROM: usize = 21;

const MAGIC: i8 = 2;
/// The least a record can take: its length, and six fields of one byte.
const LEAST_RECORD: usize = 7;

/// The attributes of a batch, with a codec that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    bits: i16,
    codec: Codec,
}

impl Attributes {
    const CODEC: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// Those of a batch we produce: create time, no control records.
    #[must_use]
    pub fn produced(codec: Codec, transactional: bool) -> Self {
        let transactional = if transactional {
            Self::TRANSACTIONAL
        } else {
            0
        };
        Self {
            bits: codec.bits() | transactional,
            codec,
        }
    }

    /// Reads the attributes field.
    ///
    /// # Errors
    ///
    /// If the codec bits stand for no codec.
    pub fn from_bits(bits: i16) -> Result<Self, BatchError> {
        let codec = Codec::from_bits(bits & Self::CODEC)?;
        Ok(Self { bits, codec })
    }

    /// The field as it stands on the wire.
    #[must_use]
    pub fn bits(self) -> i16 {
        self.bits
    }
}

/// The header of a batch, checked as far as it can be without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record, or of one that compaction has removed.
    pub base_offset: i64,
    /// Bytes from the leader epoch to the end.
    pub length: i32,
    /// Epoch of the leader that wrote the batch.
    pub leader_epoch: i32,
    /// CRC-32C from the attributes to the end.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// From the base offset to the batch's last one.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from.
    pub base_timestamp: i64,
    /// The greatest timestamp, or the append time.
    pub max_timestamp: i64,
    /// Producer id, or −1.
    pub producer_id: i64,
    /// Producer epoch, or −1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or −1.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header, and refuses one that no batch can have.
    ///
    /// # Errors
    ///
    /// On any field that contradicts another, or that we cannot read.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, BatchError> {
        let length = i32::from_be_bytes(field(bytes, 8));
        let found = bytes[MAGIC_AT].cast_signed();
        if found != MAGIC {
            return Err(BatchError::Magic { found });
        }
        if !usize::try_from(length).is_ok_and(|length| length >= LEAST_LENGTH) {
            let limit = i32::MAX as usize;
            return Err(BatchError::Length { length, limit });
        }
        let header = Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            length,
            leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: Attributes::from_bits(i16::from_be_bytes(field(bytes, 21)))?,
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        };
        header.check_offsets()?;
        header.check_count()?;
        Ok(header)
    }

    /// Writes the header, magic included, as the first bytes of `bytes`.
    pub fn write(&self, bytes: &mut [u8; HEADER_LEN]) {
        put(bytes, 0, self.base_offset.to_be_bytes());
        put(bytes, 8, self.length.to_be_bytes());
        put(bytes, 12, self.leader_epoch.to_be_bytes());
        put(bytes, MAGIC_AT, MAGIC.to_be_bytes());
        put(bytes, CRC_AT, self.crc.to_be_bytes());
        put(bytes, 21, self.attributes.bits.to_be_bytes());
        put(bytes, 23, self.last_offset_delta.to_be_bytes());
        put(bytes, 27, self.base_timestamp.to_be_bytes());
        put(bytes, 35, self.max_timestamp.to_be_bytes());
        put(bytes, 43, self.producer_id.to_be_bytes());
        put(bytes, 51, self.producer_epoch.to_be_bytes());
        put(bytes, 53, self.base_sequence.to_be_bytes());
        put(bytes, 57, self.record_count.to_be_bytes());
    }

    /// How the records are packed.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.attributes.codec
    }

    /// Whether the batch holds a transaction's marker instead of records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes.bits & Attributes::CONTROL != 0
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes.bits & Attributes::TRANSACTIONAL != 0
    }

    /// Whether every record's timestamp is the broker's append time.
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes.bits & Attributes::LOG_APPEND_TIME != 0
    }

    /// Whether the base timestamp is the time at which compaction may drop tombstones.
    ///
    /// The records' deltas count from it all the same.
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes.bits & Attributes::DELETE_HORIZON != 0
    }

    /// The last offset the batch covers, holes included.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        // Checked in `parse`; a header made by hand wraps rather than panics.
        self.base_offset
            .wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the batch.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// The offset of a record of this batch.
    #[must_use]
    #[inline]
    pub fn offset_of(&self, offset_delta: i32) -> i64 {
        self.base_offset.wrapping_add(i64::from(offset_delta))
    }

    /// The timestamp a consumer sees on a record of this batch.
    ///
    /// Deltas wrap, so that −1 and 2^63 − 1 survive side by side.
    #[must_use]
    #[inline]
    pub fn timestamp_of(&self, timestamp_delta: i64) -> i64 {
        if self.is_log_append_time() {
            self.max_timestamp
        } else {
            self.base_timestamp.wrapping_add(timestamp_delta)
        }
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn total_len(&self) -> usize {
        LENGTH_ENDS_AT + usize::try_from(self.length).unwrap_or(0)
    }

    /// Bytes of the records, packed as they are.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.total_len().saturating_sub(HEADER_LEN)
    }

    /// Refuses a record count that `payload_len` unpacked bytes cannot hold.
    pub(super) fn check_room(&self, payload_len: usize) -> Result<(), BatchError> {
        let most = payload_len / LEAST_RECORD;
        if usize::try_from(self.record_count).is_ok_and(|count| count <= most) {
            return Ok(());
        }
        Err(BatchError::RecordCount {
            count: self.record_count,
            most,
        })
    }

    fn check_offsets(&self) -> Result<(), BatchError> {
        let base_offset = self.base_offset;
        if base_offset < 0 {
            return Err(BatchError::BaseOffset {
                base_offset,
                expected: 0,
            });
        }
        let delta = self.last_offset_delta;
        // The next offset must be a number as well, hence the `+ 1`.
        if delta < 0 || base_offset.checked_add(i64::from(delta) + 1).is_none() {
            return Err(BatchError::LastOffset { delta, base_offset });
        }
        Ok(())
    }

    fn check_count(&self) -> Result<(), BatchError> {
        let count = self.record_count;
        if count < 0 || i64::from(count) > i64::from(self.last_offset_delta) + 1 {
            let most = usize::try_from(i64::from(self.last_offset_delta) + 1).unwrap_or(0);
            return Err(BatchError::RecordCount { count, most });
        }
        if self.codec() == Codec::None {
            self.check_room(self.payload_len())?;
        }
        Ok(())
    }
}

#[inline]
fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[inline]
fn put<const N: usize>(bytes: &mut [u8; HEADER_LEN], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}
