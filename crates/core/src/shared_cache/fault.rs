//! What can be wrong with Redis, and how it is told from errors.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError};

/// What is wrong with Redis.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Fault {
    /// No connection, or one that broke.
    Unreachable,
    /// No answer in time.
    Slow,
    /// A wrong password, or a user who may not do this.
    Refused,
    /// The certificate is not trusted, or this is no TLS.
    Tls,
    /// The server is still reading its data.
    Loading,
    /// Full, or unable to save: it takes no new entries.
    Full,
    /// A replica that has lost its primary, or takes no writes.
    Replica,
    /// A cluster in disorder, or one that was taken for a single server.
    Cluster,
    /// A server before Redis 6.
    Outdated,
    /// A key that holds something else.
    WrongType,
    /// Any other error, or an answer that is none.
    Failed,
}

impl Fault {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Unreachable,
        Self::Slow,
        Self::Refused,
        Self::Tls,
        Self::Loading,
        Self::Full,
        Self::Replica,
        Self::Cluster,
        Self::Outdated,
        Self::WrongType,
        Self::Failed,
    ];

    /// The name as it stands in statistics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::Refused => "refused",
            Self::Tls => "tls",
            Self::Loading => "loading",
            Self::Full => "full",
            Self::Replica => "replica",
            Self::Cluster => "cluster",
            Self::Outdated => "outdated",
            Self::WrongType => "wrong_type",
            Self::Failed => "failed",
        }
    }

    /// Whether another connection could help against it.
    pub(super) fn is_of_the_connection(self) -> bool {
        !matches!(self, Self::Full | Self::Refused | Self::WrongType | Self::Failed)
    }

    /// What an error that a server sent means.
    pub(super) fn of_server(error: &ServerError) -> Self {
        Self::of_code(error.code()).or_else(|| Self::of_detail(error.details())).unwrap_or(Self::Failed)
    }

    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Refused,
            "LOADING" => Self::Loading,
            "OOM" | "MISCONF" => Self::Full,
            "MASTERDOWN" | "READONLY" | "NOREPLICAS" => Self::Replica,
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "TRYAGAIN" => Self::Cluster,
            "WRONGTYPE" => Self::WrongType,
            _ => return None,
        })
    }

    /// Redis 6 wraps what goes wrong inside a script into an error of its own, with the code in the text. Redis 7.0 has no
    /// code for a script that its user may not run whole, nor the client for a database that is refused.
    fn of_detail(detail: Option<&str>) -> Option<Self> {
        let detail = detail?;
        let mut words = detail.split(|character: char| !character.is_ascii_alphabetic());
        let is_refused =
            ["no permissions", "user executing the script"].iter().any(|text| detail.contains(text));
        words.find_map(Self::of_code).or_else(|| is_refused.then_some(Self::Refused))
    }

    /// What an error of the client means. Its text is never shown: it may hold what a server sent.
    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Slow;
        }
        if is_tls(error).unwrap_or(false) {
            return Self::Tls;
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Refused,
            ErrorKind::RESP3NotSupported => Self::Outdated,
            ErrorKind::ClusterConnectionNotFound => Self::Cluster,
            ErrorKind::MasterNameNotFoundBySentinel => Self::Replica,
            // A cluster wraps what its nodes say into one of these.
            ErrorKind::Io if error.detail().is_some_and(|detail| detail.contains("AuthenticationFailed")) => {
                Self::Refused
            }
            ErrorKind::Io => Self::of_detail(error.detail()).unwrap_or(Self::Unreachable),
            _ => {
                let of_code = error.code().and_then(Self::of_code);
                of_code.or_else(|| Self::of_detail(error.detail())).unwrap_or(Self::Failed)
            }
        }
    }
}

/// The client wraps what happened, and what happened wraps the TLS library's own error without being caused by it.
fn is_tls(error: &RedisError) -> Option<bool> {
    let shared = error.source()?.downcast_ref::<Arc<dyn StdError + Send + Sync>>()?;
    let happened: &(dyn StdError + 'static) = shared.as_ref();
    Some(happened.downcast_ref::<io::Error>()?.get_ref()?.is::<rustls::Error>())
}
