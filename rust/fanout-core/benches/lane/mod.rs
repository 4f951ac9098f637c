//! One lane's batches without its sockets, for the benches of this folder.

use fanout_core::batch::{
    Batch, BatchBuilder, Codec, Packer, SealedBatch, Signature, Stamp, Unpacker, HEADER_LEN,
};
use fanout_core::record::Origin;
use fanout_core::route::{Partitioner, Policy, Router};

/// What the records of a source batch are like.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Records a batch.
    pub(crate) records: u32,
    /// Orders in a record's value, of about 90 bytes each.
    pub(crate) orders: usize,
}

/// Records of 100 bytes.
pub(crate) const SHORT: Sample = Sample {
    records: 1000,
    orders: 1,
};
const TARGETS: usize = 10;
/// A lane seals at about this size.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;

const SIGNATURE: Signature = Signature {
    id: 1,
    epoch: 0,
    sequence: 0,
    transactional: true,
};

/// Zig-zag varint of a small positive number, in the two bytes that nearly all lengths take.
fn varint(out: &mut Vec<u8>, value: usize) {
    let raw = value * 2;
    if raw < 128 {
        out.push(u8::try_from(raw).expect("below 128"));
    } else {
        out.push(u8::try_from(raw % 128 + 128).expect("below 256"));
        out.push(u8::try_from(raw / 128).expect("below 2^14"));
    }
}

fn mixed(number: usize) -> usize {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

fn order(number: usize, at: usize) -> String {
    let mixed = mixed(number);
    format!(
        r#"{{"order":{mixed:013},"user":"user-{:04}","amount":{:05},"state":"{}","at":{at:08}}}"#,
        mixed % 977,
        mixed % 50_021,
        ["new", "paid", "sent"][mixed % 3],
    )
}

/// Records with a key of 8 bytes and a value of some JSON.
fn records(sample: Sample, first: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    for n in 0..sample.records as usize {
        let number = first + n;
        let value: String = (0..sample.orders)
            .map(|part| order(number * sample.orders + part, n))
            .collect();
        let mut body = vec![0];
        varint(&mut body, n / 4);
        varint(&mut body, n);
        varint(&mut body, 8);
        body.extend_from_slice(format!("{:08x}", mixed(number) & 0xffff_ffff).as_bytes());
        varint(&mut body, value.len());
        body.extend_from_slice(value.as_bytes());
        varint(&mut body, 0);
        varint(&mut payload, body.len());
        payload.extend_from_slice(&body);
    }
    payload
}

/// The records from number `first` on as a batch, packed with `codec`; four of them in a millisecond, as in all batches.
pub(crate) fn source(sample: Sample, codec: Codec, first: usize) -> Vec<u8> {
    let mut header = vec![0; HEADER_LEN];
    header.extend_from_slice(&records(sample, first));
    let count = i32::try_from(sample.records).expect("a thousand at most");
    let length = i32::try_from(header.len() - 12).expect("small");
    header[8..12].copy_from_slice(&length.to_be_bytes());
    header[16] = 2;
    header[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    header[57..61].copy_from_slice(&count.to_be_bytes());
    let mut builder = BatchBuilder::with_capacity(1 << 20);
    let batch = Batch::parse(&header).expect("a sound batch");
    let began = i64::try_from(first / 4).expect("a moderate number");
    for record in batch.records(batch.payload()).expect("a right count") {
        let record = record.expect("a sound record");
        builder
            .push(&record, began + record.timestamp_delta, Stamp::None)
            .expect("a sound record");
    }
    builder
        .seal(SIGNATURE, codec, &mut Packer::new(), Vec::new())
        .expect("a batch of moderate size")
        .into_buffer()
}

/// One lane's builders and spare buffers.
pub(crate) struct Lane {
    pub(crate) router: Router,
    builders: Vec<BatchBuilder>,
    spare: Vec<Vec<u8>>,
    packer: Packer,
    unpacker: Unpacker,
}

impl Lane {
    pub(crate) fn new() -> Self {
        let targets = (0..).take(TARGETS).collect();
        let policy = Policy::Key(Partitioner::Xxh3);
        Self {
            router: Router::new(policy, targets).expect("ten targets"),
            builders: (0..TARGETS)
                .map(|_| BatchBuilder::with_capacity(BATCH_BYTES))
                .collect(),
            spare: vec![Vec::with_capacity(BATCH_BYTES)],
            packer: Packer::new(),
            unpacker: Unpacker::new(1 << 26),
        }
    }

    /// Carries one batch; `posted` sees each one that was sealed for it.
    pub(crate) fn splice(
        &mut self,
        bytes: &[u8],
        stamped: bool,
        codec: Codec,
        mut posted: impl FnMut(&SealedBatch),
    ) {
        let batch = Batch::parse(bytes).expect("a sound batch");
        batch.verify_crc().expect("a right CRC");
        let payload = self.unpacker.unpack(&batch).expect("a sound payload");
        for record in batch.records(payload).expect("a right count") {
            let record = record.expect("a sound record");
            let offset = batch.header.offset_of(record.offset_delta);
            let stamp = if stamped {
                Stamp::Run(Origin {
                    partition: 1,
                    offset,
                })
            } else {
                Stamp::None
            };
            let builder = &mut self.builders[self.router.for_record(record.key)];
            if !builder.fits(&record, stamp, BATCH_BYTES) {
                let spare = self.spare.pop().unwrap_or_default();
                let sealed = builder.seal(SIGNATURE, codec, &mut self.packer, spare);
                let sealed = sealed.expect("a small batch");
                posted(&sealed);
                self.spare.push(sealed.into_buffer());
            }
            let timestamp = batch.header.timestamp_of(record.timestamp_delta);
            builder
                .push(&record, timestamp, stamp)
                .expect("a sound record");
        }
    }
}
