//! `RecordBatch` v2 on raw bytes: the path every record takes through fanout.
//!
//! A general client turns each record into an object and each object back into
//! bytes. Nothing a forwarder does needs that: it must know a record's key and
//! its place, and then move its bytes. So a batch stays what it was on the wire:
//!
//! ```text
//! fetched bytes ─▶ Batches ─▶ Batch ──verify_crc──▶ Unpacker ─▶ Records ─▶ BatchBuilder ─▶ SealedBatch
//!                  (slices)   (header)              (codec)     (slices)   (one copy)     (CRC, codec)
//! ```
//!
//! Invariants:
//!
//! 1. Nothing here reads past a slice, allocates by a number found in the data,
//!    or panics on bytes from outside: every such number is checked against the
//!    bytes that are there, or against a limit the caller gave.
//! 2. Nothing is skipped: at the first fault, a [`BatchError`], every walk here
//!    ends, and what came before it is exactly what came.
//! 3. Key, value, headers and timestamp leave byte for byte as they came; only
//!    what stands around them (lengths, deltas, the header count) is written anew.
//! 4. The source's CRC is checked before its records are copied. A fresh CRC over
//!    corrupt records would make them look sound for ever.
//!
//! In the steady state nothing here allocates: buffers and codec contexts are
//! handed round by the lane that owns them.

mod batches;
mod builder;
mod codec;
mod crc;
mod error;
mod front;
mod head;
mod header;
mod passed;
mod records;
mod sealed;
mod stamp;
mod varint;

pub use batches::{Batch, Batches, Gap};
pub use builder::BatchBuilder;
pub use codec::{Codec, Packer, Unpacker};
pub use crc::crc32c;
pub use error::{BatchError, RecordFlaw};
pub use header::{Attributes, BatchHeader, HEADER_LEN};
pub use passed::PassedBatch;
pub use records::{Header, Headers, Record, Records};
pub use sealed::{SealedBatch, Signature};
pub use stamp::Stamp;
