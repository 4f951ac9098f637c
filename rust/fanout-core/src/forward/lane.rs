//! The lane: one source partition, strictly in sequence, its outputs and its offset in one transaction.

mod caution;
mod settle;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Duration;

use caution::Caution;

use super::carried::{Broken, Carried};
pub use super::control::Control;
use super::outbox::Outbox;
use super::place::place;
use super::plan::Delivery;
use super::rate::Rates;
use super::seam::{Commit, Fetch, Fetched, Interrupt, Produce, Step};
use super::spread::Spread;
use super::stats::{LaneStats, State};
use super::transaction::{Transaction, TransactionLimits};
use super::visible::{visible_batches, Visible};
use crate::batch::Batch;
use crate::clock::Clock;
use crate::cluster::producers::{Producer, NOBODY};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::note::Note;
use crate::record::{Tally, TopicPartition};

/// How long a fetch may wait at the broker when nothing is open: also how late a stop may be noticed.
const IDLE_WAIT: Duration = Duration::from_millis(500);

/// How often a lane that the rate holds back looks up.
const PACE_TICK: Duration = Duration::from_millis(100);

/// First and longest pause between two renewals without a commit between them.
const RENEWAL_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// What a lane is to do.
#[derive(Debug, Clone)]
pub struct LanePlan {
    /// The source partition.
    pub at: TopicPartition,
    /// Where to begin when nothing is committed.
    pub start: Option<i64>,
    /// Where to end; `None` follows the source.
    pub end: Option<i64>,
    /// The target topic's id: commits for another target are not ours.
    pub tag: String,
    /// The longest batch that is read, in bytes.
    pub batch_limit_bytes: usize,
    /// When a transaction ends.
    pub limits: TransactionLimits,
    /// How long renewals may follow each other without a commit.
    pub patience: Duration,
}

/// Why a lane ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It reached its end.
    End,
    /// It was told to stop.
    Stopped,
}

/// The last word of a lane.
#[derive(Debug)]
pub struct LaneEnd {
    /// The source partition.
    pub at: TopicPartition,
    /// Where it began; −1 if it never owned its partition.
    pub began: i64,
    /// The committed source offset, as far as this lane knows it.
    pub position: i64,
    /// Records that it forwarded itself.
    pub forwarded: u64,
    /// Records forwarded below `position`.
    pub tally: Tally,
    /// How it ended.
    pub outcome: Result<Outcome>,
}

impl LaneEnd {
    pub(super) fn is_fenced(&self) -> bool {
        matches!(self.outcome, Err(Error::Fenced { .. }))
    }
}

/// The parts of a lane that a cluster, or its twin, stands behind.
pub struct Seams<F, P, C> {
    /// Reads the source.
    pub fetch: F,
    /// Writes to the target.
    pub produce: Outbox<P>,
    /// Owns the transactional id and the committed offset.
    pub commit: C,
}

/// One source partition being forwarded.
pub struct Lane<F, P, C> {
    plan: LanePlan,
    fetch: F,
    outbox: Outbox<P>,
    commit: C,
    spread: Spread,
    transaction: Transaction,
    /// The committed place it found first: offset, and records forwarded below it.
    began: Option<(i64, u64)>,
    control: Control,
    clock: Arc<dyn Clock>,
    stats: Arc<LaneStats>,
    rates: Arc<Rates>,
    delivery: Delivery,
    caution: Caution,
}

impl<F: Fetch, P: Produce, C: Commit> Lane<F, P, C> {
    /// A lane that owns nothing yet.
    pub fn new(
        plan: LanePlan,
        seams: Seams<F, P, C>,
        spread: Spread,
        (control, clock): (Control, Arc<dyn Clock>),
        stats: Arc<LaneStats>,
    ) -> Self {
        let transaction = Transaction::new(NOBODY, -1, Note::of(&plan.tag), plan.limits);
        Self {
            plan,
            fetch: seams.fetch,
            outbox: seams.produce,
            commit: seams.commit,
            spread,
            transaction,
            began: None,
            control,
            clock,
            stats,
            rates: Arc::default(),
            delivery: Delivery::ExactlyOnce,
            caution: Caution::default(),
        }
    }

    /// The lane promises this instead of exactly-once; its seams are made for it.
    #[must_use]
    pub fn with_delivery(self, delivery: Delivery) -> Self {
        let spread = match delivery {
            Delivery::ExactlyOnce => self.spread,
            Delivery::AtLeastOnce => self.spread.without_transactions(),
        };
        Self {
            spread,
            delivery,
            ..self
        }
    }

