//! Where a lane goes on: what its group has committed, if that was written by a lane like it.

use super::lane::LanePlan;
use super::seam::Step;
use super::transaction::Transaction;
use crate::cluster::groups::Committed;
use crate::error::Error;
use crate::note::Note;

/// Reads the committed place; without one the lane begins at its start with nothing forwarded.
///
/// `so_far` is what the lane has done before it asked.
pub(super) fn place(
    committed: Option<Committed>,
    plan: &LanePlan,
    so_far: &Transaction,
) -> Step<(i64, Note)> {
    let halted = |offset, problem, remedy: &str| Error::Halted {
        at: plan.at.clone(),
        offset,
        problem,
        remedy: remedy.to_owned(),
    };
    let Some(place) = committed else {
        if so_far.committed_tally.count > 0 {
            let problem = "the group's committed offset was removed by another tool".to_owned();
            let remedy =
                "what was forwarded so far is in the target: set the offset right before going on";
            return Err(halted(so_far.committed, problem, remedy).into());
        }
        let start = plan.start.ok_or_else(|| {
            let problem = "the group has no committed offset here".to_owned();
            halted(-1, problem, "say where to begin with --from")
        })?;
        return Ok((start, Note::of(&plan.tag)));
    };
    let other = "use a group of its own for every target; this one's offsets are left as they are";
    let note: Note = place.metadata.parse().map_err(|problem| {
        halted(
            place.offset,
            format!("the offset was moved by another tool: {problem}"),
            other,
        )
    })?;
    if note.tag != plan.tag {
        let problem = "the group's offset belongs to another target topic".to_owned();
        return Err(halted(place.offset, problem, other).into());
    }
    Ok((place.offset, note))
}
