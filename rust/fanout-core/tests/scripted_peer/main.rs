//! A lane against a peer that errs on purpose: every error code of every request it makes, and bytes of any kind.
//!
//! A real engine over real sockets, in seconds: the peer answers like a broker, and time is moved by sleeping.

#![allow(
    clippy::print_stdout,
    clippy::match_same_arms,
    reason = "each run prints its line of figures; a table is read row by row"
)]

mod answers;
mod garbage;
mod peer;
mod table;
mod throttles;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanout_core::clock::ManualClock;
use fanout_core::cluster::ClientSettings;
use fanout_core::error::{Error, Result};
use fanout_core::forward::engine::Engine;
use fanout_core::forward::lane::Outcome;
use fanout_core::forward::plan::{Delivery, ForwardLimits, ForwardPlan, Stamping};
use fanout_core::forward::rate::RateLimits;
use fanout_core::route::{Partitioner, Policy};
use kafka_protocol::messages::ApiKey;
use peer::{Fault, Peer, Script, Seen};
use table::{action, action_below_version_2, Action};

/// How long an answer may take, on a machine that stands still for a while: what hangs is told from what tries again
/// by twice of it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The same where it is waited for.
const BRIEF: Duration = Duration::from_secs(4);

/// Every code Kafka has given a meaning, and some that it has not yet.
const CODES: std::ops::RangeInclusive<i16> = -1..=140;

fn plan(peer: &Peer) -> ForwardPlan {
    let properties = BTreeMap::from([("bootstrap.servers".to_owned(), peer.address.to_string())]);
    let mut client = ClientSettings::from_properties(&properties).expect("an address");
    client.clock = Arc::new(ManualClock::default());
    client.backoff = (Duration::from_millis(200), Duration::from_secs(2));
    client.deadline = Duration::from_secs(8);
    client.connection.dial_timeout = TIMEOUT;
    client.connection.answer_timeout = TIMEOUT;
    ForwardPlan {
        client,
        source: answers::SOURCE.to_owned(),
        target: answers::TARGET.to_owned(),
        delivery: Delivery::ExactlyOnce,
        group: answers::GROUP.to_owned(),
        transactional_prefix: "t".to_owned(),
        partitions: vec![0],
        start: BTreeMap::from([(0, 0)]),
        end: Some(BTreeMap::from([(0, answers::END)])),
        policy: Policy::Key(Partitioner::Murmur2),
        allotments: None,
        stamping: Stamping::None,
        codec: None,
        limits: ForwardLimits {
            fetch_bytes: 64 << 10,
            batch_bytes: 1 << 10,
            grown_batch_bytes: 1 << 10,
            merge_below_bytes: 0,
            flow_from_bytes: 0,
            transaction_bytes: 1 << 20,
            transaction_ms: 500,
            lane_memory_bytes: 1 << 20,
        },
        rates: RateLimits::default(),
    }
}

/// Runs one lane from offset 0 to the end against `peer`; how it ended, or why it never began.
fn run(peer: &Peer) -> Result<Outcome> {
    run_as(plan(peer))
}

fn run_as(plan: ForwardPlan) -> Result<Outcome> {
    let most = 2 * plan.client.connection.answer_timeout.max(BRIEF);
    let engine = Arc::new(Engine::new(plan).expect("a sound plan"));
    let began = Instant::now();
    let ends = engine.run();
    let took = began.elapsed();
    assert!(took < most, "it hung for {took:?}");
    let mut ends = ends?;
    ends.remove(0).outcome
}

fn once(key: ApiKey, fault: Fault) -> Script {
    let times = 1;
    Script { key, fault, times }
}

fn always(key: ApiKey, fault: Fault) -> Script {
    let times = usize::MAX;
    Script { key, fault, times }
}

