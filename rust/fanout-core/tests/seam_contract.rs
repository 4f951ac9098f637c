//! What a lane leans on, asked of Kafka and of its twin in memory by the same suite.
//!
//! The tests on Kafka are ignored unless `FANOUT_CONTRACT_BOOTSTRAP` names a
//! cluster: `tests/contract/test_seam.py` starts one and runs them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fanout_core::batch::{Batch, BatchBuilder, Codec, Packer, Signature, Stamp, Unpacker};
use fanout_core::cluster::groups::Committed;
use fanout_core::cluster::producers::Producer;
use fanout_core::error::Error;
use fanout_core::forward::protocol::Protocol;
use fanout_core::forward::seam::{Answer, Interrupt, Outgoing, Produce};
use world::World;

mod world;

/// A batch of `count` records for a transaction of `producer`, from `sequence` on.
fn batch(producer: Producer, sequence: i32, count: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::with_capacity(1024);
    let source = reference(count);
    let source = Batch::parse(&source).expect("sound");
    let mut unpacker = Unpacker::new(1 << 20);
    let payload = unpacker.unpack(&source).expect("not packed");
    for record in source.records(payload).expect("records") {
        let record = record.expect("a record");
        // Now: a record of 1970 is over its retention and gone at the broker's next look.
        builder
            .push(&record, now_ms(), Stamp::None)
            .expect("no stamp");
    }
    let signature = Signature {
        id: producer.id,
        epoch: producer.epoch,
        sequence,
        transactional: true,
    };
    let sealed = builder.seal(signature, Codec::None, &mut Packer::new(), Vec::new());
    sealed.expect("not packed").into_buffer()
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("before the year 292278994")
}

/// A batch made by another library.
fn reference(count: i32) -> Vec<u8> {
    use kafka_protocol::records::{
        Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };
    let record = |offset: i32| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(offset),
        sequence: offset,
        timestamp: 1,
        key: None,
        value: Some("value".into()),
        headers: kafka_protocol::indexmap::IndexMap::new(),
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = bytes::BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("sound records");
    bytes.to_vec()
}

/// Sends one batch to target 0 and returns its answer; 51, a transaction still ending, is asked again.
fn produce(link: &mut dyn Produce, bytes: &[u8]) -> Answer {
    let give_up = Instant::now() + Duration::from_secs(60);
    link.enlist(&[outgoing(bytes)])
        .expect("the transaction is ours");
    loop {
        let answer = send(link, bytes);
        if answer.code != 51 || Instant::now() > give_up {
            return answer;
        }
    }
}

fn outgoing(bytes: &[u8]) -> Outgoing<'_> {
    Outgoing {
        target: 0,
        slices: [&[], bytes],
        parked: None,
    }
}

fn send(link: &mut dyn Produce, bytes: &[u8]) -> Answer {
    let node = link.leader(0).expect("led");
    link.send(node, &[outgoing(bytes)]).expect("sent");
    link.receive(node).expect("answered").remove(0)
}

fn place(offset: i64) -> Committed {
    Committed {
        offset,
        metadata: format!("about {offset}"),
    }
}

fn a_batch_sent_twice_is_acknowledged_twice_and_stored_once(world: &dyn World) {
    let (_, mut link, mut commit) = world.seams();
    let producer = commit.acquire().expect("acquired");
    link.begin(producer);
    let bytes = batch(producer, 0, 3);
    let first = produce(&mut *link, &bytes);
    let again = produce(&mut *link, &bytes);
    assert_eq!((first.code, first.base_offset), (0, 0));
    assert_eq!((again.code, again.base_offset), (0, 0));
    commit.commit(producer, &place(3)).expect("committed");
    assert_eq!(world.visible(0), 3);
}

fn a_batch_with_one_missing_before_it_is_refused(world: &dyn World) {
    let (_, mut link, mut commit) = world.seams();
    let producer = commit.acquire().expect("acquired");
    link.begin(producer);
    assert_eq!(produce(&mut *link, &batch(producer, 0, 2)).code, 0);
    assert_eq!(produce(&mut *link, &batch(producer, 5, 2)).code, 45);
}

fn records_and_offset_are_seen_together_and_not_before_the_commit(world: &dyn World) {
    let (_, mut link, mut commit) = world.seams();
    let producer = commit.acquire().expect("acquired");
    link.begin(producer);
    assert_eq!(commit.position().expect("stable"), None);
    assert_eq!(produce(&mut *link, &batch(producer, 0, 4)).code, 0);
    commit.commit(producer, &place(4)).expect("committed");
    assert_eq!(commit.position().expect("stable"), Some(place(4)));
    assert_eq!(world.visible(0), 4);
}