    /// The lane keeps to what its engine's lanes may carry together.
    #[must_use]
    pub fn with_rates(self, rates: Arc<Rates>) -> Self {
        Self { rates, ..self }
    }

    /// Carries until the end, a stop, or an error that only the lane's owner can mend.
    pub fn run(mut self) -> LaneEnd {
        let outcome = self.carry_and_renew();
        if let Err(error) = &outcome {
            // Said now: the other lanes may go on for weeks.
            tracing::error!(lane = %self.plan.at, %error, "the lane ends here, the others go on");
            self.leave_nothing_open(error);
        }
        self.stats.set_state(State::Ended);
        let tally = self.transaction.committed_tally;
        let (began, before) = self.began.unwrap_or((-1, tally.count));
        LaneEnd {
            at: self.plan.at,
            began,
            position: self.transaction.committed,
            forwarded: tally.count.saturating_sub(before),
            tally,
            outcome,
        }
    }

    /// The lane's outer loop: after every unclear end, ask who owns it and go back to what is committed.
    fn carry_and_renew(&mut self) -> Result<Outcome> {
        let mut renewals = 0;
        let mut failing_since = None;
        loop {
            let commits = self.stats.commits.load(Relaxed);
            let step = self.own(renewals > 0).and_then(|()| self.carry());
            let reason = match step {
                Ok(outcome) => return Ok(outcome),
                Err(Interrupt::Stop(error)) => return Err(error),
                Err(Interrupt::Renew(reason)) => reason,
            };
            let now = self.clock.now();
            if self.stats.commits.load(Relaxed) > commits {
                renewals = 0;
                failing_since = None;
            }
            if now - *failing_since.get_or_insert(now) > self.plan.patience
                || self.control.cancel.is_cancelled()
            {
                return Err(Error::Unreachable { reason });
            }
            tracing::warn!(lane = %self.plan.at, %reason, "transaction given up, beginning it again");
            self.stats.renewals.fetch_add(1, Relaxed);
            let pause = RENEWAL_PAUSE.0.saturating_mul(1 << renewals.min(10));
            self.clock.sleep(pause.min(RENEWAL_PAUSE.1));
            renewals += 1;
        }
    }

    /// Becomes, or stays, the owner; then begins where the committed offset says.
    fn own(&mut self, already: bool) -> Step<()> {
        self.stats.set_state(State::Starting);
        if already {
            self.caution.lost();
        }
        self.outbox.clear();
        if self.outbox.met_corruption() {
            self.spread.verify_passed();
        }
        let producer = if already {
            self.commit.renew(self.transaction.producer)?
        } else {
            self.commit.acquire()?
        };
        self.transaction.producer = producer;
        let committed = self.commit.position()?;
        let is_new = committed.is_none();
        let (mut offset, mut note) = place(committed, &self.plan, &self.transaction)?;
        if already && failpoint::is_planted("unclear-end-guessed") {
            (offset, note.done) = (self.transaction.position, self.transaction.tally);
        }
        self.began.get_or_insert((offset, note.done.count));
        self.transaction = Transaction::new(producer, offset, note, self.plan.limits);
        self.stats.position.store(offset, Relaxed);
        self.begin(producer);
        failpoint::reach("lane-begun");
        // Where it begins is said before anything is carried: a lane that starts again after a
        // fault, here or elsewhere, goes on from there and not from where its own settings say.
        if is_new {
            self.commit_place()?;
        }
        Ok(())
    }

    fn begin(&mut self, producer: Producer) {
        self.outbox.begin(producer);
        self.spread.begin(producer);
    }

    /// The lane's inner loop: fetch, spread, commit when due.
    fn carry(&mut self) -> Step<Outcome> {
        self.ask(self.transaction.position)?;
        loop {
            if let Some(outcome) = self.is_over() {
                self.finish()?;
                return Ok(outcome);
            }
            let Some(fetched) = self.fetch.take()? else {
                // The broker wants to hear nothing for now: what was carried by then is not held up.
                self.end_if_due(self.clock.now())?;
                self.ask(self.transaction.position)?;
                continue;
            };
            let (visible, next) = visible_batches(
                &fetched,
                self.transaction.position,
                self.plan.batch_limit_bytes,
            );
            // The next fetch is under way while this one is worked on.
            self.ask(next)?;
            self.note(&fetched, next);
            if let Some(broken) = self.spread_all((&visible, &fetched), next)? {
                self.finish()?;
                return Err(Interrupt::Stop(broken.halted(&self.plan.at)));
            }
            if self.delivery == Delivery::AtLeastOnce && next >= fetched.last_stable {
                self.post_all()?;
            }
        }
    }

