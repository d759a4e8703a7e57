//! One connection pool to the provider, and what can go wrong on the way there.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use std::{io, iter};

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, Url, redirect};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

use crate::address::Address;
use crate::error::{Code, Error};
use crate::options::EngineOptions;
use crate::secret::Secret;

/// Many times the largest documented answer.
const LARGEST_BODY: usize = 64 * 1024;
/// A connection over HTTP/2 carries all calls, and a call that is given up leaves it open. One that has died without
/// a word is found by these, and the next call makes a new one.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_CONNECTIONS: usize = 32;
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Where trusted roots came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roots {
    /// Mozilla's, which are part of this package.
    pub bundled: usize,
    /// The machine's.
    pub system: usize,
    /// Those of `NODE_EXTRA_CA_CERTS`.
    pub extra: usize,
}

/// How servers are reached and trusted from here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way<'a> {
    pub(crate) extra_roots: Option<&'a str>,
    pub(crate) https_proxy: Option<&'a Secret>,
    pub(crate) no_proxy: Option<&'a str>,
}

impl Way<'_> {
    /// What all clients have in common. They follow no redirects.
    pub(crate) fn builder(&self) -> Result<(ClientBuilder, Roots), Error> {
        let (tls, roots) = tls(self.extra_roots)?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("ip-risk/", env!("CARGO_PKG_VERSION")))
            // The process's environment is the face's business, which passes on what it found.
            .no_proxy();
        // The client's own reading of `*` leaves out endpoints that are addresses.
        let is_exempt = self.no_proxy.is_some_and(|hosts| hosts.split(',').any(|host| host.trim() == "*"));
        if let Some(proxy) = self.https_proxy.filter(|_| !is_exempt) {
            builder = builder.proxy(https_proxy(proxy, self.no_proxy)?);
        }
        Ok((builder, roots))
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) credits: Option<u64>,
    pub(crate) date: Option<String>,
    pub(crate) version: &'static str,
}

/// Asks the provider. Errors carry a code and nothing else: no URL, no header, no cause.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    /// Without the key, so that printing it by accident shows nothing.
    endpoint: Url,
    api_key: Secret,
    pub(crate) roots: Roots,
}

impl Http {
    pub(crate) fn new(options: &EngineOptions, api_key: &Secret) -> Result<Self, Error> {
        let way = Way {
            extra_roots: options.extra_roots.as_deref(),
            https_proxy: options.https_proxy.as_ref(),
            no_proxy: options.no_proxy.as_deref(),
        };
        let (builder, roots) = way.builder()?;
        let builder = builder
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true);
        let client = builder.build().map_err(|_| internal("the http client could not be built"))?;
        let endpoint =
            options.endpoint.join("v3/security").map_err(|_| internal("the endpoint cannot be extended"))?;
        Ok(Self { client, endpoint, api_key: api_key.clone(), roots })
    }

    /// `GET /v3/security` about `address`. Not bounded in time: the caller's deadline is.
    pub(crate) async fn get(&self, address: Address) -> Result<Response, Code> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("apiKey", self.api_key.expose())
            .append_pair("ip", &address.to_string());
        let request = self.client.get(url).header("accept", "application/json");
        let mut response = request.send().await.map_err(|error| classify(&error))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let credits = header("x-credits-charged").and_then(|value| value.trim().parse().ok());
        let date = header("date").map(str::to_owned);
        let (status, version) = (response.status().as_u16(), version_name(response.version()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            // Counted after decompression, so that a small body cannot become a large one.
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(Code::BodyTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, body, credits, date, version })
    }
}

fn version_name(version: reqwest::Version) -> &'static str {
    match version {
        reqwest::Version::HTTP_2 => "HTTP/2",
        reqwest::Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/1.0",
    }
}

pub(crate) fn internal(message: &str) -> Error {
    Error::new(Code::Internal, message)
}

fn https_proxy(proxy: &Secret, no_proxy: Option<&str>) -> Result<Proxy, Error> {
    // The value may hold a password, so the message does not show it.
    let refused =
        |_| Error::new(Code::Option, "`HTTPS_PROXY` must be a URL such as `http://proxy.internal:3128`");
    let proxy = Proxy::https(proxy.expose()).map_err(refused)?;
    Ok(proxy.no_proxy(no_proxy.and_then(NoProxy::from_string)))
}

/// Bundled roots so that a slim container without certificates works, the machine's so that a company's own
/// authority does, and those that Node was told about.
fn tls(extra_roots: Option<&str>) -> Result<(ClientConfig, Roots), Error> {
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let bundled = store.len();
    let system = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs).0;
    let extra = extra_roots.unwrap_or_default().as_bytes();
    let extra =
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(extra).filter_map(Result::ok)).0;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| internal("no tls version is available"))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, Roots { bundled, system, extra }))
}

/// The code for an error of the HTTP client, whose own text would show the URL and with it the key.
///
/// The client's own time limits are those of connecting; the deadline is the caller's.
pub(crate) fn classify(error: &reqwest::Error) -> Code {
    let causes = || iter::successors(error.source(), |cause| cause_of(*cause));
    if causes().any(<dyn StdError>::is::<rustls::Error>) {
        Code::Tls
    } else if causes().any(is_invalid_data) {
        Code::Malformed
    } else {
        Code::Connect
    }
}

/// What is inside an error. An `io::Error` gives away the cause of what it wraps, but not what it wraps.
fn cause_of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// What decompression says of a body that is not compressed as it claims.
fn is_invalid_data(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}
