//! The option `redis`: where the shared cache is, and how it is reached.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

use crate::error::{Code, Error};
use crate::reader::{ObjectReader, Reader};
use crate::secret::Secret;

const DEFAULT_TIMEOUT: u64 = 50;
const DEFAULT_PORT: u16 = 6_379;
const DEFAULT_SENTINEL_PORT: u16 = 26_379;
/// The longest text that any of the options may be, a certificate aside.
const LONGEST_TEXT: usize = 512;
/// The longest list of authorities: about a thousand certificates.
const LONGEST_AUTHORITY: usize = 2 * 1_024 * 1_024;

const EXPECTED: &str =
    "must be a URL such as `redis://localhost:6379`, an object such as `{ url, database }`, or `false`";

/// Where one server listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// Who we are there. Nobody in particular without a password.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Login {
    /// The ACL user; the server's default one when there is none.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

/// How the servers belong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Topology {
    /// One server.
    Standalone,
    /// Sentinels, which know the server that holds the data.
    Sentinel {
        /// The name under which they know it.
        master: String,
        /// Who we are to the sentinels.
        login: Login,
    },
    /// A cluster.
    Cluster,
}

/// Where the shared cache is, and how it is reached.
///
/// ```text
/// redis: 'rediss://user:password@cache.internal:6380/2'
/// redis: { url: 'redis://cache.internal', database: 2, keyPrefix: 'shop:', timeoutMs: 20 }
/// redis: { urls: ['rediss://a.internal', 'rediss://b.internal'], cluster: true, tls: { ca: '-----BEGIN...' } }
/// redis: { sentinel: { master: 'main', urls: ['redis://s1.internal', 'redis://s2.internal'] }, password: '...' }
/// ```
///
/// `rediss` is TLS. A name and a password that are written win over those in a URL. `tls.ca` is the text of PEM
/// certificates that are trusted beside those that the provider is trusted by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedisOptions {
    /// The server, the sentinels, or some nodes of the cluster; never none.
    pub nodes: Vec<Node>,
    /// How they belong together.
    pub topology: Topology,
    /// Whether the way to all of them is encrypted.
    pub tls: bool,
    /// More trusted authorities, PEM.
    pub authority: Option<String>,
    /// Who we are to the servers that hold the data.
    pub login: Login,
    /// The number of the database.
    pub database: u32,
    /// What stands before every key. With the default, none, the entries are those of the tutorial.
    pub key_prefix: String,
    /// How long a look-up waits for Redis in all. 50 milliseconds by default.
    pub timeout: Duration,
}

/// What one URL says.
struct Location {
    node: Node,
    tls: bool,
    login: Login,
    database: Option<u32>,
}

/// The option `redis` of what the user wrote, or what `REDIS_URL` says where it is not written.
///
/// # Errors
/// [`Code::Option`] or [`Code::UnknownOption`] with the path of the mistake. Messages show no value, because any of
/// them may hold a password.
pub fn read(written: &Value, surrounding: Option<&Secret>) -> Result<Option<RedisOptions>, Error> {
    read_from(&Reader::new("", written), surrounding)
}

/// The same, where all options are being read.
pub(crate) fn read_from(
    written: &Reader<'_>,
    surrounding: Option<&Secret>,
) -> Result<Option<RedisOptions>, Error> {
    let Some(written) = written.any_object()?.get("redis") else {
        let url = surrounding.map(|url| url.expose().trim()).filter(|url| !url.is_empty());
        return url.map(|url| from_url(url, "the environment variable `REDIS_URL`")).transpose();
    };
    match written.value() {
        Value::Bool(false) => Ok(None),
        Value::String(url) => from_url(url, "`redis`").map(Some),
        Value::Object(_) => read_object(&written).map(Some),
        _ => Err(mistake("`redis`", EXPECTED)),
    }
}

fn mistake(what: &str, why: &str) -> Error {
    Error::new(Code::Option, format!("{what} {why}"))
}

fn from_url(url: &str, what: &str) -> Result<RedisOptions, Error> {
    let location = locate(url, DEFAULT_PORT).map_err(|why| mistake(what, why))?;
    Ok(RedisOptions {
        nodes: vec![location.node],
        topology: Topology::Standalone,
        tls: location.tls,
        authority: None,
        login: location.login,
        database: location.database.unwrap_or(0),
        key_prefix: String::new(),
        timeout: Duration::from_millis(DEFAULT_TIMEOUT),
    })
}

