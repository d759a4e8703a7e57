//! What checkers share in one process: a runtime, engines, and the thread that tells event loops of what has ended.
//!
//! Nothing of it is made before it is needed, so that importing the package starts no thread, and a process that was
//! forked makes its own.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use ip_risk_core::engine::Registry;
use pyo3::Python;
use tokio::runtime::{Builder, Runtime};

use crate::owned::Owned;
use crate::pending::Delivery;

/// One thread is enough: what runs here waits for sockets.
const RUNTIME_THREADS: usize = 1;
/// Name resolution blocks, so it has threads of its own; idle ones end after ten seconds.
const MOST_BLOCKING_THREADS: usize = 4;

/// Only held by who holds the interpreter's lock, so that no other thread can hold it while one forks.
static CURRENT: Mutex<Option<Owned<&'static Process>>> = Mutex::new(None);

pub(crate) struct Process {
    pub(crate) engines: Registry,
    runtime: OnceLock<Runtime>,
    deliveries: Mutex<Option<(JoinHandle<()>, Sender<Delivery>)>>,
}

impl Process {
    /// That of the process which asks. Never dropped: nobody could wait for its threads when the interpreter ends.
    pub(crate) fn current(_: Python<'_>) -> &'static Self {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = current.as_ref().and_then(Owned::get) {
            return process;
        }
        let process: &'static Self = Box::leak(Box::new(Self {
            engines: Registry::new(),
            runtime: OnceLock::new(),
            deliveries: Mutex::default(),
        }));
        *current = Some(Owned::new(process));
        process
    }

    pub(crate) fn runtime(&self) -> io::Result<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .max_blocking_threads(MOST_BLOCKING_THREADS)
            .thread_name("ip-risk")
            .enable_all()
            .build()?;
        Ok(self.runtime.get_or_init(|| runtime))
    }

    /// Where to send what an event loop waits for. A thread of its own tells the loops: it has to wait for the
    /// interpreter, and sockets must not wait with it.
    pub(crate) fn deliveries(&self) -> io::Result<Sender<Delivery>> {
        let mut deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends with its interpreter, and otherwise only by a defect.
        let running = deliveries.as_ref().filter(|(thread, _)| !thread.is_finished());
        if let Some((_, sender)) = running {
            return Ok(sender.clone());
        }
        let (sender, receiver) = channel();
        let thread =
            thread::Builder::new().name("ip-risk-deliver".to_owned()).spawn(move || deliver(&receiver))?;
        *deliveries = Some((thread, sender.clone()));
        Ok(sender)
    }
}

fn deliver(receiver: &Receiver<Delivery>) {
    while let Ok(first) = receiver.recv() {
        let ended = std::iter::once(first).chain(receiver.try_iter());
        // What ends together is told together. An interpreter that is ending keeps this thread in here, for good.
        let told = Python::try_attach(|py| ended.for_each(|delivery| delivery.tell(py)));
        if told.is_none() {
            return;
        }
    }
}
