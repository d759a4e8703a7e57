//! Words and functions of the core that need no checker.

use ip_risk_core::address::Address;
use ip_risk_core::error::{Code, unknown_option};
use ip_risk_core::options::MOST_ADDRESSES;
use ip_risk_core::provenance::Facts;
use pyo3::prelude::*;
use serde_json::json;

use crate::advice::for_python;
use crate::convert::to_python;
use crate::error::coded;
use crate::guard::caught;

pub(crate) fn code_named(name: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str() == name)
}

/// What the Python side must not write a second time: limits, codes, and the bits of what it saw of a request.
#[pyfunction]
pub(crate) fn vocabulary(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let words = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "most_addresses": MOST_ADDRESSES,
        "codes": Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>(),
        "facts": {
            "framework": Facts::FRAMEWORK,
            "custom": Facts::CUSTOM,
            "trusts_everyone": Facts::TRUSTS_EVERYONE,
            "forwarded_header": Facts::FORWARDED_HEADER,
            "is_peer": Facts::IS_PEER,
            "block_unverified": Facts::BLOCK_UNVERIFIED,
        },
    });
    to_python(py, &words)
}

/// What to do about a code; empty where the error says it itself.
#[pyfunction]
pub(crate) fn advice(code: &str) -> &'static str {
    code_named(code).map_or("", for_python)
}

/// The network that stands for an address in logs: its /24 or /48; empty for text that is no address.
#[pyfunction]
pub(crate) fn network_of(py: Python<'_>, text: &str) -> PyResult<String> {
    caught(py, || Ok(Address::parse_from_framework(text).map(Address::network).unwrap_or_default()))
}

/// Raises the error for an option `key` that is none of the `known` ones.
#[pyfunction]
pub(crate) fn refuse_option(py: Python<'_>, path: &str, key: &str, known: Vec<String>) -> PyResult<()> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(coded(py, &unknown_option(path, key, &known)))
}
