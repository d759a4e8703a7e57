//! What is under way, for a thread that waits or for an event loop that is told.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ip_risk_core::decision::{Decision, PolicyId};
use ip_risk_core::error::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::checker::told;
use crate::decision;
use crate::error::{coded, internal};
use crate::live::Live;
use crate::owned::Owned;
use crate::process::Process;

/// How long a thread waits before it looks whether there was a signal, so that Ctrl-C interrupts it.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a task brings.
#[derive(Debug)]
pub(crate) enum Product {
    /// A decision; `true` when it is about a request.
    One(Decision, bool),
    Many(Vec<Decision>),
    Nothing,
    Refused(Error),
}

impl Product {
    fn into_python<'py>(self, py: Python<'py>, live: &Live) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::One(decision, is_request) => {
                Ok(told(py, live, &decision, is_request)?.into_pyobject(py)?.into_any())
            }
            Self::Many(decisions) => {
                let made = PyList::empty(py);
                for decision in &decisions {
                    made.append(decision::to_python(py, decision, &live.words(decision.policy))?)?;
                }
                Ok(made.into_any())
            }
            Self::Nothing => Ok(py.None().into_bound(py)),
            Self::Refused(error) => Err(coded(py, &error)),
        }
    }
}

#[derive(Debug)]
struct Task {
    join: JoinHandle<Product>,
    runtime: &'static Runtime,
    live: Arc<Live>,
    /// Whose failure mode answers when the task itself fails; nothing where it is not about one decision.
    policy: Option<PolicyId>,
}

impl Task {
    /// What a task that panicked, which only a defect can cause, is worth.
    fn product(joined: Result<Product, JoinError>, live: &Live, policy: Option<PolicyId>) -> Product {
        joined.unwrap_or_else(|_| match policy {
            Some(policy) => Product::One(live.checker.failed(policy, Code::Internal), true),
            None => Product::Refused(Error::new(Code::Internal, "a task ended too early; please report it")),
        })
    }
}

/// Something under way. To be waited for once, in the process that began it.
#[pyclass(frozen, module = "ip_risk._native")]
pub(crate) struct Pending {
    task: Mutex<Owned<Task>>,
    stop: CancellationToken,
}

impl Pending {
    /// Starts a task. `stop` ends it early where that is possible.
    pub(crate) fn start(
        py: Python<'_>,
        live: &Arc<Live>,
        policy: Option<PolicyId>,
        stop: CancellationToken,
        task: impl Future<Output = Product> + Send + 'static,
    ) -> PyResult<Self> {
        let refused = |_| internal(py, "no thread could be started for look-ups");
        let runtime = Process::current(py).runtime().map_err(refused)?;
        let join = runtime.spawn(task);
        let task = Task { join, runtime, live: Arc::clone(live), policy };
        Ok(Self { task: Mutex::new(Owned::new(task)), stop })
    }

    fn take(&self, py: Python<'_>) -> PyResult<Task> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        task.ok_or_else(|| internal(py, "it was waited for before, or in another process"))
    }
}

#[pymethods]
impl Pending {
    /// Waits, without holding the interpreter's lock. A signal handler that raises, as that of Ctrl-C does, ends the wait.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut task = self.take(py)?;
        loop {
            let joined =
                py.detach(|| task.runtime.block_on(async { timeout(PATIENCE, &mut task.join).await }));
            match joined {
                Ok(joined) => {
                    return Task::product(joined, &task.live, task.policy).into_python(py, &task.live);
                }
                Err(_) => py.check_signals().inspect_err(|_| self.stop.cancel())?,
            }
        }
    }

    /// Has `call_soon(settle, value)` called when it has ended, from another thread, with an exception for `value` where
    /// that is what it ended with.
    fn deliver(&self, py: Python<'_>, call_soon: Py<PyAny>, settle: Py<PyAny>) -> PyResult<()> {
        let refused = |_| internal(py, "no thread could be started for event loops");
        let deliveries: Sender<Delivery> = Process::current(py).deliveries().map_err(refused)?;
        let Task { join, runtime, live, policy } = self.take(py)?;
        runtime.spawn(async move {
            let product = Task::product(join.await, &live, policy);
            // Nobody takes it when the interpreter is ending.
            let _ = deliveries.send(Delivery { product, live, call_soon, settle });
        });
        Ok(())
    }

    /// Ends it early, where that is possible.
    fn stop(&self) {
        self.stop.cancel();
    }
}

/// What an event loop is to be told.
pub(crate) struct Delivery {
    product: Product,
    live: Arc<Live>,
    call_soon: Py<PyAny>,
    settle: Py<PyAny>,
}

impl Delivery {
    pub(crate) fn tell(self, py: Python<'_>) {
        let value = match self.product.into_python(py, &self.live) {
            Ok(value) => value,
            Err(error) => error.into_value(py).into_bound(py).into_any(),
        };
        // The loop may have been closed meanwhile; then nobody waits.
        let _ = self.call_soon.call1(py, (self.settle, value));
    }
}
