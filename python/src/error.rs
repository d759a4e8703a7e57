//! Errors of the core as Python exceptions with a `code`.

use ip_risk_core::error::{Code, Error};
use pyo3::prelude::*;

/// The exception for an error; which class it has is said in `ip_risk/_errors.py`.
pub(crate) fn coded(py: Python<'_>, error: &Error) -> PyErr {
    let made = py
        .import("ip_risk._errors")
        .and_then(|errors| errors.call_method1("coded", (error.code().as_str(), error.to_string())));
    made.map_or_else(|cause| cause, PyErr::from_value)
}

pub(crate) fn closed(py: Python<'_>) -> PyErr {
    coded(py, &Error::new(Code::Closed, "the checker is closed; make a new one"))
}

pub(crate) fn internal(py: Python<'_>, what: &str) -> PyErr {
    coded(py, &Error::new(Code::Internal, what))
}
