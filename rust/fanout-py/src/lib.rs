//! The only door between the core and Python.
//!
//! | door | direction |
//! |---|---|

mod error;

use pyo3::prelude::*;

/// The compiled half of fanout.
#[pymodule]
fn _fanout(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
