//! Snappy, raw or in the frame of the Java library ("xerial").
//!
//! ```text
//! 82 'S' 'N' 'A' 'P' 'P' 'Y' 00 · version i32 · least version i32 · { length i32 · raw snappy }*   (big-endian)
//! ```
//!
//! Kafka's own client writes and reads that frame and takes anything else for
//! raw snappy; so do we when reading, and we write what it writes.

use super::{Output, Stopped};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version 1, readable by version 1.
const FRAME_HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
/// Bytes of each block before it is packed, as Java's stream cuts them.
const BLOCK: usize = 32 * 1024;

/// Unpacks; keeps the decoder.
#[derive(Debug, Default)]
pub(super) struct Reader {
    decoder: snap::raw::Decoder,
}

impl Reader {
    pub(super) fn unpack(&mut self, payload: &[u8], output: &mut Output) -> Result<(), Stopped> {
        if !payload.starts_with(&MAGIC) {
            return self.unpack_block(payload, output);
        }
        let mut rest = payload
            .get(FRAME_HEADER.len()..)
            .ok_or_else(|| Stopped::corrupt("the frame is cut short"))?;
        while !rest.is_empty() {
            let (block, after) = split_block(rest)
                .ok_or_else(|| Stopped::corrupt("a block is longer than its frame"))?;
            self.unpack_block(block, output)?;
            rest = after;
        }
        Ok(())
    }

    fn unpack_block(&mut self, block: &[u8], output: &mut Output) -> Result<(), Stopped> {
        let len = snap::raw::decompress_len(block).map_err(Stopped::corrupt)?;
        // A copy of 64 bytes takes at least three: more than that is not announced honestly.
        if len > block.len().saturating_mul(64) {
            return Err(Stopped::corrupt("announces more than it can hold"));
        }
        let room = output.next(len)?;
        let unpacked = self.decoder.decompress(block, room);
        output.filled += unpacked.map_err(Stopped::corrupt)?;
        Ok(())
    }
}

/// A block's bytes and what follows it.
fn split_block(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(i32::from_be_bytes(*len)).ok()?;
    rest.split_at_checked(len)
}

/// Packs; keeps the encoder's table.
#[derive(Debug)]
pub(super) struct Writer {
    encoder: snap::raw::Encoder,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            encoder: snap::raw::Encoder::new(),
        }
    }
}

impl Writer {
    pub(super) fn pack(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&FRAME_HEADER);
        for block in payload.chunks(BLOCK) {
            let len_at = out.len();
            let begin = len_at + 4;
            out.resize(begin + snap::raw::max_compress_len(block.len()), 0);
            let packed = self
                .encoder
                .compress(block, &mut out[begin..])
                .map_err(|error| error.to_string())?;
            out.truncate(begin + packed);
            let len = i32::try_from(packed).map_err(|error| error.to_string())?;
            out[len_at..begin].copy_from_slice(&len.to_be_bytes());
        }
        Ok(())
    }
}
