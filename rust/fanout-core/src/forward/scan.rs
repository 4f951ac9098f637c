//! Reading a partition to look at it, not to carry it: the second witness, and a target's head.

use std::time::{Duration, Instant};

use super::fetch::KafkaFetch;
use super::visible::visible_batches;
use crate::batch::{Batch, BatchError, Unpacker};
use crate::cluster::{Client, ClientSettings};
use crate::error::{Error, Result};
use crate::record::{Origin, Tally, TopicPartition, ORIGIN_HEADER};

/// Asked of a broker at once, in bytes.
const FETCH_BYTES: usize = 4 << 20;

/// A compressed batch may unpack to so many bytes.
const UNPACKED_BYTES: usize = 64 << 20;

/// How long one fetch may wait at the broker.
const WAIT: Duration = Duration::from_millis(250);

/// What stands first in a stretch of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A record, with the origin its header tells; `None` if it has none that can be read.
    Record {
        /// The record's offset.
        offset: i64,
        /// Where it came from.
        origin: Option<Origin>,
    },
    /// Nothing but markers and aborted data up to the end.
    End,
    /// Neither was reached in time: a transaction is open, or its markers are late.
    Unknown {
        /// How far the reader came.
        offset: i64,
    },
}

/// One partition, read from an offset up to an end.
struct Scan {
    fetch: KafkaFetch,
    at: TopicPartition,
    position: i64,
    end: i64,
}

/// Reads `at` read-committed from `start` to its first record or to `end`, at most `patience` without progress.
///
/// # Errors
///
/// If the partition cannot be read at `start`, or a batch there is broken.
pub fn head(
    settings: ClientSettings,
    at: &TopicPartition,
    (start, end): (i64, i64),
    patience: Duration,
) -> Result<Head> {
    let mut scan = Scan::new(settings, at.clone(), (start, end))?;
    let mut found = None;
    let reached = scan.read(patience, |batch, from, _| {
        found = first_record(batch, from)?;
        Ok(found.is_none())
    })?;
    Ok(match found {
        Some(head) => head,
        None if reached >= end => Head::End,
        None => Head::Unknown { offset: reached },
    })
}

/// Counts the records of `[start, end)` that a read-committed reader sees, and sums their mixes.
///
/// Batches without holes are counted by their headers; the others are opened.
///
/// # Errors
///
/// [`Error::Unreachable`] if the end was not reached: nothing came for `patience`.
pub fn tally(
    settings: ClientSettings,
    at: &TopicPartition,
    (start, end): (i64, i64),
    patience: Duration,
) -> Result<Tally> {
    let mut scan = Scan::new(settings, at.clone(), (start, end))?;
    let mut tally = Tally::default();
    let reached = scan.read(patience, |batch, from, end| {
        count(batch, (from, end), at.partition, &mut tally)?;
        Ok(true)
    })?;
    if reached < end {
        return Err(Error::Unreachable {
            reason: format!("{at} could be read to offset {reached} only, {end} was asked for"),
        });
    }
    Ok(tally)
}

impl Scan {
    fn new(
        settings: ClientSettings,
        at: TopicPartition,
        (position, end): (i64, i64),
    ) -> Result<Self> {
        let fetch = KafkaFetch::new(Client::new(settings), at.clone(), FETCH_BYTES)?;
        Ok(Self {
            fetch,
            at,
            position,
            end,
        })
    }

    /// Shows every visible batch to `look` until it has seen enough; returns how far that was.
    fn read(
        &mut self,
        patience: Duration,
        mut look: impl FnMut(&Batch<'_>, i64, i64) -> std::result::Result<bool, BatchError>,
    ) -> Result<i64> {
        let mut progress = Instant::now();
        while self.position < self.end && progress.elapsed() < patience {
            let fetched = self.fetch.read(self.position, WAIT)?;
            let (visible, next) = visible_batches(&fetched, self.position, UNPACKED_BYTES);
            for batch in visible {
                let batch = batch.map_err(|broken| broken.halted(&self.at))?;
                let offset = batch.header.base_offset.max(self.position);
                if offset >= self.end {
                    break;
                }
                let looked = batch
                    .verify_crc()
                    .and_then(|()| look(&batch, self.position, self.end));
                match looked {
                    Ok(true) => {}
                    Ok(false) => return Ok(offset),
                    Err(error) => {
                        return Err(super::carried::Broken::at(offset, &error).halted(&self.at))
                    }
                }
            }
            if next > self.position {
                progress = Instant::now();
                self.position = next;
            }
        }
        Ok(self.position)
    }
}

/// The first record of the batch at or above `from`.
fn first_record(batch: &Batch<'_>, from: i64) -> std::result::Result<Option<Head>, BatchError> {
    let mut unpacker = Unpacker::new(UNPACKED_BYTES);
    let payload = unpacker.unpack(batch)?;
    for record in batch.records(payload)? {
        let record = record?;
        let offset = batch.header.offset_of(record.offset_delta);
        if offset < from {
            continue;
        }
        let mut origin = None;
        for header in record.headers()? {
            let header = header?;
            if header.name == ORIGIN_HEADER.as_bytes() {
                origin = header.value.and_then(Origin::from_bytes);
            }
        }
        return Ok(Some(Head::Record { offset, origin }));
    }
    Ok(None)
}

fn count(
    batch: &Batch<'_>,
    (from, end): (i64, i64),
    partition: i32,
    tally: &mut Tally,
) -> std::result::Result<(), BatchError> {
    let header = &batch.header;
    let inside = header.base_offset >= from && header.next_offset() <= end;
    let whole = i64::from(header.record_count) == header.next_offset() - header.base_offset;
    if whole {
        let first = header.base_offset.max(from);
        let next = if inside {
            header.next_offset()
        } else {
            header.next_offset().min(end)
        };
        for offset in first..next {
            tally.add(Origin { partition, offset });
        }
        return Ok(());
    }
    let mut unpacker = Unpacker::new(UNPACKED_BYTES);
    let payload = unpacker.unpack(batch)?;
    for record in batch.records(payload)? {
        let offset = header.offset_of(record?.offset_delta);
        if (from..end).contains(&offset) {
            tally.add(Origin { partition, offset });
        }
    }
    Ok(())
}
