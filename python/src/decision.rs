//! Decisions as dictionaries.

use ip_risk_core::decision::Decision;
use ip_risk_core::evidence::Provider;
use ip_risk_core::flags::{Field, Flags};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use pyo3::{IntoPyObjectExt, intern};

use crate::convert::seconds;
use crate::live::PolicyWords;

/// The decision as a plain dictionary, which can be changed, logged and sent.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    decision: &Decision,
    policy: &PolicyWords,
) -> PyResult<Bound<'py, PyDict>> {
    let word = |word: &str| PyString::intern(py, word);
    let reasons = decision.reasons.bits();
    let reasons = policy.reasons.iter().enumerate().filter(|(bit, _)| reasons >> bit & 1 == 1);
    let made = PyDict::new(py);
    made.set_item(intern!(py, "ip"), decision.address.map(|address| address.to_string()))?;
    made.set_item(intern!(py, "score"), decision.score.value())?;
    made.set_item(intern!(py, "band"), decision.band.map(|band| word(band.as_str())))?;
    made.set_item(intern!(py, "flags"), flags(py, &decision.flags)?)?;
    made.set_item(intern!(py, "action"), word(decision.action.as_str()))?;
    made.set_item(intern!(py, "would_be"), word(decision.would_be.as_str()))?;
    made.set_item(
        intern!(py, "reasons"),
        PyList::new(py, reasons.map(|(_, reason)| word(reason)).collect::<Vec<_>>())?,
    )?;
    made.set_item(intern!(py, "source"), word(decision.source.as_str()))?;
    made.set_item(intern!(py, "provider"), decision.provider.map(Provider::as_str).map(word))?;
    made.set_item(intern!(py, "stale"), decision.stale)?;
    made.set_item(intern!(py, "degraded"), decision.degraded)?;
    made.set_item(intern!(py, "checked_at"), decision.checked_at.map(seconds))?;
    made.set_item(intern!(py, "failed_open"), decision.failed_open)?;
    made.set_item(intern!(py, "failed_closed"), decision.failed_closed)?;
    made.set_item(intern!(py, "failure"), decision.failure.map(|code| word(code.as_str())))?;
    made.set_item(intern!(py, "mode"), word(decision.mode.as_str()))?;
    made.set_item(intern!(py, "policy"), word(&policy.name))?;
    Ok(made)
}

/// Only the fields that the source knows of.
fn flags<'py>(py: Python<'py>, flags: &Flags) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    let names = flags.names().map(|shared| shared.names());
    for (name, field) in Field::ALL {
        let value = match field {
            Field::ThreatScore => flags.threat_score().map(|score| score.value().into_bound_py_any(py)),
            Field::Boolean(field) => flags.boolean(field).map(|said| said.into_bound_py_any(py)),
            Field::ConfidenceScore(subject) => {
                flags.confidence_score(subject).map(|score| score.value().into_bound_py_any(py))
            }
            Field::LastSeen(subject) => {
                flags.last_seen_date(subject).map(|date| date.to_string().into_bound_py_any(py))
            }
            Field::Name(field) => {
                names.and_then(|names| names.one(field)).map(|name| name.into_bound_py_any(py))
            }
            Field::NameList(field) => names
                .map(|names| names.list(field))
                .filter(|list| !list.is_empty())
                .map(|list| PyList::new(py, list.iter().map(|name| &**name)).map(Bound::into_any)),
        };
        if let Some(value) = value {
            made.set_item(PyString::intern(py, name), value?)?;
        }
    }
    Ok(made)
}
