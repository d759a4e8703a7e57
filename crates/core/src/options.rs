//! All options, with their defaults and limits.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use crate::error::{Code, Error};
use crate::feeds::options::{self as feed_options, FeedOptions};
use crate::policies::Policies;
use crate::reader::{MOST_MILLISECONDS, ObjectReader, Reader};
use crate::secret::Secret;

const DEFAULT_ENDPOINT: &str = "https://api.ipgeolocation.io";
const DEFAULT_DEADLINE: u64 = 1_500;
const DEFAULT_CONNECT_TIMEOUT: u64 = 1_000;
const DEFAULT_TTL: u64 = 5 * 60 * 1_000;
const DEFAULT_STALE: u64 = 24 * 60 * 60 * 1_000;
const DEFAULT_MAX_ENTRIES: u64 = 100_000;
const DEFAULT_IPV6_PREFIX: u64 = 64;
const DEFAULT_MAX_IN_FLIGHT: u64 = 1_000;

const NO_SOURCE: &str = "there is nothing to score with: set `IPGEO_API_KEY` (or the option `apiKey`) to a key of ipgeolocation.io \
     with the Security API, or do without one by leaving `feeds` on; for tests, use `createTestChecker()` of \
     `ip-risk/testing`, which needs no key";

/// How many look-ups a minute are made for addresses that anybody could have written.
pub const UNVERIFIED_LOOK_UPS_PER_MINUTE: usize = 10;
/// How many addresses one `checkMany` may hold.
pub const MOST_ADDRESSES: usize = 50_000;

/// What a face found around the process. An option that is written wins over it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `IPGEO_API_KEY`.
    pub api_key: Option<Secret>,
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
    /// How many look-ups may be under way at once.
    pub max_in_flight: usize,
    /// See [`Surroundings::extra_roots`].
    pub extra_roots: Option<String>,
    /// See [`Surroundings::https_proxy`].
    pub https_proxy: Option<Secret>,
    /// See [`Surroundings::no_proxy`].
    pub no_proxy: Option<String>,
    /// See [`Surroundings::lift_documentation`].
    pub lift_documentation: bool,
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
        let object = Reader::new("", written).object(&[
            "apiKey",
            "endpoint",
            "deadlineMs",
            "connectTimeoutMs",
            "cache",
            "feeds",
            "maxInFlight",
            "policies",
            // The face reads it; it stands here so that a slip in its name is found.
            "logger",
        ])?;
        let (feeds, feeds_may_clear) =
            feed_options::read(&object, surroundings.seed.clone(), surroundings.feeds.clone())?;
        let mut policies = Policies::read(object.get("policies").as_ref())?;
        let log_only = read_mode(surroundings.mode.as_deref())?;
        if log_only {
            policies.log_only();
        }
        let engine = read_engine(&object, surroundings, feeds)?;
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
    object: &ObjectReader<'_>,
    surroundings: Surroundings,
    feeds: Option<FeedOptions>,
) -> Result<EngineOptions, Error> {
    let deadline = milliseconds(object, "deadlineMs", DEFAULT_DEADLINE, 60_000)?;
    let endpoint = read_endpoint(object)?;
    if surroundings.lift_documentation && !is_on_this_machine(&endpoint) {
        let why =
            "`endpoint` must be the stand-in of `ip-risk/testing` when documentation addresses are scored";
        return Err(Error::new(Code::Option, why));
    }
    let api_key = read_api_key(object, surroundings.api_key.as_ref())?;
    if api_key.is_none() && feeds.is_none() {
        return Err(Error::new(Code::NoSource, NO_SOURCE));
    }
    Ok(EngineOptions {
        api_key,
        feeds,
        endpoint,
        deadline,
        connect_timeout: milliseconds(object, "connectTimeoutMs", DEFAULT_CONNECT_TIMEOUT, 60_000)?
            .min(deadline),
        cache: read_cache(object)?,
        max_in_flight: usize::try_from(whole(object, "maxInFlight", DEFAULT_MAX_IN_FLIGHT, 1, 1_000_000)?)
            .unwrap_or(usize::MAX),
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
    let refused =
        || Error::new(Code::Option, "`apiKey` must be a key of printable characters without blanks");
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
        ttl: whole(&cache, "ttlMs", DEFAULT_TTL, 1, MOST_MILLISECONDS)?,
        stale: whole(&cache, "staleMs", DEFAULT_STALE, 0, MOST_MILLISECONDS)?,
        max_entries: whole(&cache, "maxEntries", DEFAULT_MAX_ENTRIES, 1, 100_000_000)?,
        ipv6_prefix: u8::try_from(prefix).unwrap_or(128),
    })
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

fn milliseconds(object: &ObjectReader<'_>, key: &str, default: u64, most: u64) -> Result<Duration, Error> {
    whole(object, key, default, 1, most).map(Duration::from_millis)
}