fn read_object(written: &Reader<'_>) -> Result<RedisOptions, Error> {
    const KNOWN: [&str; 10] = [
        "url",
        "urls",
        "sentinel",
        "cluster",
        "username",
        "password",
        "database",
        "keyPrefix",
        "timeoutMs",
        "tls",
    ];
    let object = written.object(&KNOWN)?;
    let (topology, locations) = read_topology(&object)?;
    let tls = locations.iter().any(|location| location.tls);
    if locations.iter().any(|location| location.tls != tls) {
        return Err(mistake(
            "`redis`",
            "must have URLs that all begin with `rediss://`, or all with `redis://`",
        ));
    }
    // What the URLs of sentinels say is for the sentinels.
    let at = if matches!(topology, Topology::Sentinel { .. }) { None } else { Some(&locations) };
    let login = read_login(&object, at.into_iter().flatten())?;
    let database = at.and_then(|locations| locations.iter().find_map(|location| location.database));
    let database = match object.get("database") {
        Some(number) => u32::try_from(number.whole(0, 65_535)?).ok(),
        None => database,
    };
    Ok(RedisOptions {
        topology,
        tls,
        authority: read_authority(&object, tls)?,
        login,
        database: database.unwrap_or(0),
        key_prefix: object
            .get("keyPrefix")
            .map(|prefix| read_prefix(&prefix))
            .transpose()?
            .unwrap_or_default(),
        timeout: Duration::from_millis(
            object.get("timeoutMs").map_or(Ok(DEFAULT_TIMEOUT), |timeout| timeout.milliseconds(1, 10_000))?,
        ),
        nodes: locations.into_iter().map(|location| location.node).collect(),
    })
}

fn read_topology(object: &ObjectReader<'_>) -> Result<(Topology, Vec<Location>), Error> {
    let is_cluster = object.get("cluster").is_some_and(|cluster| cluster.value().as_bool() == Some(true));
    object.get("cluster").map(|cluster| cluster.boolean()).transpose()?;
    match (object.get("url"), object.get("urls"), object.get("sentinel")) {
        (Some(url), None, None) => {
            let topology = if is_cluster { Topology::Cluster } else { Topology::Standalone };
            Ok((topology, vec![read_location(&url, DEFAULT_PORT)?]))
        }
        (None, Some(urls), None) if is_cluster => {
            Ok((Topology::Cluster, read_locations(&urls, DEFAULT_PORT)?))
        }
        (None, Some(_), None) => {
            Err(mistake("`redis.urls`", "is for a cluster: write `cluster: true`, or `url` with one server"))
        }
        (None, None, Some(sentinel)) if !is_cluster => read_sentinel(&sentinel),
        _ => Err(mistake("`redis`", "must have one of `url`, `urls` with `cluster: true`, and `sentinel`")),
    }
}

fn read_sentinel(written: &Reader<'_>) -> Result<(Topology, Vec<Location>), Error> {
    let sentinel = written.object(&["master", "urls", "username", "password"])?;
    let master = read_text(&sentinel.require("master")?)?;
    let locations = read_locations(&sentinel.require("urls")?, DEFAULT_SENTINEL_PORT)?;
    if locations.iter().any(|location| location.database.is_some()) {
        let why = "must not name a database, sentinels have none: write `redis.database`";
        return Err(mistake("`redis.sentinel.urls`", why));
    }
    let login = read_login(&sentinel, &locations)?;
    Ok((Topology::Sentinel { master, login }, locations))
}

fn read_locations(urls: &Reader<'_>, port: u16) -> Result<Vec<Location>, Error> {
    let name = format!("`{}`", urls.path());
    if !urls.value().is_array() {
        return Err(mistake(&name, "must be an array of URLs"));
    }
    let items = urls.items()?;
    if items.is_empty() || items.len() > 100 {
        return Err(mistake(&name, "must have from 1 to 100 URLs"));
    }
    items.iter().map(|item| read_location(item, port)).collect()
}

