//! The commit point under any order of settling, and proof that these checks can fail.
//!
//! The same schedule runs over the real ledger, which must keep every promise,
//! and over ledgers with one planted bug each, which must break one.

use std::collections::BTreeMap;

use fanout_core::record::{Origin, Tally};
use fanout_core::work::{CommitPoint, Fate, Ledger};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// What the schedule needs of a ledger.
trait Points {
    fn begin(&mut self, offset: i64) -> Option<u64>;
    fn settle(&mut self, seq: u64, fate: Fate);
    fn reach(&mut self, position: i64);
    fn point(&self) -> CommitPoint;
}

fn origin(offset: i64) -> Origin {
    Origin {
        partition: 1,
        offset: offset * 3,
    }
}

fn start() -> CommitPoint {
    CommitPoint {
        offset: 0,
        done: Tally::default(),
        dead: Tally::default(),
    }
}

impl Points for Ledger<()> {
    fn begin(&mut self, offset: i64) -> Option<u64> {
        Ledger::begin(self, offset, Some(origin(offset)), ())
    }
    fn settle(&mut self, seq: u64, fate: Fate) {
        Ledger::settle(self, seq, fate);
    }
    fn reach(&mut self, position: i64) {
        Ledger::reach(self, position);
    }
    fn point(&self) -> CommitPoint {
        Ledger::point(self)
    }
}

/// One thing that happens to a partition.
#[derive(Debug, Clone)]
enum Event {
    /// A record is read, so many offsets after the one before.
    Read { hole: i64 },
    /// The client reads one record again.
    ReadAgain { which: prop::sample::Index },
    /// One of the records begun so far settles, perhaps for the second time.
    Settle {
        which: prop::sample::Index,
        dead: bool,
    },
    /// The client reads over markers.
    Markers { count: i64 },
}

fn schedule() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0_i64..4).prop_map(|hole| Event::Read { hole }),
        1 => any::<prop::sample::Index>().prop_map(|which| Event::ReadAgain { which }),
        4 => (any::<prop::sample::Index>(), prop::bool::weighted(0.1))
            .prop_map(|(which, dead)| Event::Settle { which, dead }),
        1 => (1_i64..4).prop_map(|count| Event::Markers { count }),
    ];
    prop::collection::vec(event, 1..120)
}

/// What a ledger must answer, kept the slow and obvious way.
#[derive(Default)]
struct Model {
    position: i64,
    /// By offset: the number it was given, and how it ended.
    records: BTreeMap<i64, (u64, Option<Fate>)>,
}

impl Model {
    fn expected(&self) -> CommitPoint {
        let open = self.records.iter().find(|(_, (_, fate))| fate.is_none());
        let mut point = start();
        point.offset = open.map_or(self.position, |(&offset, _)| offset);
        for (&offset, (_, fate)) in self.records.range(..point.offset) {
            match fate {
                Some(Fate::Done) => point.done.add(origin(offset)),
                Some(Fate::Dead) => point.dead.add(origin(offset)),
                None => unreachable!("the point is at the first open record"),
            }
        }
        point
    }

    fn settle(&mut self, offset: i64, fate: Fate) -> u64 {
        let record = self.records.get_mut(&offset).expect("begun");
        record.1.get_or_insert(fate);
        record.0
    }

    fn nth(&self, which: prop::sample::Index) -> Option<i64> {
        if self.records.is_empty() {
            return None;
        }
        self.records
            .keys()
            .nth(which.index(self.records.len()))
            .copied()
    }
}

/// Runs a schedule, then settles all that is left; says which promise was broken first.
fn keeps_its_promises(ledger: &mut dyn Points, events: &[Event]) -> Result<(), String> {
    let mut model = Model::default();
    for event in events {
        match *event {
            Event::Read { hole } => {
                let offset = model.position + hole;
                let seq = ledger.begin(offset).ok_or("a new record was not begun")?;
                model.records.insert(offset, (seq, None));
                model.position = offset + 1;
            }
            Event::ReadAgain { which } => {
                if let Some(offset) = model.nth(which) {
                    if ledger.begin(offset).is_some() {
                        return Err(format!("offset {offset} was begun twice"));
                    }
                }
            }
            Event::Settle { which, dead } => {
                if let Some(offset) = model.nth(which) {
                    let fate = if dead { Fate::Dead } else { Fate::Done };
                    ledger.settle(model.settle(offset, fate), fate);
                }
            }
            Event::Markers { count } => {
                model.position += count;
                ledger.reach(model.position);
            }
        }
        compare(ledger, &model)?;
    }
    let open: Vec<i64> = model.records.keys().rev().copied().collect();
    for offset in open {
        ledger.settle(model.settle(offset, Fate::Done), Fate::Done);
        compare(ledger, &model)?;
    }
    if ledger.point().offset == model.position {
        return Ok(());
    }
    Err("the end was never reached".to_owned())
}

