//! What does transcoding cost beside unpacking and packing the same bytes with the same library?
//!
//! Budget: at most 1.15 times as much. `alone` unpacks a batch and packs its records again, in pieces as long as a
//! lane's batches; `transcode` does what a lane does: checksums, walk, route by key over ten targets, splice, pack.
//! The batches differ: one batch over and over would fill a builder with the same records, which pack for nothing.
//! The ratio of each codec and the difference are printed last, for records of 100 bytes and of 1 KiB; and the ratio
//! to unpacking those batches and packing the very ones that the lane posts, since records of one target pack worse.

#![allow(missing_docs, reason = "criterion's macros write no documentation")]
#![expect(clippy::print_stdout, reason = "the ratios are this bench's answer")]

mod lane;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use fanout_core::batch::{Batch, Codec, Packer, SealedBatch, Unpacker, HEADER_LEN};
use lane::{source, Lane, Sample, BATCH_BYTES, SHORT};

const CODECS: [Codec; 4] = [Codec::Lz4, Codec::Zstd, Codec::Snappy, Codec::Gzip];

const ROUNDS: u32 = 30;

/// A lane's ten builders hold six batches' worth: none sees a record twice.
const BATCHES: u32 = 32;

/// Records of 1 KiB, in batches of as many bytes.
const LONG: Sample = Sample {
    records: 100,
    orders: 11,
};

/// The same bytes through the same library, and nothing else.
struct Alone {
    unpacker: Unpacker,
    packer: Packer,
    out: Vec<u8>,
}

impl Alone {
    fn new() -> Self {
        Self {
            unpacker: Unpacker::new(1 << 26),
            packer: Packer::new(),
            out: Vec::with_capacity(BATCH_BYTES),
        }
    }

    fn run(&mut self, bytes: &[u8], codec: Codec) {
        let batch = Batch::parse(bytes).expect("a sound batch");
        let payload = self.unpacker.unpack(&batch).expect("a sound payload");
        for piece in payload.chunks(BATCH_BYTES) {
            pack(&mut self.packer, codec, piece, &mut self.out);
        }
    }

    fn unpack(&mut self, bytes: &[u8]) {
        let batch = Batch::parse(bytes).expect("a sound batch");
        black_box(self.unpacker.unpack(&batch).expect("a sound payload"));
    }
}

fn pack(packer: &mut Packer, codec: Codec, payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    packer.pack(codec, payload, out).expect("room for a piece");
    black_box(out);
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transcode");
    group.throughput(Throughput::Elements(u64::from(SHORT.records * BATCHES)));
    for codec in CODECS {
        let packed = sources(SHORT, codec);
        let mut alone = Alone::new();
        group.bench_function(format!("{codec} alone"), |b| {
            b.iter(|| {
                for bytes in &packed {
                    alone.run(bytes, codec);
                }
            });
        });
        let mut lane = Lane::new();
        group.bench_function(format!("{codec} transcode"), |b| {
            b.iter(|| {
                for bytes in &packed {
                    lane.splice(bytes, false, codec, unseen);
                }
            });
        });
    }
    group.finish();
    for (sample, name) in [(SHORT, "100 B"), (LONG, "1 KiB")] {
        for codec in CODECS {
            report(sample, name, codec);
        }
    }
}

fn report(sample: Sample, name: &str, codec: Codec) {
    let least = least(sample, codec);
    println!(
        "{codec}, {name}: alone {:.1} ns a record, transcode ÷ alone = {:.3}, {:.1} ns more; \
         what a lane posts alone {:.1} ns, transcode ÷ that = {:.3}",
        least.alone,
        least.transcode / least.alone,
        least.transcode - least.alone,
        least.posted,
        least.transcode / least.posted,
    );
}

/// In ns a record.
struct Least {
    alone: f64,
    posted: f64,
    transcode: f64,
}

/// In turn, so that a busy moment of the machine hits all of them; the least of each counts.
fn least(sample: Sample, codec: Codec) -> Least {
    let packed = sources(sample, codec);
    let (posted, records_posted) = posted(&packed);
    let (mut alone, mut lane) = (Alone::new(), Lane::new());
    let mut least = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        let rounds = [
            timed(&packed, |bytes| alone.run(bytes, codec)),
            timed(&packed, |bytes| alone.unpack(bytes)),
            timed(&posted, |bytes| {
                pack(&mut alone.packer, codec, bytes, &mut alone.out);
            }),
            timed(&packed, |bytes| lane.splice(bytes, false, codec, unseen)),
        ];
        least = std::array::from_fn(|side| least[side].min(rounds[side]));
    }
    let a_record = |least: Duration, records| least.as_secs_f64() * 1e9 / f64::from(records);
    let records = sample.records * BATCHES;
    let [alone, unpacking, packing, transcode] = least;
    Least {
        alone: a_record(alone, records),
        posted: a_record(unpacking, records) + a_record(packing, records_posted),
        transcode: a_record(transcode, records),
    }
}

/// All of them: single ones differ by whether a builder was sealed.
fn timed(packed: &[Vec<u8>], mut work: impl FnMut(&[u8])) -> Duration {
    let began = Instant::now();
    for bytes in packed {
        work(bytes);
    }
    began.elapsed()
}

/// The payloads that a lane posts, before they are packed, and the records in them.
fn posted(packed: &[Vec<u8>]) -> (Vec<Vec<u8>>, u32) {
    let (mut payloads, mut records) = (Vec::new(), 0);
    let mut lane = Lane::new();
    for bytes in packed {
        lane.splice(bytes, false, Codec::None, |sealed| {
            payloads.push(sealed.bytes()[HEADER_LEN..].to_vec());
            records += u32::try_from(sealed.record_count()).expect("a count");
        });
    }
    (payloads, records)
}

fn unseen(sealed: &SealedBatch) {
    black_box(sealed);
}

fn sources(sample: Sample, codec: Codec) -> Vec<Vec<u8>> {
    let firsts = (0..BATCHES).map(|number| number * sample.records);
    firsts
        .map(|first| source(sample, codec, first as usize))
        .collect()
}

criterion_group!(benches, bench);
criterion_main!(benches);
