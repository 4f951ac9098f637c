//! What an outbox does when a batch was not acknowledged: everything unacknowledged goes again, in order.

use std::collections::BTreeSet;

use super::super::seam::{Interrupt, Produce, Step};
use super::{Outbox, Parcel};
use crate::cluster::Failure;

impl<P: Produce> Outbox<P> {
    pub(super) fn recover_after(&mut self, node: i32, failure: Failure) -> Step<()> {
        let reason = reason_of(failure)?;
        let lost = self.flying.remove(&node).unwrap_or_default();
        self.produce.refresh(&[node]);
        self.recover(lost.into_iter().flatten().collect(), reason)
    }

    /// Drains what is in flight, then sends everything unacknowledged again, in order, one request at a time.
    pub(super) fn recover(&mut self, mut unsent: Vec<Parcel>, reason: String) -> Step<()> {
        self.give_up_parked(&unsent, &reason)?;
        tracing::debug!(source = %self.source, %reason, "sending again");
        while let Some((node, requests)) = self.flying.pop_first() {
            let mut requests = requests.into_iter();
            while let Some(request) = requests.next() {
                if let Ok(answers) = self.produce.receive(node) {
                    let (failed, _) = self.sort_out(request, &answers, &unsent)?;
                    unsent.extend(failed);
                } else {
                    self.produce.refresh(&[node]);
                    unsent.extend(request);
                    unsent.extend(requests.by_ref().flatten());
                }
            }
        }
        unsent.sort_by_key(|parcel| parcel.number);
        self.resend(unsent, reason)
    }

    fn resend(&mut self, mut unsent: Vec<Parcel>, mut reason: String) -> Step<()> {
        let mut tries = 0;
        while !unsent.is_empty() {
            self.produce.pause(tries, &reason)?;
            tries += 1;
            self.produce.refresh(&[]);
            let node = match self.produce.leader(unsent[0].target) {
                Ok(node) => node,
                Err(failure) => {
                    reason = reason_of(failure)?;
                    continue;
                }
            };
            let (mut request, rest) = self.first_of_each(unsent, node);
            unsent = rest;
            let sent = self.hand_over(node, &mut request)?;
            match sent.and_then(|()| self.produce.receive(node)) {
                Ok(answers) => {
                    let before = request.len();
                    let (failed, why) = self.sort_out(request, &answers, &[])?;
                    if failed.len() < before {
                        tries = 0;
                    } else {
                        reason = why;
                    }
                    unsent.extend(failed);
                }
                Err(failure) => {
                    reason = reason_of(failure)?;
                    self.produce.refresh(&[node]);
                    unsent.extend(request);
                }
            }
            unsent.sort_by_key(|parcel| parcel.number);
        }
        Ok(())
    }

    /// Splits off the oldest batch of each target that `node` leads.
    fn first_of_each(&mut self, unsent: Vec<Parcel>, node: i32) -> (Vec<Parcel>, Vec<Parcel>) {
        let mut seen = BTreeSet::new();
        unsent.into_iter().partition(|parcel| {
            let first = seen.insert(parcel.target);
            first
                && self
                    .produce
                    .leader(parcel.target)
                    .is_ok_and(|leader| leader == node)
        })
    }
}

/// What there is to say before trying again; a failure that no try cures ends the lane.
pub(super) fn reason_of(failure: Failure) -> Step<String> {
    match failure {
        Failure::Stop(error) => Err(Interrupt::Stop(error)),
        Failure::Missing(error) => Ok(error.to_string()),
        Failure::Wait(reason) | Failure::Stale(reason) => Ok(reason),
    }
}
