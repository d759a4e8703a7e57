//! Counts for people, as objects.

use std::collections::HashMap;
use std::time::Duration;

use ip_risk_core::breaker::Health;
use ip_risk_core::budget::Status;
use ip_risk_core::checker::Checker;
use ip_risk_core::decision::Action;
use ip_risk_core::error::Code;
use ip_risk_core::feeds::feed_source::FeedStats as CoreFeedStats;
use ip_risk_core::shared_cache::SharedCacheStats;
use ip_risk_core::stats::{EngineStats, PolicyStats as CorePolicyStats, Rung};
use napi_derive::napi;

/// How many decisions had each action.
#[napi(object, object_from_js = false)]
pub struct ActionCounts {
    /// Let through.
    pub allow: f64,
    /// Let through, with a score that is worth a look.
    pub log: f64,
    /// Let through to a second factor.
    pub challenge: f64,
    /// Refused.
    pub block: f64,
    /// Held by a closed policy without evidence.
    pub hold: f64,
}

/// What one policy decided since the checker was made. This is what one reads after a week of log-only.
#[napi(object, object_from_js = false)]
pub struct PolicyStats {
    /// How many decisions had each score: 101 numbers, the index is the score. Only real scores count: failing
    /// open, lists and special-use addresses have none.
    pub histogram: Vec<f64>,
    /// How many decisions had each action.
    pub action: ActionCounts,
    /// How many decisions would have had each action under `enforce`.
    pub would_be: ActionCounts,
}

/// The in-process cache, shared by all checkers with the same options.
#[napi(object, object_from_js = false)]
pub struct CacheStats {
    /// Addresses in the cache.
    pub entries: f64,
    /// Checks that it answered with fresh evidence.
    pub hits: f64,
    /// Checks that it answered with stale evidence, because the provider could not be asked.
    pub stale_answers: f64,
}

/// A failed call.
#[napi(object, object_from_js = false)]
pub struct LastFailure {
    /// Its error code.
    #[napi(ts_type = "ErrorCode")]
    pub code: String,
    /// When it ended, in milliseconds since 1970.
    pub at: f64,
    /// What to do about it.
    pub advice: String,
}

/// Whether the provider is asked now, and why not.
#[napi(object, object_from_js = false)]
pub struct UpstreamHealth {
    /// `closed`: calls are made. `open`: none is, after too many failures. `half-open`: one call is under way to see
    /// whether the provider is well again.
    #[napi(ts_type = "'closed' | 'open' | 'half-open'")]
    pub state: String,
    /// The error code with which look-ups are refused, or null.
    #[napi(ts_type = "ErrorCode | null")]
    pub cause: napi::Either<String, napi::bindgen_prelude::Null>,
    /// Since when the cause lasts, or calls are made again, in milliseconds since 1970.
    pub since: f64,
    /// When the next call may be made, in milliseconds since 1970; null when calls are made, or one is under way.
    #[napi(ts_type = "number | null")]
    pub next_probe_at: napi::Either<f64, napi::bindgen_prelude::Null>,
}

/// How long calls took, in milliseconds.
#[napi(object, object_from_js = false)]
pub struct Latency {
    /// Half of them ended within this time.
    pub p50: f64,
    /// 99 of 100 of them ended within this time.
    pub p99: f64,
}

/// How many decisions stand on each rung, since the shared engine began. Each is counted once.
#[napi(object, object_from_js = false)]
pub struct Rungs {
    /// Fresh evidence of the in-process cache.
    pub memory: f64,
    /// Fresh evidence of the shared cache.
    pub redis: f64,
    /// The provider.
    pub api: f64,
    /// Stale evidence of the in-process cache.
    pub stale_memory: f64,
    /// Stale evidence of the shared cache.
    pub stale_redis: f64,
    /// Offline feeds.
    pub feeds: f64,
    /// Under pressure, the newest evidence about a neighbour in the same /24 or /48.
    pub neighbour: f64,
    /// An allow or deny entry.
    pub list: f64,
    /// Special-use space.
    pub special: f64,
    /// Nothing: the failure mode, an address that is none, or a request that was skipped.
    pub none: f64,
}

