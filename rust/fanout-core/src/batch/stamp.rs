//! The header a record gains on its way: where it came from.
//!
//! A stamp is written with the header count in front, as a record without headers
//! needs it: then kept bytes and stamp are two copies, and nothing is computed.

use super::varint::{put_len, MAX_I32, MAX_I64};
use crate::record::{Origin, ORIGIN_HEADER};

const NAME_LEN: usize = ORIGIN_HEADER.len();
/// The header count, the name's length, the name.
const PREFIX_LEN: usize = 2 + NAME_LEN;
const ORIGIN_LEN: usize = 12;
/// The prefix, the value's length, the value.
const RUN_LEN: usize = PREFIX_LEN + 1 + ORIGIN_LEN;
/// The most digits of an offset.
const MOST_DIGITS: usize = 20;

/// The header a record gains on its way.
#[derive(Debug, Clone, Copy)]
pub enum Stamp<'a> {
    /// None: the record keeps exactly the headers it has.
    None,
    /// Partition and offset in 12 bytes; the topic is the run's.
    Run(Origin),
    /// `<topic>/<partition>/<offset>` as text.
    Text {
        /// All of it but the offset: `orders/2/`.
        place: &'a str,
        /// The record's source offset.
        offset: i64,
    },
}

impl Stamp<'_> {
    /// The most bytes it adds to a record, a longer header count included.
    pub(super) fn most_bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Run(_) => RUN_LEN + MAX_I32,
            Self::Text { place, .. } => PREFIX_LEN + MAX_I64 + place.len() + MOST_DIGITS + MAX_I32,
        }
    }
}

/// The stamp of a run: only the last 12 bytes differ from record to record.
#[inline]
pub(super) fn run(origin: Origin) -> [u8; RUN_LEN] {
    let mut stamp = RUN;
    stamp[RUN_LEN - ORIGIN_LEN..].copy_from_slice(&origin.to_bytes());
    stamp
}

/// Writes the stamp of a plain forward over what `out` held.
pub(super) fn write_text(out: &mut Vec<u8>, place: &str, offset: i64) {
    let mut digits = [0; MOST_DIGITS];
    let first = put_digits(&mut digits, offset.unsigned_abs());
    let digits = &digits[first..];
    let mut length = [0; MAX_I64];
    let end = put_len(&mut length, 0, place.len() + digits.len());

    out.clear();
    out.extend_from_slice(&RUN[..PREFIX_LEN]);
    out.extend_from_slice(&length[..end]);
    out.extend_from_slice(place.as_bytes());
    out.extend_from_slice(digits);
}

/// Writes `number` to the end of `room`; returns where it begins.
fn put_digits(room: &mut [u8; MOST_DIGITS], mut number: u64) -> usize {
    let mut at = MOST_DIGITS;
    loop {
        at -= 1;
        room[at] = b"0123456789"[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            return at;
        }
    }
}

/// Lengths below 64 are one byte, and twice the number.
#[expect(clippy::cast_possible_truncation, reason = "the lengths are below 64")]
const fn short(length: usize) -> u8 {
    assert!(length < 64);
    2 * length as u8
}

/// The stamp of a run with an origin of zeros.
const RUN: [u8; RUN_LEN] = {
    let mut stamp = [0; RUN_LEN];
    stamp[0] = short(1);
    stamp[1] = short(NAME_LEN);
    let mut at = 0;
    while at < NAME_LEN {
        stamp[2 + at] = ORIGIN_HEADER.as_bytes()[at];
        at += 1;
    }
    stamp[PREFIX_LEN] = short(ORIGIN_LEN);
    stamp
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_of_a_run_is_one_header_of_twelve_bytes() {
        let origin = Origin {
            partition: 2,
            offset: 258,
        };
        let expected = b"\x02\x1afanout.origin\x18\0\0\0\x02\0\0\0\0\0\0\x01\x02";
        assert_eq!(&run(origin), expected);
    }

    #[test]
    fn the_stamp_of_a_plain_forward_is_text_and_leaves_nothing_of_the_one_before() {
        let mut stamp = Vec::new();
        write_text(&mut stamp, "a-long-name/11/", i64::MAX);
        write_text(&mut stamp, "orders/2/", 0);
        assert_eq!(stamp, b"\x02\x1afanout.origin\x14orders/2/0");
        write_text(&mut stamp, &"t".repeat(60), 1234);
        assert_eq!(stamp[15..17], [0x80, 0x01]);
        assert!(stamp.ends_with(b"ttt1234"));
    }
}
