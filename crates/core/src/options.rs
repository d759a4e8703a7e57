//! All options, with their defaults and limits.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use crate::budget::{BudgetOptions, DEFAULT_RESERVED};
use crate::error::{Code, Error};
use crate::feeds::options::{self as feed_options, FeedOptions};
use crate::policies::Policies;
use crate::reader::{MOST_MILLISECONDS, ObjectReader, Reader};
use crate::secret::Secret;
use crate::shared_cache::options::{self as redis_options, RedisOptions};
use crate::spelling::Spelling;

const DEFAULT_ENDPOINT: &str = "https://api.ipgeolocation.io";
const DEFAULT_DEADLINE: u64 = 1_500;
const DEFAULT_CONNECT_TIMEOUT: u64 = 1_000;
const DEFAULT_TTL: u64 = 5 * 60 * 1_000;
const DEFAULT_STALE: u64 = 24 * 60 * 60 * 1_000;
const DEFAULT_MAX_ENTRIES: u64 = 100_000;
const DEFAULT_IPV6_PREFIX: u64 = 64;
const DEFAULT_MAX_IN_FLIGHT: u64 = 1_000;
const DEFAULT_BATCH_THRESHOLD: u64 = 32;
const DEFAULT_BATCH_WAIT: u64 = 5;
const DEFAULT_BATCH_SIZE: u64 = 100;
/// Waiting longer than this for company saves no more calls.
const LONGEST_BATCH_WAIT: u64 = 1_000;
/// As many as a call of `checkMany` holds.
const LARGEST_BATCH: u64 = 1_000;

const NO_SOURCE: &str = "there is nothing to score with: set `IPGEO_API_KEY` (or the option `apiKey`) to a key of ipgeolocation.io \
     with the Security API, or do without one by leaving `feeds` on; for tests, use `createTestChecker()` of \
     `ip-risk/testing`, which needs no key";
const NO_SOURCE_SNAKE: &str = "there is nothing to score with: set `IPGEO_API_KEY` (or the option `api_key`) to a key of ipgeolocation.io \
     with the Security API, or do without one by leaving `feeds` on";

/// How many look-ups a minute are made for addresses that anybody could have written.
pub const UNVERIFIED_LOOK_UPS_PER_MINUTE: usize = 10;
/// How many addresses one `checkMany` may hold.
pub const MOST_ADDRESSES: usize = 50_000;

/// The highest limit of a budget: far more than any plan has.
const MOST_LOOK_UPS: u64 = 1_000_000_000_000;

/// What a face found around the process. An option that is written wins over it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `IPGEO_API_KEY`.
    pub api_key: Option<Secret>,
    /// `REDIS_URL`. It may hold a password.
    pub redis_url: Option<Secret>,
    /// `IP_RISK_MODE`, which can only make policies watch, never act.
    pub mode: Option<String>,
    /// More trusted roots, PEM.
    pub extra_roots: Option<String>,
    /// `HTTPS_PROXY`. It may hold a password.
    pub https_proxy: Option<Secret>,
    /// `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// The feeds that are in the package.
    pub seed: Option<PathBuf>,
    /// `IP_RISK_FEEDS`, the directory of `ip-risk feeds update`.
    pub feeds: Option<PathBuf>,
    /// For `ip-risk/testing` only: documentation addresses count as public ones. Refused unless the endpoint is
    /// on this machine.
    pub lift_documentation: bool,
    /// How the face's users write options.
    pub spelling: Spelling,
}

/// How long evidence is kept, and how much of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CacheOptions {
    /// For how many milliseconds evidence is fresh.
    pub ttl: u64,
    /// For how many milliseconds after that it is kept as stale.
    pub stale: u64,
    /// How many addresses are kept.
    pub max_entries: u64,
    /// How many bits of an IPv6 address share evidence.
    pub ipv6_prefix: u8,
}

/// When look-ups travel together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BatchOptions {
    /// How many look-ups must be under way before others wait for company.
    pub threshold: usize,
    /// How long they wait at most.
    pub wait: Duration,
    /// How many addresses go into one call at most.
    pub size: usize,
}

