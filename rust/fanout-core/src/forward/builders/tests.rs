//! Batches as they are posted: how long they grow, and which bytes they have.

use super::*;
use crate::batch::HEADER_LEN;
use crate::cluster::Failure;
use crate::forward::plan::ForwardLimits;
use crate::forward::seam::{Answer, Outgoing};
use crate::forward::stats::Reason;
use crate::route::{Partitioner, Policy};

const RECORDS: u8 = 60;

/// Takes everything, and notes the batches of each request.
#[derive(Default)]
struct Taking {
    requests: Vec<Vec<(i32, Vec<u8>)>>,
    answered: usize,
}

impl Produce for Taking {
    fn begin(&mut self, _producer: Owner) {}

    fn enlist(&mut self, _batches: &[Outgoing<'_>]) -> Step<()> {
        Ok(())
    }

    fn leader(&mut self, _target: i32) -> Result<i32, Failure> {
        Ok(0)
    }

    fn send(&mut self, _node: i32, batches: &[Outgoing<'_>]) -> Result<(), Failure> {
        let request = batches
            .iter()
            .map(|batch| (batch.target, batch.slices.concat()));
        self.requests.push(request.collect());
        Ok(())
    }

    fn receive(&mut self, _node: i32) -> Result<Vec<Answer>, Failure> {
        self.answered += 1;
        let answer = |&(target, _): &(i32, Vec<u8>)| Answer {
            target,
            code: 0,
            base_offset: -1,
            message: String::new(),
        };
        Ok(self.requests[self.answered - 1]
            .iter()
            .map(answer)
            .collect())
    }

    fn refresh(&mut self, _nodes: &[i32]) {}

    fn pause(&mut self, _tries: u32, _reason: &str) -> Step<()> {
        Ok(())
    }
}

/// The first batch of a source, or a later one: records of about 60 bytes, each with a key of its own.
///
/// Its header tells the codec, and its records are as if they had been unpacked.
fn source(number: u8, codec: Codec) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    let first = i64::from(number) * i64::from(RECORDS);
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[22] = codec as u8;
    for n in 0..RECORDS {
        let record = [&[0, 0, 2 * n, 2, n, 100][..], &[n; 50], &[0]].concat();
        bytes.push(2 * u8::try_from(record.len()).expect("short"));
        bytes.extend(record);
    }
    let length = i32::try_from(bytes.len() - 12).expect("short");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[26] = RECORDS - 1;
    bytes[60] = RECORDS;
    bytes
}

/// What a lane with so many targets posts, one of so many lanes: batches of 1 to 4 KiB in requests of 8 KiB.
fn posted(targets: i32, lanes: usize) -> Vec<(i32, Vec<u8>)> {
    posted_of(&[Codec::None; 40], targets, lanes)
}

/// The same of source batches in these codecs.
fn posted_of(codecs: &[Codec], targets: i32, lanes: usize) -> Vec<(i32, Vec<u8>)> {
    let at = TopicPartition::new("orders", 0);
    let limits = ForwardLimits {
        fetch_bytes: 64 << 10,
        batch_bytes: 1 << 10,
        grown_batch_bytes: 4 << 10,
        merge_below_bytes: 0,
        flow_from_bytes: 0,
        transaction_bytes: 1 << 20,
        transaction_ms: 500,
        lane_memory_bytes: 1 << 20,
    };
    let how = Spreading {
        policy: Policy::Key(Partitioner::Xxh3),
        stamping: Stamping::None,
        codec: None,
    };
    let router = Router::new(how.policy, (0..targets).collect()).expect("there are targets");
    let mut builders = Builders::new(at.clone(), router, how, &limits);
    builders.lanes = lanes;
    let mut outbox = Outbox::new(Taking::default(), at, 64 << 10);
    for (number, &codec) in (0..).zip(codecs) {
        let bytes = source(number, codec);
        let batch = Batch::parse(&bytes).expect("a sound batch");
        let carried = Carried::opened(&batch.header, Reason::Spread);
        builders.note_codec(&batch.header);
        let found = (&batch, batch.payload());
        let walked = builders.walk(found, (0, i64::MAX), carried, &mut outbox);
        assert!(matches!(walked, Ok(Ok(_))));
    }
    let gathers = builders
        .targets
        .iter()
        .any(|target| target.builder.gathers());
    assert_eq!(gathers, lanes > 1, "its batches are many, or few");
    builders.post_all(&mut outbox).expect("everything is taken");
    outbox.flush().expect("everything is taken");
    outbox.seam().requests.concat()
}

fn lengths(targets: i32) -> Vec<usize> {
    let posted = posted(targets, 1);
    posted.iter().map(|(_, batch)| batch.len()).collect()
}

#[test]
fn batches_of_a_lane_with_one_target_grow_and_those_of_a_lane_with_many_do_not() {
    let one = lengths(1);
    assert!(one.iter().all(|&length| length > 3 << 10), "{one:?}");
    assert!(one.iter().all(|&length| length <= 4 << 10), "{one:?}");
    let many = lengths(32);
    assert!(many.len() > 32, "most were filled");
    assert!(many.iter().all(|&length| length <= 1 << 10), "{many:?}");
}

#[test]
fn what_many_lanes_gather_before_it_is_copied_has_the_same_bytes() {
    assert_eq!(posted(32, 1 << 20), posted(32, 1));
}

/// The codecs of what a lane with 32 targets posts, one after the other.
fn codecs_posted(sources: &[Codec]) -> Vec<Codec> {
    let posted = posted_of(sources, 32, 1);
    let codec = |(_, batch): &(i32, Vec<u8>)| Batch::parse(batch).expect("sound").header.codec();
    posted.iter().map(codec).collect()
}

#[test]
fn sources_that_mix_codecs_fill_batches_like_those_that_do_not() {
    let packed = codecs_posted(&[Codec::Zstd; 40]);
    assert!(
        packed.iter().all(|&codec| codec == Codec::Zstd),
        "{packed:?}"
    );
    let mixed: Vec<_> = [Codec::Zstd, Codec::None].repeat(20);
    assert_eq!(codecs_posted(&mixed), packed);
    let two: Vec<_> = [Codec::Lz4, Codec::Zstd].repeat(20);
    assert_eq!(codecs_posted(&two).len(), packed.len());
}

#[test]
fn what_was_not_packed_is_packed_only_beside_what_was() {
    let sources = [[Codec::None; 10], [Codec::Gzip; 10], [Codec::None; 10]].concat();
    let posted = codecs_posted(&sources);
    let packed: Vec<_> = posted.iter().map(|&codec| codec == Codec::Gzip).collect();
    let (first, last) = (
        packed.iter().position(|&one| one),
        packed.iter().rposition(|&one| one),
    );
    let (first, last) = (
        first.expect("some were packed"),
        last.expect("some were packed"),
    );
    assert!(first > 0 && last < packed.len() - 1, "{packed:?}");
    let others = posted.len() - packed.iter().filter(|&&one| one).count();
    assert!(others > posted.len() / 3, "{others} of {}", posted.len());
    assert!(posted
        .iter()
        .all(|codec| [Codec::None, Codec::Gzip].contains(codec)));
}