/// The shared cache on Redis, as this process sees it.
#[napi(object, object_from_js = false)]
pub struct RedisStats {
    /// `idle` before the first look-up; `away` while it is not asked, and a new connection is tried about once a second.
    #[napi(ts_type = "'idle' | 'connecting' | 'connected' | 'away' | 'closed'")]
    pub state: String,
    /// Why it is away, or null.
    #[napi(
        ts_type = "'unreachable' | 'slow' | 'refused' | 'tls' | 'loading' | 'full' | 'replica' | 'cluster' | 'outdated' | 'wrong_type' | 'failed' | null"
    )]
    pub cause: napi::Either<String, napi::bindgen_prelude::Null>,
    /// Since when it is connected or away, in milliseconds since 1970, or null.
    #[napi(ts_type = "number | null")]
    pub since: napi::Either<f64, napi::bindgen_prelude::Null>,
    /// Look-ups that found fresh evidence.
    pub hits: f64,
    /// Look-ups that found none, though Redis answered.
    pub misses: f64,
    /// Look-ups on the ladder that found stale evidence.
    pub stale_hits: f64,
    /// Look-ups on the ladder that found none, though Redis answered.
    pub stale_misses: f64,
    /// Questions that were not asked, because Redis is away.
    pub not_asked: f64,
    /// Questions and writes that failed, by what was wrong.
    pub failures: HashMap<String, f64>,
    /// Entries that were there and not used, by what is wrong with them.
    pub unusable: HashMap<String, f64>,
    /// Copies written; each answer has a fresh and a stale one.
    pub written: f64,
    /// Copies not written because Redis has a newer one.
    pub outdated: f64,
    /// Answers not written because Redis is away or too slow, or because they were invalidated meanwhile.
    pub dropped: f64,
    /// Invalidations that arrived, those of this process too.
    pub invalidations: f64,
    /// Connections made.
    pub connections: f64,
    /// Whether invalidations by others do not arrive, because the user may not subscribe.
    pub is_deaf: bool,
}

/// One limit of the budget, in look-ups.
#[napi(object, object_from_js = false)]
pub struct BudgetStats {
    /// Which limit.
    #[napi(ts_type = "'second' | 'day' | 'month'")]
    pub period: String,
    /// How many look-ups are allowed.
    pub limit: f64,
    /// How many were charged to this process in the second, day or month of now.
    pub spent: f64,
    /// How many all processes have leased in it, as far as this one has seen; null where the budget is not shared.
    #[napi(ts_type = "number | null")]
    pub leased_by_all: napi::Either<f64, napi::bindgen_prelude::Null>,
}

/// Calls to the provider, made for all checkers with the same options.
#[napi(object, object_from_js = false)]
pub struct UpstreamStats {
    /// Calls made, second attempts and calls about several addresses included.
    pub calls: f64,
    /// How many of them were about several addresses.
    pub batches: f64,
    /// How many of them were made once more after a failure.
    pub retries: f64,
    /// Checks that joined a call which was already under way.
    pub coalesced: f64,
    /// Calls under way.
    pub in_flight: f64,
    /// Credits that the provider says it charged.
    pub credits: f64,
    /// How long the newest 1,024 calls took, or null before the first.
    #[napi(ts_type = "Latency | null")]
    pub latency: napi::Either<Latency, napi::bindgen_prelude::Null>,
    /// Failed calls by error code.
    pub failures: HashMap<String, f64>,
    /// The newest failed call, or null.
    #[napi(ts_type = "LastFailure | null")]
    pub last_failure: napi::Either<LastFailure, napi::bindgen_prelude::Null>,
    /// When the newest call that succeeded ended, in milliseconds since 1970, or null.
    #[napi(ts_type = "number | null")]
    pub last_success_at: napi::Either<f64, napi::bindgen_prelude::Null>,
    /// Whether the provider is asked now, and why not; null without a key.
    #[napi(ts_type = "UpstreamHealth | null")]
    pub health: napi::Either<UpstreamHealth, napi::bindgen_prelude::Null>,
}

/// The offline feeds in use, shared by all checkers with the same options.
#[napi(object, object_from_js = false)]
pub struct FeedStats {
    /// Where they are from: the package's `seed`, the `directory` of `ip-risk feeds update`, or only `files` of yours.
    #[napi(ts_type = "'seed' | 'directory' | 'files'")]
    pub origin: String,
    /// When they were put together, in milliseconds since 1970, or null.
    #[napi(ts_type = "number | null")]
    pub built_at: napi::Either<f64, napi::bindgen_prelude::Null>,
    /// How many feeds there are.
    pub feeds: f64,
    /// How many different networks and ranges they speak of.
    pub prefixes: f64,
    /// Why the newest file is not in use, or null.
    #[napi(ts_type = "string | null")]
    pub failure: napi::Either<String, napi::bindgen_prelude::Null>,
}

/// Counts since the checker was made. Reading them costs some microseconds.
#[napi(object, object_from_js = false)]
pub struct Stats {
    /// By policy name. Policies that are written at one route are called `inline-1`, `inline-2` and so on.
    pub policies: HashMap<String, PolicyStats>,
    /// The in-process cache.
    pub cache: CacheStats,
    /// Calls to the provider.
    pub upstream: UpstreamStats,
    /// What decisions stand on.
    pub rungs: Rungs,
    /// The shared cache, or null without one.
    #[napi(ts_type = "RedisStats | null")]
    pub redis: napi::Either<RedisStats, napi::bindgen_prelude::Null>,
    /// Every limit of the budget, shortest period first; empty without a budget.
    pub budget: Vec<BudgetStats>,
    /// The offline feeds, or null when they are switched off.
    #[napi(ts_type = "FeedStats | null")]
    pub feeds: napi::Either<FeedStats, napi::bindgen_prelude::Null>,
}

#[expect(clippy::cast_precision_loss, reason = "JavaScript counts in doubles")]
fn number(count: u64) -> f64 {
    count as f64
}

/// To a hundredth of one.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

