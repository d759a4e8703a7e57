//! What is under way, for a thread that waits or for an event loop that is told.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ip_risk_core::decision::{Decision, PolicyId};
use ip_risk_core::error::{Code, Error};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::checker::told;
use crate::decision;
use crate::error::{coded, internal};
use crate::guard::{caught, caught_or};
use crate::live::Live;
use crate::owned::Owned;
use crate::process::Process;

/// How long a thread waits before it looks whether there was a signal, so that Ctrl-C interrupts it.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long after its deadline a look-up is given up that nobody told the end of.
const GRACE: Duration = Duration::from_secs(1);

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
    fn into_python<'py>(self, py: Python<'py>, live: &Arc<Live>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::One(decision, is_request) => {
                Ok(told(py, live, &decision, is_request)?.into_pyobject(py)?.into_any())
            }
            Self::Many(decisions) => {
                let rest = (Arc::clone(live), decisions.into_iter());
                Decisions { rest: Mutex::new(Owned::new(rest)) }.into_bound_py_any(py)
            }
            Self::Nothing => Ok(py.None().into_bound(py)),
            Self::Refused(error) => Err(coded(py, &error)),
        }
    }
}

/// What answers in place of a task that panicked, which only a defect can cause.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instead {
    /// The failure mode; `true` when the decision is about a request.
    One(PolicyId, bool),
    /// So many of them.
    Many(PolicyId, usize),
    Error,
}

impl Instead {
    fn product(self, live: &Live) -> Product {
        let failed = |policy| {
            let decision = live.checker.failed(policy, Code::Internal);
            live.checker.record(&decision);
            decision
        };
        match self {
            Self::One(policy, is_request) => Product::One(failed(policy), is_request),
            Self::Many(policy, count) => Product::Many((0..count).map(|_| failed(policy)).collect()),
            Self::Error => {
                Product::Refused(Error::new(Code::Internal, "a task ended too early; please report it"))
            }
        }
    }
}

#[derive(Debug)]
struct Task {
    join: JoinHandle<Product>,
    runtime: &'static Runtime,
    live: Arc<Live>,
    instead: Instead,
}

/// What a task ended with, for Python.
struct Ended {
    joined: Result<Product, JoinError>,
    live: Arc<Live>,
    instead: Instead,
}

impl Ended {
    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let Self { joined, live, instead } = self;
        let product = || joined.unwrap_or_else(|_| instead.product(&live)).into_python(py, &live);
        caught_or(py, product, || instead.product(&live).into_python(py, &live))
    }
}

/// The decisions of a list. Python makes its objects of some at a time, so that others can have the interpreter between.
#[pyclass(frozen, module = "ip_risk._native")]
pub(crate) struct Decisions {
    rest: Mutex<Owned<(Arc<Live>, std::vec::IntoIter<Decision>)>>,
}

#[pymethods]
impl Decisions {
    /// The next ones; nothing when there are no more.
    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let taken = {
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            rest.get_mut().map(|(live, rest)| (Arc::clone(live), rest.take(most).collect::<Vec<_>>()))
        };
        let Some((live, taken)) = taken else { return Err(elsewhere(py)) };
        caught(py, || {
            let made = PyList::empty(py);
            for decision in &taken {
                made.append(decision::to_python(py, decision, &live.words(decision.policy))?)?;
            }
            Ok(made)
        })
    }
}

fn elsewhere(py: Python<'_>) -> PyErr {
    internal(py, "it was waited for before, or in another process")
}

/// Something under way. To be waited for once, in the process that began it.
#[pyclass(frozen, module = "ip_risk._native")]
pub(crate) struct Pending {
    task: Mutex<Owned<Task>>,
    /// Owned too: ending it takes a lock.
    stop: Owned<CancellationToken>,
}

impl Pending {
    /// Starts a task. `stop` ends it early where that is possible.
    pub(crate) fn start(
        py: Python<'_>,
        live: &Arc<Live>,
        instead: Instead,
        stop: CancellationToken,
        task: impl Future<Output = Product> + Send + 'static,
    ) -> PyResult<Self> {
        let refused = |_| internal(py, "no thread could be started for look-ups");
        let runtime = Process::current(py).runtime().map_err(refused)?;
        let join = runtime.spawn(task);
        let task = Task { join, runtime, live: Arc::clone(live), instead };
        Ok(Self { task: Mutex::new(Owned::new(task)), stop: Owned::new(stop) })
    }

    fn take(&self, py: Python<'_>) -> PyResult<Task> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        task.ok_or_else(|| elsewhere(py))
    }
}

#[pymethods]
impl Pending {
    /// Waits, without holding the interpreter's lock. A signal handler that raises, as that of Ctrl-C does, ends the wait.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        caught(py, || {
            // A handler of signals may fork: in the child, there is nobody to wait for.
            let mut task = Owned::new(self.take(py)?);
            while let Some(Task { join, runtime, live, instead }) = task.get_mut() {
                let joined = py.detach(|| runtime.block_on(async { timeout(PATIENCE, join).await }));
                if let Ok(joined) = joined {
                    return Ended { joined, live: Arc::clone(live), instead: *instead }.into_python(py);
                }
                py.check_signals().inspect_err(|_| self.stop())?;
            }
            Err(elsewhere(py))
        })
    }

    /// Has `call_soon(settle, value)` called when it has ended, from another thread, with an exception for `value` where
    /// that is what it ended with.
    fn deliver(&self, py: Python<'_>, call_soon: Py<PyAny>, settle: Py<PyAny>) -> PyResult<()> {
        caught(py, || {
            let refused = |_| internal(py, "no thread could be started for event loops");
            let deliveries: Sender<Delivery> = Process::current(py).deliveries().map_err(refused)?;
            let Task { join, runtime, live, instead } = self.take(py)?;
            runtime.spawn(async move {
                let ended = Ended { joined: join.await, live, instead };
                // Nobody takes it where there is no interpreter any more.
                let _ = deliveries.send(Delivery { ended, call_soon, settle });
            });
            Ok(())
        })
    }

    /// How many seconds an event loop waits to be told of a decision, which has been made long before; nothing for what
    /// has no deadline as a whole.
    fn patience(&self) -> Option<f64> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let Task { live, instead: Instead::One(..), .. } = task.get()? else { return None };
        Some((live.checker.engine().options().deadline + GRACE).as_secs_f64())
    }

    /// Ends it early, where that is possible.
    fn stop(&self) {
        if let Some(stop) = self.stop.get() {
            stop.cancel();
        }
    }
}

/// What an event loop is to be told.
pub(crate) struct Delivery {
    ended: Ended,
    call_soon: Py<PyAny>,
    settle: Py<PyAny>,
}

impl Delivery {
    pub(crate) fn tell(self, py: Python<'_>) {
        // What panics here must not end the thread.
        let _ = caught(py, || {
            let Self { ended, call_soon, settle } = self;
            let value = match ended.into_python(py) {
                Ok(value) => value,
                Err(error) => error.into_value(py).into_bound(py).into_any(),
            };
            // The loop may have been closed meanwhile; then nobody waits.
            call_soon.call1(py, (settle, value)).map(drop)
        });
    }
}
