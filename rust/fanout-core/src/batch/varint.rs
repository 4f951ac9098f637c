//! Zig-zag varints, as records carry them.
//!
//! Nearly all of them are one or two bytes long: those are read inline, the rest
//! out of line. As in Kafka's own reader, padding a small number with empty
//! groups is allowed; more bytes than the type can need is not.

use super::error::RecordFlaw;

/// The most bytes a varint of 32 bits takes.
pub(super) const MAX_I32: usize = 5;
/// The most bytes a varint of 64 bits takes.
pub(super) const MAX_I64: usize = 10;

/// Takes one 32-bit varint from the front of `rest`.
#[inline]
pub(super) fn take_i32(rest: &mut &[u8]) -> Result<i32, RecordFlaw> {
    match **rest {
        [first, ref tail @ ..] if first < 0x80 => {
            *rest = tail;
            Ok(unzigzag32(u32::from(first)))
        }
        [first, second, ref tail @ ..] if second < 0x80 => {
            *rest = tail;
            Ok(unzigzag32(
                u32::from(first & 0x7f) | (u32::from(second) << 7),
            ))
        }
        _ => take_long_i32(rest),
    }
}

/// Takes one 64-bit varint from the front of `rest`.
#[inline]
pub(super) fn take_i64(rest: &mut &[u8]) -> Result<i64, RecordFlaw> {
    match **rest {
        [first, ref tail @ ..] if first < 0x80 => {
            *rest = tail;
            Ok(unzigzag64(u64::from(first)))
        }
        [first, second, ref tail @ ..] if second < 0x80 => {
            *rest = tail;
            Ok(unzigzag64(
                u64::from(first & 0x7f) | (u64::from(second) << 7),
            ))
        }
        _ => take_long(rest, MAX_I64).map(unzigzag64),
    }
}

/// Takes a varint of up to three bytes from the low end of `word`: what it says, zig-zag as it is, and its length.
///
/// `None` is a longer one.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "21 bits")]
pub(super) fn take_short(word: &mut u64) -> Option<(u32, usize)> {
    let low = *word;
    let (raw, len) = if low & 0x80 == 0 {
        (low & 0x7f, 1)
    } else if low & 0x8000 == 0 {
        (low & 0x7f | low >> 1 & 0x3f80, 2)
    } else if low & 0x80_0000 == 0 {
        (low & 0x7f | low >> 1 & 0x3f80 | low >> 2 & 0x1f_c000, 3)
    } else {
        return None;
    };
    *word = low >> (8 * len);
    Some((raw as u32, len))
}

#[cold]
fn take_long_i32(rest: &mut &[u8]) -> Result<i32, RecordFlaw> {
    let raw = take_long(rest, MAX_I32)?;
    u32::try_from(raw)
        .map(unzigzag32)
        .map_err(|_| RecordFlaw::Varint)
}

