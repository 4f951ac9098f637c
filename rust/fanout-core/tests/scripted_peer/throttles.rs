//! A broker's throttle time is obeyed, in whichever answer it stands.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::forward::engine::Engine;
use fanout_core::forward::lane::Outcome;
use kafka_protocol::messages::ApiKey;

use crate::garbage::REQUESTS;
use crate::peer::{Fault, Peer};
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
