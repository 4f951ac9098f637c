//! The work door: a batch of messages in, what may run out; a batch of results in, what may run next out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fanout_core::error::Error;
use fanout_core::record::{Origin, ORIGIN_HEADER};
use fanout_core::work::{self, Arrival, Fate, Limits, Order, RecordId, Run, Setup, Start};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyBytesMethods, PyList, PyString, PyTuple};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::raise;

/// librdkafka's `RD_KAFKA_RESP_ERR__PARTITION_EOF`: not an error, but how far the client has read.
const PARTITION_EOF: i32 = -191;

/// A record that may run: its id, and its message as it came.
type Runnable = (u64, Py<PyAny>);

/// See `_fanout.pyi`.
#[pyclass(module = "fanout._fanout", frozen)]
pub(crate) struct Intake {
    inner: Mutex<work::Intake<Py<PyAny>>>,
    wants_key: bool,
    wants_origin: bool,
}

impl Intake {
    /// Waits for the lock without the GIL: its holder may be in the middle of Python, freeing a message.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, work::Intake<Py<PyAny>>> {
        self.inner
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, message: &Bound<'_, PyAny>) -> PyResult<Arrival> {
        let py = message.py();
        let key = message
            .call_method0(intern!(py, "key"))?
            .extract::<Option<Bound<'_, PyBytes>>>()?;
        let key = key.as_ref().map(PyBytesMethods::as_bytes);
        Ok(Arrival {
            partition: message.call_method0(intern!(py, "partition"))?.extract()?,
            offset: message.call_method0(intern!(py, "offset"))?.extract()?,
            key: key.filter(|_| self.wants_key).map(xxh3_64),
            bytes: message.len()? + key.map_or(0, <[u8]>::len),
            origin: if self.wants_origin {
                origin_of(message)?
            } else {
                None
            },
        })
    }
}

#[pymethods]
impl Intake {
    #[new]
    #[pyo3(signature = (topic, order, *, limits, run = None))]
    fn new(
        topic: &str,
        order: &str,
        limits: (usize, usize),
        run: Option<(String, HashMap<i32, i32>)>,
    ) -> PyResult<Self> {
        let order = order_of(order)?;
        let setup = Setup {
            topic: topic.into(),
            order,
            limits: Limits {
                records: limits.0,
                bytes: limits.1,
            },
            run: run.map(|(id, sources)| Run { id, sources }),
        };
        Ok(Self {
            wants_key: order == Order::Key,
            wants_origin: setup.run.is_some(),
            inner: Mutex::new(work::Intake::new(setup)),
        })
    }

    fn assign(
        &self,
        py: Python<'_>,
        partition: i32,
        offset: i64,
        metadata: String,
    ) -> PyResult<()> {
        self.lock(py)
            .assign(partition, &Start { offset, metadata })
            .map_err(raise)
    }

    fn take<'py>(
        &self,
        py: Python<'py>,
        messages: &Bound<'py, PyList>,
    ) -> PyResult<(Vec<Runnable>, Vec<Bound<'py, PyAny>>)> {
        let mut read = Vec::with_capacity(messages.len());
        let mut troubled = Vec::new();
        for message in messages {
            let error = message.call_method0(intern!(py, "error"))?;
            if error.is_none() {
                read.push((self.read(&message)?, Some(message)));
            } else if error.call_method0(intern!(py, "code"))?.extract::<i32>()? == PARTITION_EOF {
                read.push((end_of(&message)?, None));
            } else {
                troubled.push(message);
            }
        }
        let mut runnable = Vec::with_capacity(read.len());
        let mut inner = self.lock(py);
        for (arrival, message) in read {
            let Some(message) = message else {
                inner.reach(arrival.partition, arrival.offset);
                continue;
            };
            if let Some((id, message)) = inner.take(&arrival, message.unbind()).map_err(raise)? {
                runnable.push((id.to_bits(), message));
            }
        }
        Ok((runnable, troubled))
    }

    fn settle(&self, py: Python<'_>, done: Vec<u64>, dead: Vec<u64>) -> Vec<Runnable> {
        let mut inner = self.lock(py);
        let done = done.into_iter().map(|id| (id, Fate::Done));
        done.chain(dead.into_iter().map(|id| (id, Fate::Dead)))
            .filter_map(|(id, fate)| inner.settle(RecordId::from_bits(id), fate))
            .map(|(id, message)| (id.to_bits(), message))
            .collect()
    }

    fn close(&self, py: Python<'_>, partitions: Vec<i32>) -> HashSet<u64> {
        let mut inner = self.lock(py);
        partitions
            .into_iter()
            .filter_map(|partition| inner.close(partition))
            .collect()
    }

    fn forget(&self, py: Python<'_>, partitions: Vec<i32>) {
        let mut inner = self.lock(py);
        for partition in partitions {
            inner.forget(partition);
        }
    }

    fn due(&self, py: Python<'_>) -> Vec<(i32, i64, String)> {
        self.lock(py)
            .due()
            .into_iter()
            .map(|due| (due.partition, due.offset, due.metadata))
            .collect()
    }

    fn committed(&self, py: Python<'_>, partition: i32, offset: i64) {
        self.lock(py).committed(partition, offset);
    }

    fn positions(&self, py: Python<'_>) -> BTreeMap<i32, (i64, i64)> {
        self.lock(py)
            .positions()
            .map(|(partition, committed, position)| (partition, (committed, position)))
            .collect()
    }

    fn room(&self, py: Python<'_>) -> usize {
        self.lock(py).room()
    }

    fn in_flight(&self, py: Python<'_>) -> (usize, usize) {
        self.lock(py).in_flight()
    }

    fn late(&self, py: Python<'_>) -> u64 {
        self.lock(py).late()
    }

    #[staticmethod]
    fn assignment_of(record: u64) -> u64 {
        RecordId::from_bits(record).assignment()
    }
}

fn order_of(name: &str) -> PyResult<Order> {
    match name {
        "key" => Ok(Order::Key),
        "partition" => Ok(Order::Partition),
        "none" => Ok(Order::None),
        _ => Err(raise(Error::Config {
            setting: "order_by".to_owned(),
            problem: format!("`{name}` is none of key, partition, none"),
        })),
    }
}

/// The origin header, if there is exactly one: two of them were not both written by a lane.
fn origin_of(message: &Bound<'_, PyAny>) -> PyResult<Option<Origin>> {
    let headers = message.call_method0(intern!(message.py(), "headers"))?;
    if headers.is_none() {
        return Ok(None);
    }
    let mut found = None;
    for header in headers.cast_into::<PyList>()? {
        let (name, value): (Bound<'_, PyString>, Bound<'_, PyAny>) =
            header.cast_into::<PyTuple>()?.extract()?;
        if name == ORIGIN_HEADER {
            let origin = value
                .cast::<PyBytes>()
                .ok()
                .and_then(|bytes| Origin::from_bytes(bytes.as_bytes()));
            if found.replace(origin).is_some() {
                return Ok(None);
            }
        }
    }
    Ok(found.flatten())
}

fn end_of(message: &Bound<'_, PyAny>) -> PyResult<Arrival> {
    let py = message.py();
    Ok(Arrival {
        partition: message.call_method0(intern!(py, "partition"))?.extract()?,
        offset: message.call_method0(intern!(py, "offset"))?.extract()?,
        key: None,
        bytes: 0,
        origin: None,
    })
}
