//! A record as far as its key: what is read of every record.
//!
//! In registers, where its numbers are as short as nearly all are; in memory, byte by byte,
//! where one is not, and to say what is wrong with a record that is none.

#![expect(
    clippy::inline_always,
    reason = "what is returned in memory and read back costs more than reading the record"
)]

use super::error::RecordFlaw;
use super::varint::{take_i32, take_i64, take_short, unzigzag32};

/// The least a record has behind its key: a value length and a header count.
const LEAST_TAIL: usize = 2;
/// A word of 64 bits, in bytes.
const WORD: usize = 8;
/// The length of what is null, in zig-zag.
const NULL: u32 = 1;

/// What stands in front of a record's value, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Front<'a> {
    pub(super) attributes: u8,
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    /// From the key's length to the record's end.
    pub(super) body: &'a [u8],
    /// From behind the key to the record's end.
    pub(super) tail: &'a [u8],
    /// From the record's end on.
    pub(super) after: &'a [u8],
}

impl<'a> Front<'a> {
    /// Of the sound record at the beginning of `rest`; `None` if a number is long, the record cut or not sound.
    #[inline(always)]
    pub(super) fn short(rest: &'a [u8]) -> Option<Self> {
        let mut word = u64::from_le_bytes(*rest.first_chunk()?);
        let (length, length_len) = take_short(&mut word)?;
        let (record, after) = rest[length_len..].split_at_checked(positive(length)?)?;
        let (&attributes, fields) = record.split_first()?;
        let mut word = u64::from_le_bytes(*fields.first_chunk()?);
        let (timestamp, timestamp_len) = take_short(&mut word)?;
        let (offset, offset_len) = take_short(&mut word)?;
        let (key, key_len) = take_short(&mut word)?;
        let body_at = timestamp_len + offset_len;
        if body_at + key_len > WORD {
            return None;
        }
        let body = &fields[body_at..];
        let (key, tail) = if key == NULL {
            (None, &body[key_len..])
        } else {
            let (key, tail) = body[key_len..].split_at_checked(positive(key)?)?;
            (Some(key), tail)
        };
        if tail.len() < LEAST_TAIL {
            return None;
        }
        Some(Self {
            attributes,
            timestamp_delta: i64::from(unzigzag32(timestamp)),
            offset_delta: unzigzag32(offset),
            key,
            body,
            tail,
            after,
        })
    }

    /// Of any record at the beginning of `rest`, or what is wrong with it.
    #[inline(never)]
    pub(super) fn any(mut rest: &'a [u8]) -> Result<Self, RecordFlaw> {
        let length = take_length(&mut rest)?.ok_or(RecordFlaw::NegativeLength)?;
        let (record, after) = rest.split_at_checked(length).ok_or(RecordFlaw::CutShort)?;
        let (&attributes, mut body) = record.split_first().ok_or(RecordFlaw::Length)?;
        let timestamp_delta = take_i64(&mut body)?;
        let offset_delta = take_i32(&mut body)?;
        let mut tail = body;
        let key = take_bytes(&mut tail)?;
        if tail.len() < LEAST_TAIL {
            return Err(RecordFlaw::Length);
        }
        Ok(Self {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            body,
            tail,
            after,
        })
    }
}

/// A length in zig-zag, if it is one.
#[inline]
fn positive(raw: u32) -> Option<usize> {
    (raw & 1 == 0).then_some((raw >> 1) as usize)
}

/// Takes a length; `None` is the −1 that stands for null.
#[inline]
fn take_length(rest: &mut &[u8]) -> Result<Option<usize>, RecordFlaw> {
    let length = take_i32(rest)?;
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(RecordFlaw::NegativeLength),
    }
}

/// Takes a length and as many bytes.
#[inline]
pub(super) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordFlaw> {
    let Some(length) = take_length(rest)? else {
        return Ok(None);
    };
    let (bytes, after) = rest.split_at_checked(length).ok_or(RecordFlaw::CutShort)?;
    *rest = after;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::varint::{put_i32, MAX_I32};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Varints as anybody may write them: padded, too long, cut.
    fn bytes_of_a_number() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => (0..0x40_u8).prop_map(|n| vec![n]),
            3 => (0x80..=0xff_u8, 0..0x80_u8).prop_map(|(a, b)| vec![a, b]),
            2 => (vec(0x80..=0xff_u8, 2..6), 0..0x80_u8).prop_map(|(a, b)| [a, vec![b]].concat()),
        ]
    }

    /// Numbers of one to three bytes.
    fn number() -> impl Strategy<Value = i32> {
        prop_oneof![-64..64, -8192..8192, -0x10_0000..0x10_0000]
    }

    fn key() -> impl Strategy<Value = Option<Vec<u8>>> {
        let lengths = prop_oneof![0..64_usize, 64..100_usize, 8192..8200_usize];
        prop_oneof![
            Just(None),
            lengths.prop_map(|length| Some(vec![b'k'; length]))
        ]
    }

    fn varint(value: i32) -> Vec<u8> {
        let mut room = [0; MAX_I32];
        let end = put_i32(&mut room, 0, value);
        room[..end].to_vec()
    }

    fn length(bytes: &[u8]) -> Vec<u8> {
        varint(i32::try_from(bytes.len()).expect("a moderate length"))
    }

    proptest! {
        #[test]
        fn what_is_read_in_registers_is_what_is_read_byte_by_byte(
            numbers in vec(bytes_of_a_number(), 4),
            behind in vec(any::<u8>(), 0..90),
        ) {
            let bytes = [&numbers[0], &[0][..], &numbers[1..].concat(), &behind].concat();
            if let Some(front) = Front::short(&bytes) {
                prop_assert_eq!(Front::any(&bytes), Ok(front));
            }
        }

        #[test]
        fn a_sound_record_is_read_in_registers_if_its_numbers_fit_in_one(
            (timestamp, offset) in (number(), number()),
            key in key(),
            value in vec(any::<u8>(), 8..100),
        ) {
            let key_length = key.as_ref().map_or(varint(-1), |key| length(key));
            let numbers = [varint(timestamp), varint(offset), key_length].concat();
            let key = key.unwrap_or_default();
            let record = [&[0], &numbers[..], &key, &value].concat();
            let bytes = [&length(&record)[..], &record, b"next"].concat();
            let front = Front::any(&bytes).expect("a sound record");
            prop_assert_eq!((front.tail, front.after), (&value[..], &b"next"[..]));
            let fits = numbers.len() <= WORD;
            prop_assert_eq!(Front::short(&bytes), fits.then_some(front));
        }
    }
}
