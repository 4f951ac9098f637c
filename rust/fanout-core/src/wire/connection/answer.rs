//! An answer on its way in: read whole into one frame, or piece by piece.

use std::io;

use bytes::Bytes;
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::Decodable;

use super::super::patience::Patience;
use super::super::pipe::SharedPipe;
use super::super::probe::Speech;
use super::super::shape::{walk, Part};
use super::super::WireError;
use super::{Connection, Owed};

/// The bytes in front of an answer's tagged fields: whose answer it is.
const CORRELATION_BYTES: usize = 4;

/// What is read at once of bytes that nobody wants.
const SKIPPED_AT_ONCE: usize = 64 * 1024;

/// An answer whose body has not been read yet, or not all of it.
///
/// One that is let go before its end leaves the connection out of step.
pub struct OpenAnswer<'c> {
    connection: &'c mut Connection,
    patience: Patience,
    left: usize,
}

impl OpenAnswer<'_> {
    /// Bytes that have not been read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Reads the next `len` bytes, or what is left where that is less, behind those in `body`.
    ///
    /// # Errors
    ///
    /// If they do not come in time.
    pub fn read_onto(&mut self, body: &mut Vec<u8>, len: usize) -> Result<(), WireError> {
        let len = len.min(self.left);
        let begun = body.len();
        body.resize(begun + len, 0);
        self.connection
            .read_exact(&mut body[begun..], &self.patience)?;
        self.left -= len;
        Ok(())
    }

    /// Reads the next `len` bytes and drops them.
    ///
    /// # Errors
    ///
    /// If they do not come in time.
    pub fn skip(&mut self, mut len: usize) -> Result<(), WireError> {
        let mut scrap = Vec::new();
        while len > 0 && self.left > 0 {
            scrap.clear();
            self.read_onto(&mut scrap, len.min(SKIPPED_AT_ONCE))?;
            len -= scrap.len();
        }
        Ok(())
    }

    /// Reads the next unsigned varint, as far as it goes, behind what is in `body`.
    ///
    /// # Errors
    ///
    /// If it does not come in time.
    pub fn read_uvarint_onto(&mut self, body: &mut Vec<u8>) -> Result<usize, WireError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            if self.left == 0 {
                break;
            }
            self.read_onto(body, 1)?;
            let byte = body.last().copied().unwrap_or_default();
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    /// Reads tagged fields behind what is in `body`; whether they make sense is asked later.
    fn read_tags(&mut self, body: &mut Vec<u8>) -> Result<(), WireError> {
        let mut tags = self.read_uvarint_onto(body)?;
        while tags > 0 && self.left > 0 {
            self.read_uvarint_onto(body)?;
            let len = self.read_uvarint_onto(body)?;
            self.read_onto(body, len)?;
            tags -= 1;
        }
        Ok(())
    }

    /// Moves the next `len` bytes into `pipe`, or fewer, if it becomes full: as many as the answer says.
    ///
    /// # Errors
    ///
    /// If they do not come in time.
    pub fn pour(&mut self, pipe: &SharedPipe, len: usize) -> Result<usize, WireError> {
        let len = len.min(self.left);
        let mut poured = 0;
        while poured < len {
            let step = match self.connection.transport.socket() {
                None => break,
                Some(socket) => match pipe.pour(socket, len - poured) {
                    Ok(0) => break,
                    Ok(more) => {
                        poured += more;
                        self.patience.check()
                    }
                    Err(error) => self.patience.allows(error),
                },
            };
            step.map_err(|source| self.connection.failed(source))?;
        }
        self.left -= poured;
        Ok(poured)
    }
}

impl Connection {
    /// Whether long stretches of its answers can stay in the kernel.
    #[must_use]
    pub fn can_pour(&self) -> bool {
        self.transport.socket().is_some()
    }

    /// Begins to read the oldest answer owed: its body is to be read by the caller, to its end.
    ///
    /// # Errors
    ///
    /// If it does not come in time, is too long, or is not what was owed.
    pub fn open_answer(&mut self) -> Result<OpenAnswer<'_>, WireError> {
        let owed = self.oldest_owed()?;
        let patience = Patience::of(&self.settings);
        let left = self.read_length(&patience)?;
        let mut answer = OpenAnswer {
            connection: self,
            patience,
            left,
        };
        let mut header = Vec::new();
        answer.read_onto(&mut header, CORRELATION_BYTES)?;
        if owed.header_version >= 1 {
            answer.read_tags(&mut header)?;
        }
        let mut header = Bytes::from(header);
        answer.connection.check_header(&mut header, owed)?;
        Ok(answer)
    }

    pub(super) fn receive_body(&mut self) -> Result<Bytes, WireError> {
        let owed = self.oldest_owed()?;
        let patience = Patience::of(&self.settings);
        let length = self.read_length(&patience)?;
        let mut frame = self.settings.frames.lend(length);
        self.read_exact(frame.as_mut(), &patience)?;
        let mut body = frame.into_bytes();
        self.check_header(&mut body, owed)?;
        Ok(body)
    }

    fn oldest_owed(&mut self) -> Result<Owed, WireError> {
        self.owed
            .pop_front()
            .ok_or_else(|| self.broken("an answer is awaited that was never asked for".to_owned()))
    }

    fn check_header(&self, body: &mut Bytes, owed: Owed) -> Result<(), WireError> {
        let shape = [Part::Fixed(4), Part::Tags(&[])];
        let fields = if owed.header_version < 1 { 1 } else { 2 };
        walk(&shape[..fields], body)
            .map_err(|problem| self.broken(format!("answer's header not decoded: {problem}")))?;
        let header = ResponseHeader::decode(body, owed.header_version)
            .map_err(|error| self.broken(format!("answer's header not decoded: {error}")))?;
        if header.correlation_id != owed.correlation {
            return Err(self.broken(format!(
                "answer {} came where {} was owed",
                header.correlation_id, owed.correlation
            )));
        }
        Ok(())
    }

    /// The length of the next frame, within bounds.
    fn read_length(&mut self, patience: &Patience) -> Result<usize, WireError> {
        let mut prefix = [0; 4];
        self.read_exact(&mut prefix, patience)?;
        self.last_used = std::time::Instant::now();
        let announced = i32::from_be_bytes(prefix);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length < CORRELATION_BYTES || length > self.settings.max_answer_bytes {
            if let Some(speech) = Speech::of(&prefix) {
                let refusal = speech.refusal();
                return Err(self.refused(refusal.problem, &refusal.remedy));
            }
            return Err(WireError::TooLong {
                address: self.address.clone(),
                announced,
                allowed: self.settings.max_answer_bytes,
            });
        }
        Ok(length)
    }

    fn read_exact(&mut self, mut buffer: &mut [u8], patience: &Patience) -> Result<(), WireError> {
        while !buffer.is_empty() {
            let step = match self.transport.read(buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    patience.check()
                }
                Err(error) => patience.allows(error),
            };
            step.map_err(|source| self.failed(source))?;
        }
        Ok(())
    }
}
