//! The tally that travels with every committed source offset, in the offset's metadata string.
//!
//! `fanout1 <count> <sum, 16 hex digits> <tag>`: how many records below the
//! offset were forwarded under this group, the sum of their mixes, and what they
//! were forwarded to. Anything else in its place was written by another tool.

use std::fmt;
use std::str::FromStr;

use crate::record::Tally;

/// First word of every metadata string of ours; the digit is the format's version.
const MARK: &str = "fanout1";

/// What a lane leaves beside its committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Records forwarded below the offset.
    pub tally: Tally,
    /// Where they went: the target topic's id.
    pub tag: String,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { count, sum } = self.tally;
        write!(f, "{MARK} {count} {sum:016x} {}", self.tag)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let [MARK, count, sum, tag] = words[..] else {
            return Err(format!("`{text}` was not written by fanout"));
        };
        let count = count.parse();
        let sum = u64::from_str_radix(sum, 16);
        match (count, sum) {
            (Ok(count), Ok(sum)) if !tag.is_empty() => Ok(Self {
                tally: Tally { count, sum },
                tag: tag.to_owned(),
            }),
            _ => Err(format!("`{text}` is not a tally")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_string_and_nothing_foreign_reads_as_one() {
        let mark = Mark {
            tally: Tally {
                count: 12,
                sum: 0xfeed,
            },
            tag: "b9Xx".to_owned(),
        };
        assert_eq!(mark.to_string(), "fanout1 12 000000000000feed b9Xx");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for foreign in [
            "",
            "fanout1",
            "fanout1 1 2",
            "fanout1 -1 00 t",
            "fanout1 1 zz t",
            "other 1 00 t",
            "fanout1 1 00 t more",
        ] {
            assert!(foreign.parse::<Mark>().is_err(), "{foreign}");
        }
    }
}
