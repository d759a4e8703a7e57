//! Counts for people, as JSON values. Times are in seconds.

use std::time::Duration;

use ip_risk_core::breaker::Health;
use ip_risk_core::budget::Status;
use ip_risk_core::checker::Checker;
use ip_risk_core::decision::Action;
use ip_risk_core::error::Code;
use ip_risk_core::feeds::feed_source::FeedStats;
use ip_risk_core::shared_cache::SharedCacheStats;
use ip_risk_core::stats::{EngineStats, PolicyStats, Rung};
use serde_json::{Map, Value, json};

use crate::advice::for_python;
use crate::convert::seconds;

pub(crate) fn read(checker: &Checker) -> Value {
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
        last_failure,
        last_success,
        feeds,
        shared,
        budget,
    } = checker.engine().stats();
    let policies = checker.policy_stats().into_iter().map(|(name, stats)| (name, policy_stats(&stats)));
    json!({
        "policies": Value::Object(policies.collect()),
        "cache": {
            "entries": entries,
            "hits": rungs[Rung::Memory as usize],
            "stale_answers": rungs[Rung::StaleMemory as usize],
        },
        "rungs": rung_counts(&rungs),
        "redis": shared.as_ref().map(redis_stats),
        "budget": budget.iter().map(budget_stats).collect::<Vec<_>>(),
        "upstream": {
            "calls": calls,
            "batches": batches,
            "retries": retries,
            "coalesced": coalesced,
            "in_flight": in_flight,
            "credits": credits,
            "latency": latency.map(|[p50, p99]| json!({ "p50": rounded(p50), "p99": rounded(p99) })),
            "failures": by_name(&failures, |code| code.as_str()),
            "last_failure": last_failure.map(describe_failure),
            "last_success_at": last_success.map(seconds),
            "health": health.map(upstream_health),
        },
        "feeds": feeds.as_ref().map(feed_stats),
    })
}

/// To ten microseconds.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100_000.0
}

fn policy_stats(stats: &PolicyStats) -> Value {
    json!({
        "histogram": stats.histogram,
        "action": action_counts(&stats.action),
        "would_be": action_counts(&stats.would_be),
    })
}

fn action_counts(counts: &[u64]) -> Value {
    let entries =
        Action::ALL.iter().map(|action| (action.as_str().to_owned(), counts[*action as usize].into()));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn rung_counts(counts: &[u64]) -> Value {
    let count = |rung: Rung| counts[rung as usize];
    json!({
        "memory": count(Rung::Memory),
        "redis": count(Rung::Redis),
        "api": count(Rung::Api),
        "stale_memory": count(Rung::StaleMemory),
        "stale_redis": count(Rung::StaleRedis),
        "feeds": count(Rung::Feeds),
        "neighbour": count(Rung::Neighbour),
        "list": count(Rung::List),
        "special": count(Rung::Special),
        "none": count(Rung::None),
    })
}

fn by_name<T>(counts: &[(T, u64)], name: impl Fn(&T) -> &str) -> Value {
    let entries = counts.iter().map(|(counted, count)| (name(counted).to_owned(), Value::from(*count)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn describe_failure((code, at): (Code, u64)) -> Value {
    json!({ "code": code.as_str(), "at": seconds(at), "advice": for_python(code) })
}

fn upstream_health(Health { state, cause, since, next_probe }: Health) -> Value {
    json!({
        "state": state.as_str(),
        "cause": cause.map(Code::as_str),
        "since": seconds(since),
        "next_probe_at": next_probe.map(seconds),
    })
}

fn redis_stats(read: &SharedCacheStats) -> Value {
    let (state, cause, since) = read.state.parts();
    json!({
        "state": state,
        "cause": cause,
        "since": since.map(seconds),
        "hits": read.hits,
        "misses": read.misses,
        "stale_hits": read.stale_hits,
        "stale_misses": read.stale_misses,
        "not_asked": read.not_asked,
        "failures": by_name(&read.failures, |fault| fault.as_str()),
        "unusable": by_name(&read.unusable, |why| why.as_str()),
        "written": read.written,
        "outdated": read.outdated,
        "dropped": read.dropped,
        "invalidations": read.invalidations,
        "connections": read.connections,
        "is_deaf": read.is_deaf,
    })
}

fn budget_stats(status: &Status) -> Value {
    json!({
        "period": status.period.as_str(),
        "limit": status.limit,
        "spent": status.spent,
        "leased_by_all": status.leased_by_all,
    })
}

fn feed_stats(stats: &FeedStats) -> Value {
    json!({
        "origin": stats.origin.as_str(),
        "built_at": stats.built_at.map(seconds),
        "feeds": stats.feeds,
        "prefixes": stats.prefixes,
        "failure": stats.failure,
    })
}
