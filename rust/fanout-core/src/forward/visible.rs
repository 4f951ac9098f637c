//! Which batches of a fetch a read-committed reader sees.
//!
//! The broker sends everything up to the last stable offset, with a list of
//! aborted transactions; leaving their records out is the client's work. A
//! producer on the list is hidden from its first offset to its abort marker.

use std::collections::BTreeSet;

use super::carried::Broken;
use super::seam::{Aborted, Fetched};
use crate::batch::{Batch, BatchError, Batches};

/// A batch to carry, or the place where the source is broken.
pub(super) type Visible<'a> = Result<Batch<'a>, Broken>;

/// Control records carry their type in the key: version i16, type i16; 0 ends a transaction by abort.
const ABORT: i16 = 0;

/// The batches of `fetched` that a reader sees, and the offset to fetch next.
pub(super) fn visible_batches(
    fetched: &Fetched,
    position: i64,
    limit_bytes: usize,
) -> (Vec<Visible<'_>>, i64) {
    let mut hidden = Hidden::of(&fetched.aborted);
    let mut visible = Vec::new();
    let mut next = position;
    let mut batches = Batches::new(&fetched.records, limit_bytes).around(fetched.parked.gaps());
    for batch in batches.by_ref() {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                visible.push(Err(Broken::at(next, &error)));
                break;
            }
        };
        let header = &batch.header;
        let begins_at = next.max(header.base_offset);
        // What is passed over is checked too: a flipped bit could have made it so.
        let passed = if header.is_control() {
            batch
                .verify_crc()
                .and_then(|()| marker(&batch))
                .map(|kind| hidden.end(header.producer_id, header.last_offset(), kind))
        } else if hidden.hides(&batch) {
            batch.verify_crc()
        } else {
            if header.next_offset() > position {
                visible.push(Ok(batch));
            }
            Ok(())
        };
        if let Err(error) = passed {
            visible.push(Err(Broken::at(begins_at, &error)));
            break;
        }
        next = next.max(header.next_offset());
    }
    if let Some(needed) = batches.cut_first() {
        let found = fetched.records.len();
        let error = BatchError::CutShort { needed, found };
        visible.push(Err(Broken::at(position, &error)));
    }
    (visible, next)
}

/// Producers inside an aborted transaction at the current place of the log.
struct Hidden<'a> {
    coming: std::iter::Peekable<std::slice::Iter<'a, Aborted>>,
    producers: BTreeSet<i64>,
}

impl<'a> Hidden<'a> {
    /// `aborted` is sorted by first offset.
    fn of(aborted: &'a [Aborted]) -> Self {
        Self {
            coming: aborted.iter().peekable(),
            producers: BTreeSet::new(),
        }
    }

    fn reach(&mut self, offset: i64) {
        while let Some(transaction) = self.coming.next_if(|t| t.first_offset <= offset) {
            self.producers.insert(transaction.producer_id);
        }
    }

    fn hides(&mut self, batch: &Batch<'_>) -> bool {
        self.reach(batch.header.last_offset());
        batch.header.is_transactional() && self.producers.contains(&batch.header.producer_id)
    }

    fn end(&mut self, producer: i64, offset: i64, kind: i16) {
        self.reach(offset);
        if kind == ABORT {
            self.producers.remove(&producer);
        }
    }
}

/// The type in a control batch's one record; −1 for one this build does not know.
fn marker(batch: &Batch<'_>) -> Result<i16, BatchError> {
    for record in batch.records(batch.payload())? {
        if let Some([_, _, high, low, ..]) = record?.key {
            return Ok(i16::from_be_bytes([*high, *low]));
        }
    }
    Ok(-1)
}
