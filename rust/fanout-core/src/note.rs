//! The proof that travels with commits: a tally, in the metadata string of a committed offset.
//!
//! `fanout1 <count> <sum, 16 hex digits> <tag>` and, where records became dead letters,
//! ` dead=<count>:<sum>`; where batches were left out on the user's word,
//! ` skipped=<first offset>-<next offset>` of each, with commas between. A lane writes how many
//! records below the offset it forwarded, and the target topic's id; a worker how many it
//! settled, and the run. Anything else in its place was written by another tool: numbers have 1 to 20
//! digits and are below 2^63, the tag is of visible ASCII, and there are at most 32 such batches.
//! Python reads the same and no more (`fanout/kafka/tally.py`), held by a test that asks both.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::record::Tally;

const MARK: &str = "fanout1";
const DEAD: &str = "dead=";
const SKIPPED: &str = "skipped=";

/// Brokers take 4096 bytes of metadata by default: these take at most 1,300. Python, which writes them, refuses another.
const MOST_SKIPPED: usize = 32;

/// What a lane or a worker leaves beside its committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Records below the offset that were forwarded, or whose handlers are done.
    pub done: Tally,
    /// Records below the offset that became dead letters.
    pub dead: Tally,
    /// The id of the topic they were forwarded to, or of the run that settled them.
    pub tag: String,
    /// Offsets below it that were left out because a user said so: neither forwarded nor counted.
    pub skipped: Vec<Range<i64>>,
}

impl Note {
    /// Nothing done yet.
    #[must_use]
    pub fn of(tag: &str) -> Self {
        Self {
            done: Tally::default(),
            dead: Tally::default(),
            tag: tag.to_owned(),
            skipped: Vec::new(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            done,
            dead,
            tag,
            skipped,
        } = self;
        write!(f, "{MARK} {} {:016x} {tag}", done.count, done.sum)?;
        if *dead != Tally::default() {
            write!(f, " {DEAD}{}:{:016x}", dead.count, dead.sum)?;
        }
        let ranges = skipped.iter().map(|r| format!("{}-{}", r.start, r.end));
        let ranges = ranges.collect::<Vec<_>>().join(",");
        if !ranges.is_empty() {
            write!(f, " {SKIPPED}{ranges}")?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let foreign = || format!("`{text}` was not written by fanout");
        let mut words: Vec<&str> = text.split(' ').collect();
        let skipped = words.pop_if(|word| word.starts_with(SKIPPED));
        let dead = words.pop_if(|word| word.starts_with(DEAD));
        let [MARK, count, sum, tag] = words[..] else {
            return Err(foreign());
        };
        let dead = match dead {
            None => Some(Tally::default()),
            Some(word) => word[DEAD.len()..]
                .split_once(':')
                .and_then(|(count, sum)| tally(count, sum)),
        };
        let skipped = skipped.map_or(Some(Vec::new()), |word| left_out(&word[SKIPPED.len()..]));
        match (tally(count, sum), dead, skipped) {
            (Some(done), Some(dead), Some(skipped)) if is_tag(tag) => Ok(Self {
                done,
                dead,
                tag: tag.to_owned(),
                skipped,
            }),
            _ => Err(foreign()),
        }
    }
}

fn is_tag(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_graphic())
        && ![DEAD, SKIPPED].iter().any(|mark| word.starts_with(mark))
}

fn tally(count: &str, sum: &str) -> Option<Tally> {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let sum = (sum.len() == 16 && sum.bytes().all(is_hex)).then(|| u64::from_str_radix(sum, 16))?;
    Some(Tally {
        count: number(count)?.cast_unsigned(),
        sum: sum.ok()?,
    })
}

/// Digits alone: what is parsed may bear a sign.
fn number(text: &str) -> Option<i64> {
    let is_one = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| text.parse().ok())?
}

fn left_out(ranges: &str) -> Option<Vec<Range<i64>>> {
    if ranges.split(',').count() > MOST_SKIPPED {
        return None;
    }
    let range = |text: &str| {
        let (start, end) = text.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        (start < end).then_some(start..end)
    };
    ranges.split(',').map(range).collect()
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
            ..Note::of("20260131-080000-x7k2")
        };
        let text = note.to_string();
        assert_eq!(
            text,
            "fanout1 12 000000000000feed 20260131-080000-x7k2 dead=1:0000000000000009"
        );
        assert_eq!(text.parse(), Ok(note));
    }

    #[test]
    fn what_was_left_out_is_remembered_beside_everything_else() {
        let text = "fanout1 12 000000000000feed t dead=1:0000000000000009 skipped=30-40,95-96";
        let note: Note = text.parse().expect("ours");
        assert_eq!(note.skipped, [30..40, 95..96]);
        assert_eq!(note.to_string(), text);
        let alone: Note = "fanout1 0 0000000000000000 t skipped=0-1"
            .parse()
            .expect("ours");
        assert_eq!(alone.dead, Tally::default());
        assert_eq!(alone.skipped.first(), Some(&(0..1)));
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
            "fanout1 +1 0000000000000000 r",
            "fanout1 9223372036854775808 0000000000000000 r",
            "fanout1 1 00000000000000FF r",
            "fanout1 1 0000000000000000 r\u{e9}",
            "fanout1 1 00 r",
            "fanout2 1 0000000000000000 r",
            "fanout1 1 0000000000000000 r dead=1",
            "fanout1 1 0000000000000000 r dead=x:0000000000000000",
            "fanout1 1 0000000000000000 r dead=1:0000000000000000 more",
            "fanout1 1 0000000000000000 r skipped=",
            "fanout1 1 0000000000000000 r skipped=7-7",
            "fanout1 1 0000000000000000 r skipped=-1-7",
            "fanout1 1 0000000000000000 r skipped=1-7,",
            "fanout1 1 0000000000000000 r skipped=1-7 dead=1:0000000000000000",
        ] {
            assert!(foreign.parse::<Note>().is_err(), "{foreign}");
        }
    }
}
