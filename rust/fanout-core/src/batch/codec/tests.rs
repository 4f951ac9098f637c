use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PACKED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn packed(codec: Codec, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let packed = Packer::new().pack(codec, payload, &mut out);
    packed.expect("memory for a small payload");
    out
}

fn unpacked(codec: Codec, payload: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut unpacker = Unpacker::new(1 << 24);
    unpacker.unpack_payload(codec, payload).map(<[u8]>::to_vec)
}

/// Something like records: words that come again, and some that do not.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"{\"order\":17,\"state\":\"paid\"}".to_vec()),
        vec(any::<u8>(), 0..40),
        (any::<u8>(), 0..3000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    vec(word, 0..30).prop_map(|words| words.concat())
}

/// Bytes that every codec needs several blocks for.
fn long() -> Vec<u8> {
    (0..60_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 12).to_be_bytes())
        .collect()
}

proptest! {
    #[test]
    fn what_was_packed_unpacks_to_the_same(payload in payload()) {
        for codec in PACKED {
            prop_assert_eq!(unpacked(codec, &packed(codec, &payload)), Ok(payload.clone()));
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic_and_never_pass_the_limit(
        bytes in vec(any::<u8>(), 0..400),
        limit in 0..2000_usize,
    ) {
        for codec in PACKED {
            let mut unpacker = Unpacker::new(limit);
            let len = unpacker.unpack_payload(codec, &bytes).map(<[u8]>::len);
            prop_assert!(len.is_err() || len.is_ok_and(|len| len <= limit));
            prop_assert!(unpacker.output.room.len() <= limit);
        }
    }

    #[test]
    fn a_damaged_payload_never_panics_and_never_passes_the_limit(
        payload in payload(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        for codec in PACKED {
            let mut bytes = packed(codec, &payload);
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let mut unpacker = Unpacker::new(100_000);
            let damaged = unpacker.unpack_payload(codec, &bytes).map(<[u8]>::len);
            prop_assert!(damaged.is_err() || damaged.is_ok_and(|len| len <= 100_000));
            // And the same context still reads what is sound, and what is cut.
            let cut = &bytes[..cut.index(bytes.len())];
            let _ = unpacker.unpack_payload(codec, cut);
            let mut unpacker = Unpacker { output: Output::up_to(1 << 24), ..unpacker };
            let sound = packed(codec, &payload);
            prop_assert_eq!(unpacker.unpack_payload(codec, &sound), Ok(&payload[..]));
        }
    }

    #[test]
    fn lz4_frames_of_every_kind_are_read(
        payload in payload(),
        linked in any::<bool>(),
        checksums in any::<(bool, bool)>(),
        sized in any::<bool>(),
        size in prop::sample::select(vec![BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB]),
    ) {
        let info = FrameInfo::new()
            .block_mode(if linked { BlockMode::Linked } else { BlockMode::Independent })
            .block_checksums(checksums.0)
            .content_checksum(checksums.1)
            .content_size(sized.then_some(payload.len() as u64))
            .block_size(size);
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&payload).expect("writes to memory");
        let frame = encoder.finish().expect("writes to memory");
        prop_assert_eq!(unpacked(Codec::Lz4, &frame), Ok(payload.clone()));
        let two = [&frame[..], &frame].concat();
        prop_assert_eq!(unpacked(Codec::Lz4, &two), Ok(payload.repeat(2)));
    }
}

#[test]
fn another_reader_reads_our_lz4_frames() {
    let mut read = Vec::new();
    let frame = packed(Codec::Lz4, &long());
    let mut decoder = lz4_flex::frame::FrameDecoder::new(&frame[..]);
    std::io::Read::read_to_end(&mut decoder, &mut read).expect("a sound frame");
    assert_eq!(read, long());
    // What Kafka's own reader insists on: version 1, independent blocks.
    assert_eq!(frame[..4], [0x04, 0x22, 0x4d, 0x18]);
    assert_eq!(frame[4], 0b0110_0000);
}

#[test]
fn linked_lz4_blocks_reach_into_the_blocks_before() {
    let payload = [long(), long()].concat();
    let info = FrameInfo::new().block_mode(BlockMode::Linked);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    // Each flush ends a block, so later blocks repeat what earlier ones hold.
    for piece in payload.chunks(10_000) {
        encoder.write_all(piece).expect("writes to memory");
        encoder.write_all(piece).expect("writes to memory");
        encoder.flush().expect("writes to memory");
    }
    let frame = encoder.finish().expect("writes to memory");
    let expected: Vec<u8> = payload
        .chunks(10_000)
        .flat_map(|piece| piece.repeat(2))
        .collect();
    assert_eq!(unpacked(Codec::Lz4, &frame), Ok(expected));
}

#[test]
fn an_lz4_frame_with_a_wrong_content_size_or_checksum_is_refused() {
    let payload = b"forty-two bytes that are summed and counted".repeat(9);
    let info = FrameInfo::new()
        .content_size(Some(payload.len() as u64))
        .content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&payload).expect("writes to memory");
    let frame = encoder.finish().expect("writes to memory");
    assert_eq!(unpacked(Codec::Lz4, &frame).as_ref(), Ok(&payload));

    let mut wrong_size = frame.clone();
    wrong_size[6] ^= 1;
    wrong_size[14] = lz4::header_checksum(&wrong_size[4..14]);
    let mut wrong_sum = frame.clone();
    *wrong_sum.last_mut().expect("not empty") ^= 1;
    let mut wrong_header = frame;
    wrong_header[14] ^= 1;
    for (frame, word) in [
        (wrong_size, "long"),
        (wrong_sum, "checksum"),
        (wrong_header, "header"),
    ] {
        let refusal = unpacked(Codec::Lz4, &frame).expect_err("a wrong frame");
        assert!(refusal.to_string().contains(word), "{refusal}");
    }
}

#[test]
fn snappy_is_read_raw_and_framed_and_written_as_java_does() {
    let payload = long();
    let raw = snap::raw::Encoder::new()
        .compress_vec(&payload)
        .expect("small");
    assert_eq!(unpacked(Codec::Snappy, &raw).as_ref(), Ok(&payload));
    let framed = packed(Codec::Snappy, &payload);
    assert_eq!(framed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let (first, _) = framed[20..].split_at(usize::from(framed[18]) << 8 | usize::from(framed[19]));
    assert_eq!(snap::raw::decompress_len(first), Ok(32 * 1024));
    assert_eq!(unpacked(Codec::Snappy, &framed), Ok(payload));
}

#[test]
fn snappy_that_announces_more_than_it_can_hold_is_refused_before_room_is_made() {
    // A length of 16 MiB and nothing behind it.
    let mut unpacker = Unpacker::new(1 << 26);
    let refusal = unpacker.unpack_payload(Codec::Snappy, &[0x80, 0x80, 0x80, 0x08]);
    assert!(refusal.is_err());
    assert!(unpacker.output.room.is_empty());
}

#[test]
fn zstd_is_read_without_a_content_size_and_frame_after_frame() {
    let payload = long();
    let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), 3).expect("a context");
    encoder.include_checksum(true).expect("a parameter");
    encoder.write_all(&payload).expect("writes to memory");
    let frame = encoder.finish().expect("writes to memory");
    let size = ::zstd::zstd_safe::get_frame_content_size(&frame);
    assert!(
        matches!(size, Ok(None)),
        "the encoder wrote the content's size"
    );
    let two = [&frame[..], &frame].concat();
    assert_eq!(unpacked(Codec::Zstd, &two), Ok(payload.repeat(2)));
}

