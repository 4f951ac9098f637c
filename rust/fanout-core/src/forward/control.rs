//! How a lane hears that it is to end.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

use crate::wire::Cancel;

/// How long a lane that was told to stop may take: with a broker that does not answer it would be for ever.
const STOP_GRACE: Duration = Duration::from_secs(8);

/// How a lane is told to end.
#[derive(Debug, Clone, Default)]
pub struct Control {
    stop: Arc<AtomicBool>,
    /// Ends every wait and leaves the open transaction to the next owner.
    pub cancel: Cancel,
}

impl Control {
    /// Lets the lane commit what it has carried, then end; what takes longer than 8 s is cancelled.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.cancel.cancel_after(STOP_GRACE);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed) || self.cancel.is_cancelled()
    }
}
