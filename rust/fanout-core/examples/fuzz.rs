//! Mutates the corpus for so many seconds and runs every reader of strangers' bytes on what comes out.
//!
//! `cargo run --release --example fuzz -- SECONDS`: on any compiler, what libFuzzer does better on a nightly one. An
//! input that breaks a promise is written beside the corpus, and its file is named.

#![allow(clippy::print_stdout, reason = "a program that prints its figures")]

#[path = "../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::{Target, TARGETS};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: u64 = std::env::args()
        .nth(1)
        .ok_or("how many seconds?")?
        .parse()?;
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let corpus = corpus(&fuzz.join("corpus"))?;
    let seeds: Vec<&[u8]> = corpus.values().flatten().map(Vec::as_slice).collect();
    let share = Duration::from_secs(seconds) / u32::try_from(TARGETS.len())?;
    let mut broken = 0;
    for (name, target) in TARGETS {
        let own = corpus.get(name).map_or(&[][..], Vec::as_slice);
        // Its own seeds first, then everybody's: a batch makes a good answer's records.
        let pool: Vec<&[u8]> = own
            .iter()
            .map(Vec::as_slice)
            .chain(seeds.iter().copied())
            .collect();
        let (execs, found) = run(target, &pool, share);
        let rate = execs / share.as_secs().max(1);
        println!(
            "{name:10} seeds={} execs={execs} execs_per_s={rate}",
            pool.len()
        );
        if let Some(input) = found {
            let file = fuzz.join(format!("broken-{name}"));
            std::fs::write(&file, input)?;
            println!("{name:10} BROKEN: {}", file.display());
            broken += 1;
        }
    }
    if broken > 0 {
        return Err(format!("{broken} of {} readers broke a promise", TARGETS.len()).into());
    }
    Ok(())
}

/// Runs `target` until the time is over or a promise is broken; how often, and by what.
fn run(target: Target, pool: &[&[u8]], time: Duration) -> (u64, Option<Vec<u8>>) {
    // Another stream in every run; a broken input is kept as a file, not as its seed.
    let mut mutator = Mutator::new(u64::from(std::process::id()) << 20);
    let until = Instant::now() + time;
    let mut execs = 0;
    while Instant::now() < until {
        for _ in 0..100 {
            let input = mutator.next(pool);
            execs += 1;
            if catch_unwind(|| target(&input)).is_err() {
                return (execs, Some(input));
            }
        }
    }
    (execs, None)
}

fn corpus(folder: &Path) -> std::io::Result<BTreeMap<String, Vec<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for target in std::fs::read_dir(folder)? {
        let target = target?;
        let mut files: Vec<PathBuf> = std::fs::read_dir(target.path())?
            .map(|file| Ok(file?.path()))
            .collect::<std::io::Result<_>>()?;
        files.sort();
        let bytes = files
            .iter()
            .map(std::fs::read)
            .collect::<std::io::Result<_>>()?;
        found.insert(target.file_name().to_string_lossy().into_owned(), bytes);
    }
    Ok(found)
}