fn nullable<T>(value: Option<T>) -> napi::Either<T, napi::bindgen_prelude::Null> {
    value.map_or(napi::Either::B(napi::bindgen_prelude::Null), napi::Either::A)
}

impl From<&Vec<u64>> for ActionCounts {
    fn from(counts: &Vec<u64>) -> Self {
        let count = |action: Action| number(counts[action as usize]);
        Self {
            allow: count(Action::Allow),
            log: count(Action::Log),
            challenge: count(Action::Challenge),
            block: count(Action::Block),
            hold: count(Action::Hold),
        }
    }
}

impl From<&CorePolicyStats> for PolicyStats {
    fn from(stats: &CorePolicyStats) -> Self {
        Self {
            histogram: stats.histogram.iter().copied().map(number).collect(),
            action: (&stats.action).into(),
            would_be: (&stats.would_be).into(),
        }
    }
}

fn last_failure((code, at): (Code, u64)) -> LastFailure {
    LastFailure { code: code.to_string(), at: number(at), advice: code.advice().to_owned() }
}

impl Stats {
    pub(crate) fn read(checker: &Checker) -> Self {
        let EngineStats {
            entries,
            rungs,
            latency,
            coalesced,
            calls,
            batches,
            retries,
            health,
            in_flight,
            credits,
            failures,
            last_failure: last,
            last_success,
            feeds,
            shared,
            budget,
        } = checker.engine().stats();
        let policies = checker.policy_stats();
        Self {
            policies: policies.iter().map(|(name, stats)| (name.clone(), stats.into())).collect(),
            cache: CacheStats {
                entries: number(entries),
                hits: number(rungs[Rung::Memory as usize]),
                stale_answers: number(rungs[Rung::StaleMemory as usize]),
            },
            rungs: (&rungs).into(),
            redis: nullable(shared.map(redis_stats)),
            budget: budget.into_iter().map(budget_stats).collect(),
            upstream: UpstreamStats {
                calls: number(calls),
                batches: number(batches),
                retries: number(retries),
                coalesced: number(coalesced),
                in_flight: number(in_flight as u64),
                credits: number(credits),
                latency: nullable(latency.map(|latency| {
                    let [p50, p99] = latency.map(milliseconds);
                    Latency { p50, p99 }
                })),
                failures: by_name(failures, |code| code.as_str()),
                last_failure: nullable(last.map(last_failure)),
                last_success_at: nullable(last_success.map(number)),
                health: nullable(health.map(upstream_health)),
            },
            feeds: nullable(feeds.map(feed_stats)),
        }
    }
}

fn upstream_health(Health { state, cause, since, next_probe }: Health) -> UpstreamHealth {
    UpstreamHealth {
        state: state.as_str().to_owned(),
        cause: nullable(cause.map(|code| code.to_string())),
        since: number(since),
        next_probe_at: nullable(next_probe.map(number)),
    }
}

fn by_name<T>(counts: Vec<(T, u64)>, name: impl Fn(&T) -> &str) -> HashMap<String, f64> {
    counts.iter().map(|(counted, count)| (name(counted).to_owned(), number(*count))).collect()
}

impl From<&Vec<u64>> for Rungs {
    fn from(counts: &Vec<u64>) -> Self {
        let count = |rung: Rung| number(counts[rung as usize]);
        Self {
            memory: count(Rung::Memory),
            redis: count(Rung::Redis),
            api: count(Rung::Api),
            stale_memory: count(Rung::StaleMemory),
            stale_redis: count(Rung::StaleRedis),
            feeds: count(Rung::Feeds),
            neighbour: count(Rung::Neighbour),
            list: count(Rung::List),
            special: count(Rung::Special),
            none: count(Rung::None),
        }
    }
}

fn redis_stats(read: SharedCacheStats) -> RedisStats {
    let (state, cause, since) = read.state.parts();
    RedisStats {
        state: state.to_owned(),
        cause: nullable(cause.map(str::to_owned)),
        since: nullable(since.map(number)),
        hits: number(read.hits),
        misses: number(read.misses),
        stale_hits: number(read.stale_hits),
        stale_misses: number(read.stale_misses),
        not_asked: number(read.not_asked),
        failures: by_name(read.failures, |fault| fault.as_str()),
        unusable: by_name(read.unusable, |why| why.as_str()),
        written: number(read.written),
        outdated: number(read.outdated),
        dropped: number(read.dropped),
        invalidations: number(read.invalidations),
        connections: number(read.connections),
        is_deaf: read.is_deaf,
    }
}

fn budget_stats(status: Status) -> BudgetStats {
    BudgetStats {
        period: status.period.as_str().to_owned(),
        limit: number(status.limit),
        spent: number(status.spent),
        leased_by_all: nullable(status.leased_by_all.map(number)),
    }
}

fn feed_stats(stats: CoreFeedStats) -> FeedStats {
    FeedStats {
        origin: stats.origin.as_str().to_owned(),
        built_at: nullable(stats.built_at.map(number)),
        feeds: number(stats.feeds as u64),
        prefixes: number(stats.prefixes),
        failure: nullable(stats.failure),
    }
}
