//! Connections to brokers, opened when needed and dropped when out of step.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;

use super::layout;
use super::retry::judge;
use super::{ClientSettings, Failure, TopicLayout};
use crate::error::{Error, Result};
use crate::wire::{wants_login, Address, Answered, Connection, Refusal, Versions, WireError};

/// What a connection is for: a long poll must not hold up a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Use {
    /// Questions with one answer.
    Control,
    /// Fetches, which may wait at the broker.
    Fetch,
    /// Produce requests, several in flight.
    Produce,
}

/// Whose coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Coordinates {
    Group = 0,
    Transaction = 1,
}

/// How long a topic may be unknown before that is believed: brokers learn of a new one one by one.
const UNKNOWN_TOPIC_GRACE: Duration = Duration::from_secs(5);

const METADATA: RangeInclusive<i16> = 10..=12;
const FIND_COORDINATOR: RangeInclusive<i16> = 4..=4;

/// One thread's view of the cluster.
pub struct Client {
    settings: ClientSettings,
    brokers: HashMap<i32, Address>,
    connections: HashMap<(i32, Use), Connection>,
    coordinators: HashMap<(Coordinates, String), i32>,
    topics: HashMap<String, TopicLayout>,
    /// Brokers that failed when they were asked last.
    suspects: HashSet<i32>,
}

impl Client {
    /// A client that has not asked anything yet: nothing is dialled before the first question.
    #[must_use]
    pub fn new(settings: ClientSettings) -> Self {
        // Until a broker tells its id, a bootstrap address goes by a negative one.
        let brokers = (1..).map(|n: i32| -n).zip(settings.bootstrap.clone());
        Self {
            brokers: brokers.collect(),
            settings,
            connections: HashMap::new(),
            coordinators: HashMap::new(),
            topics: HashMap::new(),
            suspects: HashSet::new(),
        }
    }

