//! What does transcoding cost beside unpacking and packing the same bytes with the same library?
//!
//! Budget: at most 1.15 times as much. `alone` unpacks a batch and packs its records again, in pieces as long as a
//! lane's batches; `transcode` does what a lane does: checksums, walk, route by key over ten targets, splice, pack.
//! The batches differ: one batch over and over would fill a builder with the same records, which pack for nothing.
//! The ratio of each codec and the difference are printed last.

#![allow(missing_docs, reason = "criterion's macros write no documentation")]
#![expect(clippy::print_stdout, reason = "the ratios are this bench's answer")]

mod lane;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use fanout_core::batch::{Batch, Codec, Packer, Unpacker};
use lane::{source, Lane, BATCH_BYTES, RECORDS};

const CODECS: [Codec; 4] = [Codec::Lz4, Codec::Zstd, Codec::Snappy, Codec::Gzip];

const ROUNDS: u32 = 30;

/// A lane's ten builders hold six batches' worth: none sees a record twice.
const BATCHES: u32 = 32;

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
            self.out.clear();
            let packed = self.packer.pack(codec, piece, &mut self.out);
            packed.expect("room for a piece");
            black_box(&self.out);
        }
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transcode");
    group.throughput(Throughput::Elements(u64::from(RECORDS * BATCHES)));
    for codec in CODECS {
        let packed = sources(codec);
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
                    lane.splice(bytes, false, codec);
                }
            });
        });
    }
    group.finish();
    for codec in CODECS {
        let (alone, transcode) = least(codec);
        println!(
            "{codec}: alone {alone:.1} ns a record, transcode ÷ alone = {:.3}, {:.1} ns more",
            transcode / alone,
            transcode - alone
        );
    }
}

/// Of both, in ns a record. In turn, so that a busy moment of the machine hits both; the least of each counts.
fn least(codec: Codec) -> (f64, f64) {
    let packed = sources(codec);
    let (mut alone, mut lane) = (Alone::new(), Lane::new());
    let (mut least_alone, mut least_transcode) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        least_alone = least_alone.min(timed(&packed, |bytes| alone.run(bytes, codec)));
        least_transcode = least_transcode.min(timed(&packed, |bytes| {
            lane.splice(bytes, false, codec);
        }));
    }
    let records = f64::from(RECORDS * BATCHES);
    let a_record = |least: Duration| least.as_secs_f64() * 1e9 / records;
    (a_record(least_alone), a_record(least_transcode))
}

/// All of them: single ones differ by whether a builder was sealed.
fn timed(packed: &[Vec<u8>], mut work: impl FnMut(&[u8])) -> Duration {
    let began = Instant::now();
    for bytes in packed {
        work(bytes);
    }
    began.elapsed()
}

fn sources(codec: Codec) -> Vec<Vec<u8>> {
    let firsts = (0..BATCHES).map(|number| number * RECORDS);
    firsts.map(|first| source(codec, first as usize)).collect()
}

criterion_group!(benches, bench);
criterion_main!(benches);
