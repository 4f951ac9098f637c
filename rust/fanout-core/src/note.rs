//! The proof that travels with commits: a tally, in the metadata string of a committed offset.
//!
//! `fanout1 <count> <sum, 16 hex digits> <tag>` and, where records became dead letters,
//! ` dead=<count>:<sum>`. A lane writes how many records below the offset it forwarded, and
//! the target topic's id; a worker how many it settled, and the run. Anything else in its
//! place was written by another tool.

use std::fmt;
use std::str::FromStr;

use crate::record::Tally;

const MARK: &str = "fanout1";
const DEAD: &str = "dead=";

/// What a lane or a worker leaves beside its committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Records below the offset that were forwarded, or whose handlers are done.
    pub done: Tally,
    /// Records below the offset that became dead letters.
    pub dead: Tally,
    /// The id of the topic they were forwarded to, or of the run that settled them.
    pub tag: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, dead, tag } = self;
        write!(f, "{MARK} {} {:016x} {tag}", done.count, done.sum)?;
        if *dead != Tally::default() {
            write!(f, " {DEAD}{}:{:016x}", dead.count, dead.sum)?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let foreign = || format!("`{text}` was not written by fanout");
        let words: Vec<&str> = text.split(' ').collect();
        let (count, sum, tag, dead) = match words[..] {
            [MARK, count, sum, tag] => (count, sum, tag, None),
            [MARK, count, sum, tag, dead] => (count, sum, tag, Some(dead)),
            _ => return Err(foreign()),
        };
        let dead = match dead {
            None => Some(Tally::default()),
            Some(word) => word
                .strip_prefix(DEAD)
                .and_then(|pair| pair.split_once(':'))
                .and_then(|(count, sum)| tally(count, sum)),
        };
        match (tally(count, sum), dead) {
            (Some(done), Some(dead)) if !tag.is_empty() => Ok(Self {
                done,
                dead,
                tag: tag.to_owned(),
            }),
            _ => Err(foreign()),
        }
    }
}

fn tally(count: &str, sum: &str) -> Option<Tally> {
    let count = count.parse().ok()?;
    let sum = (sum.len() == 16)
        .then(|| u64::from_str_radix(sum, 16))?
        .ok()?;
    Some(Tally { count, sum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_survives_its_string() {
        let note = Note {
            done: Tally {
                count: 12,
                sum: 0xfeed,
            },
            dead: Tally { count: 1, sum: 9 },
            tag: "20260131-080000-x7k2".to_owned(),
        };
        let text = note.to_string();
        assert_eq!(
            text,
            "fanout1 12 000000000000feed 20260131-080000-x7k2 dead=1:0000000000000009"
        );
        assert_eq!(text.parse(), Ok(note));
    }

    #[test]
    fn the_start_of_a_run_needs_no_dead_letters() {
        let note: Note = "fanout1 0 0000000000000000 r".parse().expect("ours");
        assert_eq!((note.done, note.dead), (Tally::default(), Tally::default()));
    }

    #[test]
    fn a_string_of_another_tool_is_refused() {
        for foreign in [
            "",
            "fanout1",
            "fanout1 1 0000000000000000",
            "fanout1 -1 0000000000000000 r",
            "fanout1 1 00 r",
            "fanout2 1 0000000000000000 r",
            "fanout1 1 0000000000000000 r dead=1",
            "fanout1 1 0000000000000000 r dead=x:0000000000000000",
            "fanout1 1 0000000000000000 r dead=1:0000000000000000 more",
        ] {
            assert!(foreign.parse::<Note>().is_err(), "{foreign}");
        }
    }
}