    /// How this client reaches its cluster.
    #[must_use]
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Tries until `attempt` succeeds, stops, or the deadline is over, looking everything up again where it is stale.
    ///
    /// # Errors
    ///
    /// The error `attempt` stopped with; [`Error::Unreachable`] after the deadline or a cancel.
    pub fn retry<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let started = self.settings.clock.now();
        let mut pause = self.settings.backoff.0;
        let mut missing_since = None;
        loop {
            let failure = match attempt(self) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let now = self.settings.clock.now();
            let elapsed = now - started;
            if !matches!(failure, Failure::Missing(_)) {
                missing_since = None;
            }
            let reason = match failure {
                Failure::Stop(error) => return Err(error),
                Failure::Missing(error) => {
                    if now - *missing_since.get_or_insert(now) > UNKNOWN_TOPIC_GRACE {
                        return Err(error);
                    }
                    self.forget();
                    error.to_string()
                }
                Failure::Stale(reason) => {
                    self.forget();
                    reason
                }
                Failure::Wait(reason) => reason,
            };
            if elapsed > self.settings.deadline || self.settings.connection.cancel.is_cancelled() {
                return Err(Error::Unreachable { reason });
            }
            tracing::debug!(%reason, "trying again");
            self.settings.clock.sleep(pause);
            pause = (pause * 2).min(self.settings.backoff.1);
        }
    }

    /// Asks `node` and waits for the answer; a connection that fails is dropped.
    ///
    /// # Errors
    ///
    /// [`Failure::Stale`] if the connection failed.
    pub fn ask<R: Answered>(
        &mut self,
        node: i32,
        request: &R,
        versions: &RangeInclusive<i16>,
    ) -> std::result::Result<R::Response, Failure> {
        let connection = self.connection(node, Use::Control)?;
        let is_nameless = connection.is_nameless();
        match connection.call(request, versions) {
            Ok(answer) => {
                self.suspects.remove(&node);
                Ok(answer)
            }
            Err(error) => {
                self.distrust(node, Use::Control);
                Err(if is_nameless {
                    self.asked_for_a_login(error)
                } else {
                    error.into()
                })
            }
        }
    }

    /// A listener that wants a login greets everybody, and hangs up at the first question of who gave no name.
    fn asked_for_a_login(&self, error: WireError) -> Failure {
        let settings = &self.settings;
        match error {
            WireError::Io { address, .. }
                if wants_login(&*settings.dial, &address, &settings.connection) =>
            {
                let refusal = Refusal::new(
                    "this listener asks for a login",
                    "set security.protocol to sasl_ssl or sasl_plaintext, sasl.mechanisms, and who you are",
                );
                WireError::Refused { address, refusal }.into()
            }
            other => other.into(),
        }
    }

    /// Asks any broker.
    ///
    /// # Errors
    ///
    /// [`Failure::Stale`] if none could be reached.
    pub fn ask_any<R: Answered>(
        &mut self,
        request: &R,
        versions: &RangeInclusive<i16>,
    ) -> std::result::Result<R::Response, Failure> {
        let node = self.any()?;
        self.ask(node, request, versions)
    }

    /// What a broker of the cluster announced: its request versions and the cluster's features.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] if none could be reached in time.
    pub fn versions(&mut self) -> Result<Versions> {
        self.retry(|client| {
            let node = client.any()?;
            Ok(client.connection(node, Use::Control)?.versions().clone())
        })
    }

    /// The topic's layout, from memory where it is known.
    ///
    /// # Errors
    ///
    /// [`Failure::Missing`] if the cluster does not know the topic.
    pub fn layout(&mut self, topic: &str) -> std::result::Result<&TopicLayout, Failure> {
        if !self.topics.contains_key(topic) {
            let response = self.ask_any::<MetadataRequest>(&layout::request(topic), &METADATA)?;
            for broker in &response.brokers {
                let address = Address {
                    host: broker.host.to_string(),
                    port: u16::try_from(broker.port)
                        .map_err(|_| Failure::Stale(format!("port {} is none", broker.port)))?,
                };
                self.brokers.insert(broker.node_id.0, address);
            }
            self.leave_bootstrap();
            let found = layout::read(topic, &response)?;
            self.topics.insert(topic.to_owned(), found);
        }
        self.topics
            .get(topic)
            .ok_or_else(|| Failure::Stale(format!("topic {topic} was forgotten")))
    }

    /// The connection to `node` for one use, opened if there is none.
    ///
    /// # Errors
    ///
    /// [`Failure::Stale`] if the broker is unknown or cannot be reached.
    pub fn connection(
        &mut self,
        node: i32,
        purpose: Use,
    ) -> std::result::Result<&mut Connection, Failure> {
        use std::collections::hash_map::Entry;
        if let Some(open) = self.connections.get(&(node, purpose)) {
            if open.is_stale() {
                self.disconnect(node, purpose);
            }
        }
        match self.connections.entry((node, purpose)) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let Some(address) = self.brokers.get(&node) else {
                    return Err(Failure::Stale(format!("broker {node} is not known")));
                };
                let settings = &self.settings;
                let dial = settings.dial.as_ref();
                match Connection::open(dial, address, &settings.connection) {
                    Ok(opened) => Ok(vacant.insert(opened)),
                    Err(error) => {
                        self.suspects.insert(node);
                        Err(error.into())
                    }
                }
            }
        }
    }

    /// Every broker that told its id.
    pub(crate) fn nodes(&self) -> Vec<i32> {
        self.brokers
            .keys()
            .copied()
            .filter(|&node| node >= 0)
            .collect()
    }

    /// Drops a connection that is out of step.
    pub fn disconnect(&mut self, node: i32, purpose: Use) {
        self.connections.remove(&(node, purpose));
    }

    /// Drops a connection after `error`, and asks this broker last when any will do.
    pub(crate) fn distrust(&mut self, node: i32, purpose: Use) {
        self.disconnect(node, purpose);
        self.suspects.insert(node);
    }

    /// Forgets leaders and coordinators: the next question looks them up.
    pub fn forget(&mut self) {
        self.coordinators.clear();
        self.topics.clear();
    }

    /// Asks the coordinator of a group or transactional id.
    pub(crate) fn ask_coordinator<R: Answered>(
        &mut self,
        kind: Coordinates,
        key: &str,
        (request, versions): (&R, &RangeInclusive<i16>),
    ) -> std::result::Result<R::Response, Failure> {
        let node = self.coordinator(kind, key)?;
        self.ask(node, request, versions)
    }

    pub(crate) fn coordinator(
        &mut self,
        kind: Coordinates,
        key: &str,
    ) -> std::result::Result<i32, Failure> {
        let id = (kind, key.to_owned());
        if let Some(&node) = self.coordinators.get(&id) {
            return Ok(node);
        }
        let request = FindCoordinatorRequest::default()
            .with_key_type(kind as i8)
            .with_coordinator_keys(vec![StrBytes::from_string(key.to_owned())]);
        let response = self.ask_any(&request, &FIND_COORDINATOR)?;
        let Some(found) = response.coordinators.first() else {
            return Err(Failure::Stale(format!("no coordinator named for {key}")));
        };
        judge("FindCoordinator", key, found.error_code)?;
        let address = Address {
            host: found.host.to_string(),
            port: u16::try_from(found.port)
                .map_err(|_| Failure::Stale(format!("port {} is none", found.port)))?,
        };
        self.brokers.insert(found.node_id.0, address);
        self.leave_bootstrap();
        self.coordinators.insert(id, found.node_id.0);
        Ok(found.node_id.0)
    }

    /// Drops connections to bootstrap addresses: brokers have told their ids. Kept, each client of each
    /// lane would hold one that it never uses again.
    fn leave_bootstrap(&mut self) {
        self.connections.retain(|(node, _), _| *node >= 0);
    }

    /// A broker that a control connection stands to, or the first that can be dialled.
    fn any(&mut self) -> std::result::Result<i32, Failure> {
        let trusted = self
            .connections
            .keys()
            .find(|(node, used)| *used == Use::Control && !self.suspects.contains(node));
        if let Some(&(node, _)) = trusted {
            return Ok(node);
        }
        // Those that failed last come last. Those that told their id come first: their
        // connection serves other questions too.
        let mut nodes: Vec<i32> = self.brokers.keys().copied().collect();
        nodes.sort_unstable_by_key(|&node| (self.suspects.contains(&node), -node));
        let mut reasons = Vec::new();
        for node in nodes {
            match self.connection(node, Use::Control) {
                Ok(_) => return Ok(node),
                Err(Failure::Stop(error)) => return Err(Failure::Stop(error)),
                Err(Failure::Missing(error)) => reasons.push(error.to_string()),
                Err(Failure::Wait(reason) | Failure::Stale(reason)) => reasons.push(reason),
            }
        }
        reasons.dedup();
        Err(Failure::Stale(reasons.join("; ")))
    }
}
