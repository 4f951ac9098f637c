//! A request as it is written: stretches of memory, and of what is parked in pipes.

use std::io::{self, IoSlice};

use super::patience::Patience;
use super::pipe::{send_more, Parked};
use super::Transport;
use crate::failpoint;

/// A stretch of a request.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a pipe of the kernel.
    Parked(&'a Parked),
}

impl Piece<'_> {
    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Parked(parked) => parked.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Writes every byte of `pieces`.
pub(super) fn write_all(
    stream: &mut dyn Transport,
    mut pieces: &[Piece<'_>],
    patience: &Patience,
) -> io::Result<()> {
    while !pieces.is_empty() {
        let bytes = pieces.iter().map_while(|piece| match piece {
            Piece::Bytes(bytes) => Some(IoSlice::new(bytes)),
            Piece::Parked(_) => None,
        });
        let mut slices: Vec<IoSlice<'_>> = bytes.collect();
        pieces = &pieces[slices.len()..];
        write_slices(stream, &mut slices, (pieces.is_empty(), patience))?;
        if let Some((Piece::Parked(parked), rest)) = pieces.split_first() {
            write_parked(stream, parked, (rest.is_empty(), patience))?;
            pieces = rest;
        }
    }
    // TLS takes bytes in before it has sent them.
    while let Err(error) = stream.flush() {
        patience.allows(error)?;
    }
    Ok(())
}

/// Like the standard library's `write_all_vectored`, which is not stable yet.
fn write_slices(
    stream: &mut dyn Transport,
    mut slices: &mut [IoSlice<'_>],
    (is_last, patience): (bool, &Patience),
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let written = match stream.socket() {
            Some(socket) if !is_last => send_more(socket, slices),
            _ => stream.write_vectored(slices),
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) => patience.allows(error)?,
        }
    }
    Ok(())
}

fn write_parked(
    stream: &mut dyn Transport,
    parked: &Parked,
    (is_last, patience): (bool, &Patience),
) -> io::Result<()> {
    let Some(socket) = stream.socket() else {
        // A stream that is encrypted here.
        let bytes = parked.read()?;
        return write_slices(stream, &mut [IoSlice::new(&bytes)], (is_last, patience));
    };
    // The request is half sent here, and the rest of it nowhere else.
    failpoint::reach("parked-to-drain");
    let mut begun = 0;
    while begun < parked.len() {
        match parked.drain(socket, (begun, !is_last)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(drained) => begun += drained,
            Err(error) => patience.allows(error)?,
        }
    }
    Ok(())
}
