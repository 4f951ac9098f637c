//! The sums of a worker, as the metadata string of its offset commits.
//!
//! `fanout1 <count> <sum, 16 hex digits> <run> dead=<count>:<sum>`. The drain writes
//! the start of a run without the last word. Anything else was written by another tool.

use std::fmt;
use std::str::FromStr;

use crate::record::Tally;

const MARK: &str = "fanout1";
const DEAD: &str = "dead=";

/// What a worker leaves beside its committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Records below the offset whose handlers are done.
    pub done: Tally,
    /// Records below the offset that became dead letters.
    pub dead: Tally,
    /// The run they belong to.
    pub run: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, dead, run } = self;
        write!(
            f,
            "{MARK} {} {:016x} {run} {DEAD}{}:{:016x}",
            done.count, done.sum, dead.count, dead.sum
        )
    }
}

impl FromStr for Note {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let foreign = || format!("`{text}` was not written by a worker of fanout");
        let words: Vec<&str> = text.split(' ').collect();
        let (count, sum, run, dead) = match words[..] {
            [MARK, count, sum, run] => (count, sum, run, None),
            [MARK, count, sum, run, dead] => (count, sum, run, Some(dead)),
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
            (Some(done), Some(dead)) if !run.is_empty() => Ok(Self {
                done,
                dead,
                run: run.to_owned(),
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
            run: "20260131-080000-x7k2".to_owned(),
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