fn compare(ledger: &dyn Points, model: &Model) -> Result<(), String> {
    let (found, expected) = (ledger.point(), model.expected());
    if found == expected {
        return Ok(());
    }
    Err(format!("the point is {found:?}, not {expected:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_point_is_the_first_open_record_or_the_position_and_its_tally_what_lies_below(events in schedule()) {
        let mut ledger = Ledger::<()>::starting_at(start());
        prop_assert_eq!(keeps_its_promises(&mut ledger, &events), Ok(()));
    }
}

/// A ledger with one bug, as somebody might write it.
struct Mutant {
    bug: Bug,
    open: BTreeMap<i64, Option<Fate>>,
    offsets: Vec<i64>,
    position: i64,
    point: CommitPoint,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bug {
    CommitsTheHighestSettled,
    CommitsOneTooFar,
    ForgetsTrailingMarkers,
    WaitsForHoles,
    CountsWhenSettledNotWhenCovered,
    CountsASecondSettleAgain,
    BeginsARecordTwice,
    CountsDeadLettersAsDone,
    None,
}

const BUGS: [Bug; 8] = [
    Bug::CommitsTheHighestSettled,
    Bug::CommitsOneTooFar,
    Bug::ForgetsTrailingMarkers,
    Bug::WaitsForHoles,
    Bug::CountsWhenSettledNotWhenCovered,
    Bug::CountsASecondSettleAgain,
    Bug::BeginsARecordTwice,
    Bug::CountsDeadLettersAsDone,
];

impl Mutant {
    fn with(bug: Bug) -> Self {
        Self {
            bug,
            open: BTreeMap::new(),
            offsets: Vec::new(),
            position: 0,
            point: start(),
        }
    }

    fn count(&mut self, offset: i64, fate: Fate) {
        match fate {
            Fate::Dead if self.bug != Bug::CountsDeadLettersAsDone => {
                self.point.dead.add(origin(offset));
            }
            _ => self.point.done.add(origin(offset)),
        }
    }

    fn advance(&mut self) {
        while let Some((&offset, &Some(fate))) = self.open.first_key_value() {
            if self.bug == Bug::WaitsForHoles && offset != self.point.offset {
                return;
            }
            self.open.pop_first();
            if self.bug != Bug::CountsWhenSettledNotWhenCovered {
                self.count(offset, fate);
            }
            self.point.offset = offset + 1;
        }
        if self.bug == Bug::WaitsForHoles {
            return;
        }
        match self.open.first_key_value() {
            Some((&offset, _)) => self.point.offset = offset,
            None if self.bug != Bug::ForgetsTrailingMarkers => self.point.offset = self.position,
            None => {}
        }
    }
}

impl Points for Mutant {
    fn begin(&mut self, offset: i64) -> Option<u64> {
        if offset < self.position && self.bug != Bug::BeginsARecordTwice {
            return None;
        }
        self.position = self.position.max(offset + 1);
        self.open.insert(offset, None);
        self.offsets.push(offset);
        self.advance();
        Some(self.offsets.len() as u64 - 1)
    }

    fn settle(&mut self, seq: u64, fate: Fate) {
        let offset = self.offsets[usize::try_from(seq).expect("small")];
        let first_time = self.open.get(&offset) == Some(&None);
        if first_time {
            self.open.insert(offset, Some(fate));
        }
        let counts = match self.bug {
            Bug::CountsWhenSettledNotWhenCovered => first_time,
            Bug::CountsASecondSettleAgain => !first_time,
            _ => false,
        };
        if counts {
            self.count(offset, fate);
        }
        if self.bug == Bug::CommitsTheHighestSettled {
            self.point.offset = self.point.offset.max(offset + 1);
            return;
        }
        self.advance();
    }

    fn reach(&mut self, position: i64) {
        self.position = self.position.max(position);
        self.advance();
    }

    fn point(&self) -> CommitPoint {
        let mut point = self.point;
        if self.bug == Bug::CommitsOneTooFar && !self.open.is_empty() {
            point.offset += 1;
        }
        point
    }
}

fn survives(bug: Bug) -> bool {
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    });
    let outcome = runner.run(&schedule(), |events| {
        keeps_its_promises(&mut Mutant::with(bug), &events).map_err(TestCaseError::fail)
    });
    outcome.is_ok()
}

#[test]
fn every_planted_bug_is_caught_and_the_same_code_without_one_is_not() {
    assert!(survives(Bug::None));
    let missed: Vec<Bug> = BUGS.into_iter().filter(|&bug| survives(bug)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
