//! The one place where an engine error becomes a Python exception.
//!
//! The exceptions themselves are written in Python, in `fanout/errors.py`; the
//! arguments here are those of their constructors. No wildcard arm: a new
//! `Error` variant does not compile until it is given an exception.

use fanout_core::error::Error;
use pyo3::prelude::*;

pyo3::import_exception!(fanout.errors, BrokerError);
pyo3::import_exception!(fanout.errors, ConfigError);
pyo3::import_exception!(fanout.errors, FencedError);
pyo3::import_exception!(fanout.errors, HaltedError);
pyo3::import_exception!(fanout.errors, RefusedError);
pyo3::import_exception!(fanout.errors, SecurityError);
pyo3::import_exception!(fanout.errors, UnreachableError);
pyo3::import_exception!(fanout.errors, WorkError);

/// For `map_err`: turns `error` into the exception its variant stands for.
pub(crate) fn raise(error: Error) -> PyErr {
    match error {
        Error::Config { setting, problem } => ConfigError::new_err((setting, problem)),
        Error::Refused { problem, remedy } => RefusedError::new_err((problem, remedy)),
        Error::Security { problem, remedy } => SecurityError::new_err((problem, remedy)),
        Error::Unreachable { reason } => UnreachableError::new_err(reason),
        Error::Broker {
            request,
            subject,
            code,
            remedy,
        } => BrokerError::new_err((request, subject, code, remedy)),
        Error::Fenced { transactional_id } => FencedError::new_err(transactional_id),
        Error::Halted {
            at,
            offset,
            problem,
            remedy,
        } => HaltedError::new_err((at.topic.to_string(), at.partition, offset, problem, remedy)),
        Error::Work { problem, remedy } => WorkError::new_err((problem, remedy)),
    }
}
