//! What a schedule asks of an intake, and intakes with one planted bug each.

use std::collections::{BTreeMap, HashMap, HashSet};

use fanout_core::work::{Arrival, Due, Fate, Intake, RecordId, Setup, Start};

/// Partition, offset and key of a record.
pub(crate) type Payload = (i32, i64, Option<u64>);

/// The calls a worker makes.
pub(crate) trait Desk {
    fn assign(&mut self, partition: i32, start: &Start);
    fn take(&mut self, arrival: &Arrival, payload: Payload) -> Option<(RecordId, Payload)>;
    fn reach(&mut self, partition: i32, position: i64);
    fn settle(&mut self, id: RecordId, fate: Fate) -> Option<(RecordId, Payload)>;
    fn close(&mut self, partition: i32);
    fn forget(&mut self, partition: i32);
    fn due(&self) -> Vec<Due>;
    fn committed(&mut self, partition: i32, offset: i64);
    fn room(&self) -> usize;
    fn in_flight(&self) -> usize;
    fn late(&self) -> u64;
}

impl Desk for Intake<Payload> {
    fn assign(&mut self, partition: i32, start: &Start) {
        Intake::assign(self, partition, start).expect("our own note");
    }
    fn take(&mut self, arrival: &Arrival, payload: Payload) -> Option<(RecordId, Payload)> {
        Intake::take(self, arrival, payload).expect("true origin")
    }
    fn reach(&mut self, partition: i32, position: i64) {
        Intake::reach(self, partition, position);
    }
    fn settle(&mut self, id: RecordId, fate: Fate) -> Option<(RecordId, Payload)> {
        Intake::settle(self, id, fate)
    }
    fn close(&mut self, partition: i32) {
        Intake::close(self, partition);
    }
    fn forget(&mut self, partition: i32) {
        Intake::forget(self, partition);
    }
    fn due(&self) -> Vec<Due> {
        Intake::due(self)
    }
    fn committed(&mut self, partition: i32, offset: i64) {
        Intake::committed(self, partition, offset);
    }
    fn room(&self) -> usize {
        Intake::room(self)
    }
    fn in_flight(&self) -> usize {
        Intake::in_flight(self).0
    }
    fn late(&self) -> u64 {
        Intake::late(self)
    }
}

/// What somebody might get wrong around a ledger that is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bug {
    None,
    CommitsWhatIsReadNotWhatIsDone,
    TakesAResultOfAnAssignmentThatIsOver,
    TakesASecondResultForTheNextRecord,
    GoesOnWhereItHadReadWhenAssignedAgain,
    CommitsForAPartitionItGaveUp,
    RepeatsACommitOfBefore,
    WaitsForMarkersAtTheEnd,
}

pub(crate) const BUGS: [Bug; 7] = [
    Bug::CommitsWhatIsReadNotWhatIsDone,
    Bug::TakesAResultOfAnAssignmentThatIsOver,
    Bug::TakesASecondResultForTheNextRecord,
    Bug::GoesOnWhereItHadReadWhenAssignedAgain,
    Bug::CommitsForAPartitionItGaveUp,
    Bug::RepeatsACommitOfBefore,
    Bug::WaitsForMarkersAtTheEnd,
];

/// The real intake behind one bug.
pub(crate) struct Mutant {
    bug: Bug,
    inner: Intake<Payload>,
    partitions: HashMap<u64, i32>,
    assignments: BTreeMap<i32, u64>,
    settled: HashSet<RecordId>,
    read: BTreeMap<i32, i64>,
    given_up: Vec<Due>,
    before: BTreeMap<i32, Due>,
}

impl Mutant {
    pub(crate) fn new(bug: Bug, setup: Setup) -> Self {
        Self {
            bug,
            inner: Intake::new(setup),
            partitions: HashMap::new(),
            assignments: BTreeMap::new(),
            settled: HashSet::new(),
            read: BTreeMap::new(),
            given_up: Vec::new(),
            before: BTreeMap::new(),
        }
    }

