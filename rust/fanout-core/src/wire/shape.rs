//! The shape of an answer, walked before the protocol crate decodes it.
//!
//! The crate makes room for as many elements as a list announces before it has
//! read one of them: five bytes of an answer could ask for hundreds of gigabytes.
//! So each answer is walked first, against a table of its fields: every element
//! a list announces must be there, every length must fit what is left, and all
//! elements and tagged fields together are bounded, because in memory each is
//! some hundred bytes and on the wire it may be two.

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Request};

/// Elements of lists and tagged fields in one answer: a topic of 20,000 partitions with three replicas has fewer.
const MOST_ELEMENTS: u32 = 1 << 18;

/// A request whose answer can be walked: only such are received.
pub trait Answered: Request {
    /// The answer's fields in `version`, one of those this build asks in.
    fn shape(version: i16) -> &'static [Part];

    /// How long the broker wants to hear nothing on this connection, in milliseconds: every answer must say where it says so.
    fn throttle_ms(answer: &Self::Response) -> i32;
}

/// Some fields of an answer, by how their length is known.
#[derive(Debug)]
pub enum Part {
    /// Numbers, ids and flags: so many bytes.
    Fixed(usize),
    /// A string or bytes behind a compact length; may be null.
    Text,
    /// A list behind a compact length; may be null.
    List(&'static [Part]),
    /// Tagged fields; those with a number named here are decoded, the others kept as bytes.
    Tags(&'static [(u32, &'static [Part])]),
    /// A list of strings, both behind lengths of the old fixed size.
    OldTexts,
}

/// Decodes the answer to an `R` asked in `version`, after it was walked.
///
/// # Errors
///
/// What is wrong, in one clause.
pub fn decode<R: Answered>(body: &mut Bytes, version: i16) -> Result<R::Response, String> {
    walk(R::shape(version), body)?;
    R::Response::decode(body, version).map_err(|error| error.to_string())
}

/// Walks `body` by `shape`; bytes behind it are allowed, as the crate allows them.
///
/// # Errors
///
/// What is wrong, in one clause.
pub(super) fn walk(shape: &[Part], body: &[u8]) -> Result<(), &'static str> {
    let mut walk = Walk {
        rest: body,
        left: MOST_ELEMENTS,
    };
    walk.all(shape)
}

struct Walk<'a> {
    rest: &'a [u8],
    left: u32,
}

impl Walk<'_> {
    fn all(&mut self, parts: &[Part]) -> Result<(), &'static str> {
        parts.iter().try_for_each(|part| self.one(part))
    }

    fn one(&mut self, part: &Part) -> Result<(), &'static str> {
        match part {
            Part::Fixed(bytes) => self.skip(*bytes),
            Part::Text => {
                let length = self.number()?.saturating_sub(1);
                self.skip(length as usize)
            }
            Part::List(element) => {
                let count = self.number()?.saturating_sub(1);
                self.count(count)?;
                (0..count).try_for_each(|_| self.all(element))
            }
            Part::Tags(known) => self.tags(known),
            Part::OldTexts => self.old_texts(),
        }
    }

    fn tags(&mut self, known: &[(u32, &[Part])]) -> Result<(), &'static str> {
        let count = self.number()?;
        self.count(count)?;
        for _ in 0..count {
            let (tag, size) = (self.number()?, self.number()? as usize);
            let Some((_, parts)) = known.iter().find(|(number, _)| *number == tag) else {
                self.skip(size)?;
                continue;
            };
            let before = self.rest.len();
            self.all(parts)?;
            if before - self.rest.len() != size {
                return Err("a tagged field is not as long as it says");
            }
        }
        Ok(())
    }

    fn old_texts(&mut self) -> Result<(), &'static str> {
        let count = u32::try_from(i32::from_be_bytes(self.array()?)).unwrap_or(0);
        self.count(count)?;
        for _ in 0..count {
            let length = usize::try_from(i16::from_be_bytes(self.array()?)).unwrap_or(0);
            self.skip(length)?;
        }
        Ok(())
    }

    fn count(&mut self, elements: u32) -> Result<(), &'static str> {
        self.left = self
            .left
            .checked_sub(elements)
            .ok_or("it announces more elements than any answer has")?;
        Ok(())
    }

    fn skip(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.rest = self.rest.get(bytes..).ok_or("it is cut short")?;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or("it is cut short")?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// An unsigned varint of 32 bits. Stricter than the crate's, which drops bits beyond: both read the same number.
    fn number(&mut self) -> Result<u32, &'static str> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| "a length needs more than 32 bits");
            }
        }
        Err("a length needs more than 32 bits")
    }
}

#[cfg(test)]
mod tests {
    use super::Part::{Fixed, List, OldTexts, Tags, Text};
    use super::*;

    const SHAPE: &[Part] = &[
        Fixed(2),
        List(&[Text, List(&[Fixed(4)]), Tags(&[])]),
        Tags(&[(0, &[List(&[Fixed(2)])])]),
    ];

    #[test]
    fn an_answer_that_is_whole_is_passed() {
        let body = [0, 0, 2, 3, b'a', b'b', 2, 0, 0, 0, 1, 0, 1, 0, 3, 2, 7, 7];
        assert_eq!(walk(SHAPE, &body), Ok(()));
        let with_more_behind = [&body[..], b"more"].concat();
        assert_eq!(walk(SHAPE, &with_more_behind), Ok(()));
        for cut in 0..body.len() {
            assert!(walk(SHAPE, &body[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_list_longer_than_its_answer_is_refused_at_its_length() {
        let huge = [0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let refused = walk(SHAPE, &huge);
        assert_eq!(
            refused,
            Err("it announces more elements than any answer has")
        );
        assert_eq!(walk(SHAPE, &[0, 0, 100, 1]), Err("it is cut short"));
        let overlong = [0, 0, 0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(
            walk(SHAPE, &overlong),
            Err("a length needs more than 32 bits")
        );
        let old = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        assert!(walk(&[OldTexts], &old).is_err());
    }

    #[test]
    fn elements_are_bounded_over_all_lists_of_an_answer() {
        const LISTS: &[Part] = &[List(&[List(&[Fixed(0)])])];
        // Three lists of 100,000 elements that take no bytes.
        let thrice = [[0xa1, 0x8d, 0x06]; 3].concat();
        assert!(walk(LISTS, &[&[4][..], &thrice].concat()).is_err());
        assert_eq!(walk(LISTS, &[&[3][..], &thrice].concat()), Ok(()));
    }

    #[test]
    fn a_known_tagged_field_must_have_its_own_length() {
        assert_eq!(walk(&SHAPE[2..], &[1, 0, 3, 2, 7, 7]), Ok(()));
        let lies = walk(&SHAPE[2..], &[1, 0, 4, 2, 7, 7, 9]);
        assert_eq!(lies, Err("a tagged field is not as long as it says"));
    }
}