fn sequences_go_on_while_the_epoch_stays_and_begin_at_0_with_a_new_one(world: &dyn World) {
    let (_, mut link, mut commit) = world.seams();
    let first = commit.acquire().expect("acquired");
    link.begin(first);
    assert_eq!(produce(&mut *link, &batch(first, 0, 2)).code, 0);
    let second = commit.commit(first, &place(2)).expect("committed");
    link.begin(second);
    let next = match world.protocol() {
        Protocol::EpochEach => {
            assert!((second.id, second.epoch) > (first.id, first.epoch));
            0
        }
        Protocol::EpochKept => {
            assert_eq!(second, first);
            2
        }
    };
    let answer = produce(&mut *link, &batch(second, next, 2));
    assert_eq!(answer.code, 0);
    assert!(answer.base_offset >= 2, "base offsets grow");
    commit.commit(second, &place(4)).expect("committed");
    assert_eq!(world.visible(0), 4);
}

fn a_renewed_owner_begins_at_sequence_0(world: &dyn World) {
    let (_, mut link, mut commit) = world.seams();
    let first = commit.acquire().expect("acquired");
    link.begin(first);
    assert_eq!(produce(&mut *link, &batch(first, 0, 2)).code, 0);
    let second = commit.commit(first, &place(2)).expect("committed");
    let third = commit.renew(second).expect("still ours");
    assert!((third.id, third.epoch) > (second.id, second.epoch));
    link.begin(third);
    assert_eq!(produce(&mut *link, &batch(third, 0, 2)).code, 0);
    commit.commit(third, &place(4)).expect("committed");
    assert_eq!(world.visible(0), 4);
}

fn a_transaction_with_an_offset_and_no_records_commits(world: &dyn World) {
    let (_, _, mut commit) = world.seams();
    let producer = commit.acquire().expect("acquired");
    let next = commit.commit(producer, &place(9)).expect("committed");
    assert_eq!(commit.position().expect("stable"), Some(place(9)));
    commit.commit(next, &place(10)).expect("committed");
    assert_eq!(commit.position().expect("stable"), Some(place(10)));
}

fn renewing_aborts_what_is_open_and_keeps_the_lane(world: &dyn World) {
    let (_, mut link, mut commit) = world.seams();
    let first = commit.acquire().expect("acquired");
    link.begin(first);
    assert_eq!(produce(&mut *link, &batch(first, 0, 2)).code, 0);
    let second = commit.renew(first).expect("still ours");
    link.begin(second);
    assert_eq!(commit.position().expect("stable"), None);
    assert_eq!(world.visible(0), 0);
    assert_eq!(produce(&mut *link, &batch(second, 0, 3)).code, 0);
    commit.commit(second, &place(3)).expect("committed");
    assert_eq!(world.visible(0), 3);
}

fn an_owner_that_was_taken_over_is_told_and_does_not_get_the_lane_back(world: &dyn World) {
    let (_, mut link, mut commit) = world.seams();
    let (_, _, mut other) = world.seams();
    let old = commit.acquire().expect("acquired");
    link.begin(old);
    assert_eq!(produce(&mut *link, &batch(old, 0, 2)).code, 0);
    let new = other.acquire().expect("taken over");
    assert!(matches!(
        commit.renew(old),
        Err(Interrupt::Stop(Error::Fenced { .. }))
    ));
    assert_eq!(send(&mut *link, &batch(old, 2, 1)).code, 47);
    assert!(matches!(
        commit.commit(old, &place(2)),
        Err(Interrupt::Renew(_))
    ));
    other
        .commit(new, &place(0))
        .expect("the new owner is not disturbed");
    assert_eq!(world.visible(0), 0);
}

fn a_fetch_at_the_end_brings_nothing_and_takes_its_time(world: &dyn World) {
    let (mut fetch, _, _) = world.seams();
    fetch.ask(0, Duration::from_millis(10)).expect("asked");
    let fetched = fetch.take().expect("answered").expect("not told to rest");
    assert!(fetched.records.is_empty());
    assert_eq!(fetched.last_stable, 0);
}

