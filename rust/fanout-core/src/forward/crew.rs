//! Lanes that come and go, each on a thread of its own.
//!
//! Invariants:
//!
//! 1. A partition has at most one running lane here.
//! 2. A lane is on the roll until its last word is in, and everything it held (sockets, batches) is
//!    dropped by then: its partition can be given to another process.
//!
//! Threads are not joined: handing in the last word is the last thing they do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::lane::{Control, LaneEnd};
use crate::error::{Error, Result};

/// How a lane is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It commits what it has carried.
    Finish,
    /// At its next wait; what is open is aborted by its next owner.
    AtOnce,
}

/// The lanes of one engine.
#[derive(Debug, Default)]
pub(super) struct Crew {
    roll: Mutex<Roll>,
    shorter: Condvar,
}

#[derive(Debug, Default)]
struct Roll {
    running: BTreeMap<i32, Control>,
    ended: Vec<LaneEnd>,
    /// How all were told to end: who comes later is told the same.
    leaving: Option<Leave>,
}

impl Roll {
    fn is_running_any(&self, partitions: &BTreeSet<i32>) -> bool {
        self.running.keys().any(|p| partitions.contains(p))
    }
}

impl Crew {
    /// Starts `work` on a thread as the lane of `partition`.
    ///
    /// `work` must not panic: a lane whose last word never comes is waited for, for ever.
    pub(super) fn start(
        self: &Arc<Self>,
        partition: i32,
        work: impl FnOnce(Control) -> LaneEnd + Send + 'static,
    ) -> Result<()> {
        let control = Control::default();
        let mut roll = self.roll();
        if roll.running.contains_key(&partition) {
            return Err(Error::Refused {
                problem: format!("partition {partition} has a lane already"),
                remedy: "end it before another one is started".to_owned(),
            });
        }
        if let Some(how) = roll.leaving {
            tell(&control, how);
        }
        let (crew, told) = (Arc::clone(self), control.clone());
        // The roll is locked until the lane is on it: its last word cannot come first.
        thread::Builder::new()
            .name(format!("lane-{partition}"))
            .spawn(move || crew.hand_in(partition, work(told)))
            .map_err(|error| Error::Refused {
                problem: format!("no thread for the lane of partition {partition}: {error}"),
                remedy: "raise the limit of processes and threads, or give this process fewer partitions"
                    .to_owned(),
            })?;
        roll.running.insert(partition, control);
        Ok(())
    }

    /// Tells the lanes of `partitions` to end and waits until they have.
    pub(super) fn end(&self, partitions: &BTreeSet<i32>, how: Leave) -> Vec<LaneEnd> {
        let roll = self.roll();
        for partition in partitions {
            if let Some(control) = roll.running.get(partition) {
                tell(control, how);
            }
        }
        self.wait(roll, partitions)
    }

    /// Waits until the lanes of `partitions` have ended, and takes their last words.
    ///
    /// One that is fenced ends them all: whoever took its partition over does this process's work now.
    pub(super) fn await_ends(&self, partitions: &BTreeSet<i32>) -> Vec<LaneEnd> {
        let untroubled = |roll: &mut Roll| {
            roll.is_running_any(partitions) && !roll.ended.iter().any(LaneEnd::is_fenced)
        };
        drop(self.shorter.wait_while(self.roll(), untroubled));
        if self.roll().ended.iter().any(LaneEnd::is_fenced) {
            self.dismiss(Leave::Finish);
        }
        self.wait(self.roll(), partitions)
    }

    /// The last words that nobody has taken yet.
    pub(super) fn take_ended(&self) -> Vec<LaneEnd> {
        std::mem::take(&mut self.roll().ended)
    }

    /// Tells every lane to end, those too that are started later. Waits for none.
    pub(super) fn dismiss(&self, how: Leave) {
        let mut roll = self.roll();
        if roll.leaving != Some(Leave::AtOnce) {
            roll.leaving = Some(how);
        }
        for control in roll.running.values() {
            tell(control, how);
        }
    }

