//! A batch that is finished, and on whose behalf it is produced.

use super::crc::crc32c;
use super::error::BatchError;
use super::header::{BatchHeader, CRC_AT, CRC_FROM, HEADER_LEN, LENGTH_ENDS_AT};

/// On whose behalf a batch is produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Producer id.
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

/// Fills in the header in front of the payload, CRC last.
pub(super) fn finish(
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
