//! Small batches that unpack to a thousand times their size: memory stays within the limit, in every codec.
//!
//! One test in a process of its own: the memory of the whole process is what is measured.

#![allow(clippy::print_stdout, reason = "the run prints its line of figures")]

use fanout_core::batch::{BatchError, Codec, Packer, Unpacker};

/// What a batch may unpack to here.
const LIMIT: usize = 16 << 20;

/// What a bomb unpacks to if nothing stops it.
const UNPACKED: usize = 512 << 20;

/// Beside the room of one limit: contexts of the codecs, and what the allocator keeps.
const BESIDE: u64 = 24 << 10;

/// A piece of zeros in each codec, put behind itself until all of it would unpack to [`UNPACKED`].
///
/// Frames and members may follow one another in every codec but raw snappy, whose blocks may in its frame.
fn bomb(codec: Codec) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut piece = Vec::new();
    let packed = Packer::new().pack(codec, &zeros, &mut piece);
    packed.expect("zeros are packed");
    let body = if codec == Codec::Snappy { 16 } else { 0 };
    let mut bomb = piece.clone();
    for _ in 1..UNPACKED / zeros.len() {
        bomb.extend_from_slice(&piece[body..]);
    }
    bomb
}

#[test]
fn bombs_in_every_codec_stop_at_the_limit_and_take_no_memory_beyond_it() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = bomb(codec);
        let before = peak_kb();
        let refused = Unpacker::new(LIMIT).unpack_payload(codec, &bomb).err();
        assert_eq!(
            refused,
            Some(BatchError::TooLarge {
                codec,
                limit: LIMIT
            })
        );
        let grown = peak_kb().saturating_sub(before);
        let ratio = UNPACKED / bomb.len();
        println!(
            "bomb: codec={codec} bytes={} ratio={ratio} peak_grown_kb={grown}",
            bomb.len()
        );
        assert!(
            grown <= (LIMIT as u64 >> 10) + BESIDE,
            "{codec}: {grown} KB"
        );
    }
}

/// The most memory this process has held.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let mut words = line.expect("told").split_whitespace();
    words.nth(1).expect("a number").parse().expect("a number")
}