#[test]
fn gzip_is_read_member_after_member_and_with_every_optional_field() {
    let payload = long();
    let builder = GzBuilder::new()
        .extra(vec![1; 300])
        .filename("name")
        .comment("words");
    let mut first = builder.write(Vec::new(), Compression::fast());
    first.write_all(&payload).expect("writes to memory");
    let mut second = GzEncoder::new(Vec::new(), Compression::best());
    second.write_all(b"and more").expect("writes to memory");
    let both = [
        first.finish().expect("writes to memory"),
        second.finish().expect("writes to memory"),
    ]
    .concat();
    assert_eq!(
        unpacked(Codec::Gzip, &both),
        Ok([&payload[..], b"and more"].concat())
    );
}

#[test]
fn a_gzip_member_with_a_wrong_sum_or_length_is_refused() {
    let sound = packed(Codec::Gzip, b"content");
    for (from_end, word) in [(8, "checksum"), (4, "length")] {
        let mut wrong = sound.clone();
        let at = wrong.len() - from_end;
        wrong[at] ^= 1;
        let refusal = unpacked(Codec::Gzip, &wrong).expect_err("a wrong trailer");
        assert!(refusal.to_string().contains(word), "{refusal}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit_and_makes_no_room_beyond_it() {
    let zeros = vec![0; 64 << 20];
    let limit = 3 << 20;
    for codec in PACKED {
        let bomb = packed(codec, &zeros);
        let mut unpacker = Unpacker::new(limit);
        let refusal = unpacker.unpack_payload(codec, &bomb).map(<[u8]>::len);
        assert_eq!(refusal, Err(BatchError::TooLarge { codec, limit }));
        assert!(unpacker.output.room.len() <= limit, "{codec}");
    }
}

#[test]
fn a_payload_of_exactly_the_limit_unpacks_and_one_byte_more_does_not() {
    let payload = long();
    for codec in PACKED {
        let bytes = packed(codec, &payload);
        let fits = Unpacker::new(payload.len())
            .unpack_payload(codec, &bytes)
            .map(<[u8]>::len);
        assert_eq!(fits, Ok(payload.len()), "{codec}");
        let limit = payload.len() - 1;
        let refusal = Unpacker::new(limit)
            .unpack_payload(codec, &bytes)
            .map(<[u8]>::len);
        assert_eq!(refusal, Err(BatchError::TooLarge { codec, limit }));
    }
}

#[test]
fn room_for_one_huge_batch_is_given_back_at_the_next() {
    let huge = packed(Codec::Zstd, &vec![7; 20 << 20]);
    let small = packed(Codec::Zstd, &[7; 100]);
    let mut unpacker = Unpacker::new(1 << 26);
    assert!(unpacker.unpack_payload(Codec::Zstd, &huge).is_ok());
    assert!(unpacker.output.room.len() >= 20 << 20);
    assert!(unpacker.unpack_payload(Codec::Zstd, &small).is_ok());
    assert!(unpacker.output.room.len() <= KEPT_ROOM);
}

#[test]
fn every_codec_is_found_by_its_name() {
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
        assert_eq!(Codec::from_bits(codec.bits()), Ok(codec));
    }
    assert_eq!(Codec::from_name("same"), None);
    for bits in 5..8 {
        assert_eq!(
            Codec::from_bits(bits),
            Err(BatchError::UnknownCodec { bits })
        );
    }
}
