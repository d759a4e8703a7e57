//! `RiskChecker`: a handle on the core's checker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use ip_risk_core::address::Address;
use ip_risk_core::breaker::Notice;
use ip_risk_core::budget::Event;
use ip_risk_core::checker::{Checker, Evaluation, Request};
use ip_risk_core::clock::AdjustableClock;
use ip_risk_core::decision::{Decision, PolicyId};
use ip_risk_core::engine::{Diagnosis, Engine, Handle};
use ip_risk_core::error::{Code, Error};
use ip_risk_core::flags::SharedNames;
use ip_risk_core::options::CheckerOptions;
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use napi::bindgen_prelude::{Env, Function, FunctionCallContext, PromiseRaw, Uint32Array};
use napi_derive::napi;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::error::{Result, closed, coded, internal};
use crate::outcome::{self, Outcome, to_json};
use crate::registry;
use crate::setup::Setup;
use crate::stats::Stats;
use crate::text::Text;
use crate::words;

/// What `evaluate` returns.
const DECIDED: u32 = 0;
const PENDING: u32 = 1;
const CLOSED: u32 = 2;
/// The bit beside the facts that says "count this decision".
const RECORD: u32 = 1 << 30;

/// Scores addresses and decides what a route should do.
///
/// Make one per process and keep it: checkers with the same options share one cache and one connection pool, across
/// worker threads too. Reads `IPGEO_API_KEY`, `REDIS_URL`, `IP_RISK_FEEDS`, `IP_RISK_MODE`, `HTTPS_PROXY`, `NO_PROXY` and `NODE_EXTRA_CA_CERTS`
/// when it is made.
///
/// Throws an error with `code` `ERR_IP_RISK_OPTION` or `ERR_IP_RISK_UNKNOWN_OPTION` for a mistake in the options, with
/// its path in the message, and `ERR_IP_RISK_NO_SOURCE` when there is neither a key nor a feed to score with.
///
/// @example
/// ```ts
/// import { RiskChecker } from 'ip-risk'
///
/// const checker = new RiskChecker()
/// const decision = await checker.check('2.56.188.34')
/// console.log(decision.action, decision.score, decision.reasons)
/// await checker.close()
/// ```
#[napi]
pub struct RiskChecker {
    inner: Rc<RefCell<Option<Arc<Checker>>>>,
    clock: Option<Arc<AdjustableClock>>,
    /// Kept from `close` to `end`, so that what is under way can end in between.
    closing: RefCell<Option<Arc<Checker>>>,
    /// What tells each `checkMany` that is under way to stop, by the number that the glue gave it.
    stops: RefCell<HashMap<u32, CancellationToken>>,
    /// The names of the decision that `evaluate` wrote last; the caller reads them before the next one.
    last_names: Rc<RefCell<Option<Arc<SharedNames>>>>,
}

// The methods below are completed by `lib/checker.js`, whose class extends this one: it reads what they return and
// hands their arguments over as text and numbers. The TypeScript here is that of the whole.
#[napi]
impl RiskChecker {
    /// Makes a checker. Costs a few milliseconds for the first one, which reads the trusted roots.
    #[napi(constructor, catch_unwind, ts_args_type = "options?: RiskCheckerOptions")]
    pub fn new(setup: String) -> Result<Self> {
        let Setup { options, has_adjustable_clock } = Setup::read(&setup).map_err(|error| coded(&error))?;
        let clock = has_adjustable_clock.then(|| Arc::new(AdjustableClock::default()));
        let engine = match &clock {
            // A clock of its own must not move other checkers.
            Some(clock) => engine_with(&options, clock),
            None => registry::engine(options.engine.clone()),
        };
        let checker = Checker::new(engine.map_err(|error| coded(&error))?, options);
        Ok(Self {
            inner: Rc::new(RefCell::new(Some(Arc::new(checker)))),
            clock,
            closing: RefCell::default(),
            stops: RefCell::default(),
            last_names: Rc::default(),
        })
    }

    fn checker(&self) -> Result<Arc<Checker>> {
        self.inner.borrow().clone().ok_or_else(closed)
    }

