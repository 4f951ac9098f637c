//! The fuzzers' corpus, replayed on any compiler: every input, and a few hundred changed ones, keep every promise.

#![allow(clippy::print_stdout, reason = "the run prints its line of figures")]

#[path = "../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

use mutate::Mutator;
use targets::TARGETS;

/// Changed inputs made from each input, always the same ones.
const CHANGED: usize = 40;

#[test]
fn every_input_of_the_corpus_and_its_changed_copies_keep_every_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let (mut inputs, mut execs) = (0, 0);
    for (name, target) in TARGETS {
        let folder = corpus.join(name);
        let files = std::fs::read_dir(&folder).expect("each target has its folder");
        let mut own: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.expect("listed").path()).expect("readable"))
            .collect();
        own.sort();
        assert!(own.len() >= 3, "{name} has {} inputs", own.len());
        let pool: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
        let mut mutator = Mutator::new(0x00f4_0000 + pool.len() as u64);
        for input in &pool {
            target(input);
            inputs += 1;
            for _ in 0..CHANGED {
                target(&mutator.next(&pool));
                execs += 1;
            }
        }
    }
    println!("corpus: inputs={inputs} changed={execs} broken=0");
}