/// What the lane did about the one fault it met.
fn done(outcome: &Result<Outcome>, seen: &[Seen]) -> Action {
    match outcome {
        Err(Error::Fenced { .. }) => return Action::Fenced,
        Err(Error::Halted { .. }) => return Action::Halt,
        Err(Error::Broker { .. } | Error::Refused { .. }) => return Action::Stop,
        Err(error) => panic!("one error must not end a lane so: {error}"),
        Ok(outcome) => assert_eq!(*outcome, Outcome::End),
    }
    let met = seen
        .iter()
        .position(|one| one.met)
        .expect("the fault was met");
    let after = &seen[met + 1..];
    let again = after.iter().position(|one| one.key == seen[met].key);
    let until = &after[..again.unwrap_or(0)];
    if after.iter().any(|one| one.renews) {
        Action::Renew
    } else if again.is_none() {
        Action::GoOn
    } else if looks_up(seen[met].key) || until.iter().any(|one| looks_up(one.key)) {
        Action::LookUp
    } else {
        Action::Retry
    }
}

fn looks_up(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::ApiVersions | ApiKey::Metadata | ApiKey::FindCoordinator
    )
}

/// Every code once, then for ever: the first must be met as the table says, the second must end.
fn hold_to_the_table(peer: &Peer, key: ApiKey, action: fn(ApiKey, i16) -> Action) {
    let mut met: BTreeMap<Action, usize> = BTreeMap::new();
    for code in CODES.filter(|&code| code != 0) {
        let expected = action(key, code);
        peer.play(once(key, Fault::Code(code)));
        let outcome = run(peer);
        let actual = done(&outcome, &peer.seen());
        assert_eq!(actual, expected, "{key:?} answered {code}: {outcome:?}");

        peer.play(always(key, Fault::Code(code)));
        let outcome = run(peer);
        match (expected, &outcome) {
            (Action::GoOn, Ok(Outcome::End)) => {}
            (Action::Retry | Action::LookUp | Action::Renew, Err(Error::Unreachable { .. })) => {}
            // Unknown for long enough is believed.
            (Action::Retry | Action::LookUp | Action::Renew, Err(Error::Refused { .. }))
                if matches!(code, 3 | 100) => {}
            (Action::Halt | Action::Stop | Action::Fenced, Err(_)) => {
                assert_eq!(done(&outcome, &peer.seen()), expected);
            }
            _ => panic!("{key:?} answered {code} for ever: {outcome:?}"),
        }
        *met.entry(expected).or_default() += 1;
    }
    println!("{key:?}: codes={} {met:?}", met.values().sum::<usize>());
}

macro_rules! held {
    ($($name:ident: $key:ident;)+) => {
        $(#[test] fn $name() { hold_to_the_table(&Peer::start(), ApiKey::$key, action); })+
    };
}

macro_rules! held_below_version_2 {
    ($($name:ident: $key:ident;)+) => {
        $(#[test] fn $name() {
            hold_to_the_table(&Peer::with_transactions(1), ApiKey::$key, action_below_version_2);
        })+
    };
}

held! {
    every_error_of_api_versions_is_met_as_the_table_says: ApiVersions;
    every_error_of_metadata_is_met_as_the_table_says: Metadata;
    every_error_of_find_coordinator_is_met_as_the_table_says: FindCoordinator;
    every_error_of_describe_configs_is_met_as_the_table_says: DescribeConfigs;
    every_error_of_list_offsets_is_met_as_the_table_says: ListOffsets;
    every_error_of_init_producer_id_is_met_as_the_table_says: InitProducerId;
    every_error_of_offset_fetch_is_met_as_the_table_says: OffsetFetch;
    every_error_of_fetch_is_met_as_the_table_says: Fetch;
    every_error_of_produce_is_met_as_the_table_says: Produce;
    every_error_of_txn_offset_commit_is_met_as_the_table_says: TxnOffsetCommit;
    every_error_of_end_txn_is_met_as_the_table_says: EndTxn;
}

held_below_version_2! {
    below_version_2_every_error_of_add_partitions_is_met_as_the_table_says: AddPartitionsToTxn;
    below_version_2_every_error_of_add_offsets_is_met_as_the_table_says: AddOffsetsToTxn;
    below_version_2_every_error_of_produce_is_met_as_the_table_says: Produce;
    below_version_2_every_error_of_txn_offset_commit_is_met_as_the_table_says: TxnOffsetCommit;
    below_version_2_every_error_of_end_txn_is_met_as_the_table_says: EndTxn;
}
