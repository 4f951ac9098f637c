//! What each step of a record's way costs in instructions: `part=walk` runs one step over fixed bytes.
//!
//! Instructions are counted by callgrind inside [`measured`] and nowhere else. Time would tell more and could not be
//! held to three percent on a shared machine.

use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;

use bytes::Bytes;
use fanout_bench::sample::{batch_of_records, RECORDS, SIGNATURE};
use fanout_bench::Order;
use fanout_core::batch::{Batch, BatchBuilder, Codec, Packer, PassedBatch, Stamp, HEADER_LEN};
use fanout_core::record::Origin;
use fanout_core::route::{hash, Partitioner, Policy, Router};

const TARGETS: usize = 10;
const BATCH_BYTES: usize = 64 * 1024;
/// After one round that fills buffers and caches.
const ROUNDS: usize = 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to be told if stderr is gone: the exit code is all there is.
            writeln!(io::stderr(), "instructions: {problem}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let bytes = Bytes::from(batch_of_records());
    let batch = Batch::parse(&bytes).map_err(|error| error.to_string())?;
    let mut step = step(Order::read()?.text("part")?, &bytes, batch)?;
    step();
    for _ in 0..ROUNDS {
        measured(&mut *step);
    }
    drop(step);
    writeln!(
        io::stdout(),
        r#"{{"rounds": {ROUNDS}, "records": {RECORDS}}}"#
    )
    .map_err(|error| error.to_string())
}

/// What callgrind counts, by this name.
#[inline(never)]
fn measured(step: &mut dyn FnMut()) {
    step();
}

fn step<'a>(
    part: &str,
    bytes: &'a Bytes,
    batch: Batch<'a>,
) -> Result<Box<dyn FnMut() + 'a>, String> {
    Ok(match part {
        "patch" => Box::new(move || {
            let payload = bytes.slice(HEADER_LEN..);
            black_box(PassedBatch::new(black_box(&batch), payload, SIGNATURE));
        }),
        "walk" => Box::new(move || {
            keys(&batch, |key| {
                black_box(key);
            });
        }),
        "murmur2" => Box::new(move || {
            keys(&batch, |key| {
                black_box(hash::murmur2(key));
            });
        }),
        "xxh3" => Box::new(move || {
            keys(&batch, |key| {
                black_box(hash::xxh3(key));
            });
        }),
        "crc" => Box::new(move || {
            black_box(black_box(&batch).verify_crc().is_ok());
        }),
        "splice" => {
            let mut lane = Lane::new();
            Box::new(move || lane.splice(&batch, |_| Stamp::None))
        }
        "splice with header" => {
            let mut lane = Lane::new();
            Box::new(move || {
                lane.splice(&batch, |offset| {
                    Stamp::Run(Origin {
                        partition: 1,
                        offset,
                    })
                });
            })
        }
        _ => return Err(format!("part={part}: no such step")),
    })
}

/// Walks the records and hands every key on: the steps that hash cost so much more than the walk.
fn keys(batch: &Batch<'_>, mut each: impl FnMut(&[u8])) {
    let records = batch.records(black_box(batch.payload()));
    for record in records.expect("the sample is sound") {
        each(record.expect("the sample is sound").key.unwrap_or_default());
    }
}

/// A lane's builders, without its sockets.
struct Lane {
    router: Router,
    builders: Vec<BatchBuilder>,
    packer: Packer,
    spare: Vec<u8>,
}

impl Lane {
    fn new() -> Self {
        let targets = (0..).take(TARGETS).collect();
        let router = Router::new(Policy::Key(Partitioner::Xxh3), targets);
        Self {
            router: router.expect("ten targets"),
            builders: (0..TARGETS)
                .map(|_| BatchBuilder::with_capacity(BATCH_BYTES))
                .collect(),
            packer: Packer::new(),
            spare: Vec::with_capacity(BATCH_BYTES),
        }
    }

    /// Every record to its target's builder; full ones are sealed, as a lane does it.
    fn splice(&mut self, batch: &Batch<'_>, stamp: impl Fn(i64) -> Stamp<'static>) {
        let records = batch.records(black_box(batch.payload()));
        for record in records.expect("the sample is sound") {
            let record = record.expect("the sample is sound");
            let stamp = stamp(batch.header.offset_of(record.offset_delta));
            let builder = &mut self.builders[self.router.for_record(record.key)];
            if !builder.fits(&record, stamp, BATCH_BYTES) {
                let spare = std::mem::take(&mut self.spare);
                let sealed = builder.seal(SIGNATURE, Codec::None, &mut self.packer, spare);
                self.spare = black_box(sealed.expect("a small batch")).into_buffer();
            }
            let timestamp = batch.header.timestamp_of(record.timestamp_delta);
            let pushed = builder.push(&record, timestamp, stamp);
            pushed.expect("the sample is sound");
        }
    }
}