    /// The id a careless worker would settle instead.
    fn mistaken(&self, id: RecordId) -> RecordId {
        const SEQ_BITS: u32 = 44;
        let over = |id: &RecordId| {
            let partition = self.partitions[&id.assignment()];
            let now = self.assignments.get(&partition).copied();
            now.filter(|&now| now != id.assignment())
        };
        match self.bug {
            Bug::TakesAResultOfAnAssignmentThatIsOver => over(&id).map_or(id, |now| {
                let seq = id.to_bits() & ((1 << SEQ_BITS) - 1);
                RecordId::from_bits(now << SEQ_BITS | seq)
            }),
            Bug::TakesASecondResultForTheNextRecord if self.settled.contains(&id) => {
                RecordId::from_bits(id.to_bits() + 1)
            }
            _ => id,
        }
    }

    fn know(&mut self, runnable: Option<(RecordId, Payload)>) -> Option<(RecordId, Payload)> {
        if let Some((id, (partition, ..))) = runnable {
            self.partitions.insert(id.assignment(), partition);
            self.assignments.insert(partition, id.assignment());
        }
        runnable
    }
}

impl Desk for Mutant {
    fn assign(&mut self, partition: i32, start: &Start) {
        let mut start = start.clone();
        if self.bug == Bug::GoesOnWhereItHadReadWhenAssignedAgain {
            start.offset = start.offset.max(*self.read.get(&partition).unwrap_or(&0));
        }
        Desk::assign(&mut self.inner, partition, &start);
    }

    fn take(&mut self, arrival: &Arrival, payload: Payload) -> Option<(RecordId, Payload)> {
        self.read.insert(arrival.partition, arrival.offset + 1);
        let runnable = Desk::take(&mut self.inner, arrival, payload);
        self.know(runnable)
    }

    fn reach(&mut self, partition: i32, position: i64) {
        if self.bug != Bug::WaitsForMarkersAtTheEnd {
            self.inner.reach(partition, position);
        }
    }

    fn settle(&mut self, id: RecordId, fate: Fate) -> Option<(RecordId, Payload)> {
        let runnable = self.inner.settle(self.mistaken(id), fate);
        self.settled.insert(id);
        self.know(runnable)
    }

    fn close(&mut self, partition: i32) {
        Desk::close(&mut self.inner, partition);
    }

    fn forget(&mut self, partition: i32) {
        if self.bug == Bug::CommitsForAPartitionItGaveUp {
            let due = self.inner.due();
            self.given_up
                .extend(due.into_iter().filter(|due| due.partition == partition));
        }
        self.inner.forget(partition);
    }

    fn due(&self) -> Vec<Due> {
        let mut due = self.inner.due();
        match self.bug {
            Bug::CommitsWhatIsReadNotWhatIsDone => {
                for each in &mut due {
                    each.offset = self.read[&each.partition];
                }
            }
            Bug::CommitsForAPartitionItGaveUp => due.extend(self.given_up.iter().cloned()),
            Bug::RepeatsACommitOfBefore => {
                let again = due.iter().filter_map(|due| self.before.get(&due.partition));
                let again: Vec<Due> = again.cloned().collect();
                due.extend(again);
            }
            _ => {}
        }
        due
    }

    fn committed(&mut self, partition: i32, offset: i64) {
        let due = self.inner.due();
        if let Some(due) = due.into_iter().find(|due| due.partition == partition) {
            self.before.insert(partition, due);
        }
        self.given_up.retain(|due| due.partition != partition);
        self.inner.committed(partition, offset);
    }

    fn room(&self) -> usize {
        self.inner.room()
    }

    fn in_flight(&self) -> usize {
        Desk::in_flight(&self.inner)
    }

    fn late(&self) -> u64 {
        self.inner.late()
    }
}
