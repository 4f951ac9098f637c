//! A worker under any schedule of reading, settling, revoking and assigning again.
//!
//! The log stays still while the group's offsets are what the worker committed:
//! whatever happens, each record below a committed offset was settled, and the
//! committed sums are those of exactly these records. The same schedules run over
//! intakes with a planted bug, each of which must break a promise.

mod work_desk;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fanout_core::note::Note;
use fanout_core::record::{Origin, Tally};
use fanout_core::work::{Arrival, Fate, Intake, Limits, Order, RecordId, Run, Setup, Start};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use work_desk::{Bug, Desk, Mutant, Payload, BUGS};

const PARTITIONS: i32 = 3;
const KEYS: u64 = 4;

#[derive(Debug, Clone)]
enum Event {
    Read { partition: i32 },
    Settle { which: usize, dead: bool },
    SettleStale { which: usize },
    SettleAgain { which: usize },
    Commit,
    Close { partition: i32 },
    Lose { partition: i32 },
    Assign { partition: i32 },
}

/// A schedule: each word is an event. A strategy for every field would take longer than what is tested.
fn events() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 1..80)
}

fn event(word: u32) -> Event {
    let [kind, at, low, high] = word.to_le_bytes();
    let partition = i32::from(at) % PARTITIONS;
    let which = usize::from(u16::from_le_bytes([low, high]));
    match kind % 33 {
        0..=11 => Event::Read { partition },
        12..=23 => Event::Settle {
            which,
            dead: at % 10 == 0,
        },
        24 => Event::SettleStale { which },
        25 => Event::SettleAgain { which },
        26..=28 => Event::Commit,
        29 => Event::Close { partition },
        30 => Event::Lose { partition },
        _ => Event::Assign { partition },
    }
}

/// One log per partition: offsets with holes, every third record without a key.
fn log() -> Vec<(i64, Option<u64>)> {
    (0..32_i64)
        .filter(|offset| offset % 7 != 3)
        .map(|offset| {
            let mixed = offset.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            (offset, (mixed % 3 != 0).then_some(mixed % KEYS))
        })
        .collect()
}

fn origin(partition: i32, offset: i64) -> Origin {
    Origin {
        partition: partition + 10,
        offset: offset + 1_000,
    }
}

struct World {
    intake: Box<dyn Desk>,
    log: Vec<(i64, Option<u64>)>,
    /// What the broker holds for the group.
    committed: BTreeMap<i32, Start>,
    /// Next index of the log to read, for partitions that are assigned.
    reading: BTreeMap<i32, usize>,
    running: Vec<(RecordId, i32, i64, Option<u64>)>,
    stale: Vec<RecordId>,
    /// Results that were taken, of assignments that still are.
    taken: Vec<(RecordId, i32)>,
    settled: BTreeMap<(i32, i64), BTreeSet<bool>>,
    busy: HashMap<(i32, u64), i64>,
}

fn setup() -> Setup {
    Setup {
        topic: "temp".into(),
        order: Order::Key,
        limits: Limits {
            records: 100,
            bytes: 1 << 20,
        },
        run: Some(Run {
            id: "r".to_owned(),
            sources: (0..PARTITIONS).map(|p| (p, p + 10)).collect(),
        }),
    }
}

impl World {
    fn new() -> Self {
        Self::at(Box::new(Intake::<Payload>::new(setup())))
    }

    fn at(intake: Box<dyn Desk>) -> Self {
        let start = Start {
            offset: 0,
            metadata: "fanout1 0 0000000000000000 r".to_owned(),
        };
        Self {
            intake,
            log: log(),
            committed: (0..PARTITIONS).map(|p| (p, start.clone())).collect(),
            reading: BTreeMap::new(),
            running: Vec::new(),
            stale: Vec::new(),
            taken: Vec::new(),
            settled: BTreeMap::new(),
            busy: HashMap::new(),
        }
    }

    fn play_all(&mut self, events: &[u32]) {
        for &word in events {
            self.play(&event(word));
        }
        self.finish();
    }

    fn play(&mut self, event: &Event) {
        match *event {
            Event::Read { partition } => self.read(partition),
            Event::Settle { which, dead } if !self.running.is_empty() => {
                let at = which % self.running.len();
                self.settle(at, dead);
            }
            Event::SettleStale { which } if !self.stale.is_empty() => {
                self.settle_in_vain(self.stale[which % self.stale.len()]);
            }
            Event::SettleAgain { which } if !self.taken.is_empty() => {
                self.settle_in_vain(self.taken[which % self.taken.len()].0);
            }
            Event::Settle { .. } | Event::SettleStale { .. } | Event::SettleAgain { .. } => {}
            Event::Commit => self.commit(),
            Event::Close { partition } => {
                self.intake.close(partition);
                self.commit();
                self.lose(partition);
            }
            Event::Lose { partition } => self.lose(partition),
            Event::Assign { partition } => self.assign(partition),
        }
    }

    fn assign(&mut self, partition: i32) {
        if self.reading.contains_key(&partition) {
            return;
        }
        let start = &self.committed[&partition];
        self.intake.assign(partition, start);
        let next = self
            .log
            .partition_point(|&(offset, _)| offset < start.offset);
        self.reading.insert(partition, next);
    }

    fn read(&mut self, partition: i32) {
        let Some(next) = self
            .reading
            .get_mut(&partition)
            .filter(|_| self.intake.room() > 0)
        else {
            return;
        };
        let Some(&(offset, key)) = self.log.get(*next) else {
            return self.intake.reach(partition, self.end());
        };
        *next += 1;
        let arrival = Arrival {
            partition,
            offset,
            key,
            bytes: 10,
            origin: Some(origin(partition, offset)),
        };
        let runnable = self.intake.take(&arrival, (partition, offset, key));
        if let Some((id, (partition, offset, key))) = runnable {
            self.start(id, partition, offset, key);
        }
    }

