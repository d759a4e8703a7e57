//! `_native.Checker`: a handle on the core's checker that outlives a fork.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ip_risk_core::breaker::Notice;
use ip_risk_core::budget::Event;
use ip_risk_core::checker::{Evaluation, Request};
use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::decision::{Decision, PolicyId};
use ip_risk_core::error::{Code, Error};
use ip_risk_core::options::CheckerOptions;
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3::{IntoPyObjectExt, intern};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::advice::for_python;
use crate::convert::{seconds, to_python};
use crate::decision;
use crate::error::{closed, coded};
use crate::guard::{caught, caught_or};
use crate::live::{Added, Live};
use crate::owned::Owned;
use crate::pending::{Instead, Pending, Product};
use crate::process::Process;
use crate::setup::{self, Found};
use crate::stats;
use crate::vocabulary::code_named;

/// A decision, and the code of a mistake in the set-up that it shows.
pub(crate) type Told<'py> = (Bound<'py, PyDict>, Option<&'static str>);

/// The decision for Python. One about a request says how its address became known.
pub(crate) fn told<'py>(
    py: Python<'py>,
    live: &Live,
    decision: &Decision,
    is_request: bool,
) -> PyResult<Told<'py>> {
    let made = decision::to_python(py, decision, &live.words(decision.policy))?;
    if is_request {
        made.set_item(intern!(py, "provenance"), decision.provenance.as_str())?;
    }
    Ok((made, decision.warning.map(Code::as_str)))
}

/// For how many milliseconds nobody tries again to make what could not be made: every request would pay for it.
const BETWEEN_TRIES: u64 = 1_000;

/// The checker of one process, or when it could not be made, and why.
type Made = Result<Arc<Live>, (u64, Error)>;

/// What `ip_risk._checker` completes. `policy` is always the name of one, `facts` are bits of `vocabulary()["facts"]`, and
/// 0 where the application itself gives the address.
///
/// Every method that could panic goes through `guard`.
#[pyclass(frozen, module = "ip_risk._native")]
pub(crate) struct Checker {
    options: CheckerOptions,
    has_test_clock: bool,
    added: Mutex<Vec<Added>>,
    made: Mutex<Owned<Made>>,
    is_closed: AtomicBool,
}

/// No Python runs while a lock is held, nor is the interpreter's let go: others could run, who would then wait for it for
/// ever, or fork a child in which nobody opens it again.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checker {
    /// The checker in this process, which makes its own where it was forked from another.
    fn live(&self, py: Python<'_>) -> PyResult<Arc<Live>> {
        let known = locked(&self.made).get().and_then(still_holds);
        known.unwrap_or_else(|| self.make(py)).map_err(|error| coded(py, &error))
    }

    fn make(&self, py: Python<'_>) -> Result<Arc<Live>, Error> {
        self.put_off();
        let added = locked(&self.added).clone();
        let process = Process::current(py);
        let live = py.detach(|| Live::new(process, &self.options, &added, self.has_test_clock));
        let mut made = locked(&self.made);
        // Another thread may have been faster.
        if let Some(Ok(live)) = made.get() {
            return Ok(Arc::clone(live));
        }
        let live = live.map(Arc::new);
        *made = Owned::new(live.clone().map_err(|error| (SystemClock.now(), error)));
        live
    }

    /// Leaves others the error that is known, for as long as one tries again.
    fn put_off(&self) {
        if let Some(Err((at, _))) = locked(&self.made).get_mut() {
            *at = SystemClock.now();
        }
    }

    fn open(&self, py: Python<'_>) -> PyResult<Arc<Live>> {
        if self.is_closed.load(Ordering::Relaxed) { Err(closed(py)) } else { self.live(py) }
    }

    /// The failure mode, where judging itself failed.
    fn failure_mode(&self, py: Python<'_>, policy: &str, code: Code) -> PyResult<(Arc<Live>, Decision)> {
        let live = self.live(py)?;
        let decision = live.checker.failed(policy_named(py, &live, policy)?, code);
        Ok((live, decision))
    }
}

