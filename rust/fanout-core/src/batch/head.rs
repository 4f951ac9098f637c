//! What stands in front of a record's body: its length, attributes and deltas.
//!
//! Most heads are six or seven bytes of small numbers. Those are put together in a
//! register and stored at once, eight bytes wide.

use super::varint::{len_i32, len_i64, put_i32, put_i64, put_len, Short, MAX_I32, MAX_I64};

/// The most bytes in front of a record's body: length, attributes, two deltas.
pub(super) const MOST_HEAD: usize = MAX_I32 + 1 + MAX_I64 + MAX_I32;

/// What stands in front of a record's body.
pub(super) struct Head {
    pub(super) attributes: u8,
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) body_len: usize,
}

impl Head {
    /// Appends the head, and makes room for the body behind it.
    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        out.reserve(MOST_HEAD + self.body_len);
        match self.in_register() {
            Some((bits, len)) => {
                // Eight bytes at once, and the end where it belongs: one store.
                let end = out.len() + len;
                out.extend_from_slice(&bits.to_le_bytes());
                out.truncate(end);
            }
            None => self.append_long(out),
        }
    }

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
    fn append_long(&self, out: &mut Vec<u8>) {
        let mut room = [0; MOST_HEAD];
        let deltas = len_i64(self.timestamp_delta) + len_i32(self.offset_delta);
        let mut end = put_len(&mut room, 0, 1 + deltas + self.body_len);
        room[end] = self.attributes;
        end = put_i64(&mut room, end + 1, self.timestamp_delta);
        end = put_i32(&mut room, end, self.offset_delta);
        out.extend_from_slice(&room[..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_in_a_register_and_one_in_memory_are_the_same_bytes(
            attributes in any::<u8>(),
            timestamp_delta in prop_oneof![-2_000_000..2_000_000_i64, any::<i64>()],
            offset_delta in prop_oneof![0..20_000, any::<i32>()],
            body_len in prop_oneof![0..20_000_usize, 0..1_000_000_usize],
        ) {
            let head = Head { attributes, timestamp_delta, offset_delta, body_len };
            let (mut short, mut long) = (b"before".to_vec(), b"before".to_vec());
            head.append(&mut short);
            head.append_long(&mut long);
            prop_assert_eq!(short, long);
        }
    }
}