    fn start(&mut self, id: RecordId, partition: i32, offset: i64, key: Option<u64>) {
        if let Some(key) = key {
            let last = self.busy.insert((partition, key), offset);
            assert!(last.is_none(), "two records of a key at once");
        }
        self.running.push((id, partition, offset, key));
    }

    fn settle(&mut self, at: usize, dead: bool) {
        let (id, partition, offset, key) = self.running.swap_remove(at);
        if let Some(key) = key {
            self.busy.remove(&(partition, key));
        }
        self.settled
            .entry((partition, offset))
            .or_default()
            .insert(dead);
        self.taken.push((id, partition));
        let fate = if dead { Fate::Dead } else { Fate::Done };
        if let Some((next, (p, o, k))) = self.intake.settle(id, fate) {
            assert_eq!((p, k), (partition, key), "the next of the same lane");
            assert!(o > offset, "in the order of the log");
            self.start(next, p, o, k);
        }
    }

    /// A result that came too late, or twice, changes nothing and is counted.
    fn settle_in_vain(&mut self, id: RecordId) {
        let (late, due) = (self.intake.late(), self.intake.due());
        assert!(self.intake.settle(id, Fate::Done).is_none());
        assert_eq!((self.intake.late(), self.intake.due()), (late + 1, due));
    }

    fn commit(&mut self) {
        for due in self.intake.due() {
            assert!(
                self.reading.contains_key(&due.partition),
                "a commit for a partition that is another's by now"
            );
            let before = &self.committed[&due.partition];
            assert!(due.offset > before.offset, "a commit moved backwards");
            self.check(due.partition, due.offset, &due.metadata);
            self.intake.committed(due.partition, due.offset);
            let start = Start {
                offset: due.offset,
                metadata: due.metadata,
            };
            self.committed.insert(due.partition, start);
        }
        assert_eq!(self.intake.due(), []);
    }

    fn check(&self, partition: i32, offset: i64, metadata: &str) {
        let note: Note = metadata.parse().expect("our own note");
        let mut all = Tally::default();
        for &(below, _) in self.log.iter().take_while(|&&(below, _)| below < offset) {
            assert!(
                self.settled.contains_key(&(partition, below)),
                "the commit {offset} passes {below}, which is not settled"
            );
            all.add(origin(partition, below));
        }
        let mut counted = note.done;
        counted.merge(note.dead);
        assert_eq!(
            counted, all,
            "the sums cover what lies below the commit, once"
        );
    }

    fn lose(&mut self, partition: i32) {
        self.intake.forget(partition);
        self.reading.remove(&partition);
        for (id, at, offset, key) in std::mem::take(&mut self.running) {
            if at == partition {
                self.stale.push(id);
            } else {
                self.running.push((id, at, offset, key));
            }
        }
        self.taken.retain(|&(_, at)| at != partition);
        self.busy.retain(|&(p, _), _| p != partition);
    }

    fn end(&self) -> i64 {
        self.log.last().map_or(0, |&(offset, _)| offset + 4)
    }

    fn finish(&mut self) {
        for partition in 0..PARTITIONS {
            self.assign(partition);
        }
        for _ in 0..=self.log.len() {
            for partition in 0..PARTITIONS {
                self.read(partition);
            }
            while !self.running.is_empty() {
                self.settle(0, false);
            }
        }
        self.commit();
        for start in self.committed.values() {
            assert_eq!(start.offset, self.end(), "the end is always reached");
        }
        assert_eq!(self.intake.in_flight(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_schedule_loses_doubles_or_reorders_a_record(events in events()) {
        let mut world = World::new();
        world.play_all(&events);
    }
}

fn survives(bug: Bug) -> bool {
    let mut runner = TestRunner::new(Config {
        cases: 2_000,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    });
    let outcome = runner.run(&events(), |events| {
        World::at(Box::new(Mutant::new(bug, setup()))).play_all(&events);
        Ok(())
    });
    outcome.is_ok()
}

#[test]
fn every_bug_planted_around_the_ledger_is_caught_and_the_same_code_without_one_is_not() {
    assert!(survives(Bug::None));
    let missed: Vec<Bug> = BUGS.into_iter().filter(|&bug| survives(bug)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn a_commit_of_another_run_or_tool_is_refused() {
    let mut intake = Intake::<Payload>::new(setup());
    for metadata in ["", "moved by hand", "fanout1 0 0000000000000000 other"] {
        let start = Start {
            offset: 5,
            metadata: metadata.to_owned(),
        };
        let refused = intake.assign(0, &start).expect_err("must be refused");
        assert!(
            refused.to_string().contains("moved by another tool"),
            "{refused}"
        );
    }
}

#[test]
fn a_forged_record_stops_the_worker_and_names_its_place() {
    let mut intake = Intake::<Payload>::new(setup());
    let start = Start {
        offset: 0,
        metadata: "fanout1 0 0000000000000000 r".to_owned(),
    };
    intake.assign(0, &start).expect("our own note");
    let arrival = Arrival {
        partition: 0,
        offset: 8,
        key: None,
        bytes: 1,
        origin: Some(origin(1, 8)),
    };
    let refused = intake
        .take(&arrival, (0, 8, None))
        .expect_err("must be refused");
    assert!(
        refused.to_string().contains("temp/0 at offset 8"),
        "{refused}"
    );
}
