//! The lane's committed offset where no transaction holds it, and a producer id of its own.
//!
//! Nobody is fenced here: a lane that two processes run at a time carries its records
//! twice, and either commit is true, as it is made when what lies below it is in the target.

use super::seam::{Commit, Step};
use crate::cluster::groups::{commit, committed, Committed, Pending};
use crate::cluster::producers::{introduce, Producer};
use crate::cluster::Client;
use crate::record::TopicPartition;

/// The Kafka side of [`Commit`] for at-least-once.
pub struct KafkaOffsets {
    client: Client,
    group: String,
    at: TopicPartition,
}

impl KafkaOffsets {
    /// Commits the offsets of `at` for `group`.
    #[must_use]
    pub fn new(client: Client, group: &str, at: TopicPartition) -> Self {
        Self {
            client,
            group: group.to_owned(),
            at,
        }
    }
}

impl Commit for KafkaOffsets {
    fn acquire(&mut self) -> Step<Producer> {
        Ok(introduce(&mut self.client)?)
    }

    /// What the last producer had in flight may still arrive; it is carried again all the same.
    fn renew(&mut self, _: Producer) -> Step<Producer> {
        self.acquire()
    }

    fn position(&mut self) -> Step<Option<Committed>> {
        let partitions = [self.at.partition];
        let (client, topic) = (&mut self.client, &self.at.topic);
        let mut found = committed(client, &self.group, topic, &partitions, Pending::Wait)?;
        Ok(found.remove(&self.at.partition))
    }

    fn commit(&mut self, producer: Producer, place: &Committed) -> Step<Producer> {
        let places = [(self.at.partition, place.clone())].into();
        commit(&mut self.client, &self.group, &self.at.topic, &places)?;
        Ok(producer)
    }
}
