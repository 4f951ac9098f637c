//! What can be wrong with a batch. Where it lies is the lane's to add.

use super::codec::Codec;

/// A batch that cannot be forwarded as it is. The lane stops before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end inside the batch.
    #[error("batch is cut short: {needed} bytes announced, {found} there")]
    CutShort {
        /// Bytes the batch says it has.
        needed: usize,
        /// Bytes there are.
        found: usize,
    },

    /// A message format other than v2.
    #[error("message format {found}, and only 2 can be read")]
    Magic {
        /// The magic byte.
        found: i8,
    },

    /// A length no batch can have, or more than the caller allows.
    #[error("batch length {length} is outside 49..={limit}, counted from the leader epoch")]
    Length {
        /// The length field.
        length: i32,
        /// The greatest it may be.
        limit: usize,
    },

    /// An offset below the end of the batch before, or one that no partition can reach.
    #[error("batch begins at offset {base_offset}, but the next offset is {expected}")]
    BaseOffset {
        /// The base offset field.
        base_offset: i64,
        /// The least it may be.
        expected: i64,
    },

    /// A last offset before the first one, or beyond the last offset there can be.
    #[error("last offset delta {delta} after base offset {base_offset}")]
    LastOffset {
        /// The last offset delta field.
        delta: i32,
        /// The base offset field.
        base_offset: i64,
    },

    /// A record count that its offsets or its bytes cannot hold.
    #[error("{count} records announced, and at most {most} fit")]
    RecordCount {
        /// The record count field.
        count: i32,
        /// The most there could be.
        most: usize,
    },

    /// Codec bits that stand for no codec.
    #[error("unknown codec {bits}")]
    UnknownCodec {
        /// The three codec bits of the attributes.
        bits: i16,
    },

    /// The bytes are not those the producer, or the broker, summed up.
    #[error("CRC mismatch: {stored:#010x} stored, {computed:#010x} computed")]
    Crc {
        /// The CRC in the header.
        stored: u32,
        /// The CRC of the bytes.
        computed: u32,
    },

    /// Compressed bytes that do not unpack.
    #[error("{codec} payload does not unpack: {problem}")]
    Packed {
        /// The batch's codec.
        codec: Codec,
        /// What the codec said.
        problem: String,
    },

    /// A payload that unpacks to more than the caller allows. It was given up on there.
    #[error("{codec} payload unpacks to more than {limit} bytes")]
    TooLarge {
        /// The batch's codec.
        codec: Codec,
        /// The limit given.
        limit: usize,
    },

    /// The codec could not pack a finished batch.
    #[error("cannot pack with {codec}: {problem}")]
    Packing {
        /// The target's codec.
        codec: Codec,
        /// What the codec said.
        problem: String,
    },

    /// A record whose fields do not fit together.
    #[error("record {index} of the batch: {flaw}")]
    Record {
        /// Which record of the batch, from 0.
        index: i32,
        /// What is wrong with it.
        flaw: RecordFlaw,
    },

    /// Bytes after the last record.
    #[error("{bytes} bytes after the last record")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// What can be wrong with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFlaw {
    /// The bytes end inside it.
    #[error("cut short")]
    CutShort,
    /// A varint of more bytes than its type can need.
    #[error("a varint is longer than its type allows")]
    Varint,
    /// A length or count below what its field allows.
    #[error("a length or count is negative")]
    NegativeLength,
    /// Fields that end before or after the record does.
    #[error("its fields do not fill its length")]
    Length,
    /// An offset not above the one before, or above the batch's last.
    #[error("its offset does not grow, or passes the batch's last offset")]
    Offset,
}