/// What makes an engine. Checkers with equal ones share it.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineOptions {
    /// The key of the Security API. Without one, feeds are the source.
    pub api_key: Option<Secret>,
    /// Offline feeds.
    pub feeds: Option<FeedOptions>,
    /// Where the Security API is; `v3/security` is added to it.
    pub endpoint: Url,
    /// How long one look-up may take in all.
    pub deadline: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// The in-process cache.
    pub cache: CacheOptions,
    /// When look-ups travel together; never without.
    pub batch: Option<BatchOptions>,
    /// How many look-ups may be under way at once.
    pub max_in_flight: usize,
    /// The cache that processes share.
    pub redis: Option<RedisOptions>,
    /// How many look-ups may be paid for, where that is limited.
    pub budget: Option<BudgetOptions>,
    /// See [`Surroundings::extra_roots`].
    pub extra_roots: Option<String>,
    /// See [`Surroundings::https_proxy`].
    pub https_proxy: Option<Secret>,
    /// See [`Surroundings::no_proxy`].
    pub no_proxy: Option<String>,
    /// See [`Surroundings::lift_documentation`].
    pub lift_documentation: bool,
}

impl EngineOptions {
    /// How long one question to Redis may take; nothing without it.
    pub(crate) fn time_for_redis(&self) -> Duration {
        self.redis.as_ref().map_or(Duration::ZERO, |redis| redis.timeout)
    }
}

/// All options of one checker.
#[derive(Clone, Debug)]
pub struct CheckerOptions {
    /// What may be shared with other checkers.
    pub engine: EngineOptions,
    /// The policies, shipped and own.
    pub policies: Policies,
    /// Whether the environment turned every policy into one that only watches.
    pub log_only: bool,
    /// Whether feeds, where they are the source, may clear policies that close.
    pub feeds_may_clear: bool,
}

impl CheckerOptions {
    /// Reads what the user wrote, with what surrounds the process for what is not written.
    ///
    /// # Errors
    /// [`Code::Option`], [`Code::UnknownOption`] or [`Code::NoSource`], with the path of the mistake.
    pub fn read(written: &Value, surroundings: Surroundings) -> Result<Self, Error> {
        let spelling = surroundings.spelling;
        let written = &Reader::spelled(spelling, "", written);
        let object = written.object(&[
            "apiKey",
            "endpoint",
            "deadlineMs",
            "connectTimeoutMs",
            "batch",
            "budget",
            "cache",
            "feeds",
            "maxInFlight",
            "policies",
            "redis",
            // The face reads it; it stands here so that a slip in its name is found.
            "logger",
        ])?;
        let (feeds, feeds_may_clear) =
            feed_options::read(&object, surroundings.seed.clone(), surroundings.feeds.clone())?;
        let mut policies = Policies::read(spelling, object.get("policies").as_ref())?;
        let log_only = read_mode(surroundings.mode.as_deref())?;
        if log_only {
            policies.log_only();
        }
        let engine = read_engine(written, &object, surroundings, feeds)?;
        if engine.api_key.is_none() && !feeds_may_clear && !log_only {
            // The shipped `payment` is there in every checker; what matters is whether it is used.
            let written = object.get("policies").map(|written| written.any_object()).transpose()?;
            for (name, _) in written.iter().flat_map(ObjectReader::entries) {
                policies.require_provider(name)?;
            }
        }
        Ok(Self { engine, policies, log_only, feeds_may_clear })
    }
}

fn read_engine(
    written: &Reader<'_>,
    object: &ObjectReader<'_>,
    surroundings: Surroundings,
    feeds: Option<FeedOptions>,
) -> Result<EngineOptions, Error> {
    let deadline = Duration::from_millis(milliseconds(object, "deadlineMs", DEFAULT_DEADLINE, 1, 60_000)?);
    let endpoint = read_endpoint(object)?;
    if surroundings.lift_documentation && !is_on_this_machine(&endpoint) {
        let why =
            "`endpoint` must be the stand-in of `ip-risk/testing` when documentation addresses are scored";
        return Err(Error::new(Code::Option, why));
    }
    let api_key = read_api_key(object, surroundings.api_key.as_ref())?;
    if api_key.is_none() && feeds.is_none() {
        let why = match surroundings.spelling {
            Spelling::Camel => NO_SOURCE,
            Spelling::Snake => NO_SOURCE_SNAKE,
        };
        return Err(Error::new(Code::NoSource, why));
    }
    Ok(EngineOptions {
        api_key,
        feeds,
        endpoint,
        deadline,
        connect_timeout: Duration::from_millis(milliseconds(
            object,
            "connectTimeoutMs",
            DEFAULT_CONNECT_TIMEOUT,
            1,
            60_000,
        )?)
        .min(deadline),
        cache: read_cache(object)?,
        batch: read_batch(object, deadline)?,
        max_in_flight: usize::try_from(whole(object, "maxInFlight", DEFAULT_MAX_IN_FLIGHT, 1, 1_000_000)?)
            .unwrap_or(usize::MAX),
        redis: read_redis(written, surroundings.redis_url.as_ref(), deadline)?,
        budget: object.get("budget").map(|written| read_budget(&written)).transpose()?,
        extra_roots: surroundings.extra_roots,
        https_proxy: surroundings.https_proxy,
        no_proxy: surroundings.no_proxy,
        lift_documentation: surroundings.lift_documentation,
    })
}

