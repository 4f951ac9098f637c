//! A broker's word that we send too much: how long it wants to hear nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::patience::TICK;
use super::Cancel;

/// How many milliseconds brokers have asked for, over all connections that hold a clone.
#[derive(Debug, Clone, Default)]
pub struct Throttled(Arc<AtomicU64>);

impl Throttled {
    /// Milliseconds so far.
    #[must_use]
    pub fn total_ms(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Until when one connection sends nothing.
#[derive(Debug, Default)]
pub(super) struct Throttle(Option<Instant>);

impl Throttle {
    /// Takes the throttle time of an answer in. No broker's word makes us wait longer than `most`: its quotas look back
    /// over seconds, and a broken answer could say weeks.
    pub(super) fn note(&mut self, asked_ms: i32, most: Duration, total: &Throttled) {
        let Ok(millis @ 1..) = u64::try_from(asked_ms) else {
            return;
        };
        let asked = Duration::from_millis(millis).min(most);
        total
            .0
            .fetch_add(u64::try_from(asked.as_millis()).unwrap_or(millis), Relaxed);
        let until = Instant::now() + asked;
        self.0 = self.0.max(Some(until));
    }

    /// Waits until the broker wants to hear of us again, or nobody wants to be heard any more.
    pub(super) fn wait(&mut self, cancel: &Cancel) {
        while self.lasts(TICK, cancel) {}
    }

    /// Whether the broker wants to hear nothing now; if so, some of that time is waited, at most `most`.
    pub(super) fn lasts(&mut self, most: Duration, cancel: &Cancel) -> bool {
        let until = self.0.filter(|_| !cancel.is_cancelled());
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let Some(left) = left.filter(|left| !left.is_zero()) else {
            self.0 = None;
            return false;
        };
        std::thread::sleep(left.min(most).min(TICK));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_asked_for_is_waited_once_and_all_are_summed_up() {
        let (mut throttle, total) = (Throttle::default(), Throttled::default());
        let began = Instant::now();
        for asked_ms in [0, -1, 60, 20] {
            throttle.note(asked_ms, Duration::from_secs(1), &total);
        }
        assert_eq!(total.total_ms(), 80);
        throttle.wait(&Cancel::default());
        assert!(began.elapsed() >= Duration::from_millis(60));
        assert!(!throttle.lasts(TICK, &Cancel::default()), "once");
    }

    #[test]
    fn a_broken_answer_cannot_ask_for_weeks() {
        let (mut throttle, total) = (Throttle::default(), Throttled::default());
        throttle.note(i32::MAX, Duration::from_millis(40), &total);
        assert_eq!(total.total_ms(), 40);
        let began = Instant::now();
        throttle.wait(&Cancel::default());
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn who_has_other_things_to_do_waits_no_longer_than_it_wants() {
        let (mut throttle, cancel) = (Throttle::default(), Cancel::default());
        assert!(!throttle.lasts(Duration::from_secs(60), &cancel));
        throttle.note(60_000, Duration::from_secs(60), &Throttled::default());
        let began = Instant::now();
        assert!(throttle.lasts(Duration::ZERO, &cancel));
        assert!(throttle.lasts(Duration::from_millis(20), &cancel));
        assert!(began.elapsed() >= Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_cancelled_wait_ends() {
        let (mut throttle, cancel) = (Throttle::default(), Cancel::default());
        throttle.note(60_000, Duration::from_secs(60), &Throttled::default());
        cancel.cancel();
        let began = Instant::now();
        throttle.wait(&cancel);
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
