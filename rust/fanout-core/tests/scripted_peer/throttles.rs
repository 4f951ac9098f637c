//! A broker's throttle time is obeyed, in whichever answer it stands.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fanout_core::clock::SystemClock;
use fanout_core::error::Error;
use fanout_core::forward::engine::Engine;
use fanout_core::forward::lane::{LaneEnd, Outcome};
use fanout_core::forward::scan;
use fanout_core::record::TopicPartition;
use kafka_protocol::messages::ApiKey;

use crate::answers::{END, SOURCE};
use crate::garbage::REQUESTS;
use crate::peer::{Fault, Peer, Seen};
use crate::{always, plan};

const REST: Duration = Duration::from_millis(60);

/// Below transaction version 2 these are asked too.
const OLDER: [ApiKey; 2] = [ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn];

#[test]
fn after_a_throttled_answer_nothing_is_sent_on_its_connection_until_the_time_is_over() {
    let (peer, older) = (Peer::start(), Peer::with_transactions(1));
    let newest = REQUESTS.map(|key| (&peer, key));
    for (peer, key) in newest.into_iter().chain(OLDER.map(|key| (&older, key))) {
        let millis = i32::try_from(REST.as_millis()).expect("short");
        peer.play(always(key, Fault::Throttle(millis)));
        let engine = Arc::new(Engine::new(plan(peer)).expect("a sound plan"));
        let mut ends = engine.run().expect("lanes");
        assert_eq!(ends.remove(0).outcome.expect("a sound peer"), Outcome::End);

        let seen = peer.seen();
        let (mut met, mut followed) = (0, 0);
        for (place, one) in seen.iter().enumerate().filter(|(_, one)| one.met) {
            met += 1;
            let (connection, asked) = one.came;
            if let Some(next) = seen[place + 1..]
                .iter()
                .find(|next| next.came.0 == connection)
            {
                followed += 1;
                let rested = next.came.1 - asked;
                assert!(rested >= REST, "{key:?}: {:?} {rested:?} later", next.key);
            }
        }
        let noted = engine.stats()[&0].throttled.total_ms();
        println!("{key:?}: throttled={met} followed={followed} noted_ms={noted}");
        // The first look at the cluster ends with ListOffsets: nobody is left to wait, or to be told.
        assert!(
            followed > 0 || noted > 0 || key == ApiKey::ListOffsets,
            "{key:?}"
        );
        assert!(met > 0, "{key:?}");
    }
}

/// Longer than any of these tests takes: whoever sleeps through it is found out.
const LONG_REST: Duration = Duration::from_secs(60);

/// How long something may take that takes no time; a stop that takes 8 s is cancelled.
const SOON: Duration = Duration::from_secs(7);

/// A lane that follows its source: each fetch is answered in full, and asks for `rest` before the next.
struct Following {
    peer: Peer,
    engine: Arc<Engine>,
    ran: JoinHandle<Vec<LaneEnd>>,
}

impl Following {
    fn start(rest: Duration, transaction_ms: u64) -> Self {
        let peer = Peer::start();
        let millis = i32::try_from(rest.as_millis()).expect("short");
        peer.play(always(ApiKey::Fetch, Fault::Throttle(millis)));
        let mut following = plan(&peer);
        following.client.clock = Arc::new(SystemClock);
        following.client.connection.answer_timeout = LONG_REST;
        following.end = None;
        following.limits.transaction_ms = transaction_ms;
        let engine = Arc::new(Engine::new(following).expect("a sound plan"));
        let running = Arc::clone(&engine);
        let ran = thread::spawn(move || running.run().expect("lanes"));
        Self { peer, engine, ran }
    }

    fn fetches(&self) -> Vec<Seen> {
        let mut seen = self.peer.seen();
        seen.retain(|one| one.key == ApiKey::Fetch);
        seen
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < 4 * SOON, "not so in time: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How the lane ended, how long that took, and how many fetches it had sent.
    fn end_by(self, how: impl Fn(&Engine)) -> (LaneEnd, Duration, usize) {
        let told = Instant::now();
        how(&self.engine);
        let fetches = self.fetches().len();
        let end = self.ran.join().expect("no panic").remove(0);
        (end, told.elapsed(), fetches)
    }
}

#[test]
fn a_throttled_fetch_holds_up_no_open_transaction() {
    let lane = Following::start(LONG_REST, 200);
    lane.wait_for("what was fetched is committed", |lane| {
        lane.engine.stats()[&0].position.load(Relaxed) == END
    });
    let (end, took, fetches) = lane.end_by(Engine::stop);
    println!("transaction: stopped_after={took:?} fetches={fetches}");
    assert_eq!(end.outcome.expect("a sound peer"), Outcome::Stopped);
    assert_eq!(fetches, 1);
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_throttled_fetch_holds_up_no_stop() {
    let lane = Following::start(LONG_REST, 20_000);
    lane.wait_for("the fetch is answered", |lane| {
        lane.engine.stats()[&0].throttled.total_ms() > 0
    });
    let (end, took, fetches) = lane.end_by(Engine::stop);
    println!("stop: stopped_after={took:?} fetches={fetches}");
    assert_eq!(end.outcome.expect("a sound peer"), Outcome::Stopped);
    assert_eq!((end.position, end.forwarded, fetches), (END, 10, 1));
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_throttled_fetch_holds_up_no_cancel() {
    let lane = Following::start(LONG_REST, 20_000);
    lane.wait_for("the fetch is answered", |lane| {
        lane.engine.stats()[&0].throttled.total_ms() > 0
    });
    let (end, took, fetches) = lane.end_by(Engine::cancel);
    println!("cancel: {:?} after={took:?} fetches={fetches}", end.outcome);
    assert!(matches!(
        end.outcome,
        Ok(Outcome::Stopped) | Err(Error::Unreachable { .. })
    ));
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_lane_fetches_again_when_the_time_is_over_and_not_before() {
    let lane = Following::start(REST, 200);
    lane.wait_for("it goes on", |lane| lane.fetches().len() > 3);
    let rests: Vec<Duration> = lane
        .fetches()
        .windows(2)
        .filter(|two| two[0].came.0 == two[1].came.0)
        .map(|two| two[1].came.1 - two[0].came.1)
        .collect();
    let (end, ..) = lane.end_by(Engine::stop);
    println!("rests={rests:?}");
    assert_eq!(end.outcome.expect("a sound peer"), Outcome::Stopped);
    assert!(rests.len() > 2);
    assert!(rests.iter().all(|rest| *rest >= REST), "{rests:?}");
}

#[test]
fn who_only_reads_waits_until_the_time_is_over() {
    let peer = Peer::start();
    let millis = i32::try_from(REST.as_millis()).expect("short");
    peer.play(always(ApiKey::ApiVersions, Fault::Throttle(millis)));
    let at = TopicPartition::new(SOURCE, 0);
    let no_patience = Duration::from_millis(1);
    let tally = scan::tally(plan(&peer).client, &at, (0, END), no_patience).expect("a sound peer");
    assert_eq!(tally.count, 10);
    let seen = peer.seen();
    let fetch = seen.iter().find(|one| one.key == ApiKey::Fetch);
    let (connection, asked) = fetch.expect("it was read").came;
    let opened = seen.iter().find(|one| one.came.0 == connection);
    assert!(asked - opened.expect("before that").came.1 >= REST);
}
