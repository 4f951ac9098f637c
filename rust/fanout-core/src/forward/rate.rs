//! How fast the lanes of one engine may carry, together.
//!
//! A batch is paid for before it is carried: whoever takes more than has come
//! together waits until the rest has. So over any stretch of time no more is
//! carried than the rate allows in it, plus a tenth of a second's worth, or the
//! largest batch where that is more: a batch cannot be carried in parts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What may come together while nothing is carried, as the time in which it does.
const BURST: Duration = Duration::from_millis(100);

/// No batch waits longer, however low the rate: a day is as good as a stop.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Bounds a second; `None` is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RateLimits {
    /// Records a second.
    pub records: Option<f64>,
    /// Bytes a second, as they are fetched.
    pub bytes: Option<f64>,
}

/// What the lanes of one engine share of the limits.
#[derive(Debug, Default)]
pub struct Rates {
    records: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Rates {
    /// Buckets for the limits that are set.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self {
            records: limits.records.map(Bucket::new),
            bytes: limits.bytes.map(Bucket::new),
        }
    }

    /// Whether nothing is ever held back.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.records.is_none() && self.bytes.is_none()
    }

    /// Pays for so many records and bytes; they may be carried from the moment returned on.
    #[must_use]
    pub fn pay(&self, records: u64, bytes: u64, now: Instant) -> Instant {
        let due = |bucket: &Option<Bucket>, amount| {
            bucket
                .as_ref()
                .map_or(now, |bucket| bucket.pay(amount, now))
        };
        due(&self.records, records).max(due(&self.bytes, bytes))
    }

    /// From now on only this part of the limits may be used, the rest is others'.
    pub fn set_share(&self, share: f64) {
        for bucket in [&self.records, &self.bytes].into_iter().flatten() {
            bucket.level().share = share;
        }
    }
}

/// One limit. Lanes take turns: its lock is held for a few additions, once a batch.
#[derive(Debug)]
struct Bucket {
    per_s: f64,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    /// The moment by which everything taken so far has come together.
    paid_until: Option<Instant>,
    share: f64,
}

impl Bucket {
    fn new(per_s: f64) -> Self {
        Self {
            per_s,
            level: Mutex::new(Level {
                paid_until: None,
                share: 1.0,
            }),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a batch holds far fewer than 2^52 bytes"
    )]
    fn pay(&self, amount: u64, now: Instant) -> Instant {
        let mut level = self.level();
        let seconds = amount as f64 / (self.per_s * level.share);
        let price =
            Duration::try_from_secs_f64(seconds).map_or(LONGEST, |price| price.min(LONGEST));
        // What came together before the burst's time is lost.
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = level
            .paid_until
            .map_or(earliest, |until| until.max(earliest));
        let until = from + price;
        level.paid_until = Some(until);
        until.max(now)
    }

    fn level(&self) -> MutexGuard<'_, Level> {
        // Nothing that can panic half-way runs while it is locked.
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each batch is carried when it may be; what was carried when, in order of time.
    fn carried(rates: &Rates, batches: &[(u64, u64)]) -> Vec<(Duration, u64)> {
        let began = Instant::now();
        let mut now = began;
        batches
            .iter()
            .map(|&(pause_ms, records)| {
                now += Duration::from_millis(pause_ms);
                let due = rates.pay(records, 0, now);
                // One lane: it waits before it takes the next batch.
                now = due;
                (due - began, records)
            })
            .collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn allowed(per_s: f64, window: Duration, largest: u64) -> f64 {
        let burst = (per_s * BURST.as_secs_f64()).max(largest as f64);
        // Durations are whole nanoseconds: each batch may be early by one.
        per_s * window.as_secs_f64() + burst + per_s * 1e-6
    }

    proptest! {
        #[test]
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        fn over_any_window_no_more_is_carried_than_rate_and_burst_allow(
            per_s in 1.0..100_000.0_f64,
            batches in proptest::collection::vec((0..2_000_u64, 1..5_000_u64), 1..60),
        ) {
            let limits = RateLimits { records: Some(per_s), bytes: None };
            let seen = carried(&Rates::new(limits), &batches);
            let largest = batches.iter().map(|&(_, records)| records).max().unwrap_or(0);
            for (first, &(from, _)) in seen.iter().enumerate() {
                let mut sum = 0;
                for &(to, records) in &seen[first..] {
                    sum += records;
                    prop_assert!(
                        sum as f64 <= allowed(per_s, to.saturating_sub(from), largest),
                        "{sum} from {from:?} to {to:?} at {per_s}/s"
                    );
                }
            }
        }

        #[test]
        fn a_lane_that_never_pauses_comes_near_the_rate(per_s in 100.0..100_000.0_f64) {
            let batch = 50;
            let limits = RateLimits { records: Some(per_s), bytes: None };
            let seen = carried(&Rates::new(limits), &[(0, batch); 200]);
            let (last, _) = seen[seen.len() - 1];
            let rate = 200.0 * 50.0 / (last + BURST).as_secs_f64();
            prop_assert!((rate / per_s - 1.0).abs() < 0.01, "{rate} instead of {per_s}");
        }
    }

    #[test]
    fn without_limits_nothing_waits_and_the_tighter_of_two_counts() {
        let now = Instant::now();
        assert_eq!(Rates::default().pay(u64::MAX, u64::MAX, now), now);
        let both = Rates::new(RateLimits {
            records: Some(1000.0),
            bytes: Some(1000.0),
        });
        let due = both.pay(100, 2_100, now);
        assert_eq!((due - now).as_millis(), 2_000);
    }

    #[test]
    fn a_share_of_the_rate_is_that_much_slower() {
        let now = Instant::now();
        let rates = Rates::new(RateLimits {
            records: Some(1000.0),
            bytes: None,
        });
        rates.set_share(0.25);
        assert_eq!((rates.pay(1_025, 0, now) - now).as_millis(), 4_000);
    }
}
