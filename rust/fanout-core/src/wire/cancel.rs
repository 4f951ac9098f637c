//! Tells every wait that nobody waits for its outcome any more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A moment after which waits return, shared by all who hold a clone. Not set at first.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Mutex<Option<Instant>>>);

impl Cancel {
    /// Makes every wait return at its next look.
    pub fn cancel(&self) {
        self.cancel_after(Duration::ZERO);
    }

    /// Makes every wait return once `grace` is over. An earlier moment set before stays.
    pub fn cancel_after(&self, grace: Duration) {
        let at = Instant::now() + grace;
        let mut moment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *moment = Some(moment.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether the moment is over.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let moment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moment.is_some_and(|at| Instant::now() >= at)
    }
}
