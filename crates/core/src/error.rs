//! Every code that a user may branch on when something went wrong, in one table.

use std::fmt;

/// Which failure mode of a policy answers when a look-up brought no evidence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureClass {
    /// The source could not be asked or did not answer usefully: `onFailure.upstream`.
    Upstream,
    /// A limit that a caller can exhaust on purpose: `onFailure.exhausted`.
    Exhausted,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A stable error code. It stands in `error.code`, in `decision.failure` and in warnings.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u8)]
        pub enum Code { $($(#[$doc])* $name),+ }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// The code as users see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => concat!("ERR_IP_RISK_", $text)),+ }
            }
        }
    };
}

codes! {
    /// An option has a value that cannot be used; the message names its path.
    Option = "OPTION",
    /// An option that does not exist; the message names the nearest one that does.
    UnknownOption = "UNKNOWN_OPTION",
    /// Neither an API key nor feeds are configured: there is nothing to score with.
    NoSource = "NO_SOURCE",
    /// An argument of a call has the wrong type.
    Argument = "ARGUMENT",
    /// The checker was closed.
    Closed = "CLOSED",
    /// No policy of that name is configured.
    UnknownPolicy = "UNKNOWN_POLICY",
    /// The native addon could not be loaded.
    Native = "NATIVE",
    /// A defect of this package, caught before it could reach the application.
    Internal = "INTERNAL",

    /// The text is not an IP address.
    InvalidAddress = "INVALID_ADDRESS",
    /// The address is special-use space that no source knows anything about.
    SpecialUse = "SPECIAL_USE",

    /// No answer within the deadline; also status 499 and 504, which say so of somebody on the way.
    Timeout = "TIMEOUT",
    /// No connection: name resolution, connecting within its time, or a connection that broke.
    Connect = "CONNECT",
    /// The TLS handshake failed, most often on an untrusted certificate.
    Tls = "TLS",
    /// Status 401: the key is wrong, locked, expired, or of a plan without the Security API.
    KeyRefused = "KEY_REFUSED",
    /// Status 403: the key is disabled or its origin is blocked.
    KeyForbidden = "KEY_FORBIDDEN",
    /// Status 404 for the path itself: `endpoint` points to the wrong place.
    Endpoint = "ENDPOINT",
    /// Status 400, 405, 413 or 415: the request itself was refused.
    RequestRefused = "REQUEST_REFUSED",
    /// Status 429: the plan's quota or surcharge limit is used up.
    Quota = "QUOTA",
    /// A redirect, which is never followed because it would carry the key elsewhere.
    Redirect = "REDIRECT",
    /// Status 5xx, or one that is not documented.
    UpstreamStatus = "UPSTREAM_STATUS",
    /// An answer that is not the documented JSON, or a score that is not a number from 0 to 100.
    Malformed = "MALFORMED",
    /// An answer larger than any documented one.
    BodyTooLarge = "BODY_TOO_LARGE",
    /// More look-ups in flight than `maxInFlight`.
    Overloaded = "OVERLOADED",
    /// More look-ups for unverified addresses in a minute than are allowed.
    UnverifiedLimit = "UNVERIFIED_LIMIT",
    /// So many calls failed that none is made until a probe succeeds.
    Breaker = "BREAKER",
    /// The look-ups that `budget` allows are used up.
    Budget = "BUDGET",

    /// The shared cache on Redis cannot be used, or the budget that processes share there cannot be asked.
    Redis = "REDIS",

    /// A file, directory or catalogue of feeds that cannot be used; the message names it.
    Feeds = "FEEDS",
    /// Another process is updating the same directory of feeds.
    FeedsBusy = "FEEDS_BUSY",

    /// Warning: the framework trusts forwarded headers from anybody.
    TrustAll = "TRUST_ALL",
    /// Warning: requests are forwarded by a private peer that is not trusted, or by one that has no address.
    UntrustedForwarded = "UNTRUSTED_FORWARDED",
    /// Warning: `proxy-addr` is older than 2.0.8 (CVE-2026-90711).
    ProxyAddr = "PROXY_ADDR",
    /// Warning: a policy names routes, but none is spelled as the gate's own, or that has no name.
    Route = "ROUTE",
    /// Warning: a hook or logger of the application threw; the decision stands.
    Hook = "HOOK",
}

impl Code {
    /// Which failure mode answers for this code.
    #[must_use]
    pub const fn class(self) -> FailureClass {
        match self {
            // Without Redis a shared budget cannot be asked, and a rush of new addresses can make that so.
            Self::Quota | Self::Overloaded | Self::UnverifiedLimit | Self::Budget | Self::Redis => {
                FailureClass::Exhausted
            }
            _ => FailureClass::Upstream,
        }
    }

