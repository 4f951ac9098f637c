//! How long a read or write may take, and whether anybody still waits for it.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use super::{Cancel, ConnectionSettings, Transport};

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

/// Writes every byte of `slices`; like the standard library's, which is not stable yet.
pub(super) fn write_all_vectored(
    stream: &mut dyn Transport,
    mut slices: &mut [IoSlice<'_>],
    patience: &Patience,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match stream.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) => patience.allows(error)?,
        }
    }
    // TLS takes bytes in before it has sent them.
    while let Err(error) = stream.flush() {
        patience.allows(error)?;
    }
    Ok(())
}