    fn wait(&self, roll: MutexGuard<'_, Roll>, partitions: &BTreeSet<i32>) -> Vec<LaneEnd> {
        let mut roll = self
            .shorter
            .wait_while(roll, |roll| roll.is_running_any(partitions))
            .unwrap_or_else(PoisonError::into_inner);
        let (theirs, others) = std::mem::take(&mut roll.ended)
            .into_iter()
            .partition(|end| partitions.contains(&end.at.partition));
        roll.ended = others;
        theirs
    }

    fn hand_in(&self, partition: i32, end: LaneEnd) {
        let mut roll = self.roll();
        roll.running.remove(&partition);
        roll.ended.push(end);
        self.shorter.notify_all();
    }

    fn roll(&self) -> MutexGuard<'_, Roll> {
        // Nothing that can panic runs while the roll is locked.
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(control: &Control, how: Leave) {
    match how {
        Leave::Finish => control.stop(),
        Leave::AtOnce => control.cancel.cancel(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::forward::lane::Outcome;
    use crate::record::{Tally, TopicPartition};

    fn last_word(partition: i32) -> LaneEnd {
        LaneEnd {
            at: TopicPartition::new("orders", partition),
            began: 0,
            position: 0,
            forwarded: 0,
            tally: Tally::default(),
            outcome: Ok(Outcome::Stopped),
        }
    }

    /// A lane that carries nothing until it is told to end.
    fn idle(partition: i32) -> impl FnOnce(Control) -> LaneEnd + Send + 'static {
        move |control| {
            while !control.is_stopped() {
                thread::sleep(Duration::from_millis(1));
            }
            last_word(partition)
        }
    }

    fn partitions(ends: &[LaneEnd]) -> Vec<i32> {
        ends.iter().map(|end| end.at.partition).collect()
    }

    #[test]
    fn one_lane_ends_while_the_others_run() {
        let crew = Arc::<Crew>::default();
        for partition in 0..3 {
            crew.start(partition, idle(partition)).expect("a thread");
        }
        let ends = crew.end(&BTreeSet::from([1]), Leave::Finish);
        assert_eq!(partitions(&ends), [1]);
        assert!(crew.start(0, idle(0)).is_err(), "it has a lane already");
        crew.start(1, idle(1)).expect("it has none any more");
        crew.dismiss(Leave::AtOnce);
        let mut ended = partitions(&crew.await_ends(&(0..3).collect()));
        ended.sort_unstable();
        assert_eq!(ended, [0, 1, 2]);
    }

    #[test]
    fn a_lane_that_ends_by_itself_is_told_once() {
        let crew = Arc::<Crew>::default();
        crew.start(4, |_| last_word(4)).expect("a thread");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = Vec::new();
        while seen.is_empty() && Instant::now() < deadline {
            seen = crew.take_ended();
        }
        assert_eq!(partitions(&seen), [4]);
        assert!(crew.take_ended().is_empty());
        assert!(crew.end(&BTreeSet::from([4]), Leave::Finish).is_empty());
    }

    #[test]
    fn a_fenced_lane_ends_the_others_where_all_are_waited_for() {
        let crew = Arc::<Crew>::default();
        crew.start(0, idle(0)).expect("a thread");
        let fenced = LaneEnd {
            outcome: Err(Error::Fenced {
                transactional_id: "fanout.g.orders.1".to_owned(),
            }),
            ..last_word(1)
        };
        crew.start(1, |_| fenced).expect("a thread");
        let mut ended = partitions(&crew.await_ends(&BTreeSet::from([0, 1])));
        ended.sort_unstable();
        assert_eq!(ended, [0, 1]);
    }

    #[test]
    fn who_comes_after_the_dismissal_is_told_to_end_as_well() {
        let crew = Arc::<Crew>::default();
        crew.dismiss(Leave::Finish);
        crew.start(7, idle(7)).expect("a thread");
        assert_eq!(partitions(&crew.await_ends(&BTreeSet::from([7]))), [7]);
    }
}
