//! The outbox against answers written down beforehand.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::BytesMut;
use fanout_core::batch::{Batch, BatchBuilder, Codec, Packer, SealedBatch, Signature, Stamp};
use fanout_core::cluster::producers::{Producer, NOBODY};
use fanout_core::cluster::Failure;
use fanout_core::forward::outbox::{Outbox, Spares};
use fanout_core::forward::seam::{Answer, Interrupt, Outgoing, Produce, Step};
use fanout_core::record::TopicPartition;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// Answers to come, by request, and how many requests have been sent and not answered.
#[derive(Default)]
struct Script {
    codes: VecDeque<i16>,
    owed: VecDeque<Vec<i32>>,
}

/// One broker that leads everything and answers as the script says, every batch of a request alike.
#[derive(Clone, Default)]
struct Scripted(Rc<RefCell<Script>>);

impl Produce for Scripted {
    fn begin(&mut self, _producer: Producer) {}

    fn enlist(&mut self, _batches: &[Outgoing<'_>]) -> Step<()> {
        Ok(())
    }

    fn leader(&mut self, _target: i32) -> Result<i32, Failure> {
        Ok(0)
    }

    fn send(&mut self, _node: i32, batches: &[Outgoing<'_>]) -> Result<(), Failure> {
        let targets = batches.iter().map(|batch| batch.target).collect();
        self.0.borrow_mut().owed.push_back(targets);
        Ok(())
    }

    fn receive(&mut self, _node: i32) -> Result<Vec<Answer>, Failure> {
        let mut script = self.0.borrow_mut();
        let code = script.codes.pop_front().expect("an answer is written down");
        let targets = script.owed.pop_front().expect("something was asked");
        let answer = |target| Answer {
            target,
            code,
            base_offset: -1,
            message: String::new(),
        };
        Ok(targets.into_iter().map(answer).collect())
    }

    fn refresh(&mut self, nodes: &[i32]) {
        if !nodes.is_empty() {
            self.0.borrow_mut().owed.clear();
        }
    }

    fn pause(&mut self, _tries: u32, _reason: &str) -> Step<()> {
        Ok(())
    }
}

/// A batch of one record whose value has so many bytes.
fn sealed_of(bytes: usize) -> SealedBatch {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: 0,
        key: None,
        value: Some(vec![7; bytes].into()),
        headers: IndexMap::default(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut source = BytesMut::new();
    RecordBatchEncoder::encode(&mut source, [&record], &options).expect("encodes");
    let source = Batch::parse(&source).expect("sound");
    let mut builder = BatchBuilder::with_capacity(2 * bytes);
    for record in source.records(source.payload()).expect("records") {
        let record = record.expect("a record");
        builder.push(&record, 0, Stamp::None).expect("no stamp");
    }
    seal(&mut builder)
}

fn sealed() -> SealedBatch {
    seal(&mut BatchBuilder::with_capacity(100))
}

fn seal(builder: &mut BatchBuilder) -> SealedBatch {
    let signature = Signature {
        id: 1,
        epoch: 0,
        sequence: 0,
        transactional: true,
    };
    builder
        .seal(signature, Codec::None, &mut Packer::new(), Vec::new())
        .expect("not packed")
}

/// An outbox that sends each batch at once, and its script.
fn outbox(codes: &[i16]) -> (Outbox<Scripted>, Scripted) {
    let script = Scripted::default();
    script.0.borrow_mut().codes.extend(codes);
    let source = TopicPartition::new("orders", 0);
    (Outbox::new(script.clone(), source, 1 << 20), script)
}

fn post(outbox: &mut Outbox<Scripted>, targets: std::ops::Range<i32>) -> Step<()> {
    for target in targets {
        outbox.post(target, sealed(), 0)?;
        outbox.dispatch()?;
    }
    Ok(())
}

#[test]
fn an_answer_still_owed_is_never_read_for_one_of_the_next_transaction() {
    // Target 0 opens the gate; 1 is refused for now, 2 ends the transaction, 3 is never read.
    let (mut outbox, script) = outbox(&[0, 6, 47, 0]);
    post(&mut outbox, 0..4).expect("nothing is waited for yet");
    assert!(matches!(outbox.flush(), Err(Interrupt::Renew(_))));
    assert_eq!(
        script.0.borrow().owed.len(),
        1,
        "one answer is still on its way"
    );

    outbox.clear();

    assert!(
        script.0.borrow().owed.is_empty(),
        "its connection is not used again"
    );
}

#[test]
fn one_request_is_in_flight_until_the_first_success_and_five_after_it() {
    let (mut outbox, script) = outbox(&[0; 20]);
    let mut most = Vec::new();
    for target in 0..10 {
        post(&mut outbox, target..target + 1).expect("answered");
        most.push(script.0.borrow().owed.len());
    }
    assert_eq!(most, [1, 1, 2, 3, 4, 5, 5, 5, 5, 5]);
    outbox.flush().expect("answered");
    outbox.begin(NOBODY);
    post(&mut outbox, 0..1).expect("answered");
    post(&mut outbox, 1..2).expect("answered");
    assert_eq!(script.0.borrow().owed.len(), 1, "the gate is closed again");
}

#[test]
fn one_of_many_lanes_has_two_requests_in_flight_and_builds_in_what_the_others_gave_back() {
    let spares = Spares::default();
    let (outbox, script) = outbox(&[0; 20]);
    let mut outbox = outbox.among(64, spares.clone());
    let mut most = Vec::new();
    for target in 0..6 {
        post(&mut outbox, target..target + 1).expect("answered");
        most.push(script.0.borrow().owed.len());
    }
    assert_eq!(most, [1, 1, 2, 2, 2, 2]);
    let (other, _) = self::outbox(&[]);
    let mut other = other.among(64, spares);
    assert!(
        other.spare_buffer().capacity() > 0,
        "an acknowledged batch lay in it"
    );
}

#[test]
fn the_buffer_of_a_batch_of_unusual_size_is_let_go() {
    let (mut outbox, _) = outbox(&[0; 2]);
    for bytes in [5 << 20, 1000] {
        outbox.post(0, sealed_of(bytes), 0).expect("it is taken");
        outbox.flush().expect("answered");
    }
    let kept: Vec<usize> = (0..2).map(|_| outbox.spare_buffer().capacity()).collect();
    assert!(kept[0] > 1000 && kept[0] < 1 << 20, "{kept:?}");
    assert_eq!(kept[1], 0, "there is one only");
}

#[test]
fn a_batch_behind_a_refused_one_is_sent_again_after_it_and_nothing_new_between() {
    // Target 0 twice: the first is refused, the second is its echo; both are sent again alone.
    let (mut outbox, _) = outbox(&[0, 6, 45, 0, 0]);
    post(&mut outbox, 9..10).expect("the gate");
    post(&mut outbox, 0..1).expect("in flight");
    post(&mut outbox, 0..1).expect("in flight");
    outbox.flush().expect("sent again");
    assert_eq!(outbox.resends(), 2);
}

#[test]
fn an_answer_out_of_order_with_nothing_missing_before_it_gives_the_transaction_up() {
    let (mut outbox, _) = outbox(&[45]);
    post(&mut outbox, 0..1).expect("in flight");
    assert!(matches!(outbox.flush(), Err(Interrupt::Renew(_))));
}

#[test]
fn a_second_batch_of_a_target_is_no_request_by_itself() {
    let script = Scripted::default();
    let source = TopicPartition::new("orders", 0);
    // A request is full with three batches.
    let request = 3 * sealed().bytes().len();
    let mut outbox = Outbox::new(script.clone(), source, 8 * request);
    script.0.borrow_mut().codes.extend([0, 0]);

    for target in [0, 0, 1, 2] {
        outbox.post(target, sealed(), 0).expect("it is taken");
    }

    let asked = || script.0.borrow().owed.clone();
    assert_eq!(asked(), [[0, 1]], "the second batch of 0 waits for more");
    outbox.flush().expect("both requests are answered");
    assert_eq!(asked(), VecDeque::<Vec<i32>>::new());
}

#[test]
fn what_waits_is_bounded_where_the_first_of_a_target_are_much_shorter_than_those_behind() {
    let script = Scripted::default();
    let source = TopicPartition::new("orders", 0);
    let (short, long) = (sealed(), 50 * sealed().bytes().len());
    let request = 8 * short.bytes().len();
    let mut outbox = Outbox::new(script.clone(), source, 8 * request);
    script.0.borrow_mut().codes.extend([0; 200]);

    for _ in 0..7 {
        outbox.post(0, sealed(), 0).expect("it is taken");
    }
    let mut asked = 0;
    for _ in 0..20 {
        outbox.post(0, sealed_of(long), 0).expect("it is taken");
        asked = 200 - script.0.borrow().codes.len() + script.0.borrow().owed.len();
    }
    assert!(
        asked > 20,
        "{asked} batches of 27 were sent: the long ones pile up"
    );
}
