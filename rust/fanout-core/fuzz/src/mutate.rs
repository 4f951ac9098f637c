//! Changes bytes as faults and strangers do: flipped, cut, repeated, spliced, and numbers at their edges.

/// Numbers that lengths and counts are broken by, written over one, two, four or eight bytes.
const EDGES: [i64; 12] = [
    0,
    1,
    -1,
    7,
    49,
    61,
    127,
    128,
    0x7fff,
    0x7fff_ffff,
    i64::MIN,
    i64::MAX,
];

/// A stream of inputs; the same seed gives the same ones.
pub(crate) struct Mutator(u64);

impl Mutator {
    /// Begins a stream.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of `pool`, changed in one to eight places.
    pub(crate) fn next(&mut self, pool: &[&[u8]]) -> Vec<u8> {
        let mut bytes = pool[self.below(pool.len())].to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, pool);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, pool: &[&[u8]]) {
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
            0 => bytes.truncate(at),
            1 => {
                let end = at + self.below(bytes.len() - at + 1).min(64);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            2 => {
                let end = at + self.below(bytes.len() - at + 1).min(64);
                bytes.drain(at..end);
            }
            3 => {
                let other = pool[self.below(pool.len())];
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            4 => {
                bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
            }
            5 | 6 => {
                let edge = EDGES[self.below(EDGES.len())].to_be_bytes();
                let size = 1 << self.below(4);
                for (place, byte) in bytes[at..].iter_mut().zip(&edge[8 - size..]) {
                    *place = *byte;
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }

    /// A number below `end`, by xorshift: quick, and good enough to choose places.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap_or(0)
    }
}