    fn ask(&mut self, offset: i64) -> Step<()> {
        if self.plan.end.is_some_and(|end| offset >= end) {
            return Ok(());
        }
        let wait = self.transaction.time_left(self.clock.now()).min(IDLE_WAIT);
        self.fetch.allow_parking(self.may_park());
        self.fetch.ask(offset, wait)
    }

    /// Whether payloads may go from socket to socket: what is lost on the way must be fetched again, with all of its
    /// transaction. A lane that is held back has no use for it, and would hold pipes that others could use.
    fn may_park(&self) -> bool {
        self.delivery == Delivery::ExactlyOnce
            && self.caution.is_over()
            && self.rates.is_unlimited()
            && self.spread.flows()
    }

    fn is_over(&self) -> Option<Outcome> {
        let position = self.transaction.position;
        if self.plan.end.is_some_and(|end| position >= end) {
            return Some(Outcome::End);
        }
        self.control.is_stopped().then_some(Outcome::Stopped)
    }

    fn note(&self, fetched: &Fetched, next: i64) {
        let state = if next >= fetched.last_stable {
            State::Waiting
        } else {
            State::Running
        };
        self.stats.set_state(state);
        self.stats.last_stable.store(fetched.last_stable, Relaxed);
        let bytes = fetched.len() as u64;
        self.stats.bytes.fetch_add(bytes, Relaxed);
    }

    /// Spreads every visible batch and commits when that is due; a broken one is returned,
    /// and everything before it was carried.
    fn spread_all(
        &mut self,
        (visible, fetched): (&[Visible<'_>], &Fetched),
        next: i64,
    ) -> Step<Option<Broken>> {
        let end = self.plan.end.unwrap_or(i64::MAX);
        self.spread.look_at(visible);
        for found in visible {
            let bounds = (self.transaction.position, end);
            if bounds.0 >= end {
                return Ok(None);
            }
            let spread = match found {
                Ok(batch) if !self.keep_pace(batch)? => return Ok(None),
                Ok(batch) => {
                    let found = (batch, fetched);
                    self.spread.batch(found, bounds, &mut self.outbox)?
                }
                Err(broken) => Err(broken.clone()),
            };
            match spread {
                Ok(carried) => self.book(&carried, end)?,
                Err(broken) => {
                    self.transaction.tally.merge(broken.carried);
                    self.transaction
                        .advance(broken.offset.min(end), self.clock.now());
                    return Ok(Some(broken).filter(|broken| broken.offset < end));
                }
            }
        }
        self.reach(next.min(end)).map(|()| None)
    }

    /// Waits until the rate allows `batch`; `false` if the lane is to end meanwhile.
    fn keep_pace(&mut self, batch: &Batch<'_>) -> Step<bool> {
        if self.rates.is_unlimited() {
            return Ok(true);
        }
        let (records, bytes) = (batch.header.record_count, batch.header.total_len());
        let records = u64::try_from(records).unwrap_or(0);
        let due = self.rates.pay(records, bytes as u64, self.clock.now());
        loop {
            let now = self.clock.now();
            let left = due.saturating_duration_since(now);
            if left.is_zero() {
                return Ok(true);
            }
            if self.control.is_stopped() {
                return Ok(false);
            }
            // Left open meanwhile, it would hold readers up and be aborted in the end.
            self.end_if_due(now)?;
            self.clock.sleep(left.min(PACE_TICK));
        }
    }

    fn book(&mut self, carried: &Carried, end: i64) -> Step<()> {
        self.transaction.tally.merge(carried.tally);
        self.stats.records.fetch_add(carried.tally.count, Relaxed);
        self.stats.stripped.fetch_add(carried.stripped, Relaxed);
        self.stats.count_batch(carried.way, carried.reason);
        self.reach(carried.next.min(end))
    }

    /// Everything below `position` was carried. The clock is read once for it: a batch may be a single record.
    fn reach(&mut self, position: i64) -> Step<()> {
        let now = self.clock.now();
        self.transaction.advance(position, now);
        self.end_if_due(now)
    }
}
