//! How much may be read and not yet settled, over all partitions of a worker.

/// The two bounds; reading stops when either is met.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most records in flight.
    pub records: usize,
    /// Most bytes of keys and values in flight. One record may lie above it, else a large one could never be read.
    pub bytes: usize,
}

/// What is in flight, against its limits.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    records: usize,
    bytes: usize,
}

impl Budget {
    /// Nothing in flight.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            records: 0,
            bytes: 0,
        }
    }

    /// Counts a record in.
    pub fn take(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    /// Counts a record out.
    ///
    /// # Panics
    ///
    /// If more goes out than came in: the bound would no longer hold.
    pub fn give_back(&mut self, bytes: usize) {
        self.records = self
            .records
            .checked_sub(1)
            .expect("each record goes out once");
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .expect("each byte goes out once");
    }

    /// How many more records may be read now; 0 means stop reading.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.bytes >= self.limits.bytes {
            return 0;
        }
        self.limits.records.saturating_sub(self.records)
    }

    /// Records and bytes in flight.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        (self.records, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_bound_stops_the_reading_and_one_large_record_still_passes() {
        let mut budget = Budget::new(Limits {
            records: 2,
            bytes: 10,
        });
        assert_eq!(budget.room(), 2);
        budget.take(50);
        assert_eq!(budget.room(), 0);
        budget.give_back(50);
        budget.take(1);
        budget.take(1);
        assert_eq!((budget.room(), budget.in_flight()), (0, (2, 2)));
        budget.give_back(1);
        assert_eq!(budget.room(), 1);
    }
}
