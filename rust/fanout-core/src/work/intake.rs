//! All partitions a worker holds: records in, runnable records out, commit points back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::budget::Budget;
use super::ledger::{CommitPoint, Fate, Ledger};
use super::queues::Queues;
use super::values::{Arrival, Due, Order, RecordId, Run, Setup, Start};
use super::witness::Witness;
use crate::error::{Error, Result};
use crate::note::Note;
use crate::record::Tally;

/// The state behind one consumer. `T` is what travels with a record: its message.
#[derive(Debug)]
pub struct Intake<T> {
    setup: Setup,
    budget: Budget,
    /// Ledgers by assignment, so that what was read under an old assignment finds none.
    held: HashMap<u64, Held<T>>,
    assignments: BTreeMap<i32, u64>,
    next_assignment: u64,
    late: u64,
}

#[derive(Debug)]
struct Held<T> {
    ledger: Ledger<Slip>,
    queues: Queues<T>,
    witness: Option<Witness>,
    committed: i64,
    closing: bool,
}

/// What must be known of a record when it is settled.
#[derive(Debug, Clone, Copy)]
struct Slip {
    lane: Option<u64>,
    bytes: usize,
}

impl<T> Intake<T> {
    /// Holds no partition yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            budget: Budget::new(setup.limits),
            setup,
            held: HashMap::new(),
            assignments: BTreeMap::new(),
            next_assignment: 1,
            late: 0,
        }
    }

    /// Begins a partition where its group stands.
    ///
    /// # Errors
    ///
    /// [`Error::Work`] in a run, when the commit is not one of this run's workers:
    /// going on from it could skip records, and the sums would no longer prove anything.
    pub fn assign(&mut self, partition: i32, start: &Start) -> Result<()> {
        let (done, dead, witness) = match &self.setup.run {
            None => (Tally::default(), Tally::default(), None),
            Some(run) => {
                let note = self.note(run, partition, start)?;
                let source = run.sources.get(&partition).copied();
                let source = source.ok_or_else(|| self.outside_the_run(run, partition))?;
                (note.done, note.dead, Some(Witness::of(source)))
            }
        };
        self.forget(partition);
        let offset = start.offset;
        let held = Held {
            ledger: Ledger::starting_at(CommitPoint { offset, done, dead }),
            queues: Queues::default(),
            witness,
            committed: offset,
            closing: false,
        };
        self.held.insert(self.next_assignment, held);
        self.assignments.insert(partition, self.next_assignment);
        self.next_assignment += 1;
        Ok(())
    }

    /// Takes one record in, and hands it back if its handler may run now.
    ///
    /// A record of a partition that is not held, or that was taken before, is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Work`] in a run, for a record that was forged, doubled or reordered.
    pub fn take(&mut self, arrival: &Arrival, payload: T) -> Result<Option<(RecordId, T)>> {
        let Some((&assignment, held)) = self
            .assignments
            .get(&arrival.partition)
            .and_then(|assignment| Some((assignment, self.held.get_mut(assignment)?)))
            .filter(|(_, held)| !held.closing && arrival.offset >= held.ledger.position())
        else {
            self.late += 1;
            return Ok(None);
        };
        if let Some(witness) = &mut held.witness {
            witness
                .check(arrival.origin)
                .map_err(|problem| refused(&self.setup.topic, arrival, &problem))?;
        }
        let lane = match self.setup.order {
            Order::Key => arrival.key,
            Order::Partition => Some(0),
            Order::None => None,
        };
        let slip = Slip {
            lane,
            bytes: arrival.bytes,
        };
        let Some(seq) = held.ledger.begin(arrival.offset, arrival.origin, slip) else {
            return Ok(None);
        };
        self.budget.take(arrival.bytes);
        let runnable = held.queues.admit(lane, seq, payload);
        Ok(runnable.map(|payload| (RecordId::new(assignment, seq), payload)))
    }

    /// Notes how far the client has read a partition, over markers and holes.
    pub fn reach(&mut self, partition: i32, position: i64) {
        if let Some(held) = self.held_of(partition).filter(|held| !held.closing) {
            held.ledger.reach(position);
        }
    }

    /// Settles a record, and hands out the one that waited for it.
    ///
    /// What was read under an assignment that is over changes nothing and is counted as late.
    pub fn settle(&mut self, id: RecordId, fate: Fate) -> Option<(RecordId, T)> {
        let assignment = id.assignment();
        let settled = self.held.get_mut(&assignment).and_then(|held| {
            let slip = held.ledger.settle(id.seq(), fate)?;
            Some((held, slip))
        });
        let Some((held, slip)) = settled else {
            self.late += 1;
            return None;
        };
        self.budget.give_back(slip.bytes);
        let (seq, payload) = held.queues.release(slip.lane)?;
        Some((RecordId::new(assignment, seq), payload))
    }

    /// Takes nothing more from a partition and lets nothing that waits run. Returns its assignment.
    ///
    /// What runs may still be settled and committed until [`Intake::forget`].
    pub fn close(&mut self, partition: i32) -> Option<u64> {
        let assignment = *self.assignments.get(&partition)?;
        let held = self.held.get_mut(&assignment)?;
        held.closing = true;
        held.queues.clear();
        Some(assignment)
    }

    /// Lets a partition go: nothing that is settled from here on is ever committed.
    pub fn forget(&mut self, partition: i32) {
        let assignment = self.assignments.remove(&partition);
        let Some(held) = assignment.and_then(|assignment| self.held.remove(&assignment)) else {
            return;
        };
        for slip in held.ledger.unsettled() {
            self.budget.give_back(slip.bytes);
        }
    }

    /// Commit points that moved since they were last committed.
    #[must_use]
    pub fn due(&self) -> Vec<Due> {
        self.places()
            .filter(|(_, held)| held.ledger.point().offset > held.committed)
            .map(|(partition, held)| self.due_of(partition, held))
            .collect()
    }

    /// Notes that the broker has acknowledged a commit.
    pub fn committed(&mut self, partition: i32, offset: i64) {
        if let Some(held) = self.held_of(partition) {
            held.committed = held.committed.max(offset);
        }
    }

    /// Partitions held, each with the offset its group has committed and the offset after the last record read.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64, i64)> + '_ {
        self.places()
            .map(|(partition, held)| (partition, held.committed, held.ledger.position()))
    }

    /// How many more records may be read; 0 means stop reading, and go on polling.
    #[must_use]
    pub fn room(&self) -> usize {
        self.budget.room()
    }

    /// Records and bytes read and not settled.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        self.budget.in_flight()
    }

    /// Records and results that came for an assignment that was over, or twice.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }

    /// What runs one at a time.
    #[must_use]
    pub fn order(&self) -> Order {
        self.setup.order
    }

    /// Whether records carry an origin that must be read.
    #[must_use]
    pub fn is_in_run(&self) -> bool {
        self.setup.run.is_some()
    }

    fn places(&self) -> impl Iterator<Item = (i32, &Held<T>)> {
        self.assignments
            .iter()
            .filter_map(|(&partition, assignment)| Some((partition, self.held.get(assignment)?)))
    }

    fn held_of(&mut self, partition: i32) -> Option<&mut Held<T>> {
        self.held.get_mut(self.assignments.get(&partition)?)
    }

    fn due_of(&self, partition: i32, held: &Held<T>) -> Due {
        let CommitPoint { offset, done, dead } = held.ledger.point();
        let metadata = self.setup.run.as_ref().map(|run| Note {
            done,
            dead,
            ..Note::of(&run.id)
        });
        Due {
            partition,
            offset,
            metadata: metadata.map_or_else(String::new, |note| note.to_string()),
        }
    }

    fn note(&self, run: &Run, partition: i32, start: &Start) -> Result<Note> {
        let problem = match start.metadata.parse::<Note>() {
            Ok(note) if note.tag == run.id => return Ok(note),
            Ok(note) => format!("its commit is one of run {}", note.tag),
            Err(problem) => problem,
        };
        Err(Error::Work {
            problem: format!(
                "{}/{partition}: the offsets of run {} were moved by another tool ({problem})",
                self.setup.topic, run.id
            ),
            remedy: "find out who commits for this group; the run cannot be proven any more, so end it and drain again"
                .to_owned(),
        })
    }

    fn outside_the_run(&self, run: &Run, partition: i32) -> Error {
        Error::Work {
            problem: format!(
                "{}/{partition} is not in the allotment of run {}",
                self.setup.topic, run.id
            ),
            remedy: "start the workers with the settings of their own run".to_owned(),
        }
    }
}

fn refused(topic: &Arc<str>, arrival: &Arrival, problem: &str) -> Error {
    Error::Work {
        problem: format!(
            "{topic}/{} at offset {}: the record {problem}: it was forged, doubled or reordered",
            arrival.partition, arrival.offset
        ),
        remedy: "nothing past it was settled; find out who else writes to the temp topic, then drain again".to_owned(),
    }
}
