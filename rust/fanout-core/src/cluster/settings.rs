//! Client properties by librdkafka's names, and what they come to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::security::Security;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::wire::{
    Address, Cancel, ConnectionSettings, Dial, FramePool, Pipes, PlainDial, Throttled, TokenSource,
};

/// How a client reaches its cluster and how long it tries.
#[derive(Clone)]
pub struct ClientSettings {
    /// Where to ask first.
    pub bootstrap: Vec<Address>,
    /// What every connection shares.
    pub connection: ConnectionSettings,
    /// First and longest pause between two tries.
    pub backoff: (Duration, Duration),
    /// How long a question is asked again before it counts as unanswered.
    pub deadline: Duration,
    /// How a stream to a broker is opened.
    pub dial: Arc<dyn Dial>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The longest answer read where no lane sets a bound of its own, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

impl ClientSettings {
    /// Reads librdkafka's property names.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a property that is missing, malformed, or that
    /// this data plane cannot honour: none is ignored.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<Self> {
        Self::with_tokens(properties, None)
    }

    /// The same, with the source of tokens that `sasl.mechanisms = OAUTHBEARER` asks for.
    ///
    /// # Errors
    ///
    /// As [`from_properties`](Self::from_properties).
    pub fn with_tokens(
        properties: &BTreeMap<String, String>,
        tokens: Option<Arc<dyn TokenSource>>,
    ) -> Result<Self> {
        let mut settings = Self {
            bootstrap: Vec::new(),
            connection: ConnectionSettings {
                client_id: "fanout".to_owned(),
                dial_timeout: Duration::from_secs(10),
                answer_timeout: Duration::from_secs(15),
                cancel: Cancel::default(),
                max_answer_bytes: MAX_ANSWER_BYTES,
                login: None,
                frames: FramePool::default(),
                pipes: Pipes::default(),
                throttled: Throttled::default(),
            },
            backoff: (Duration::from_millis(20), Duration::from_secs(1)),
            deadline: Duration::from_secs(120),
            dial: Arc::new(PlainDial),
            clock: Arc::new(SystemClock),
        };
        let mut security = Security::default();
        for (name, value) in properties {
            if !security.takes(name, value)? {
                settings.apply(name, value)?;
            }
        }
        (settings.dial, settings.connection.login) = security.settle(tokens)?;
        if settings.bootstrap.is_empty() {
            return Err(config(
                "bootstrap.servers",
                "is missing: name at least one HOST:PORT",
            ));
        }
        if settings.backoff.0 > settings.backoff.1 {
            return Err(config(
                "retry.backoff.ms",
                "is greater than retry.backoff.max.ms",
            ));
        }
        Ok(settings)
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "bootstrap.servers" | "metadata.broker.list" => {
                self.bootstrap = value
                    .split(',')
                    .map(|part| {
                        part.parse()
                            .map_err(|problem: String| config(name, &problem))
                    })
                    .collect::<Result<_>>()?;
            }
            "client.id" => value.clone_into(&mut self.connection.client_id),
            "socket.timeout.ms" | "request.timeout.ms" => {
                self.connection.answer_timeout = millis(name, value, 1_000)?;
            }
            "socket.connection.setup.timeout.ms" => {
                self.connection.dial_timeout = millis(name, value, 100)?;
            }
            "retry.backoff.ms" | "reconnect.backoff.ms" => self.backoff.0 = millis(name, value, 1)?,
            "retry.backoff.max.ms" | "reconnect.backoff.max.ms" => {
                self.backoff.1 = millis(name, value, 1)?;
            }
            "message.timeout.ms" | "delivery.timeout.ms" => {
                self.deadline = millis(name, value, 1_000)?;
            }
            // Always so here: said for the sake of files shared with other clients.
            "socket.nagle.disable" | "socket.keepalive.enable" if value == "true" => {}
            _ => {
                return Err(config(
                    name,
                    "is not a property that fanout's own connections can honour",
                ))
            }
        }
        Ok(())
    }
}

fn millis(name: &str, value: &str, least: u64) -> Result<Duration> {
    match value.parse::<u64>() {
        Ok(number) if (least..=86_400_000).contains(&number) => Ok(Duration::from_millis(number)),
        _ => Err(config(
            name,
            &format!("`{value}` is not a number of milliseconds from {least} to 86400000"),
        )),
    }
}

pub(super) fn config(setting: &str, problem: &str) -> Error {
    Error::Config {
        setting: setting.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ClientSettings> {
        ClientSettings::from_properties(
            &pairs
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    fn problem(pairs: &[(&str, &str)]) -> String {
        read(pairs)
            .err()
            .map_or_else(|| "accepted".to_owned(), |error| error.to_string())
    }

    #[test]
    fn every_bootstrap_server_is_kept() {
        let settings = read(&[("bootstrap.servers", "a:1,b:2")]).expect("both are addresses");
        assert_eq!(settings.bootstrap.len(), 2);
    }

    #[test]
    fn a_property_that_cannot_be_honoured_is_an_error_that_names_it() {
        let unknown = problem(&[("bootstrap.servers", "a:1"), ("linger.ms", "5")]);
        assert!(unknown.starts_with("linger.ms: "), "{unknown}");
        let late = problem(&[("bootstrap.servers", "a:1"), ("socket.timeout.ms", "soon")]);
        assert!(late.starts_with("socket.timeout.ms: `soon`"), "{late}");
        assert!(problem(&[]).starts_with("bootstrap.servers: is missing"));
    }
}