/// The key. Messages never show what stands in its place, because that may be the key in another wrapping.
fn read_api_key(object: &ObjectReader<'_>, surrounding: Option<&Secret>) -> Result<Option<Secret>, Error> {
    let is_key = |text: &&str| {
        !text.trim().is_empty() && text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let refused = || {
        let name = object.spelling().spell("apiKey");
        Error::new(Code::Option, format!("`{name}` must be a key of printable characters without blanks"))
    };
    let key = match (object.get("apiKey"), surrounding) {
        (Some(written), _) => written.value().as_str().filter(is_key).ok_or_else(refused)?,
        (None, Some(key)) if !key.expose().trim().is_empty() => {
            Some(key.expose().trim()).filter(is_key).ok_or_else(refused)?
        }
        (None, _) => return Ok(None),
    };
    Ok(Some(Secret::new(key)))
}

/// The endpoint. Messages never show it, because it may hold a password, which is refused.
fn read_endpoint(object: &ObjectReader<'_>) -> Result<Url, Error> {
    let written = object.get("endpoint");
    let refused = |why: &str| Error::new(Code::Option, format!("`endpoint` {why}"));
    let text = match &written {
        Some(written) => written.value().as_str().ok_or_else(|| refused("must be a URL as text"))?,
        None => DEFAULT_ENDPOINT,
    };
    let mut url =
        Url::parse(text).map_err(|_| refused("must be a URL such as `https://api.ipgeolocation.io`"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("must not have a query or a fragment"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("must not hold a user name or a password"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_on_this_machine(&url) => {}
        "http" => {
            return Err(refused(
                "must start with `https://`: plain http is for this machine only, it shows the key",
            ));
        }
        _ => return Err(refused("must start with `https://`")),
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

pub(crate) fn is_on_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

fn read_cache(object: &ObjectReader<'_>) -> Result<CacheOptions, Error> {
    let empty = serde_json::Map::new();
    let cache = match object.get("cache") {
        Some(cache) => cache.object(&["ttlMs", "staleMs", "maxEntries", "ipv6Prefix"])?,
        None => ObjectReader::empty("cache", &empty),
    };
    let prefix = whole(&cache, "ipv6Prefix", DEFAULT_IPV6_PREFIX, 32, 128)?;
    Ok(CacheOptions {
        ttl: milliseconds(&cache, "ttlMs", DEFAULT_TTL, 1, MOST_MILLISECONDS)?,
        stale: milliseconds(&cache, "staleMs", DEFAULT_STALE, 0, MOST_MILLISECONDS)?,
        max_entries: whole(&cache, "maxEntries", DEFAULT_MAX_ENTRIES, 1, 100_000_000)?,
        ipv6_prefix: u8::try_from(prefix).unwrap_or(128),
    })
}

/// The shared cache. A quarter of the deadline is the most that one question to it may take.
fn read_redis(
    written: &Reader<'_>,
    surrounding: Option<&Secret>,
    deadline: Duration,
) -> Result<Option<RedisOptions>, Error> {
    let mut redis = redis_options::read_from(written, surrounding)?;
    if let Some(redis) = redis.as_mut().filter(|redis| redis.timeout > deadline / 4) {
        let spelling = written.spelling();
        if !written.value()["redis"][&*spelling.spell("timeoutMs")].is_null() {
            let (timeout, deadline) = (spelling.spell("redis.timeoutMs"), spelling.spell("deadlineMs"));
            let why = format!(
                "`{timeout}` must be at most a quarter of `{deadline}`: Redis is asked before and after the provider"
            );
            return Err(Error::new(Code::Option, why));
        }
        redis.timeout = deadline / 4;
    }
    Ok(redis)
}

/// Reads `budget: { perSecond, perDay, perMonth, reserved }`: look-ups, and a percentage.
fn read_budget(written: &Reader<'_>) -> Result<BudgetOptions, Error> {
    let object = written.object(&["perSecond", "perDay", "perMonth", "reserved"])?;
    let limit = |key| object.get(key).map(|limit| limit.whole(1, MOST_LOOK_UPS)).transpose();
    let reserved = whole(&object, "reserved", u64::from(DEFAULT_RESERVED), 0, 100)?;
    let options = BudgetOptions {
        per_second: limit("perSecond")?,
        per_day: limit("perDay")?,
        per_month: limit("perMonth")?,
        reserved: u8::try_from(reserved).unwrap_or(DEFAULT_RESERVED),
    };
    if options.per_second.or(options.per_day).or(options.per_month).is_none() {
        let [second, day, month] =
            ["perSecond", "perDay", "perMonth"].map(|name| object.spelling().spell(name));
        let why = format!("limits nothing; write `{second}`, `{day}` or `{month}`, or leave it out");
        return Err(written.refused(&why));
    }
    Ok(options)
}

/// Reads `batch: boolean | { threshold, waitMs, size }`. Nothing when batching is switched off.
fn read_batch(object: &ObjectReader<'_>, deadline: Duration) -> Result<Option<BatchOptions>, Error> {
    let empty = serde_json::Map::new();
    let batch = match object.get("batch") {
        Some(written) if written.value().as_bool() == Some(false) => return Ok(None),
        Some(written) if !written.value().is_boolean() => written.object(&["threshold", "waitMs", "size"])?,
        _ => ObjectReader::empty("batch", &empty),
    };
    let wait = milliseconds(&batch, "waitMs", DEFAULT_BATCH_WAIT, 0, LONGEST_BATCH_WAIT)?;
    let wait = Duration::from_millis(wait);
    if let Some(written) = batch.get("waitMs")
        && wait >= deadline
    {
        let deadline = object.spelling().spell("deadlineMs");
        let why = format!("a batch must wait less than `{deadline}`, or none is answered in time");
        return Err(written.refused(&why));
    }
    let count = |key, default, least, most| {
        whole(&batch, key, default, least, most).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    };
    Ok(Some(BatchOptions {
        threshold: count("threshold", DEFAULT_BATCH_THRESHOLD, 1, 1_000_000)?,
        // A deadline that is shorter than the default leaves time for the call.
        wait: wait.min(deadline / 2),
        size: count("size", DEFAULT_BATCH_SIZE, 2, LARGEST_BATCH)?,
    }))
}

fn read_mode(mode: Option<&str>) -> Result<bool, Error> {
    match mode.map(str::trim) {
        Some("log-only") => Ok(true),
        // Nothing in the environment may turn a written `log-only` into `enforce`.
        None | Some("" | "enforce") => Ok(false),
        Some(_) => Err(Error::new(
            Code::Option,
            "the environment variable `IP_RISK_MODE` must be `log-only` or not set",
        )),
    }
}

fn whole(object: &ObjectReader<'_>, key: &str, default: u64, least: u64, most: u64) -> Result<u64, Error> {
    object.get(key).map_or(Ok(default), |reader| reader.whole(least, most))
}

fn milliseconds(
    object: &ObjectReader<'_>,
    key: &str,
    default: u64,
    least: u64,
    most: u64,
) -> Result<u64, Error> {
    object.get(key).map_or(Ok(default), |reader| reader.milliseconds(least, most))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn budget(written: &Value) -> Result<BudgetOptions, String> {
        read_budget(&Reader::new("budget", written)).map_err(|error| format!("{} {error}", error.code()))
    }

    #[test]
    fn a_budget_has_at_least_one_limit_and_a_share_that_is_reserved() {
        let read = |written: Value| {
            let BudgetOptions { per_second, per_day, per_month, reserved } = budget(&written).unwrap();
            (per_second, per_day, per_month, reserved)
        };
        assert_eq!(read(json!({ "perSecond": 50 })), (Some(50), None, None, 20));
        assert_eq!(read(json!({ "perDay": 2_500, "reserved": 0 })), (None, Some(2_500), None, 0));
        assert_eq!(
            read(json!({ "perSecond": 1, "perDay": 1, "perMonth": 1e12, "reserved": 100 })),
            (Some(1), Some(1), Some(MOST_LOOK_UPS), 100)
        );
    }

    #[test]
    fn mistakes_in_a_budget_are_named_by_their_path() {
        for (written, message) in [
            (
                json!({}),
                "OPTION `budget`: limits nothing; write `perSecond`, `perDay` or `perMonth`, or leave it out",
            ),
            (json!({ "reserved": 20 }), "OPTION `budget`: limits nothing"),
            (json!(100), "OPTION `budget` must be an object, not `100`"),
            (json!(false), "OPTION `budget` must be an object"),
            (
                json!({ "perDay": 0 }),
                "OPTION `budget.perDay` must be a whole number from 1 to 1000000000000, not `0`",
            ),
            (json!({ "perSecond": 1.5 }), "OPTION `budget.perSecond` must be a whole number"),
            (json!({ "perMonth": "100" }), "OPTION `budget.perMonth` must be a whole number"),
            (json!({ "perMonth": 1e13 }), "OPTION `budget.perMonth` must be a whole number"),
            (json!({ "perDay": null }), "OPTION `budget.perDay` must be a whole number"),
            (
                json!({ "perDay": 1, "reserved": 0.2 }),
                "OPTION `budget.reserved` must be a whole number from 0 to 100, not `0.2`",
            ),
            (
                json!({ "perDay": 1, "reserved": 101 }),
                "OPTION `budget.reserved` must be a whole number from 0 to 100",
            ),
            (
                json!({ "perday": 1 }),
                "UNKNOWN_OPTION `budget.perday` is not an option; did you mean `perDay`?",
            ),
            (json!({ "perHour": 1 }), "UNKNOWN_OPTION `budget.perHour` is not an option"),
        ] {
            let found = budget(&written).unwrap_err();
            assert!(found.starts_with(&format!("ERR_IP_RISK_{message}")), "{written}: {found}");
        }
    }
    const DEADLINE: Duration = Duration::from_millis(DEFAULT_DEADLINE);

    fn batch(written: &Value, deadline: Duration) -> Result<Option<BatchOptions>, String> {
        let object = Reader::new("", written).any_object().unwrap();
        read_batch(&object, deadline).map_err(|error| error.to_string())
    }

    #[test]
    fn batching_is_on_by_default_and_can_be_switched_off() {
        let default = BatchOptions { threshold: 32, wait: Duration::from_millis(5), size: 100 };
        for written in [json!({}), json!({ "batch": true }), json!({ "batch": {} })] {
            assert_eq!(batch(&written, DEADLINE), Ok(Some(default)), "{written}");
        }
        assert_eq!(batch(&json!({ "batch": false }), DEADLINE), Ok(None));
    }

    #[test]
    fn a_batch_is_as_it_is_written() {
        let written = json!({ "batch": { "threshold": 1, "waitMs": 0, "size": 1_000 } });
        let expected = BatchOptions { threshold: 1, wait: Duration::ZERO, size: 1_000 };
        assert_eq!(batch(&written, DEADLINE), Ok(Some(expected)));
    }

    #[test]
    fn a_mistake_in_batch_is_named() {
        for (written, message) in [
            (json!(null), "`batch` must be an object, not `null`"),
            (json!("on"), "`batch` must be an object, not `\"on\"`"),
            (json!({ "treshold": 1 }), "`batch.treshold` is not an option; did you mean `threshold`?"),
            (
                json!({ "threshold": 0 }),
                "`batch.threshold` must be a whole number from 1 to 1000000, not `0`",
            ),
            (json!({ "size": 1 }), "`batch.size` must be a whole number from 2 to 1000, not `1`"),
            (json!({ "waitMs": 1_001 }), "`batch.waitMs` must be a whole number from 0 to 1000, not `1001`"),
            (json!({ "waitMs": 0.5 }), "`batch.waitMs` must be a whole number from 0 to 1000, not `0.5`"),
        ] {
            assert_eq!(batch(&json!({ "batch": written }), DEADLINE), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_batch_waits_less_than_the_deadline() {
        let written = json!({ "batch": { "waitMs": 100 } });
        let refused = "`batch.waitMs`: a batch must wait less than `deadlineMs`, or none is answered in time";
        assert_eq!(batch(&written, Duration::from_millis(100)), Err(refused.to_owned()));
        let short = batch(&json!({}), Duration::from_millis(4)).unwrap().unwrap();
        assert_eq!(short.wait, Duration::from_millis(2));
    }
}
