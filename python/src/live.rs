//! A checker as it lives in one process.

use std::sync::{Arc, Mutex, PoisonError};

use ip_risk_core::checker::Checker;
use ip_risk_core::decision::PolicyId;
use ip_risk_core::engine::{Engine, Handle};
use ip_risk_core::error::{Code, Error};
use ip_risk_core::options::{CheckerOptions, EngineOptions};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::process::Process;
use crate::test_clock::TestClock;

/// The words for what a policy decides.
#[derive(Debug)]
pub(crate) struct PolicyWords {
    pub(crate) name: String,
    /// What each bit of the reasons means.
    pub(crate) reasons: Vec<String>,
}

/// A policy that was written at one route: the name of its base, and what was written.
pub(crate) type Added = (String, Value);

/// The core's checker, with what is under way in it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) checker: Arc<Checker>,
    /// What `close` waits for.
    pub(crate) under_way: TaskTracker,
    /// Ends lists when the checker closes.
    pub(crate) closing: CancellationToken,
    pub(crate) clock: Option<Arc<TestClock>>,
    has_ended: OnceCell<()>,
    /// By the number of the policy.
    words: Mutex<Vec<Arc<PolicyWords>>>,
}

impl Live {
    /// A checker with those options and policies, on an engine that checkers of the process share.
    pub(crate) fn new(
        process: &Process,
        options: &CheckerOptions,
        added: &[Added],
        has_test_clock: bool,
    ) -> Result<Self, Error> {
        let clock = has_test_clock.then(|| Arc::new(TestClock::default()));
        let engine = match &clock {
            // A clock of its own must not move other checkers.
            Some(clock) => engine_with(options.engine.clone(), clock),
            None => process.engines.engine(options.engine.clone()),
        };
        let checker = Checker::new(engine?, options.clone());
        for (base, written) in added {
            checker.add_policy(base, written)?;
        }
        Ok(Self {
            checker: Arc::new(checker),
            under_way: TaskTracker::new(),
            closing: CancellationToken::new(),
            clock,
            has_ended: OnceCell::new(),
            words: Mutex::default(),
        })
    }

    /// Ends lists, waits for what is under way, and gives the engine up. Who comes second waits for the first.
    pub(crate) async fn end(&self) {
        let end = || async {
            self.closing.cancel();
            self.under_way.close();
            self.under_way.wait().await;
            self.checker.close().await;
        };
        self.has_ended.get_or_init(end).await;
    }

    pub(crate) fn words(&self, policy: PolicyId) -> Arc<PolicyWords> {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::from(policy.number());
        if words.len() <= place {
            self.checker.with_policies(|policies| {
                let new = policies.all().iter().skip(words.len());
                words.extend(new.map(|policy| {
                    let (name, reasons) = (policy.name().to_owned(), policy.reason_names());
                    Arc::new(PolicyWords { name, reasons })
                }));
            });
        }
        Arc::clone(&words[place])
    }
}

fn engine_with(options: EngineOptions, clock: &Arc<TestClock>) -> Result<Handle, Error> {
    let engine = Engine::new(options, Arc::<TestClock>::clone(clock))?;
    Handle::on(Arc::new(engine)).ok_or_else(|| Error::new(Code::Internal, "the engine ended before it began"))
}
