//! One batch, always the same: what the counted steps work on.

use fanout_core::batch::{Batch, BatchBuilder, Codec, Packer, Signature, Stamp, HEADER_LEN};

/// Records in the sample.
pub const RECORDS: usize = 1000;

/// On whose behalf the steps seal.
pub const SIGNATURE: Signature = Signature {
    id: 1,
    epoch: 0,
    sequence: 0,
    transactional: true,
};

/// A thousand records with keys of 8 bytes and values of 92, uncompressed, under a right checksum.
///
/// # Panics
///
/// If what is built here is no batch.
#[must_use]
pub fn batch_of_records() -> Vec<u8> {
    let mut raw = vec![0; HEADER_LEN];
    for number in 0..RECORDS {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let mut body = vec![0];
        varint(&mut body, number / 4);
        varint(&mut body, number);
        varint(&mut body, 8);
        body.extend_from_slice(format!("{:08x}", mixed & 0xffff_ffff).as_bytes());
        varint(&mut body, 92);
        body.extend_from_slice(format!("{mixed:092}").as_bytes());
        varint(&mut body, 0);
        varint(&mut raw, body.len());
        raw.extend_from_slice(&body);
    }
    let count = i32::try_from(RECORDS).expect("a thousand");
    let length = i32::try_from(raw.len() - 12).expect("small");
    raw[8..12].copy_from_slice(&length.to_be_bytes());
    raw[16] = 2;
    raw[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    raw[57..61].copy_from_slice(&count.to_be_bytes());
    signed(&raw)
}

/// The same records under the checksum and header that a builder writes.
fn signed(raw: &[u8]) -> Vec<u8> {
    let batch = Batch::parse(raw).expect("a sound batch");
    let mut builder = BatchBuilder::with_capacity(raw.len());
    for record in batch.records(batch.payload()).expect("a right count") {
        let record = record.expect("a sound record");
        let pushed = builder.push(&record, record.timestamp_delta, Stamp::None);
        pushed.expect("a sound record");
    }
    let sealed = builder.seal(SIGNATURE, Codec::None, &mut Packer::new(), Vec::new());
    sealed.expect("a batch of moderate size").into_buffer()
}

/// A small number, in the one or two bytes that nearly all lengths take.
fn varint(out: &mut Vec<u8>, value: usize) {
    let raw = value * 2;
    if raw < 128 {
        out.push(u8::try_from(raw).expect("below 128"));
    } else {
        out.push(u8::try_from(raw % 128 + 128).expect("below 256"));
        out.push(u8::try_from(raw / 128).expect("below 2^14"));
    }
}
