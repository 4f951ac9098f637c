//! A Fetch answer whose long payloads stay in the kernel: read piece by piece, as far as it is a plain one.
//!
//! ```text
//! head (errors, offsets) │ length │ header │ payload ──▶ pipe │ header │ payload ──▶ pipe │ … │ tail
//!        into memory, as one answer that lacks the payloads
//! ```

use bytes::Bytes;
use kafka_protocol::messages::{FetchRequest, FetchResponse};

use super::super::seam::ParkedPayloads;
use crate::batch::{BatchHeader, HEADER_LEN};
use crate::failpoint;
use crate::wire::{Connection, OpenAnswer, SharedPipe, WireError, PIPE_BYTES};

/// What is asked for at once, at most: what a pipe holds, less an eighth, since not every page in it is full.
pub(super) const FETCH_BYTES: usize = PIPE_BYTES - PIPE_BYTES / 8;

/// And at least, however little filled a pipe.
pub(super) const LEAST_FETCH_BYTES: usize = 256 * 1024;

/// Payloads below this size are read: that takes fewer calls.
const PARKED_FROM: usize = 16 * 1024;

/// Shorter answers are read: at the end of a source every record may be one.
const WORTH_A_PIPE: usize = 128 * 1024;

/// Throttle time, error, session; one topic with its id; one partition: index, error, three offsets; aborted transactions.
const HEAD: usize = (4 + 2 + 4) + (1 + 16) + (1 + 4 + 2 + 3 * 8) + 1;

/// Where errors, and how many of what follow, stand in it.
const ERROR_AT: usize = 4;
const TOPICS_AT: usize = 10;
const PARTITIONS_AT: usize = 27;
const PARTITION_ERROR_AT: usize = 32;
const ABORTED_AT: usize = HEAD - 1;

/// A compact array of one element.
const ONE: u8 = 2;

/// Bytes in which any length can be written.
const LONGEST_UVARINT: usize = 5;

/// An answer, and what was left of it in the kernel.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) response: FetchResponse,
    pub(super) parked: ParkedPayloads,
    /// So many bytes filled the pipe; `None` if it was not full. The pages of some networks are far from full.
    pub(super) filled: Option<usize>,
}

impl Arrived {
    /// An answer that was read.
    pub(super) fn whole(response: FetchResponse) -> Self {
        Self {
            response,
            parked: ParkedPayloads::default(),
            filled: None,
        }
    }
}

/// Reads the answer to a Fetch that asked for one partition, in a version with topic ids.
pub(super) fn receive(
    connection: &mut Connection,
    version: i16,
    pipe: &SharedPipe,
) -> Result<Arrived, WireError> {
    let mut answer = connection.open_answer()?;
    let mut body = Vec::new();
    let (mut parked, mut filled) = (ParkedPayloads::default(), None);
    answer.read_onto(&mut body, HEAD)?;
    if is_plain(&body) {
        // The replica to read from.
        answer.read_onto(&mut body, 4)?;
        let length_at = body.len();
        let announced = answer.read_uvarint_onto(&mut body)?;
        let is_number = body.last().is_some_and(|&byte| byte < 0x80);
        if is_number && (WORTH_A_PIPE..=answer.left()).contains(&announced) {
            body.resize(length_at + LONGEST_UVARINT, 0);
            (parked, filled) = park(&mut answer, (&mut body, announced - 1), pipe)?;
            let records = body.len() - length_at - LONGEST_UVARINT;
            write_uvarint(&mut body[length_at..], records + 1);
        }
    }
    let left = answer.left();
    answer.read_onto(&mut body, left)?;
    let response = connection.decode::<FetchRequest>(&mut Bytes::from(body), version)?;
    Ok(Arrived {
        response,
        parked,
        filled,
    })
}

/// Whether it has no errors, and no aborted transactions, which would have to be read before anything is passed on.
fn is_plain(head: &[u8]) -> bool {
    let is_zero = |at: usize| head[at..at + 2] == [0, 0];
    head.len() == HEAD
        && is_zero(ERROR_AT)
        && is_zero(PARTITION_ERROR_AT)
        && head[TOPICS_AT] == ONE
        && head[PARTITIONS_AT] == ONE
        && head[ABORTED_AT] < ONE
}

/// Reads `left` bytes of batches behind what is in `body`, but for the payloads that it parks.
fn park(
    answer: &mut OpenAnswer<'_>,
    (body, mut left): (&mut Vec<u8>, usize),
    pipe: &SharedPipe,
) -> Result<(ParkedPayloads, Option<usize>), WireError> {
    let begins_at = body.len();
    let mut parked = ParkedPayloads::default();
    let mut filled = None;
    while left > 0 {
        let header_at = body.len();
        answer.read_onto(body, HEADER_LEN.min(left))?;
        left -= body.len() - header_at;
        let header = body[header_at..].first_chunk().map(BatchHeader::parse);
        let Some(Ok(header)) = header else {
            // Cut short, or broken: whoever takes the batches apart says so.
            answer.read_onto(body, left)?;
            break;
        };
        let payload = header.total_len() - HEADER_LEN;
        if payload > left {
            // The last one comes whole with the next answer; the first one always does.
            answer.skip(left)?;
            break;
        }
        let mut poured = 0;
        if payload >= PARKED_FROM && !header.is_control() && filled.is_none() {
            poured = answer.pour(pipe, payload)?;
            failpoint::reach("parked-poured");
        }
        if poured > 0 {
            parked.push(header_at - begins_at, pipe.last(poured));
        }
        if (1..payload).contains(&poured) {
            filled = Some(parked.len());
        }
        answer.read_onto(body, payload - poured)?;
        left -= payload;
    }
    Ok((parked, filled))
}

/// Writes `value` into all five bytes, however small it is.
fn write_uvarint(out: &mut [u8], value: usize) {
    for (index, byte) in out[..LONGEST_UVARINT].iter_mut().enumerate() {
        let more = if index + 1 < LONGEST_UVARINT { 0x80 } else { 0 };
        *byte = (value >> (7 * index)).to_le_bytes()[0] & 0x7f | more;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