/// What is known of a checker, unless it is worth another try.
fn still_holds(made: &Made) -> Option<Result<Arc<Live>, Error>> {
    match made {
        Ok(live) => Some(Ok(Arc::clone(live))),
        Err((at, error)) => (SystemClock.now().abs_diff(*at) < BETWEEN_TRIES).then(|| Err(error.clone())),
    }
}

fn policy_named(py: Python<'_>, live: &Live, name: &str) -> PyResult<PolicyId> {
    let found = live.checker.with_policies(|policies| match policies.find(name) {
        // There are at most a thousand.
        Some(place) => Ok(PolicyId::from_number(u16::try_from(place).unwrap_or(u16::MAX))),
        None => Err(policies.unknown(name)),
    });
    // Not inside: see `locked`.
    found.map_err(|error| coded(py, &error))
}

fn route_named(live: &Live, policy: PolicyId, route: Option<&str>) -> RouteId {
    route.map_or(RouteId::OTHER, |route| {
        live.checker
            .with_policies(|policies| policies.all()[usize::from(policy.number())].routes().find(route))
    })
}

/// Text that cannot be written as UTF-8 is no address, like the empty one.
fn text_of<'a>(text: &'a Bound<'_, PyString>) -> &'a str {
    text.to_str().unwrap_or_default()
}

#[pymethods]
impl Checker {
    #[new]
    fn new(py: Python<'_>, options: &str, surroundings: Found, is_test: bool) -> PyResult<Self> {
        caught(py, || {
            let options = setup::read(options, &surroundings, is_test).map_err(|error| coded(py, &error))?;
            let process = Process::current(py);
            let live = py.detach(|| Live::new(process, &options, &[], is_test));
            let live = Arc::new(live.map_err(|error| coded(py, &error))?);
            Ok(Self {
                options,
                has_test_clock: is_test,
                added: Mutex::default(),
                made: Mutex::new(Owned::new(Ok(live))),
                is_closed: AtomicBool::new(false),
            })
        })
    }

