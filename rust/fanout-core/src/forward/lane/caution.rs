//! How long a lane reads what it could leave in the kernel, after it lost such batches.

/// So many commits, at most.
const LONGEST: u32 = 64;

/// Commits to come before payloads may be left unread: twice as many after each loss, until some went well.
#[derive(Debug)]
pub(super) struct Caution {
    left: u32,
    next: u32,
}

impl Default for Caution {
    fn default() -> Self {
        Self { left: 0, next: 1 }
    }
}

impl Caution {
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// A transaction was given up.
    pub(super) fn lost(&mut self) {
        self.left = self.next;
        self.next = (2 * self.next).min(LONGEST);
    }

    /// A transaction was committed.
    pub(super) fn committed(&mut self) {
        if self.left > 0 {
            self.left -= 1;
        } else {
            self.next = (self.next / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits until payloads may be left unread again.
    fn wait(caution: &mut Caution) -> u32 {
        let mut commits = 0;
        while !caution.is_over() {
            caution.committed();
            commits += 1;
        }
        commits
    }

    #[test]
    fn each_loss_doubles_the_wait_and_each_success_halves_it() {
        let mut caution = Caution::default();
        let waits = [(); 8].map(|()| {
            caution.lost();
            wait(&mut caution)
        });
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64]);
        for _ in 0..4 {
            caution.committed();
        }
        caution.lost();
        assert_eq!(wait(&mut caution), 4);
    }
}
