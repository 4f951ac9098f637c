//! The codecs of Kafka's batches, with reused contexts and bounded output.
//!
//! When a batch must be unpacked and packed again this is nearly all the cost, so
//! libraries and levels were chosen by measurement; each file says by which.
//! Packed bytes come from outside and may be a bomb: every codec here writes to
//! a buffer whose size is bounded by the caller's limit, and stops there.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;

use super::batches::Batch;
use super::error::BatchError;

/// How the records of a batch are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    None,
    /// Deflate in gzip's frame.
    Gzip,
    /// Snappy, raw or in the frame of the Java library.
    Snappy,
    /// LZ4 in its frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// Reads the three codec bits of a batch's attributes.
    pub(super) fn from_bits(bits: i16) -> Result<Self, BatchError> {
        match bits {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(BatchError::UnknownCodec { bits }),
        }
    }

    /// The codec bits of a batch's attributes.
    pub(super) fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The name as users and Kafka's settings write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a codec gave up.
enum Stopped {
    /// The output would pass the limit.
    AtLimit,
    /// The bytes are not what the codec writes.
    Corrupt(String),
}

impl Stopped {
    fn corrupt(problem: impl fmt::Display) -> Self {
        Self::Corrupt(problem.to_string())
    }

    fn of(self, codec: Codec, limit: usize) -> BatchError {
        match self {
            Self::AtLimit => BatchError::TooLarge { codec, limit },
            Self::Corrupt(problem) => BatchError::Packed { codec, problem },
        }
    }
}

/// Output that grows step by step to a limit, and is kept from batch to batch.
///
/// Codecs want a slice to write to, and not every format says beforehand how long
/// it will be. All bytes of `room` are initialised once; what is filled is counted.
#[derive(Debug)]
struct Output {
    room: Vec<u8>,
    filled: usize,
    limit: usize,
}

/// The first room made; most batches of 16–64 KB unpack into it.
const FIRST_ROOM: usize = 256 * 1024;
/// Room above this is given back when the next batch begins.
const KEPT_ROOM: usize = 8 * 1024 * 1024;

impl Output {
    fn up_to(limit: usize) -> Self {
        Self {
            room: Vec::new(),
            filled: 0,
            limit,
        }
    }

    fn begin(&mut self) {
        self.filled = 0;
        if self.room.len() > KEPT_ROOM {
            self.room = Vec::new();
        }
    }

    /// The free room, as large as it is already.
    fn free(&mut self) -> &mut [u8] {
        &mut self.room[self.filled..]
    }

    /// The next `len` bytes of room, made if need be.
    fn next(&mut self, len: usize) -> Result<&mut [u8], Stopped> {
        self.make(len)?;
        Ok(&mut self.room[self.filled..self.filled + len])
    }

    /// Makes sure that `len` bytes are free.
    fn make(&mut self, len: usize) -> Result<(), Stopped> {
        let needed = self.filled.checked_add(len).ok_or(Stopped::AtLimit)?;
        if needed > self.limit {
            return Err(Stopped::AtLimit);
        }
        if needed > self.room.len() {
            let grown = needed.max(FIRST_ROOM).max(self.room.len() * 2);
            self.room.resize(grown.min(self.limit), 0);
        }
        Ok(())
    }

    /// Makes more room than there is, whatever that was.
    fn grow(&mut self) -> Result<(), Stopped> {
        let grown = (self.room.len() * 4).max(FIRST_ROOM).min(self.limit);
        if grown <= self.room.len() {
            return Err(Stopped::AtLimit);
        }
        self.room.resize(grown, 0);
        Ok(())
    }

    fn filled(&self) -> &[u8] {
        &self.room[..self.filled]
    }
}

/// Unpacks the payloads of batches, one at a time, into one buffer.
#[derive(Debug)]
pub struct Unpacker {
    output: Output,
    gzip: gzip::Reader,
    snappy: snappy::Reader,
    zstd: zstd::Reader,
}

impl Unpacker {
    /// Unpacks to at most `limit_bytes` a batch; holds a buffer no larger than that.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            output: Output::up_to(limit_bytes),
            gzip: gzip::Reader::default(),
            snappy: snappy::Reader::default(),
            zstd: zstd::Reader::default(),
        }
    }

    /// The records of `batch`: its own bytes if it is not packed, else the unpacked ones.
    ///
    /// # Errors
    ///
    /// If the payload is corrupt or unpacks to more than the limit.
    pub fn unpack<'a>(&'a mut self, batch: &Batch<'a>) -> Result<&'a [u8], BatchError> {
        self.unpack_payload(batch.header.codec(), batch.payload())
    }

    /// As [`Unpacker::unpack`], for a payload without its header.
    ///
    /// # Errors
    ///
    /// As [`Unpacker::unpack`].
    pub fn unpack_payload<'a>(
        &'a mut self,
        codec: Codec,
        payload: &'a [u8],
    ) -> Result<&'a [u8], BatchError> {
        let output = &mut self.output;
        output.begin();
        let unpacked = match codec {
            Codec::None => return Ok(payload),
            Codec::Gzip => self.gzip.unpack(payload, output),
            Codec::Snappy => self.snappy.unpack(payload, output),
            Codec::Lz4 => lz4::unpack(payload, output),
            Codec::Zstd => self.zstd.unpack(payload, output),
        };
        unpacked.map_err(|stopped| stopped.of(codec, self.output.limit))?;
        Ok(self.output.filled())
    }
}

/// Packs finished payloads, one at a time.
#[derive(Debug, Default)]
pub struct Packer {
    gzip: gzip::Writer,
    lz4: lz4::Writer,
    snappy: snappy::Writer,
    zstd: zstd::Writer,
}

impl Packer {
    /// A packer that has not made any context yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `payload`, packed, to `out`.
    ///
    /// # Errors
    ///
    /// If the codec fails, which none does but for want of memory.
    pub fn pack(
        &mut self,
        codec: Codec,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        let packed = match codec {
            Codec::None => {
                out.extend_from_slice(payload);
                Ok(())
            }
            Codec::Gzip => self.gzip.pack(payload, out),
            Codec::Snappy => self.snappy.pack(payload, out),
            Codec::Lz4 => self.lz4.pack(payload, out),
            Codec::Zstd => self.zstd.pack(payload, out),
        };
        packed.map_err(|problem| BatchError::Packing { codec, problem })
    }
}

#[cfg(test)]
mod tests;
