//! The control connection: ends, committed offsets, cuts. One lock, so any Python thread may call.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fanout_core::cluster::ends::{offsets, Place};
use fanout_core::cluster::groups::{commit, committed, leave, Committed, Pending};
use fanout_core::cluster::holders::open_transactions;
use fanout_core::cluster::producers::{initialise, NOBODY};
use fanout_core::cluster::{topics, Client, ClientSettings};
use fanout_core::error::{Error, Result};
use fanout_core::forward::inspect::inspect;
use fanout_core::forward::scan::{head, tally, Head};
use fanout_core::record::TopicPartition;
use pyo3::prelude::*;
use uuid::Uuid;

use crate::client::client_settings;
use crate::error::raise;

/// How long a transaction may stay open after a take-over: the one who takes over opens none.
const TAKE_OVER_TIMEOUT_MS: i32 = 30_000;

/// A reader that gets nothing new for so long gives up for this time.
const HEAD_PATIENCE: Duration = Duration::from_secs(2);

/// See `_fanout.pyi`.
#[pyclass(module = "fanout._fanout", frozen, get_all)]
pub(crate) struct FirstRecord {
    state: &'static str,
    offset: i64,
    origin: Option<(i32, i64)>,
}

/// See `_fanout.pyi`.
#[pyclass(module = "fanout._fanout", frozen, get_all)]
pub(crate) struct OpenTransaction {
    producer_id: i64,
    epoch: i32,
    first_offset: i64,
    last_write_ms: i64,
    transactional_id: Option<String>,
    began_ms: Option<i64>,
}

/// See `_fanout.pyi`.
#[pyclass(module = "fanout._fanout", frozen)]
pub(crate) struct Cluster {
    settings: ClientSettings,
    client: Mutex<Client>,
}

/// Offset and metadata by partition.
type Places = BTreeMap<i32, (i64, String)>;

impl Cluster {
    fn places(
        &self,
        py: Python<'_>,
        group: &str,
        topic: &str,
        pending: Pending,
    ) -> PyResult<Places> {
        let found = self.with(py, |client| {
            client.forget();
            let partitions = client.retry(|client| Ok(client.layout(topic)?.partitions))?;
            let all: Vec<i32> = (0..partitions).collect();
            committed(client, group, topic, &all, pending)
        })?;
        Ok(found
            .into_iter()
            .map(|(partition, place)| (partition, (place.offset, place.metadata)))
            .collect())
    }

    /// Runs `work` on the client with the GIL released.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Client) -> Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            // A panic half-way leaves at worst a connection out of step, which is dropped at its next use.
            let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut client)
        })
        .map_err(raise)
    }
}

#[pymethods]
impl Cluster {
    #[new]
    #[pyo3(signature = (properties, *, timeout_s = 30.0))]
    fn new(py: Python<'_>, properties: BTreeMap<String, String>, timeout_s: f64) -> PyResult<Self> {
        let mut settings = client_settings(py, properties)?;
        settings.deadline = Duration::try_from_secs_f64(timeout_s).map_err(|error| {
            raise(Error::Config {
                setting: "timeout_s".to_owned(),
                problem: error.to_string(),
            })
        })?;
        Ok(Self {
            settings: settings.clone(),
            client: Mutex::new(Client::new(settings)),
        })
    }

    fn transaction_version(&self, py: Python<'_>) -> PyResult<i16> {
        self.with(py, |client| {
            Ok(client.versions()?.feature("transaction.version"))
        })
    }

    fn api_versions(&self, py: Python<'_>) -> PyResult<BTreeMap<String, (i16, i16)>> {
        self.with(py, |client| Ok(client.versions()?.by_name()))
    }

    fn partitions(&self, py: Python<'_>, topic: &str) -> PyResult<i32> {
        self.with(py, |client| {
            client.forget();
            client.retry(|client| Ok(client.layout(topic)?.partitions))
        })
    }

    fn topic_id(&self, py: Python<'_>, topic: &str) -> PyResult<String> {
        self.with(py, |client| {
            client.forget();
            client.retry(|client| Ok(client.layout(topic)?.id.to_string()))
        })
    }

    fn offsets(&self, py: Python<'_>, topic: &str, at: At) -> PyResult<BTreeMap<i32, i64>> {
        let place = at.place().map_err(raise)?;
        self.with(py, |client| offsets(client, topic, place))
    }

    fn committed(&self, py: Python<'_>, group: &str, topic: &str) -> PyResult<Places> {
        self.places(py, group, topic, Pending::Wait)
    }

