//! The Python face of ip-risk. It converts between Python and the core, and decides nothing.

#![deny(missing_docs)]
#![expect(clippy::needless_pass_by_value, reason = "the pyo3 macros hand arguments over by value")]

mod advice;
mod checker;
mod convert;
mod decision;
mod error;
mod guard;
mod live;
mod owned;
mod pending;
mod process;
mod setup;
mod stats;
mod test_clock;
mod vocabulary;

use pyo3::pymodule;

// Builds without the interpreter's lock were not tested.
/// What `ip_risk` is made of; its other modules are for users.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::checker::Checker;
    #[pymodule_export]
    use crate::pending::{Decisions, Pending};
    #[pymodule_export]
    use crate::vocabulary::{advice, network_of, refuse_option, vocabulary};
}