/// Each behaviour, once for the twin and once for Kafka.
macro_rules! contract {
    ($($behaviour:ident,)*) => {
        mod memory {
            use crate::world::Memory;
            use crate::Protocol;

            $(#[test]
            fn $behaviour() {
                super::$behaviour(&Memory::new(Protocol::EpochEach));
            })*

            mod before_version_2 {
                use crate::world::Memory;
                use crate::Protocol;

                $(#[test]
                fn $behaviour() {
                    super::super::$behaviour(&Memory::new(Protocol::EpochKept));
                })*
            }
        }

        mod kafka {
            $(#[test]
            #[ignore = "needs a real Kafka: tests/contract/test_seam.py starts one"]
            fn $behaviour() {
                super::$behaviour(&crate::world::Kafka::new());
            })*
        }
    };
}

contract! {
    a_batch_sent_twice_is_acknowledged_twice_and_stored_once,
    a_batch_with_one_missing_before_it_is_refused,
    records_and_offset_are_seen_together_and_not_before_the_commit,
    sequences_go_on_while_the_epoch_stays_and_begin_at_0_with_a_new_one,
    a_renewed_owner_begins_at_sequence_0,
    a_transaction_with_an_offset_and_no_records_commits,
    renewing_aborts_what_is_open_and_keeps_the_lane,
    an_owner_that_was_taken_over_is_told_and_does_not_get_the_lane_back,
    a_fetch_at_the_end_brings_nothing_and_takes_its_time,
}

/// What only a coordinator can do to a lane, and what takes more commits than a twin has to offer.
mod coordinator {
    use std::io::Write;

    use super::*;

    #[test]
    #[ignore = "needs a real Kafka: tests/contract/test_seam.py starts one"]
    fn a_lane_outlives_the_coordinators_timeout() {
        let mut world = world::Kafka::new();
        // Longer than the next owner needs for its own transaction on a busy machine.
        world.timeout_ms = 5_000;
        let (_, mut link, mut commit) = world.seams();
        let first = commit.acquire().expect("acquired");
        link.begin(first);
        let bytes = batch(first, 0, 2);
        let give_up = Instant::now() + Duration::from_secs(60);
        let mut answer = produce(&mut *link, &bytes);
        while answer.code == 0 && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(100));
            answer = send(&mut *link, &bytes);
        }
        assert_eq!(answer.code, 47, "the coordinator has raised the epoch");
        assert!(matches!(
            commit.commit(first, &place(2)),
            Err(Interrupt::Renew(_))
        ));

        let second = commit.renew(first).expect("nobody else has come");

        assert!((second.id, second.epoch) > (first.id, first.epoch));
        link.begin(second);
        assert_eq!(produce(&mut *link, &batch(second, 0, 3)).code, 0);
        commit.commit(second, &place(3)).expect("committed");
        assert_eq!(commit.position().expect("stable"), Some(place(3)));
        assert_eq!(world.visible(0), 3);
    }

    #[test]
    #[ignore = "a minute on a real Kafka: tests/long/test_producer_ids.py starts one"]
    fn a_lane_goes_on_when_its_producer_id_is_used_up() {
        let world = world::Kafka::new();
        let (_, mut link, mut commit) = world.seams();
        let first = commit.acquire().expect("acquired");
        link.begin(first);
        assert_eq!(produce(&mut *link, &batch(first, 0, 2)).code, 0);
        let mut owner = commit.commit(first, &place(0)).expect("committed");
        let mut commits = 1;
        while owner.id == first.id {
            let before = owner;
            owner = match world.protocol() {
                Protocol::EpochEach => commit.commit(owner, &place(commits)).expect("committed"),
                Protocol::EpochKept => commit.renew(owner).expect("still ours"),
            };
            commits += 1;
            let expected = if owner.id == first.id {
                before.epoch + 1
            } else {
                0
            };
            assert_eq!(owner.epoch, expected, "after {before:?}");
            assert!(commits < 40_000, "{owner:?} is still the first id");
        }
        writeln!(
            std::io::stdout(),
            "epochs={commits} first_id={} next_id={}",
            first.id,
            owner.id
        )
        .expect("somebody listens");
        link.begin(owner);
        assert_eq!(produce(&mut *link, &batch(owner, 0, 3)).code, 0);
        let next = commit.commit(owner, &place(commits)).expect("committed");
        assert_eq!(next.id, owner.id);
        assert_eq!(commit.position().expect("stable"), Some(place(commits)));
        assert_eq!(world.visible(0), 5);
    }
}