    fn last_committed(&self, py: Python<'_>, group: &str, topic: &str) -> PyResult<Places> {
        self.places(py, group, topic, Pending::LeaveOut)
    }

    fn commit(
        &self,
        py: Python<'_>,
        group: &str,
        topic: &str,
        offsets: BTreeMap<i32, (i64, String)>,
    ) -> PyResult<()> {
        let places = offsets
            .into_iter()
            .map(|(partition, (offset, metadata))| (partition, Committed { offset, metadata }))
            .collect();
        self.with(py, |client| commit(client, group, topic, &places))
    }

    fn leave(&self, py: Python<'_>, group: &str, members: Vec<String>) -> PyResult<()> {
        self.with(py, |client| leave(client, group, &members))
    }

    fn take_over(&self, py: Python<'_>, transactional_id: &str) -> PyResult<()> {
        self.with(py, |client| {
            initialise(client, transactional_id, TAKE_OVER_TIMEOUT_MS, NOBODY).map(drop)
        })
    }

    fn first_record(
        &self,
        py: Python<'_>,
        topic: &str,
        partition: i32,
        start: i64,
        end: i64,
    ) -> PyResult<FirstRecord> {
        let at = TopicPartition::new(topic, partition);
        // A client of its own: a long read must not hold up the other questions.
        let settings = self.settings.clone();
        let found = py
            .detach(|| head(settings, &at, (start, end), HEAD_PATIENCE))
            .map_err(raise)?;
        let (state, offset, origin) = match found {
            Head::Record { offset, origin } => ("record", offset, origin),
            Head::End => ("end", end, None),
            Head::Unknown { offset } => ("unknown", offset, None),
        };
        let origin = origin.map(|origin| (origin.partition, origin.offset));
        Ok(FirstRecord {
            state,
            offset,
            origin,
        })
    }

    fn count(
        &self,
        py: Python<'_>,
        topic: &str,
        partition: i32,
        start: i64,
        end: i64,
    ) -> PyResult<(u64, u64)> {
        let at = TopicPartition::new(topic, partition);
        let settings = self.settings.clone();
        let patience = settings.deadline;
        let counted = py
            .detach(|| tally(settings, &at, (start, end), patience))
            .map_err(raise)?;
        Ok((counted.count, counted.sum))
    }

    fn broken_batch(
        &self,
        py: Python<'_>,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> PyResult<Option<(i64, Option<i64>, String)>> {
        let at = TopicPartition::new(topic, partition);
        let found = py
            .detach(|| inspect(&self.settings, &at, offset))
            .map_err(raise)?;
        Ok(found.map(|broken| (broken.from, broken.next, broken.problem)))
    }

    fn delete_topic(&self, py: Python<'_>, topic_id: &str) -> PyResult<()> {
        let id = Uuid::parse_str(topic_id).map_err(|error| {
            raise(Error::Config {
                setting: "topic_id".to_owned(),
                problem: format!("`{topic_id}` is not a topic id: {error}"),
            })
        })?;
        self.with(py, |client| topics::delete(client, id))
    }

    fn stuck_by(
        &self,
        py: Python<'_>,
        topic: &str,
        partition: i32,
    ) -> PyResult<Vec<OpenTransaction>> {
        let open = self.with(py, |client| open_transactions(client, topic, partition))?;
        let told = open.into_iter().map(|held| {
            let (transactional_id, began_ms) = held
                .known
                .map(|known| (known.transactional_id, known.began_ms))
                .unzip();
            OpenTransaction {
                producer_id: held.producer_id,
                epoch: held.epoch,
                first_offset: held.first_offset,
                last_write_ms: held.last_write_ms,
                transactional_id,
                began_ms,
            }
        });
        Ok(told.collect())
    }
}

/// A place by name, or the first record at or after a time.
#[derive(FromPyObject)]
enum At {
    Millis(i64),
    Named(String),
}

impl At {
    fn place(&self) -> Result<Place> {
        match self {
            Self::Millis(millis) if *millis >= 0 => Ok(Place::AtOrAfter(*millis)),
            Self::Millis(millis) => Err(Error::Config {
                setting: "at".to_owned(),
                problem: format!("{millis} ms is before 1970"),
            }),
            Self::Named(name) => match name.as_str() {
                "earliest" => Ok(Place::Earliest),
                "latest" => Ok(Place::Latest),
                "stable" => Ok(Place::Stable),
                _ => Err(Error::Config {
                    setting: "at".to_owned(),
                    problem: format!(
                        "`{name}` is none of earliest, latest, stable or a time in ms"
                    ),
                }),
            },
        }
    }
}
