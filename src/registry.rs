//! Engines of this process, so that checkers with equal options share one, across worker threads too.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ip_risk_core::clock::SystemClock;
use ip_risk_core::engine::{Engine, Handle};
use ip_risk_core::error::{Code, Error};
use ip_risk_core::options::EngineOptions;

/// Weak, so that the last checker that closes ends its engine.
static ENGINES: Mutex<Vec<Weak<Engine>>> = Mutex::new(Vec::new());

/// A share in the engine with these options, which is made when there is none.
pub(crate) fn engine(options: EngineOptions) -> Result<Handle, Error> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.retain(|engine| engine.strong_count() > 0);
    let mut known = engines.iter().filter_map(Weak::upgrade).filter(|engine| *engine.options() == options);
    // One that the last checker has just left is ending.
    if let Some(handle) = known.find_map(Handle::on) {
        return Ok(handle);
    }
    let engine = Arc::new(Engine::new(options, Arc::new(SystemClock))?);
    engines.push(Arc::downgrade(&engine));
    Handle::on(engine).ok_or_else(|| Error::new(Code::Internal, "the engine ended before it began"))
}
