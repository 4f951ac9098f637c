//! The only door between the core and Python.
//!
//! | door | into the core | out of it |
//! |---|---|---|
//! | `Cluster` | questions about ends, committed offsets, owners | answers, checked per partition |
//! | `Intake` | a batch of messages; a batch of results | what may run; what to commit |

#![expect(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands extracted arguments over by value"
)]

mod cluster;
mod error;
mod work;

use pyo3::prelude::*;

/// The compiled half of fanout.
#[pymodule]
fn _fanout(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<cluster::Cluster>()?;
    module.add_class::<work::Intake>()
}
