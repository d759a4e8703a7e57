//! Where panics end, which only a defect can cause. Python would see one as `PanicException`, which is no `Exception`, so
//! that neither applications nor their servers catch it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

use crate::error::internal;

/// What `call` gives; a panic becomes an exception with a code.
pub(crate) fn caught<T>(py: Python<'_>, call: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let defect = |_| Err(internal(py, "a defect of ip-risk; please report it with what stands above"));
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(defect)
}

/// What `call` gives, and where that panics what `instead` gives.
pub(crate) fn caught_or<T>(
    py: Python<'_>,
    call: impl FnOnce() -> PyResult<T>,
    instead: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| caught(py, instead))
}
