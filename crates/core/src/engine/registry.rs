//! Engines of one process, so that checkers with equal options share one.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Engine, Handle};
use crate::clock::SystemClock;
use crate::error::{Code, Error};
use crate::options::EngineOptions;

/// Weak references, so that the last checker that closes ends its engine. A face keeps one for its process.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Vec<Weak<Engine>>>);

impl Registry {
    /// No engine yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// A share in the engine with these options, which is made when there is none.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn engine(&self, options: EngineOptions) -> Result<Handle, Error> {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|engine| engine.strong_count() > 0);
        let mut known =
            engines.iter().filter_map(Weak::upgrade).filter(|engine| *engine.options() == options);
        // One that the last checker has just left is ending.
        if let Some(handle) = known.find_map(Handle::on) {
            return Ok(handle);
        }
        let engine = Arc::new(Engine::new(options, Arc::new(SystemClock))?);
        engines.push(Arc::downgrade(&engine));
        Handle::on(engine).ok_or_else(|| Error::new(Code::Internal, "the engine ended before it began"))
    }
}