    /// What to do about it, for logs and `doctor`; empty where the error carries its own message.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::InvalidAddress => "the client address is not an IP address; check what sets it",
            Self::SpecialUse => {
                "the address is special-use space, which no provider knows; check how the client address is found"
            }
            Self::NoSource => {
                "without a key only feeds are asked, and they may not clear this policy: set `IPGEO_API_KEY`, or write \
                 `feeds: { primary: true }`"
            }
            Self::Feeds => "a file of offline feeds cannot be used; run `ip-risk feeds status` to see why",
            Self::Timeout => "the provider did not answer within `deadlineMs`",
            Self::Connect => {
                "the provider could not be reached; check name resolution, firewall and `HTTPS_PROXY`"
            }
            Self::Tls => {
                "the provider's certificate is not trusted; a company proxy's authority goes into `NODE_EXTRA_CA_CERTS`"
            }
            Self::KeyRefused => {
                "the key was refused (401); check `IPGEO_API_KEY`, and that its plan has the Security API, which free plans have not"
            }
            Self::KeyForbidden => {
                "the key may not be used (403); check in the provider's dashboard whether it is disabled"
            }
            Self::Endpoint => {
                "nothing answers for the Security API at `endpoint`; leave it out, or correct it"
            }
            Self::RequestRefused => {
                "the provider refused the request itself; update this package, or report it"
            }
            Self::Quota => "the plan's quota is used up (429); raise it, or wait for the next period",
            Self::Redirect => {
                "the endpoint redirects, which is not followed because the key would travel along; correct `endpoint`"
            }
            Self::UpstreamStatus => "the provider has a fault of its own; it usually passes",
            Self::Malformed => {
                "the provider's answer is not what it documents; something between may have replaced it"
            }
            Self::BodyTooLarge => {
                "the provider's answer is far larger than documented; something between may have replaced it"
            }
            Self::Overloaded => "more look-ups are under way than `maxInFlight` allows",
            Self::UnverifiedLimit => {
                "too many look-ups for addresses that anybody could have written; set `trust proxy`"
            }
            Self::Breaker => {
                "so many calls to the provider failed that it is left alone for some seconds; the next one that succeeds \
                 ends it"
            }
            Self::Budget => {
                "the look-ups of `budget` are used up; raise it, or wait for the next second, day or month (UTC)"
            }
            Self::Redis => {
                "the shared cache on Redis cannot be used, and decisions go on without it; a `budget` that processes share \
                 could not be asked, so that only what is leased of it is looked up; see `stats().redis` and `ip-risk doctor`"
            }
            Self::TrustAll => {
                "`trust proxy` trusts everybody, so that any client can choose its address; set it to the addresses of \
                 your proxies, for example `app.set('trust proxy', 'loopback, uniquelocal')`"
            }
            Self::UntrustedForwarded => {
                "requests are forwarded, yet their client address is a private one or none, so that all clients look alike; \
                 set `trust proxy` to the addresses of your proxies, or write `clientIp` where they come over a Unix socket"
            }
            Self::ProxyAddr => {
                "the installed `proxy-addr` is older than 2.0.8 and can trust the whole internet (CVE-2026-90711); update it"
            }
            Self::Hook => "a hook of the application failed; the decision stands",
            Self::Closed => "the checker is closed; close it after the server",
            Self::Route => {
                "a policy names routes, and none of them is the gate's, so that what is for them does not apply: it stands \
                 before all routes, or on a pattern that is not one text, or its pattern is another one, without the prefix \
                 of a mounted router; write the option `route`"
            }
            Self::Internal => "a defect of ip-risk; please report it",
            _ => "",
        }
    }
}

/// The mistake of an option at `path` whose `key` is none of the `known` ones; names the nearest of them.
#[must_use]
pub fn unknown_option(path: &str, key: &str, known: &[&str]) -> Error {
    Error::new(Code::UnknownOption, format!("`{path}` is not an option; {}", nearest(key, known)))
}

/// The one of the `known` names that is most like `written`, or all of them, as the end of a message.
pub(crate) fn nearest(written: &str, known: &[&str]) -> String {
    const CLOSE: f64 = 0.6;
    let similarity =
        |name: &str| strsim::normalized_damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase());
    let nearest = known.iter().map(|name| (similarity(name), *name)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((similarity, name)) if similarity >= CLOSE => format!("did you mean `{name}`?"),
        _ => format!(
            "known are {}",
            known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A mistake in how the package is used. Outcomes of look-ups are never errors, they are decisions.
///
/// The message is lower case, names the value in backticks and says what to do next.
/// It never holds a key, a URL, a header or a body.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: Code,
    message: String,
}

impl Error {
    /// An error of `code` with a message for people.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }
}