    /// The decision, or what brings it when somebody has to be asked.
    fn judge<'py>(
        &self,
        py: Python<'py>,
        text: &Bound<'py, PyString>,
        policy: &str,
        route: Option<&str>,
        facts: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let is_request = facts != 0;
        let judge = || {
            let live = self.open(py)?;
            let policy = policy_named(py, &live, policy)?;
            let route = route_named(&live, policy, route);
            let request = Request { text: text_of(text), policy, route, facts: Facts::from_bits(facts) };
            match live.checker.evaluate(request) {
                Evaluation::Decided(decision) => {
                    live.checker.record(&decision);
                    told(py, &live, &decision, is_request)?.into_bound_py_any(py)
                }
                Evaluation::Pending(pending) => {
                    let checker = Arc::clone(&live.checker);
                    let look_up = live.under_way.track_future(async move {
                        let decision = checker.resolve(pending).await;
                        checker.record(&decision);
                        Product::One(decision, is_request)
                    });
                    let instead = Instead::One(policy, is_request);
                    Pending::start(py, &live, instead, CancellationToken::new(), look_up)?
                        .into_bound_py_any(py)
                }
            }
        };
        caught_or(py, judge, || {
            let (live, decision) = self.failure_mode(py, policy, Code::Internal)?;
            live.checker.record(&decision);
            told(py, &live, &decision, is_request)?.into_bound_py_any(py)
        })
    }

    /// The decision when nobody needs to be asked. Counts nothing.
    fn peek<'py>(
        &self,
        py: Python<'py>,
        text: &Bound<'py, PyString>,
        policy: &str,
        route: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let peek = || {
            let live = self.open(py)?;
            let policy = policy_named(py, &live, policy)?;
            let route = route_named(&live, policy, route);
            let request = Request { text: text_of(text), policy, route, facts: Facts::default() };
            match live.checker.evaluate(request) {
                Evaluation::Decided(decision) => Ok(Some(told(py, &live, &decision, false)?.0)),
                Evaluation::Pending(_) => Ok(None),
            }
        };
        caught_or(py, peek, || {
            let (live, decision) = self.failure_mode(py, policy, Code::Internal)?;
            Ok(Some(told(py, &live, &decision, false)?.0))
        })
    }

    /// Starts a list.
    fn judge_many(
        &self,
        py: Python<'_>,
        texts: Vec<Bound<'_, PyString>>,
        policy: &str,
        route: Option<&str>,
    ) -> PyResult<Pending> {
        caught(py, || {
            let live = self.open(py)?;
            let policy = policy_named(py, &live, policy)?;
            let route = route_named(&live, policy, route);
            let instead = Instead::Many(policy, texts.len());
            let texts = texts.iter().map(|text| text_of(text).to_owned()).collect();
            let (checker, stop) = (Arc::clone(&live.checker), live.closing.child_token());
            let stopped = stop.clone();
            let list = live.under_way.track_future(async move {
                match checker.check_many(texts, policy, route, &stopped).await {
                    Ok(decisions) => Product::Many(decisions),
                    Err(error) => Product::Refused(error),
                }
            });
            Pending::start(py, &live, instead, stop, list)
        })
    }

    /// Forgets one address or everything.
    fn invalidate(&self, py: Python<'_>, ip: Option<String>) -> PyResult<Pending> {
        caught(py, || {
            let live = self.open(py)?;
            let checker = Arc::clone(&live.checker);
            let told = live.under_way.track_future(async move {
                checker.invalidate(ip.as_deref()).await.map_or_else(Product::Refused, |()| Product::Nothing)
            });
            Pending::start(py, &live, Instead::Error, CancellationToken::new(), told)
        })
    }

    /// Refuses everything from now on, and ends when what is under way has ended, also for who closes it again. Nothing
    /// where there is nothing to wait for.
    fn close(&self, py: Python<'_>) -> PyResult<Option<Pending>> {
        self.is_closed.store(true, Ordering::Relaxed);
        // There is nothing to end in a process that never used it.
        let Some(Ok(live)) = locked(&self.made).get().cloned() else { return Ok(None) };
        caught(py, || {
            let ending = Arc::clone(&live);
            let end = async move {
                ending.end().await;
                Product::Nothing
            };
            Pending::start(py, &live, Instead::Error, CancellationToken::new(), end).map(Some)
        })
    }

    /// Counts since the checker was made in this process.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        caught(py, || to_python(py, &stats::read(&self.open(py)?.checker)))
    }

    /// The decision about a request that the application lets through unjudged.
    fn skipped<'py>(
        &self,
        py: Python<'py>,
        text: &Bound<'py, PyString>,
        policy: &str,
        is_counted: bool,
    ) -> PyResult<Told<'py>> {
        caught(py, || {
            let live = self.live(py)?;
            let decision = live.checker.skipped(policy_named(py, &live, policy)?, text_of(text));
            if is_counted {
                live.checker.record(&decision);
            }
            told(py, &live, &decision, true)
        })
    }

    /// What the policy answers when judging itself failed, also once closed.
    fn failed<'py>(
        &self,
        py: Python<'py>,
        policy: &str,
        code: &str,
        is_request: bool,
    ) -> PyResult<Told<'py>> {
        caught(py, || {
            let code = code_named(code).unwrap_or(Code::Internal);
            let (live, decision) = self.failure_mode(py, policy, code)?;
            told(py, &live, &decision, is_request)
        })
    }

    /// Adds a policy that is written at one route, and returns its name.
    fn add_policy(&self, py: Python<'_>, base: &str, written: &str) -> PyResult<String> {
        caught(py, || {
            let live = self.open(py)?;
            let written = setup::parse(written).map_err(|error| coded(py, &error))?;
            let id = live.checker.add_policy(base, &written).map_err(|error| coded(py, &error))?;
            locked(&self.added).push((base.to_owned(), written));
            Ok(live.words(id).name.clone())
        })
    }

    /// Raises for a policy that does not exist, or that a gate cannot use without a key.
    fn require_usable(&self, py: Python<'_>, policy: &str) -> PyResult<()> {
        caught(py, || {
            // A closed checker answers by itself, at every request.
            let live = self.live(py)?;
            let policy = policy_named(py, &live, policy)?;
            live.checker.require_usable(policy).map_err(|error| coded(py, &error))
        })
    }

    /// The names of all policies.
    fn policies(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        caught(py, || {
            let live = self.live(py)?;
            Ok(live.checker.with_policies(|policies| {
                policies.all().iter().map(|policy| policy.name().to_owned()).collect()
            }))
        })
    }

    /// The routes that the policy names.
    fn routes(&self, py: Python<'_>, policy: &str) -> PyResult<Vec<String>> {
        caught(py, || {
            let live = self.live(py)?;
            let place = usize::from(policy_named(py, &live, policy)?.number());
            Ok(live.checker.with_policies(|policies| policies.all()[place].routes().names().to_vec()))
        })
    }

    /// Who answers for the deny entry that holds an address, and why it is there.
    fn describe_entry(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyString>,
        policy: &str,
        route: Option<&str>,
    ) -> PyResult<Option<String>> {
        caught(py, || {
            let live = self.live(py)?;
            let policy = policy_named(py, &live, policy)?;
            let route = route_named(&live, policy, route);
            let request = Request { text: text_of(text), policy, route, facts: Facts::default() };
            Ok(live.checker.describe_entry(request))
        })
    }

    /// What is worth a line at the start: `(code or None, message)`.
    fn notices(&self, py: Python<'_>) -> PyResult<Vec<(Option<&'static str>, String)>> {
        caught(py, || {
            let notices = self.live(py)?.checker.notices();
            Ok(notices.into_iter().map(|(code, message)| (code.map(Code::as_str), message)).collect())
        })
    }

    /// What is worth telling now: `{"outage": ..., "budget": [...]}`, or nothing. An outage is taken by who writes it down.
    fn take_news<'py>(&self, py: Python<'py>, with_outage: bool) -> PyResult<Option<Bound<'py, PyAny>>> {
        caught(py, || {
            let live = self.live(py)?;
            news(&live, with_outage).map(|news| to_python(py, &news)).transpose()
        })
    }

    /// Moves the clock of a checker for tests.
    fn advance_clock(&self, py: Python<'_>, milliseconds: u64) -> PyResult<()> {
        if let Some(clock) = &self.live(py)?.clock {
            clock.advance(milliseconds);
        }
        Ok(())
    }

    /// Lets the clock of a checker for tests panic so many times.
    fn fail_clock(&self, py: Python<'_>, times: u64) -> PyResult<()> {
        if let Some(clock) = &self.live(py)?.clock {
            clock.fail(times);
        }
        Ok(())
    }
}

fn news(live: &Live, with_outage: bool) -> Option<Value> {
    let engine = live.checker.engine();
    let outage = with_outage.then(|| engine.take_notice()).flatten();
    let outage = outage.map(|Notice { cause, since, is_over }| {
        let advice = for_python(cause);
        json!({ "code": cause.as_str(), "since": seconds(since), "is_over": is_over, "advice": advice })
    });
    let events = engine.take_budget_events();
    let budget = events.iter().map(|Event { period, percent, used, limit }| {
        json!({ "period": period.as_str(), "percent": percent, "used": used, "limit": limit })
    });
    let budget: Vec<Value> = budget.collect();
    let has_news = outage.is_some() || !budget.is_empty();
    has_news.then(|| json!({ "outage": outage, "budget": budget }))
}
