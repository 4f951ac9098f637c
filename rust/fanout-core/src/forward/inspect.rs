//! What is wrong with one batch, and where it ends: asked before a user has it left out.
//!
//! The end decides which records are never carried, and the broken batch itself
//! is no witness of it: the flipped bit may be in its last offset. So the next
//! batch is asked, whose header says where the broken one must have ended.

use std::time::Duration;

use super::fetch::KafkaFetch;
use super::seam::Fetched;
use crate::batch::{Batch, BatchError, Batches, Unpacker};
use crate::cluster::{Client, ClientSettings};
use crate::error::{Error, Result};
use crate::record::TopicPartition;

/// The longest batch that is looked at, and the most it may unpack to, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// Asked of a broker first, in bytes.
const FETCH_BYTES: usize = 1 << 20;

/// Enough behind a batch for the header of the next one.
const BEHIND: usize = 64 << 10;

/// First bytes of a batch, from the base offset to the number of the format.
const NAMED: usize = 17;

/// How long the broker may wait for records that are not there.
const WAIT: Duration = Duration::from_millis(250);

/// A batch that no lane can carry whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenBatch {
    /// First offset that cannot be read.
    pub from: i64,
    /// First offset behind the batch; `None` where nothing tells it for certain.
    pub next: Option<i64>,
    /// What is wrong.
    pub problem: String,
}

/// Looks at the batch that holds `offset` as a lane would; `None` if nothing is wrong with it.
///
/// # Errors
///
/// If the partition cannot be read at `offset`.
pub fn inspect(
    settings: &ClientSettings,
    at: &TopicPartition,
    offset: i64,
) -> Result<Option<BrokenBatch>> {
    let mut found = look(&fetch(settings, at, (offset, FETCH_BYTES))?, offset);
    if let Look::More(bytes, _) = found {
        found = look(&fetch(settings, at, (offset, bytes))?, offset);
    }
    match found {
        Look::Sound => Ok(None),
        Look::Broken(broken) | Look::More(_, Some(broken)) => Ok(Some(broken)),
        Look::More(_, None) => Err(Error::Unreachable {
            reason: format!("{at} gives no whole batch at offset {offset}"),
        }),
    }
}

fn fetch(
    settings: &ClientSettings,
    at: &TopicPartition,
    (offset, bytes): (i64, usize),
) -> Result<Fetched> {
    let mut fetch = KafkaFetch::new(Client::new(settings.clone()), at.clone(), bytes)?;
    fetch.read(offset, WAIT)
}

enum Look {
    Sound,
    Broken(BrokenBatch),
    /// Ask again for so many bytes: the batch, or what follows it, was not in the answer.
    More(usize, Option<BrokenBatch>),
}

fn look(fetched: &Fetched, offset: i64) -> Look {
    let bytes = &fetched.records;
    if bytes.is_empty() {
        return Look::Sound;
    }
    let mut batches = Batches::new(bytes, MOST_BYTES);
    let (from, error, announced) = match batches.next() {
        Some(Ok(batch)) => match walk(&batch, offset) {
            Ok(()) => return Look::Sound,
            Err((from, error)) => (from, error, Some(batch.header.next_offset())),
        },
        Some(Err(error)) => (offset, error, None),
        None => return Look::More(batches.cut_first().unwrap_or(FETCH_BYTES) + BEHIND, None),
    };
    let behind = behind_first(bytes);
    let next = match behind.and_then(following) {
        Some(base) => (base > offset && base <= fetched.last_stable).then_some(base),
        None => announced.filter(|&next| next == fetched.last_stable),
    };
    let broken = BrokenBatch {
        from,
        next,
        problem: error.to_string(),
    };
    if next.is_none() && behind.is_some_and(|behind| behind.len() < NAMED) {
        return Look::More(bytes.len() + BEHIND, Some(broken));
    }
    Look::Broken(broken)
}

/// What follows the first batch, by the length that it announces.
fn behind_first(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(8..12)?.first_chunk()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    bytes.get(length.checked_add(12)?..)
}

/// The base offset of the batch at the front of `bytes`, if its header can be one.
fn following(bytes: &[u8]) -> Option<i64> {
    let mut batches = Batches::new(bytes, MOST_BYTES);
    match batches.next() {
        Some(Ok(batch)) => Some(batch.header.base_offset),
        Some(Err(_)) => None,
        None => {
            // Cut short, behind the bytes that name its format.
            batches.cut_first().filter(|_| bytes.len() >= NAMED)?;
            let (base, _) = bytes.split_first_chunk()?;
            Some(i64::from_be_bytes(*base))
        }
    }
}

/// The first offset from `offset` on that cannot be read, and why.
fn walk(batch: &Batch<'_>, offset: i64) -> std::result::Result<(), (i64, BatchError)> {
    let header = &batch.header;
    let mut reached = header.base_offset.max(offset);
    let mut unpacker = Unpacker::new(MOST_BYTES);
    let payload = batch
        .verify_crc()
        .and_then(|()| unpacker.unpack(batch))
        .map_err(|error| (reached, error))?;
    for record in batch.records(payload).map_err(|error| (reached, error))? {
        let record = record.map_err(|error| (reached, error))?;
        let place = header.offset_of(record.offset_delta);
        record
            .value()
            .and_then(|_| record.headers())
            .and_then(|mut headers| headers.try_for_each(|header| header.map(|_| ())))
            .map_err(|error| (place.max(offset), error))?;
        reached = reached.max(place + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
