//! Where a record goes, for planning and for tests: the lanes ask the core directly.

use fanout_core::error::Error;
use fanout_core::route;
use pyo3::prelude::*;

use crate::error::raise;
use crate::forward::partitioner;

/// See `_fanout.pyi`.
#[pyfunction]
pub(crate) fn allot(loads: Vec<u64>, targets: i32) -> PyResult<Vec<Vec<i32>>> {
    let allotments = route::allot(&loads, targets).map_err(|error| {
        raise(Error::Config {
            setting: "partitions".to_owned(),
            problem: error.to_string(),
        })
    })?;
    Ok(allotments.into_iter().map(Iterator::collect).collect())
}

/// See `_fanout.pyi`.
#[pyfunction]
pub(crate) fn partition_for(
    partitioner: &str,
    key: &[u8],
    partitions: u32,
) -> PyResult<Option<u32>> {
    let chosen = self::partitioner(partitioner).map_err(raise)?;
    if partitions == 0 {
        return Err(raise(Error::Config {
            setting: "partitions".to_owned(),
            problem: "is 0".to_owned(),
        }));
    }
    Ok(chosen.place(Some(key), partitions))
}