fn read_location(url: &Reader<'_>, port: u16) -> Result<Location, Error> {
    let name = format!("`{}`", url.path());
    let text = url.value().as_str().ok_or_else(|| mistake(&name, "must be a URL as text"))?;
    locate(text, port).map_err(|why| mistake(&name, why))
}

/// `username` and `password`, or those of the first URL that has a password.
fn read_login<'a>(
    object: &ObjectReader<'_>,
    locations: impl IntoIterator<Item = &'a Location>,
) -> Result<Login, Error> {
    let username = object.get("username").map(|name| read_text(&name)).transpose()?;
    let password = object.get("password").map(|password| read_text(&password)).transpose()?;
    let in_url = locations.into_iter().map(|location| &location.login).find(|login| login.password.is_some());
    let in_url = in_url.cloned().unwrap_or_default();
    let login = Login {
        username: username.or(in_url.username),
        password: password.map(|password| Secret::new(&password)).or(in_url.password),
    };
    if login.username.is_some() && login.password.is_none() {
        return Err(mistake("`redis.username`", "needs a `password`"));
    }
    Ok(login)
}

/// A text that may be a secret, so that a message never shows it.
fn read_text(written: &Reader<'_>) -> Result<String, Error> {
    let is_text = |text: &&str| !text.is_empty() && text.len() <= LONGEST_TEXT && !text.contains('\0');
    let text = written.value().as_str().filter(is_text);
    text.map(str::to_owned)
        .ok_or_else(|| mistake(&format!("`{}`", written.path()), "must be a text that is not empty"))
}

fn read_prefix(written: &Reader<'_>) -> Result<String, Error> {
    let is_prefix = |text: &&str| text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = written.value().as_str().filter(is_prefix);
    text.map(str::to_owned).ok_or_else(|| {
        mistake("`redis.keyPrefix`", "must be at most 128 printable ASCII characters without blanks")
    })
}

fn read_authority(object: &ObjectReader<'_>, tls: bool) -> Result<Option<String>, Error> {
    let Some(written) = object.get("tls") else { return Ok(None) };
    if !tls {
        return Err(mistake("`redis.tls`", "needs URLs that begin with `rediss://`"));
    }
    let Some(authority) = written.object(&["ca"])?.get("ca") else { return Ok(None) };
    let is_authority = |text: &&str| {
        text.len() <= LONGEST_AUTHORITY
            && CertificateDer::pem_slice_iter(text.as_bytes()).next().is_some()
            && CertificateDer::pem_slice_iter(text.as_bytes()).all(|certificate| certificate.is_ok())
    };
    let text = authority.value().as_str().filter(is_authority);
    text.map(|text| Some(text.to_owned())).ok_or_else(|| {
        mistake("`redis.tls.ca`", "must be the text of PEM certificates, not the path of a file")
    })
}

/// What a URL says, or why it says nothing.
fn locate(text: &str, port: u16) -> Result<Location, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "must be a URL such as `redis://localhost:6379`")?;
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return Err("must begin with `redis://` or `rediss://`"),
    };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("must name a host, as in `redis://localhost:6379`");
    }
    // Some hosts add `?family=0`, which asks for both kinds of addresses; both are always tried.
    if url.fragment().is_some() || url.query_pairs().any(|(name, _)| name != "family") {
        return Err(
            "must have no query and no fragment: what they say elsewhere are options of their own here",
        );
    }
    let database = match url.path() {
        "" | "/" => None,
        path => {
            Some(path.trim_start_matches('/').parse().map_err(|_| "must end with the number of a database")?)
        }
    };
    let login = Login {
        username: decoded(url.username())?,
        password: url.password().map(decoded).transpose()?.flatten().map(|password| Secret::new(&password)),
    };
    if login.username.is_some() && login.password.is_none() {
        return Err("must have a password after the user's name, as in `redis://user:password@host`");
    }
    Ok(Location {
        node: Node { host: host.to_owned(), port: url.port().unwrap_or(port) },
        tls,
        login,
        database,
    })
}

fn decoded(text: &str) -> Result<Option<String>, &'static str> {
    let text =
        percent_decode_str(text).decode_utf8().map_err(|_| "must have a name and password in UTF-8")?;
    Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
}