#[inline(never)]
fn take_long(rest: &mut &[u8], most: usize) -> Result<u64, RecordFlaw> {
    let mut value = 0_u64;
    for (index, &byte) in rest.iter().take(most).enumerate() {
        let group = u64::from(byte & 0x7f);
        let shift = 7 * index;
        if shift == 63 && group > 1 {
            return Err(RecordFlaw::Varint);
        }
        value |= group << shift;
        if byte < 0x80 {
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    if rest.len() < most {
        return Err(RecordFlaw::CutShort);
    }
    Err(RecordFlaw::Varint)
}

/// Writes `value` at `at` of `room` and returns the place after it.
///
/// # Panics
///
/// If fewer than [`MAX_I32`] bytes are left and the value needs more.
#[inline]
pub(super) fn put_i32(room: &mut [u8], at: usize, value: i32) -> usize {
    put(room, at, u64::from(zigzag32(value)))
}

/// Writes `value` at `at` of `room` and returns the place after it.
///
/// # Panics
///
/// If fewer than [`MAX_I64`] bytes are left and the value needs more.
#[inline]
pub(super) fn put_i64(room: &mut [u8], at: usize, value: i64) -> usize {
    put(room, at, zigzag64(value))
}

/// Writes a length, which no slice makes too large for its sign, at `at` of `room`.
///
/// # Panics
///
/// As [`put_i64`].
#[inline]
pub(super) fn put_len(room: &mut [u8], at: usize, len: usize) -> usize {
    put(room, at, (len as u64) << 1)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn put(room: &mut [u8], mut at: usize, mut raw: u64) -> usize {
    while raw >= 0x80 {
        room[at] = (raw & 0x7f) as u8 | 0x80;
        raw >>= 7;
        at += 1;
    }
    room[at] = raw as u8;
    at + 1
}

/// A varint of up to three bytes, in a register: the first byte is the lowest.
///
/// Bytes stored one by one and then loaded together make the processor wait for
/// the stores, a dozen cycles each time; shifted together they never leave it.
#[derive(Clone, Copy)]
pub(super) struct Short {
    pub(super) bits: u64,
    pub(super) len: u32,
}

impl Short {
    #[inline]
    pub(super) fn of(value: i64) -> Option<Self> {
        Self::of_raw(zigzag64(value))
    }

    #[inline]
    pub(super) fn of_len(len: usize) -> Option<Self> {
        Self::of_raw((len as u64) << 1)
    }

    #[inline]
    fn of_raw(raw: u64) -> Option<Self> {
        let (bits, len) = match raw {
            0..0x80 => (raw, 1),
            0x80..0x4000 => (raw & 0x7f | 0x80 | (raw >> 7) << 8, 2),
            0x4000..0x20_0000 => (
                raw & 0x7f | 0x80 | (raw << 1) & 0x7f00 | 0x8000 | (raw >> 14) << 16,
                3,
            ),
            _ => return None,
        };
        Some(Self { bits, len })
    }
}

/// Bytes `value` takes as a 32-bit varint.
#[inline]
pub(super) fn len_i32(value: i32) -> usize {
    len(u64::from(zigzag32(value)))
}

/// Bytes `value` takes as a 64-bit varint.
#[inline]
pub(super) fn len_i64(value: i64) -> usize {
    len(zigzag64(value))
}

#[inline]
fn len(raw: u64) -> usize {
    // One byte for each begun group of 7 bits; 0 takes one as well.
    let bits = 64 - (raw | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[inline]
fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

#[inline]
fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
pub(super) fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

#[inline]
fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_take_the_bytes_that_len_says() {
        let edges = [0, 1, 63, 64, 8191, 8192, 1 << 20, 1 << 34, i64::MAX];
        for value in edges.into_iter().flat_map(|edge| [edge, -edge, !edge]) {
            let mut room = [0xaa; MAX_I64];
            let end = put_i64(&mut room, 0, value);
            assert_eq!(end, len_i64(value));
            let mut rest = &room[..end];
            assert_eq!(take_i64(&mut rest), Ok(value));
            assert!(rest.is_empty());
            let Ok(small) = i32::try_from(value) else {
                continue;
            };
            let end = put_i32(&mut room, 0, small);
            assert_eq!(end, len_i32(small));
            assert_eq!(take_i32(&mut &room[..end]), Ok(small));
        }
    }

    #[test]
    fn the_published_encodings_are_met() {
        let cases: [(i32, &[u8]); 6] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, mut bytes) in cases {
            assert_eq!(take_i32(&mut bytes), Ok(value));
        }
    }

    #[test]
    fn a_varint_that_is_too_long_or_cut_is_told_apart() {
        assert_eq!(take_i32(&mut &[0x80; 4][..]), Err(RecordFlaw::CutShort));
        assert_eq!(take_i32(&mut &[][..]), Err(RecordFlaw::CutShort));
        assert_eq!(take_i32(&mut &[0x80; 5][..]), Err(RecordFlaw::Varint));
        let above_32_bits = [0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(take_i32(&mut &above_32_bits[..]), Err(RecordFlaw::Varint));
        assert_eq!(take_i64(&mut &[0xff; 10][..]), Err(RecordFlaw::Varint));
        assert_eq!(take_i64(&mut &[0xff; 9][..]), Err(RecordFlaw::CutShort));
        let padded = [0x82, 0x80, 0x00];
        assert_eq!(take_i32(&mut &padded[..]), Ok(1));
    }
}
