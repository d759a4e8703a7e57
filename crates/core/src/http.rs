//! One connection pool to the provider, and what can go wrong on the way there.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use std::{io, iter};

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, RequestBuilder, Url, redirect};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::error::{Code, Error};
use crate::options::EngineOptions;
use crate::secret::Secret;

/// Many times the largest documented answer.
const LARGEST_BODY: usize = 64 * 1024;
/// How much one address adds to a bulk answer: four times the largest documented entry.
const BODY_PER_ADDRESS: usize = 4 * 1024;
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

/// Nothing came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered {
    pub(crate) code: Code,
    /// Whether the question may have arrived.
    pub(crate) may_be_charged: bool,
}

impl Unanswered {
    fn unsent(code: Code) -> Self {
        Self { code, may_be_charged: false }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Empty where the status says everything; a code where it could not be had.
    pub(crate) body: Result<Vec<u8>, Code>,
    pub(crate) credits: Option<u64>,
    pub(crate) date: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) version: &'static str,
}

/// What `POST /v3/security-bulk` takes.
#[derive(Serialize)]
struct BulkQuestion {
    ips: Vec<String>,
}

/// Asks the provider. Errors carry a code and nothing else: no URL, no header, no cause.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    /// Without the key, so that printing it by accident shows nothing.
    endpoint: Url,
    bulk_endpoint: Url,
    api_key: Secret,
    pub(crate) roots: Roots,
}

impl Http {
    pub(crate) fn new(options: &EngineOptions, api_key: &Secret) -> Result<Self, Error> {
        let way = Way {
            extra_roots: options.extra_roots.as_deref(),
            // Plain http is for this machine, where no proxy is asked.
            https_proxy: options.https_proxy.as_ref().filter(|_| options.endpoint.scheme() == "https"),
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
        let extend =
            |path| options.endpoint.join(path).map_err(|_| internal("the endpoint cannot be extended"));
        let (endpoint, bulk_endpoint) = (extend("v3/security")?, extend("v3/security-bulk")?);
        Ok(Self { client, endpoint, bulk_endpoint, api_key: api_key.clone(), roots })
    }

    /// `GET /v3/security` about `address`.
    pub(crate) async fn get(&self, address: Address, until: Instant) -> Result<Response, Unanswered> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("apiKey", self.api_key.expose())
            .append_pair("ip", &address.to_string());
        fetch(self.client.get(url), &[200, 404, 423], LARGEST_BODY, until).await
    }

    /// `POST /v3/security-bulk` about `addresses`, in their order. The answer may be as large as they deserve, so it is
    /// the caller who bounds both: options and lists take at most 1,000.
    pub(crate) async fn post_bulk(
        &self,
        addresses: &[Address],
        until: Instant,
    ) -> Result<Response, Unanswered> {
        let mut url = self.bulk_endpoint.clone();
        url.query_pairs_mut().append_pair("apiKey", self.api_key.expose());
        let question = BulkQuestion { ips: addresses.iter().map(Address::to_string).collect() };
        let body = serde_json::to_vec(&question).map_err(|_| Unanswered::unsent(Code::Internal))?;
        let request = self.client.post(url).header("content-type", "application/json").body(body);
        fetch(request, &[200], largest_bulk_body(addresses.len()), until).await
    }
}

fn largest_bulk_body(addresses: usize) -> usize {
    addresses.saturating_mul(BODY_PER_ADDRESS).saturating_add(LARGEST_BODY)
}

/// Sends `request` and takes in what comes back until `until`.
///
/// The status stands, whatever becomes of the body: what was charged stays charged, and what was refused, refused. The
/// body is read, up to `largest` bytes, where the status is one of those `with_body`; others say everything themselves.
async fn fetch(
    request: RequestBuilder,
    with_body: &[u16],
    largest: usize,
    until: Instant,
) -> Result<Response, Unanswered> {
    let sent = timeout_at(until, request.header("accept", "application/json").send()).await;
    let sent = sent.map_err(|_| Unanswered { code: Code::Timeout, may_be_charged: true })?;
    let response = sent.map_err(|error| Unanswered {
        code: classify(&error),
        may_be_charged: !error.is_connect() && classify(&error) != Code::Tls,
    })?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let credits = header("x-credits-charged").and_then(|value| value.trim().parse().ok());
    let date = header("date").map(str::to_owned);
    let retry_after = header("retry-after").map(str::to_owned);
    let (status, version) = (response.status().as_u16(), version_name(response.version()));
    let body = if with_body.contains(&status) {
        timeout_at(until, read_body(response, largest)).await.unwrap_or(Err(Code::Timeout))
    } else {
        Ok(Vec::new())
    };
    Ok(Response { status, body, credits, date, retry_after, version })
}

