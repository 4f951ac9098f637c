//! A user's expression over strangers' text. The engine's time grows with expression times text and no faster:
//! Python's own takes exponential time on the wrong pair, holding the interpreter, so that no signal gets through.

use fanout_core::error::Error;
use pyo3::prelude::*;
use regex::bytes::{Regex, RegexBuilder};

use crate::error::raise;

/// Room for the compiled expression; `(\w{100}){100}` needs more.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// See `_fanout.pyi`.
#[pyclass(frozen)]
pub(crate) struct Pattern {
    regex: Regex,
}

#[pymethods]
impl Pattern {
    #[new]
    fn new(text: &str, setting: String) -> PyResult<Self> {
        let regex = RegexBuilder::new(text)
            .size_limit(MOST_BYTES)
            .dfa_size_limit(MOST_BYTES)
            .build()
            .map_err(|error| {
                raise(Error::Config {
                    setting,
                    problem: error.to_string(),
                })
            })?;
        Ok(Self { regex })
    }

    fn is_in(&self, py: Python<'_>, subject: &[u8]) -> bool {
        py.detach(|| self.regex.is_match(subject))
    }
}
