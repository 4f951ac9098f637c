//! Time as a value that tests can move.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where the engine asks for the time and waits.
pub trait Clock: Send + Sync {
    /// A moment that never runs backwards.
    fn now(&self) -> Instant;
    /// Blocks the calling thread for `pause`.
    fn sleep(&self, pause: Duration);
}

/// The machine's own clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

/// A clock that stands still until it is told to move; sleeping moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Instant>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self {
            now: Mutex::new(Instant::now()),
        }
    }
}

impl ManualClock {
    /// Moves the clock forward by `step`.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it moved the clock.
    pub fn advance(&self, step: Duration) {
        *self.now.lock().expect("no holder of the clock panics") += step;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        *self.now.lock().expect("no holder of the clock panics")
    }

    fn sleep(&self, pause: Duration) {
        self.advance(pause);
    }
}
