//! What does a record cost on its way through a lane, the sockets apart?
//!
//! Budget: 60 ns for a 100-byte record from the source's CRC to the sealed batch,
//! spread by key over ten targets, with an origin. `elem/s` are records a second.

#![allow(missing_docs, reason = "criterion's macros write no documentation")]

mod lane;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{criterion_group, criterion_main, BenchmarkGroup, Criterion, Throughput};
use fanout_core::batch::{Batch, Codec, SealedBatch};
use lane::{source, Lane, SHORT};

fn parts(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &[u8]) {
    let batch = Batch::parse(bytes).expect("a sound batch");
    group.bench_function("crc", |b| b.iter(|| black_box(&batch).verify_crc()));
    group.bench_function("walk", |b| {
        b.iter(|| {
            let records = batch.records(black_box(batch.payload()));
            records.expect("a right count").fold(0, |sum, record| {
                sum + record.expect("a sound record").key.map_or(0, <[u8]>::len)
            })
        });
    });
    let mut lane = Lane::new();
    group.bench_function("walk and route", |b| {
        b.iter(|| {
            let records = batch.records(black_box(batch.payload()));
            records.expect("a right count").fold(0, |sum, record| {
                sum + lane.router.for_record(record.expect("a sound record").key)
            })
        });
    });
}

fn unseen(sealed: &SealedBatch) {
    black_box(sealed);
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("100-byte records");
    group.throughput(Throughput::Elements(u64::from(SHORT.records)));
    let plain = source(SHORT, Codec::None, 0);
    parts(&mut group, &plain);
    for (name, stamped) in [("splice", false), ("splice with origin", true)] {
        let mut lane = Lane::new();
        group.bench_function(name, |b| {
            b.iter(|| lane.splice(&plain, stamped, Codec::None, unseen));
        });
    }
    for codec in [Codec::Lz4, Codec::Zstd, Codec::Snappy, Codec::Gzip] {
        let packed = source(SHORT, codec, 0);
        for to in [Codec::None, codec] {
            let mut lane = Lane::new();
            group.bench_function(format!("{codec} to {to} with origin"), |b| {
                b.iter(|| lane.splice(&packed, true, to, unseen));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
