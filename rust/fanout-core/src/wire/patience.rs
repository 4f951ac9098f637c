//! How long a read or write may take, and whether anybody still waits for it.

use std::io;
use std::time::{Duration, Instant};

use super::{Cancel, ConnectionSettings};

/// How often a waiting read or write looks up to see whether anybody still waits for it.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// How long one frame may take, however it drips, and whether anybody still waits for it.
pub(super) struct Patience {
    until: Instant,
    cancel: Cancel,
}

impl Patience {
    pub(super) fn of(settings: &ConnectionSettings) -> Self {
        Self {
            until: Instant::now() + settings.answer_timeout,
            cancel: settings.cancel.clone(),
        }
    }

    pub(super) fn check(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() || Instant::now() > self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Whether to go on after `error`: a tick of the socket is none.
    pub(super) fn allows(&self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                self.check()
            }
            _ => Err(error),
        }
    }
}
