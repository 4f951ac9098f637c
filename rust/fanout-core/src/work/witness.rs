//! Checks, on every record of a run, that it came from where it must and after the one before.
//!
//! A target partition of a run has one writer, which carries one source partition
//! in order. A record with another source, or with an origin that does not grow,
//! was forged, doubled or reordered: counts and sums might still agree.

use crate::record::Origin;

/// Watches the origins of one target partition.
#[derive(Debug, Clone, Copy)]
pub struct Witness {
    source: i32,
    last: i64,
}

impl Witness {
    /// Expects records of `source` alone. What lies before the first record seen is not known.
    #[must_use]
    pub fn of(source: i32) -> Self {
        Self { source, last: -1 }
    }

    /// Accepts the next record's origin, or says in one clause what is wrong with it.
    ///
    /// # Errors
    ///
    /// A missing origin, another source partition, or an offset that does not grow.
    pub fn check(&mut self, origin: Option<Origin>) -> Result<(), String> {
        let Some(origin) = origin else {
            return Err("carries no readable fanout.origin header".to_owned());
        };
        if origin.partition != self.source {
            return Err(format!(
                "says it comes from source partition {}, but this one only takes from {}",
                origin.partition, self.source
            ));
        }
        if origin.offset <= self.last {
            return Err(format!(
                "says it is source offset {}, after {} was read",
                origin.offset, self.last
            ));
        }
        self.last = origin.offset;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(partition: i32, offset: i64) -> Origin {
        Origin { partition, offset }
    }

    #[test]
    fn forged_doubled_and_reordered_records_are_each_named() {
        let mut witness = Witness::of(1);
        assert_eq!(witness.check(Some(origin(1, 0))), Ok(()));
        assert_eq!(witness.check(Some(origin(1, 5))), Ok(()));
        for (wrong, said) in [
            (None, "no readable"),
            (Some(origin(2, 6)), "source partition 2"),
            (Some(origin(1, 5)), "source offset 5, after 5"),
            (Some(origin(1, 4)), "source offset 4, after 5"),
        ] {
            let problem = witness.check(wrong).expect_err("must be refused");
            assert!(problem.contains(said), "{problem}");
        }
        assert_eq!(witness.check(Some(origin(1, 6))), Ok(()));
    }
}
