//! Bytes that are no answer at all: from a TLS or HTTP port, cut, out of turn, or with lists of four billion elements.

use std::thread;
use std::time::{Duration, Instant};

use fanout_core::error::Error;
use fanout_core::forward::lane::Outcome;
use kafka_protocol::messages::ApiKey;

use crate::peer::{Fault, Peer};
use crate::{always, once, plan, run, run_as, BRIEF};

/// Every request a lane makes.
pub(crate) const REQUESTS: [ApiKey; 11] = [
    ApiKey::ApiVersions,
    ApiKey::Metadata,
    ApiKey::FindCoordinator,
    ApiKey::DescribeConfigs,
    ApiKey::ListOffsets,
    ApiKey::InitProducerId,
    ApiKey::OffsetFetch,
    ApiKey::Fetch,
    ApiKey::Produce,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
];

/// First bytes of a TLS alert and of an HTTP answer.
const SPOKEN: [[u8; 2]; 2] = [[0x15, 3], *b"HT"];

/// So little that a rest of some answers' time is short.
const HASTY: Duration = Duration::from_millis(375);

/// Four billion elements would take at least 16 GiB; arenas of the allocator, frames and stacks are less.
const MOST_ADDRESS_SPACE_KB: u64 = 8 << 20;

/// Starts of answers that no broker sends.
fn garbage() -> [(&'static str, Vec<u8>); 7] {
    [
        ("a TLS alert", vec![0x15, 3, 3, 0, 2, 2, 70]),
        (
            "an HTTP answer",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        ),
        ("nothing", vec![]),
        ("an answer that is cut", vec![0, 0, 0, 100, 0, 0, 0, 0, 0]),
        ("an answer out of turn", vec![0, 0, 0, 5, 0, 9, 9, 9, 0]),
        (
            "a negative length",
            vec![0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0],
        ),
        ("a length beyond the bound", vec![0x7f, 0xff, 0xff, 0xff, 0]),
    ]
}

#[test]
fn bytes_that_are_no_answer_are_asked_again_and_given_up_in_time() {
    let peer = Peer::start();
    for key in REQUESTS {
        for (name, bytes) in garbage() {
            // A listener of another protocol is told from a broken one.
            let wrong = SPOKEN.iter().any(|spoken| bytes.starts_with(spoken));
            // So is a batch above the memory bound.
            let huge = key == ApiKey::Fetch && bytes.starts_with(&[0x7f]);
            let told = |outcome: &_| match outcome {
                Err(Error::Security { .. }) => wrong,
                Err(Error::Halted { .. }) => wrong || huge,
                _ => false,
            };
            peer.play(once(key, Fault::Bytes(bytes.clone())));
            let outcome = run(&peer);
            let ended = matches!(outcome, Ok(Outcome::End));
            assert!(
                told(&outcome) || ended,
                "{name} once for {key:?}: {outcome:?}"
            );

            peer.play(always(key, Fault::Bytes(bytes)));
            let outcome = run(&peer);
            // A commit whose answer never comes has happened: the committed offset says so.
            let ended = key == ApiKey::EndTxn && matches!(outcome, Ok(Outcome::End));
            let unreachable = matches!(outcome, Err(Error::Unreachable { .. }));
            assert!(
                told(&outcome) || unreachable || ended,
                "{name} for {key:?} for ever: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_list_of_four_billion_elements_takes_no_memory_wherever_it_stands() {
    let before = address_space_kb();
    let places = 4..40;
    // Side by side and in haste: where the throttle time stands, the lane rests for some answers' time.
    thread::scope(|scope| {
        for key in REQUESTS {
            let places = places.clone();
            scope.spawn(move || {
                let peer = Peer::start();
                for at in places {
                    peer.play(once(key, Fault::Spliced(at)));
                    // Some places are numbers, and the answer is then another one: only harm is looked for.
                    let mut hasty = plan(&peer);
                    hasty.client.connection.answer_timeout = HASTY;
                    let _ = run_as(hasty);
                }
            });
        }
    });
    let runs = REQUESTS.len() * places.len();
    let grown = address_space_kb() - before;
    println!("hostile lists: runs={runs} address_space_grown_kb={grown}");
    assert!(grown < MOST_ADDRESS_SPACE_KB, "{grown} KB");
}

#[test]
fn a_peer_that_is_silent_once_costs_one_timeout() {
    thread::scope(|scope| {
        for key in REQUESTS {
            scope.spawn(move || {
                let peer = Peer::start();
                peer.play(once(key, Fault::Silence));
                let mut brief = plan(&peer);
                brief.client.connection.dial_timeout = BRIEF;
                brief.client.connection.answer_timeout = BRIEF;
                let began = Instant::now();
                let outcome = run_as(brief);
                assert!(matches!(outcome, Ok(Outcome::End)), "{key:?}: {outcome:?}");
                assert!(began.elapsed() >= BRIEF, "{key:?} did not wait");
            });
        }
    });
}

/// The most address space this process has had: what is reserved counts, touched or not.
fn address_space_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmPeak:"));
    let mut words = line.expect("told").split_whitespace();
    words.nth(1).expect("a number").parse().expect("a number")
}
