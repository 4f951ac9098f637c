//! From a key to one of `n` partitions, as other producers do it.

use super::hash::{crc32, fnv1a, murmur2, xxh3};

/// A rule that sends equal keys to the same partition.
///
/// Records without a key have no place of their own; nor have, under
/// [`Partitioner::Crc32`], those with an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partitioner {
    /// Java's default: `(murmur2(key) & 0x7fffffff) % n`. An empty key is hashed.
    Murmur2,
    /// librdkafka's default: `crc32(key) % n`. An empty key counts as none, as there.
    Crc32,
    /// Sarama's default: `abs(fnv1a(key)) % n`. An empty key is hashed.
    Fnv1a,
    /// `xxh3_64(key) % n`, seed 0. An empty key is hashed. The rule inside a run.
    Xxh3,
}

impl Partitioner {
    /// The partition of `key` among `partitions`; `None` if the record may go anywhere.
    ///
    /// # Panics
    ///
    /// If there are no partitions.
    #[must_use]
    #[inline]
    pub fn place(self, key: Option<&[u8]>, partitions: u32) -> Option<u32> {
        let key = key?;
        Some(match self {
            Self::Murmur2 => (murmur2(key) & 0x7fff_ffff) % partitions,
            Self::Crc32 if key.is_empty() => return None,
            Self::Crc32 => crc32(key) % partitions,
            Self::Fnv1a => fnv1a(key) % partitions,
            Self::Xxh3 => remainder(xxh3(key), partitions),
        })
    }

    /// The rule by the name users write.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "murmur2" => Some(Self::Murmur2),
            "crc32" => Some(Self::Crc32),
            "fnv1a" => Some(Self::Fnv1a),
            "xxh3" => Some(Self::Xxh3),
            _ => None,
        }
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "less than a u32")]
fn remainder(hash: u64, partitions: u32) -> u32 {
    (hash % u64::from(partitions)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Partitioner; 4] = [
        Partitioner::Murmur2,
        Partitioner::Crc32,
        Partitioner::Fnv1a,
        Partitioner::Xxh3,
    ];

    #[test]
    fn a_record_without_a_key_has_no_place_of_its_own() {
        for rule in ALL {
            assert_eq!(rule.place(None, 10), None);
        }
    }

    #[test]
    fn only_librdkafkas_rule_takes_an_empty_key_for_none() {
        let placed = ALL.map(|rule| rule.place(Some(b""), 10).is_some());
        assert_eq!(placed, [true, false, true, true]);
    }

    #[test]
    fn places_equal_those_of_the_clients_they_are_named_after() {
        // Java: toPositive(-973932308) = 1173551340; abs of the FNV-1a of "kafka" = 221496545.
        assert_eq!(
            Partitioner::Murmur2.place(Some(b"21"), 7),
            Some(1_173_551_340 % 7)
        );
        assert_eq!(
            Partitioner::Crc32.place(Some(b"123456789"), 7),
            Some(0xCBF4_3926 % 7)
        );
        assert_eq!(
            Partitioner::Fnv1a.place(Some(b"kafka"), 7),
            Some(221_496_545 % 7)
        );
    }

    #[test]
    fn an_independent_hash_spreads_what_murmur2_has_sorted_already() {
        // Keys of one source partition of three, forwarded to an allotment of three.
        for source in 0..3 {
            let mut hits = [0_u32; 3];
            let mut same_hash = [0_u32; 3];
            for key in (0..30_000).map(|n| format!("customer-{n}")) {
                let key = Some(key.as_bytes());
                if Partitioner::Murmur2.place(key, 3) == Some(source) {
                    hits[Partitioner::Xxh3.place(key, 3).unwrap_or(0) as usize] += 1;
                    same_hash[Partitioner::Murmur2.place(key, 3).unwrap_or(0) as usize] += 1;
                }
            }
            let total: u32 = hits.iter().sum();
            assert!(total > 9_000, "{total} keys");
            for hit in hits {
                assert!(hit.abs_diff(total / 3) < total / 30, "{hits:?}");
            }
            assert_eq!(same_hash.iter().filter(|&&hit| hit == 0).count(), 2);
        }
    }

    #[test]
    fn every_name_leads_to_its_rule_and_no_other_does() {
        let found = ["murmur2", "crc32", "fnv1a", "xxh3"].map(Partitioner::from_name);
        assert_eq!(found, ALL.map(Some));
        assert_eq!(Partitioner::from_name("Murmur2"), None);
    }
}
