//! Engines of this process, so that checkers with equal options share one, across worker threads too.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ip_risk_core::clock::SystemClock;
use ip_risk_core::engine::Engine;
use ip_risk_core::error::Error;
use ip_risk_core::options::EngineOptions;

/// Weak, so that the last checker that closes ends its engine.
static ENGINES: Mutex<Vec<Weak<Engine>>> = Mutex::new(Vec::new());

/// The engine with these options, made when there is none.
pub(crate) fn engine(options: EngineOptions) -> Result<Arc<Engine>, Error> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.retain(|engine| engine.strong_count() > 0);
    if let Some(engine) = engines.iter().filter_map(Weak::upgrade).find(|engine| *engine.options() == options)
    {
        return Ok(engine);
    }
    let engine = Arc::new(Engine::new(options, Arc::new(SystemClock))?);
    engines.push(Arc::downgrade(&engine));
    Ok(engine)
}
