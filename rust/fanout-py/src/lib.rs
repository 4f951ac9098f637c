//! The only door between the core and Python.
//!
//! | door | into the core | out of it |
//! |---|---|---|
//! | `Forwarder` | settings, once; stop | counters at any time; how each lane ended |
//! | `Cluster` | questions about ends, committed offsets, owners | answers, checked per partition |
//! | `Intake` | a batch of messages; a batch of results | what may run; what to commit |
//! | `allot`, `partition_for` | loads; a key | allotments; a partition |
//! | `Pattern` | an expression; a text | whether it is found |
//! | `oauth_cb` | tokens, when one is needed | – |
//! | logging | – | the core's log lines, to the loggers `fanout_core.*` |

#![expect(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands extracted arguments over by value"
)]

mod client;
mod cluster;
mod error;
mod forward;
mod pattern;
mod route;
mod work;

use pyo3::prelude::*;

/// The compiled half of fanout.
#[pymodule]
fn _fanout(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Only fails if a logger is set already, which then serves as well.
    if pyo3_log::try_init().is_err() {
        log::debug!("another logger was set before fanout's");
    }
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(route::allot, module)?)?;
    module.add_function(wrap_pyfunction!(route::partition_for, module)?)?;
    module.add_class::<cluster::Cluster>()?;
    module.add_class::<cluster::FirstRecord>()?;
    module.add_class::<cluster::OpenTransaction>()?;
    module.add_class::<forward::Forwarder>()?;
    module.add_class::<forward::LaneEnd>()?;
    module.add_class::<forward::LaneStats>()?;
    module.add_class::<pattern::Pattern>()?;
    module.add_class::<work::Intake>()
}
