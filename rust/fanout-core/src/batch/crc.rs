//! CRC-32C, the checksum of a batch.
//!
//! `crc-fast` takes a quarter of the time of the `crc32c` crate on batches of 16 KB
//! and more (115 against 28 GB/s with AVX-512), and can combine two sums.

/// The CRC-32C (Castagnoli) of `bytes`.
#[must_use]
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_castagnoli_is_met() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn the_sum_is_the_same_at_every_length_and_alignment() {
        let bytes: Vec<u8> = (0..=255).cycle().step_by(31).take(4096).collect();
        for start in [0, 1, 7, 63] {
            for end in (start..bytes.len()).step_by(97) {
                let slice = &bytes[start..end];
                assert_eq!(crc32c(slice), bit_by_bit(slice), "{start}..{end}");
            }
        }
    }

    /// The definition, without a table: reflected polynomial 0x82F63B78.
    fn bit_by_bit(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
            })
        })
    }
}