    /// Scores one address and decides.
    ///
    /// Never rejects for what the address is or what the provider does: text that is no address, a timeout or a wrong
    /// key are decisions, with `failure` saying what happened. Answers from the cache in about a microsecond; otherwise
    /// within `deadlineMs` (1,500 ms), for 2 credits. Simultaneous checks of one address make one call.
    ///
    /// Rejects only for mistakes of the caller: `ERR_IP_RISK_ARGUMENT` when `ip` is not a string,
    /// `ERR_IP_RISK_UNKNOWN_POLICY`, `ERR_IP_RISK_CLOSED`, and with the signal's reason when it aborts.
    ///
    /// @param ip A plain IPv4 or IPv6 address: no port, no brackets, no blanks.
    ///
    /// @example
    /// ```ts
    /// import { RiskChecker } from 'ip-risk'
    ///
    /// const checker = new RiskChecker()
    /// const { action, failure } = await checker.check('91.128.103.196', { policy: 'payment' })
    /// if (action === 'hold') console.log('ask a person', failure)
    /// ```
    #[napi(
        catch_unwind,
        ts_args_type = "ip: string, options?: CheckOptions",
        ts_return_type = "Promise<Decision>"
    )]
    pub fn check<'env>(
        &self,
        env: &'env Env,
        text: Text,
        context: u32,
        facts: u32,
    ) -> Result<PromiseRaw<'env, Outcome>> {
        let checker = self.checker()?;
        let promise = env.spawn_future(async move {
            let decision = checker.check(request(&text, context, facts)).await;
            Ok(outcome::of(std::iter::once(&decision)))
        });
        promise.map_err(|_| internal("the look-up could not be started"))
    }

    /// Scores up to 50,000 addresses, in their order. What fails for one address stands in its decision.
    ///
    /// Addresses that are not in the cache are looked up 4,000 at a time, in calls of 1,000, for 2 credits each; duplicates cost once. When the
    /// signal aborts or the checker closes, nobody is asked about those that still wait for their turn; after `close()`
    /// they get the policy's failure mode, with `ERR_IP_RISK_CLOSED`.
    /// Rejects like `check`, and with `ERR_IP_RISK_ARGUMENT` for more than 50,000.
    ///
    /// @example
    /// ```ts
    /// import { RiskChecker } from 'ip-risk'
    ///
    /// const checker = new RiskChecker()
    /// const decisions = await checker.checkMany(['2.56.188.34', '91.128.103.196'])
    /// console.log(decisions.map((decision) => decision.score))
    /// ```
    #[napi(
        catch_unwind,
        ts_args_type = "ips: string[], options?: CheckManyOptions",
        ts_return_type = "Promise<Decision[]>"
    )]
    pub fn check_many<'env>(
        &self,
        env: &'env Env,
        texts: Vec<String>,
        context: u32,
        number: u32,
    ) -> Result<PromiseRaw<'env, Outcome>> {
        let checker = self.checker()?;
        let (policy, route) = split(context);
        let stop = CancellationToken::new();
        self.stops.borrow_mut().insert(number, stop.clone());
        let promise = env.spawn_future(async move {
            let decisions = checker.check_many(texts, policy, route, &stop).await;
            // `lib/checker.js` has refused longer lists with the code that they deserve.
            let decisions = decisions.map_err(|error| napi::Error::from_reason(error.to_string()))?;
            Ok(outcome::of(decisions.iter()))
        });
        promise.map_err(|_| internal("the look-ups could not be started"))
    }

    /// Forgets what is cached about one address, or about all, for all checkers that share the cache and in every process
    /// that shares the Redis. Text that is no address is ignored. Rejects with `ERR_IP_RISK_REDIS` when the other processes
    /// could not be told; it is forgotten in this one all the same.
    ///
    /// @example
    /// ```ts
    /// import { RiskChecker } from 'ip-risk'
    ///
    /// const checker = new RiskChecker()
    /// await checker.invalidate('2.56.188.34')
    /// ```
    #[napi(catch_unwind, ts_args_type = "ip?: string", ts_return_type = "Promise<void>")]
    pub fn invalidate<'env>(
        &self,
        env: &'env Env,
        ip: Option<String>,
    ) -> Result<PromiseRaw<'env, Option<String>>> {
        let checker = self.checker()?;
        // `lib/checker.js` makes it an error with a code.
        let failure =
            async move { Ok(checker.invalidate(ip.as_deref()).await.err().map(|error| error.to_string())) };
        env.spawn_future(failure).map_err(|_| internal("the others could not be told"))
    }

    /// Counts since the checker was made: what the policies decided, the cache, the calls to the provider.
    /// Throws `ERR_IP_RISK_CLOSED` once closed.
    ///
    /// @example
    /// ```ts
    /// import { RiskChecker } from 'ip-risk'
    ///
    /// const checker = new RiskChecker()
    /// const { histogram, wouldBe } = checker.stats().policies.login!
    /// console.log('would block', wouldBe.block, 'scores from 80', histogram.slice(80))
    /// ```
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats::read(&*self.checker()?))
    }

    /// Ends the checker: resolves when its look-ups that are under way have ended, at most `deadlineMs` later.
    /// The last checker that closes ends the shared cache and its connections. Closing twice does no harm.
    ///
    /// @example
    /// ```ts
    /// import { RiskChecker } from 'ip-risk'
    ///
    /// const checker = new RiskChecker()
    /// process.once('SIGTERM', () => void checker.close())
    /// ```
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close(&self) {
        self.stops.borrow_mut().drain().for_each(|(_, stop)| stop.cancel());
        if let Some(checker) = self.inner.borrow_mut().take() {
            self.closing.replace(Some(checker));
        }
        self.last_names.borrow_mut().take();
    }

    /// Ends the engine, when this was the last checker on it. `lib/checker.js` calls it when what was under way has ended.
    #[napi(catch_unwind, skip_typescript)]
    pub fn end<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, ()>> {
        let checker = self.closing.take();
        let end = async move {
            if let Some(checker) = checker {
                checker.close().await;
            }
            Ok(())
        };
        env.spawn_future(end).map_err(|_| internal("the checker could not be ended"))
    }

    /// A function `(text, context, facts)` that decides without asking anybody and writes into `words`. A function
    /// and not a method, because calling a method costs 0.4 us more.
    #[napi(catch_unwind, skip_typescript)]
    pub fn evaluator<'env>(
        &self,
        env: &'env Env,
        words: Uint32Array,
    ) -> Result<Function<'env, (String, u32, u32), u32>> {
        let inner = Rc::clone(&self.inner);
        let last_names = Rc::clone(&self.last_names);
        let words = RefCell::new(words);
        let evaluate = move |call: FunctionCallContext<'_>| {
            let (text, context, facts) = (call.get::<Text>(0)?, call.get(1)?, call.get(2)?);
            let inner = inner.borrow();
            let Some(checker) = inner.as_deref() else { return Ok(CLOSED) };
            let Some(decision) = evaluate(checker, &text, context, facts) else { return Ok(PENDING) };
            let written = words::write(&decision, text.as_str());
            let mut words = words.borrow_mut();
            // SAFETY: `lib/judge.js` made the array for this function alone and reads it only between calls, on
            // this thread.
            let target = unsafe { words.as_mut() };
            if let Some(target) = target.get_mut(..written.len()) {
                target.copy_from_slice(&written);
            }
            *last_names.borrow_mut() = decision.flags.names().cloned();
            Ok(DECIDED)
        };
        env.create_function_from_closure("evaluate", evaluate)
            .map_err(|_| internal("no function could be made"))
    }

    /// The names of the decision that `evaluate` wrote last, as JSON.
    #[napi(catch_unwind, skip_typescript)]
    pub fn last_names(&self) -> Option<String> {
        self.last_names.borrow().as_ref().map(|shared| to_json(shared.names()))
    }

    /// Lets the `checkMany` with that number ask about no further address; also to forget one that has ended.
    #[napi(catch_unwind, skip_typescript)]
    pub fn stop_many(&self, number: u32) {
        self.stops.borrow_mut().remove(&number).inspect(CancellationToken::cancel);
    }

    /// Who answers for the deny entry that holds an address, and why it is there.
    #[napi(catch_unwind, skip_typescript)]
    pub fn describe_entry(&self, text: Text, context: u32) -> Option<String> {
        self.inner.borrow().as_ref()?.describe_entry(request(&text, context, 0))
    }

    /// The decision about a request that the application lets through unjudged.
    #[napi(catch_unwind, skip_typescript)]
    pub fn skipped(&self, text: Text, context: u32) -> Result<Outcome> {
        let checker = self.checker()?;
        let decision = checker.skipped(split(context).0, text.as_str());
        checker.record(&decision);
        Ok(outcome::of(std::iter::once(&decision)))
    }

    /// What a policy answers when judging itself fails, and when it is skipped, for the glue to keep: it must not
    /// need the checker then.
    #[napi(catch_unwind, skip_typescript)]
    pub fn fallbacks(&self, context: u32) -> Result<Outcome> {
        let (checker, policy) = (self.checker()?, split(context).0);
        let decisions = [checker.failed(policy, Code::Internal), checker.skipped(policy, "")];
        Ok(outcome::of(decisions.iter()))
    }

    /// The policies as JSON: `[{ name, routes, reasons }]`, each at its number.
    #[napi(catch_unwind, skip_typescript)]
    pub fn policies(&self) -> Result<String> {
        let describe = |policy: &ip_risk_core::policy::Policy| {
            json!({
                "name": policy.name(),
                "routes": policy.routes().names(),
                "reasons": policy.reason_names(),
            })
        };
        let checker = self.checker()?;
        let all = checker.with_policies(|policies| policies.all().iter().map(describe).collect::<Vec<_>>());
        Ok(Value::from(all).to_string())
    }

    /// Adds a policy that is written at one route, as JSON, and returns its number.
    #[napi(catch_unwind, skip_typescript)]
    pub fn add_policy(&self, base: String, written: String) -> Result<u32> {
        let written: Value =
            serde_json::from_str(&written).map_err(|_| internal("the policy did not arrive whole"))?;
        let id = self.checker()?.add_policy(&base, &written).map_err(|error| coded(&error))?;
        Ok(u32::from(id.number()))
    }

    /// Refuses a policy that a gate cannot use without a key.
    #[napi(catch_unwind, skip_typescript)]
    pub fn require_usable(&self, context: u32) -> Result<()> {
        self.checker()?.require_usable(split(context).0).map_err(|error| coded(&error))
    }

    /// What is worth a line at the start: `{ message, code }`, with the code of what is wrong if anything is.
    #[napi(catch_unwind, skip_typescript)]
    pub fn notices(&self) -> Result<String> {
        let notices = self.checker()?.notices();
        let notices = notices
            .iter()
            .map(|(code, message)| json!({ "code": code.map(Code::as_str), "message": message }));
        Ok(Value::from(notices.collect::<Vec<_>>()).to_string())
    }

    /// What is worth telling now, as JSON: `{ outage, budget }`, or null. `outage` is `{ code, since, isOver }` about the
    /// provider or Redis, or null; it is taken only by who writes it down. `budget` says which limits reached 50, 80 or 95 %.
    #[napi(catch_unwind, skip_typescript)]
    pub fn take_news(&self, with_outage: bool) -> Option<String> {
        let inner = self.inner.borrow();
        let engine = inner.as_ref()?.engine();
        let outage = with_outage.then(|| engine.take_notice()).flatten();
        let outage = outage.map(|Notice { cause, since, is_over }| {
            json!({ "code": cause.as_str(), "since": since, "isOver": is_over })
        });
        let events = engine.take_budget_events();
        let budget = events.iter().map(|Event { period, percent, used, limit }| {
            json!({ "period": period.as_str(), "percent": percent, "used": used, "limit": limit })
        });
        let budget: Vec<Value> = budget.collect();
        let has_news = outage.is_some() || !budget.is_empty();
        has_news.then(|| json!({ "outage": outage, "budget": budget }).to_string())
    }

    /// The error for a policy that does not exist.
    #[napi(catch_unwind, skip_typescript)]
    pub fn unknown_policy(&self, name: String) -> Result<()> {
        Err(coded(&self.checker()?.with_policies(|policies| policies.unknown(&name))))
    }

    /// One real call past the cache, as JSON, for `doctor`.
    #[napi(catch_unwind, skip_typescript)]
    pub fn diagnose<'env>(&self, env: &'env Env, text: Text) -> Result<PromiseRaw<'env, String>> {
        let (checker, address) = (self.checker()?, probe(&text)?);
        let promise =
            env.spawn_future(async move { Ok(describe(&checker.engine().diagnose(address).await)) });
        promise.map_err(|_| internal("the call could not be started"))
    }

    /// Whether Redis answers, as JSON `{ state, cause }` with the words of `stats().redis`, for `doctor`; null without it.
    #[napi(catch_unwind, skip_typescript)]
    pub fn diagnose_redis<'env>(
        &self,
        env: &'env Env,
        text: Text,
    ) -> Result<PromiseRaw<'env, Option<String>>> {
        let (checker, address) = (self.checker()?, probe(&text)?);
        let diagnosis = async move {
            let state = checker.engine().diagnose_redis(address).await.map(|stats| stats.state.parts());
            Ok(state.map(|(state, cause, _)| json!({ "state": state, "cause": cause }).to_string()))
        };
        env.spawn_future(diagnosis).map_err(|_| internal("redis could not be asked"))
    }

    /// Moves the clock of a checker that `ip-risk/testing` made.
    #[napi(catch_unwind, skip_typescript)]
    pub fn advance_clock(&self, milliseconds: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "negative and huge become 0 and most"
        )]
        if let Some(clock) = &self.clock {
            clock.advance(milliseconds as u64);
        }
    }
}