async fn read_body(mut response: reqwest::Response, largest: usize) -> Result<Vec<u8>, Code> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        // Counted after decompression, so that a small body cannot become a large one.
        if body.len() + chunk.len() > largest {
            return Err(Code::BodyTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
    let refused = || {
        Error::new(
            Code::Option,
            "`HTTPS_PROXY` must be an http or https URL such as `http://proxy.internal:3128`",
        )
    };
    let written = proxy.expose();
    // Others are taken by the client, which then goes without a proxy, or cannot connect at all.
    let scheme = written.split_once("://").map_or("http", |(scheme, _)| scheme);
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(refused());
    }
    let proxy = Proxy::https(written).map_err(|_| refused())?;
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::options::{CheckerOptions, Surroundings};

    /// Answers one request with `body`, and gives back its head and its body.
    async fn serve(body: Vec<u8>) -> (Http, JoinHandle<(String, Value)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/below", listener.local_addr().unwrap());
        let written = json!({ "apiKey": "top-secret-&-key", "endpoint": endpoint });
        let options = CheckerOptions::read(&written, Surroundings::default()).unwrap().engine;
        let http = Http::new(&options, options.api_key.as_ref().unwrap()).unwrap();
        let served = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let question = loop {
                assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                if let Ok(body) = serde_json::from_str(body) {
                    break (head.to_owned(), body);
                }
            };
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nX-Credits-Charged: 4\r\nContent-Length: {length}\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            // A client that has seen enough goes away in the middle.
            let _ = socket.write_all(&body).await;
            question
        });
        (http, served)
    }

    /// Only a failing test waits so long.
    fn patience() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn addresses(count: u8) -> Vec<Address> {
        (0..count).map(|last| Address::parse(&format!("192.0.2.{last}")).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_bulk_call_posts_the_addresses_in_their_order() {
        let (http, served) = serve(b"[]".to_vec()).await;
        let mut asked = addresses(2);
        asked.push(Address::parse("2001:DB8:0::3").unwrap());
        let response = http.post_bulk(&asked, patience()).await.unwrap();
        let (head, body) = served.await.unwrap();
        assert!(
            head.starts_with("POST /below/v3/security-bulk?apiKey=top-secret-%26-key HTTP/1.1\r\n"),
            "{head}"
        );
        let head = head.to_lowercase();
        for header in ["content-type: application/json\r\n", "accept: application/json\r\n"] {
            assert!(head.contains(header), "{head}");
        }
        assert_eq!(body, json!({ "ips": ["192.0.2.0", "192.0.2.1", "2001:db8::3"] }));
        assert_eq!((response.status, response.credits), (200, Some(4)));
        assert_eq!(response.body.unwrap(), b"[]");
    }

    #[tokio::test]
    async fn a_bulk_answer_may_be_as_large_as_its_question_deserves() {
        let fits = largest_bulk_body(3);
        let (http, _served) = serve(vec![b' '; fits]).await;
        let response = http.post_bulk(&addresses(3), patience()).await.unwrap();
        assert_eq!(response.body.unwrap().len(), fits);
        let (http, _served) = serve(vec![b' '; fits + 1]).await;
        let response = http.post_bulk(&addresses(3), patience()).await.unwrap();
        assert_eq!((response.status, response.credits), (200, Some(4)), "they are known all the same");
        assert_eq!(response.body.unwrap_err(), Code::BodyTooLarge);
    }

    #[tokio::test]
    async fn a_failed_bulk_call_is_a_code_without_the_url_and_its_key() {
        let (http, served) = serve(Vec::new()).await;
        served.abort();
        assert!(served.await.is_err());
        let error = http.post_bulk(&addresses(1), patience()).await.unwrap_err();
        assert_eq!((error.code, error.may_be_charged), (Code::Connect, false));
        assert!(!format!("{error:?}").contains("top-secret"));
        assert!(!format!("{http:?}").contains("top-secret"));
    }
}
