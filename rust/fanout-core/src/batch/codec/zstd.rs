//! Zstandard, in one call a batch.
//!
//! Most producers do not write the content's size. Unpacking in one call into a
//! room that is nearly always large enough, and again into a larger one when it
//! was not, takes 36 ns per 100 bytes where the streaming reader takes 50; and it
//! needs no window buffer, whose size would be the frame's to name.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall;
use zstd::zstd_safe::{compress_bound, get_error_name, is_error_kind, CCtx, DCtx};

use super::{Output, Stopped};

/// On batches of JSON records level 1 packs as tightly as Kafka's default of 3, in three quarters of the time.
const LEVEL: i32 = 1;

/// Unpacks; keeps the context.
#[derive(Default)]
pub(super) struct Reader {
    context: Option<DCtx<'static>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("zstd::Reader")
    }
}

impl Reader {
    /// Unpacks all frames of `payload`.
    pub(super) fn unpack(&mut self, payload: &[u8], output: &mut Output) -> Result<(), Stopped> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or_else(no_memory)?),
        };
        loop {
            match context.decompress(output.free(), payload) {
                Ok(len) => {
                    output.filled += len;
                    return Ok(());
                }
                Err(code) if is_error_kind(code, ZSTD_error_dstSize_tooSmall) => output.grow()?,
                Err(code) => return Err(Stopped::corrupt(get_error_name(code))),
            }
        }
    }
}

fn no_memory() -> Stopped {
    Stopped::corrupt("no memory for a context")
}

/// Packs; keeps the context.
#[derive(Default)]
pub(super) struct Writer {
    context: Option<CCtx<'static>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("zstd::Writer")
    }
}

impl Writer {
    pub(super) fn pack(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(CCtx::try_create().ok_or("no memory for a context")?),
        };
        let begin = out.len();
        out.resize(begin + compress_bound(payload.len()), 0);
        let packed = context
            .compress(&mut out[begin..], payload, LEVEL)
            .map_err(get_error_name)?;
        out.truncate(begin + packed);
        Ok(())
    }
}
