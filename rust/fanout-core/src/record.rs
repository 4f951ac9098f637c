//! Where a record comes from, and how its place is summed up.

use std::fmt;
use std::sync::Arc;

/// The name of the header that carries a record's origin inside a run.
pub const ORIGIN_HEADER: &str = "fanout.origin";

/// Headers whose names begin so are ours: none from outside may steer us.
pub const RESERVED_PREFIX: &[u8] = b"fanout.";

/// A partition of a named topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Source partition and offset of a record; inside a run the topic is the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Source partition.
    pub partition: i32,
    /// Source offset.
    pub offset: i64,
}

impl Origin {
    /// The 12 bytes of the `fanout.origin` header: partition i32, offset i64, big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.partition.to_be_bytes());
        bytes[4..].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    /// Reads the header's value back; `None` unless it is 12 bytes of non-negative numbers.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (partition, offset) = bytes.split_first_chunk::<4>()?;
        let origin = Self {
            partition: i32::from_be_bytes(*partition),
            offset: i64::from_be_bytes(offset.try_into().ok()?),
        };
        (origin.partition >= 0 && origin.offset >= 0).then_some(origin)
    }

    /// The number this record adds to a conservation sum (DESIGN.md, "The proof").
    ///
    /// The `SplitMix64` finaliser over `partition × 0x9E3779B97F4A7C15 + offset`, mod 2^64.
    #[must_use]
    pub fn mix(self) -> u64 {
        let partition = i64::from(self.partition).cast_unsigned();
        let mut z = partition
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(self.offset.cast_unsigned());
        z ^= z >> 30;
        z = z.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^= z >> 27;
        z = z.wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// How many records, and the sum of their [`Origin::mix`]: equal on both sides when nothing was lost or doubled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records counted.
    pub count: u64,
    /// Sum of their mixes, mod 2^64.
    pub sum: u64,
}

impl Tally {
    /// Adds one record.
    pub fn add(&mut self, origin: Origin) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(origin.mix());
    }

    /// Adds every record of `partition` from offset `from` to below `end`.
    pub fn add_range(&mut self, partition: i32, from: i64, end: i64) {
        for offset in from..end {
            self.add(Origin { partition, offset });
        }
    }

    /// Adds all that another tally counted.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_equal_the_published_vectors() {
        let mix = |partition, offset| Origin { partition, offset }.mix();
        assert_eq!(mix(0, 1), 0x5692_161d_100b_05e5);
        assert_eq!(mix(2, 41), 0x992f_fac6_9a7a_cd4c);
        assert_eq!(mix(7, 1_099_511_627_776), 0xac93_7c7a_abce_66bc);
    }

    #[test]
    fn an_origin_survives_its_header_and_nothing_else_does() {
        let origin = Origin {
            partition: 3,
            offset: 1 << 40,
        };
        assert_eq!(Origin::from_bytes(&origin.to_bytes()), Some(origin));
        assert_eq!(Origin::from_bytes(b"short"), None);
        assert_eq!(Origin::from_bytes(&[0xff; 12]), None);
        assert_eq!(Origin::from_bytes(&[0; 13]), None);
    }
}
