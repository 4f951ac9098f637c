//! splice(2), through safe calls.

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{sendmsg, SendAncillaryBuffer, SendFlags};
use rustix::pipe::{fcntl_setpipe_size, pipe_with, splice, PipeFlags, SpliceFlags};

/// A connected TCP socket, whose timeouts bound every call.
pub type Socket<'s> = BorrowedFd<'s>;

const SIGPIPE: u32 = 13;

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Both ends of a pipe.
#[derive(Debug)]
pub(super) struct Ends {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Ends {
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        if !ignores_sigpipe()? {
            // splice(2) into a socket that was closed would end the process.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&writer, bytes)?;
        Ok(Self { reader, writer })
    }

    /// Moves what `socket` has, at most `len` bytes; waits for the first. 0 if the pipe is full.
    pub(super) fn pour(&self, socket: Socket<'_>, len: usize) -> io::Result<usize> {
        // Not blocking concerns the pipe: the socket waits as its timeout says.
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match splice(socket, None, &self.writer, None, len, flags) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(Errno::AGAIN) if self.is_full()? => Ok(0),
            moved => Ok(moved?),
        }
    }

    /// Moves up to `len` bytes, all of which are here.
    pub(super) fn drain(&self, socket: Socket<'_>, len: usize, more: bool) -> io::Result<usize> {
        let mut flags = SpliceFlags::MOVE;
        flags.set(SpliceFlags::MORE, more);
        Ok(splice(&self.reader, None, socket, None, len, flags)?)
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.reader, buffer)?)
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.writer, bytes)?)
    }

    fn is_full(&self) -> io::Result<bool> {
        let mut room = [PollFd::new(&self.writer, PollFlags::OUT)];
        Ok(poll(&mut room, Some(&AT_ONCE))? == 0)
    }
}

/// Whether this process ignores the signal, as Python's and Rust's do unless told otherwise.
fn ignores_sigpipe() -> io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    Ok(mask.is_some_and(|mask| mask & (1 << (SIGPIPE - 1)) != 0))
}

/// Sends what `socket` takes at once of bytes that others follow at once: they travel in the same segments.
pub(in crate::wire) fn send_more(socket: Socket<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    let nothing = &mut SendAncillaryBuffer::default();
    Ok(sendmsg(socket, slices, nothing, flags)?)
}
