//! Engines of this process, so that checkers with equal options share one, across worker threads too.

use ip_risk_core::engine::{Handle, Registry};
use ip_risk_core::error::Error;
use ip_risk_core::options::EngineOptions;

static ENGINES: Registry = Registry::new();

/// A share in the engine with these options, which is made when there is none.
pub(crate) fn engine(options: EngineOptions) -> Result<Handle, Error> {
    ENGINES.engine(options)
}
