//! CRC-32C, the checksum of a batch.
//!
//! `crc-fast` takes a quarter of the time of the `crc32c` crate on batches of 16 KB
//! and more (115 against 28 GB/s with AVX-512). Its way to combine two sums squares
//! matrices, which costs as much as reading 100 KB; ours multiplies polynomials.

/// Castagnoli's polynomial, reflected: the bit of x^31 is the lowest.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// x^(8 · 2^k): what 2^k bytes behind a sum multiply it by.
const POWERS: [u32; usize::BITS as usize] = {
    let mut powers = [0x0080_0000; usize::BITS as usize];
    let mut k = 1;
    while k < powers.len() {
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// The CRC-32C (Castagnoli) of `bytes`.
#[must_use]
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// What a difference of two sums becomes when the same `len` bytes follow both: their content does not matter.
#[must_use]
#[inline]
pub(super) fn shift(mut difference: u32, len: usize) -> u32 {
    let mut left = len;
    while left != 0 {
        difference = multiply(POWERS[left.trailing_zeros() as usize], difference);
        left &= left - 1;
    }
    difference
}

/// The product of two polynomials modulo Castagnoli's.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = u32::BITS;
    while bit > 0 {
        bit -= 1;
        product ^= b & (a >> bit & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_moves_as_the_bytes_behind_it_say() {
        let tail: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        for len in [0, 1, 2, 3, 61, 4096, 65_535, 70_000] {
            let [a, b] = [&b"header one"[..], b"header two"].map(|head| {
                let whole = [head, &tail[..len]].concat();
                (crc32c(head), crc32c(&whole))
            });
            assert_eq!(a.1 ^ b.1, shift(a.0 ^ b.0, len), "{len} bytes behind");
        }
    }

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
                (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
            })
        })
    }
}
