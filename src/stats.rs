//! Counts for people, as objects.

use std::collections::HashMap;

use ip_risk_core::breaker::Health;
use ip_risk_core::checker::Checker;
use ip_risk_core::decision::Action;
use ip_risk_core::error::Code;
use ip_risk_core::feeds::feed_source::FeedStats as CoreFeedStats;
use ip_risk_core::stats::{EngineStats, PolicyStats as CorePolicyStats};
use napi_derive::napi;

/// How many decisions had each action.
#[napi(object, object_from_js = false)]
pub struct ActionCounts {
    /// Let through.
    pub allow: f64,
    /// Let through with a record.
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
    /// The offline feeds, or null when they are switched off.
    #[napi(ts_type = "FeedStats | null")]
    pub feeds: napi::Either<FeedStats, napi::bindgen_prelude::Null>,
}

#[expect(clippy::cast_precision_loss, reason = "JavaScript counts in doubles")]
fn number(count: u64) -> f64 {
    count as f64
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
            memory_hits,
            stale_answers,
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
        } = checker.engine().stats();
        let policies = checker.policy_stats();
        Self {
            policies: policies.iter().map(|(name, stats)| (name.clone(), stats.into())).collect(),
            cache: CacheStats {
                entries: number(entries),
                hits: number(memory_hits),
                stale_answers: number(stale_answers),
            },
            upstream: UpstreamStats {
                calls: number(calls),
                batches: number(batches),
                retries: number(retries),
                coalesced: number(coalesced),
                in_flight: number(in_flight as u64),
                credits: number(credits),
                failures: failures
                    .into_iter()
                    .map(|(code, count)| (code.to_string(), number(count)))
                    .collect(),
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

fn feed_stats(stats: CoreFeedStats) -> FeedStats {
    FeedStats {
        origin: stats.origin.as_str().to_owned(),
        built_at: nullable(stats.built_at.map(number)),
        feeds: number(stats.feeds as u64),
        prefixes: number(stats.prefixes),
        failure: nullable(stats.failure),
    }
}