/// What a diagnosis asks about.
fn probe(text: &Text) -> Result<Address> {
    let refused = || coded(&Error::new(Code::Argument, "a diagnosis needs an address"));
    Address::parse(text.as_str()).ok_or_else(refused)
}

/// An engine of its own, with a clock that can be moved.
fn engine_with(options: &CheckerOptions, clock: &Arc<AdjustableClock>) -> std::result::Result<Handle, Error> {
    let engine = Engine::new(options.engine.clone(), Arc::<AdjustableClock>::clone(clock))?;
    Handle::on(Arc::new(engine)).ok_or_else(|| Error::new(Code::Internal, "the engine ended before it began"))
}

/// The decision, when it needs no look-up. A panic, which only a defect can cause, is answered by the failure mode.
fn evaluate(checker: &Checker, text: &Text, context: u32, facts: u32) -> Option<Decision> {
    let judged = catch_unwind(AssertUnwindSafe(|| checker.evaluate(request(text, context, facts))));
    let decision = match judged {
        Ok(Evaluation::Pending(_)) => return None,
        Ok(Evaluation::Decided(decision)) => decision,
        Err(_) => checker.failed(split(context).0, Code::Internal),
    };
    if facts & RECORD != 0 {
        checker.record(&decision);
    }
    Some(decision)
}

fn request(text: &Text, context: u32, facts: u32) -> Request<'_> {
    let (policy, route) = split(context);
    Request { text: text.as_str(), policy, route, facts: Facts::from_bits(facts & !RECORD) }
}

/// The policy stands in the low half, the route in the high one.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is asked for")]
fn split(context: u32) -> (PolicyId, RouteId) {
    (PolicyId::from_number(context as u16), RouteId::new((context >> 16) as u16))
}

fn describe(diagnosis: &Diagnosis) -> String {
    json!({
        "failure": diagnosis.failure.map(Code::as_str),
        "advice": diagnosis.failure.map(Code::advice),
        "status": diagnosis.status,
        "version": diagnosis.version,
        "elapsedMs": diagnosis.elapsed,
        "credits": diagnosis.credits,
        "date": diagnosis.date,
        "roots": {
            "bundled": diagnosis.roots.bundled,
            "system": diagnosis.roots.system,
            "extra": diagnosis.roots.extra,
        },
    })
    .to_string()
}
