//! The server: HTTP/1.1 with keep-alive, on loopback.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::answers::{self, CREDITS};
use crate::counts::Counts;

/// How many connections may wait to be taken.
const ACCEPT_QUEUE: u32 = 4096;
/// As the API documents it.
const MOST_ADDRESSES: usize = 50_000;

/// A stand-in that was started.
#[derive(Debug)]
pub struct Upstream {
    latency: Latency,
    counts: Counts,
}

/// How long an answer takes.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// About one address.
    pub single: Duration,
    /// About a list, whatever its length.
    pub bulk: Duration,
}

/// Where a stand-in listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The API.
    pub api: u16,
    /// `GET /counts`, which needs none of the API's connections.
    pub counts: u16,
}

/// An answer before it is put on the wire.
struct Reply {
    status: StatusCode,
    credits: u64,
    body: Vec<u8>,
}

impl Reply {
    fn refusal(status: StatusCode, message: &str) -> Self {
        Self { status, credits: 0, body: answers::message(message) }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        if self.status == StatusCode::OK {
            headers.insert("x-credits-charged", self.credits.into());
        }
        response
    }
}

/// The body of a question about many.
#[derive(Deserialize)]
struct BulkQuestion<'a> {
    #[serde(borrow)]
    ips: Vec<&'a str>,
}

/// Starts the server on the current runtime. At most `connections` are served at once; the others wait in the accept queue
/// of the kernel, with their first request.
///
/// # Errors
/// When the port is taken.
pub fn start(port: u16, latency: Latency, connections: usize) -> io::Result<Ports> {
    let (api, counts) = (listen(port)?, listen(0)?);
    let ports = Ports { api: api.local_addr()?.port(), counts: counts.local_addr()?.port() };
    let upstream = Arc::new(Upstream { latency, counts: Counts::default() });
    tokio::spawn(Arc::clone(&upstream).serve_api(api, connections));
    tokio::spawn(upstream.serve_counts(counts));
    Ok(ports)
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(ACCEPT_QUEUE)
}

impl Upstream {
    async fn serve_api(self: Arc<Self>, listener: TcpListener, connections: usize) {
        let places = Arc::new(Semaphore::new(connections));
        // Before the next one is taken, so that it waits where a busy server leaves it.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((socket, _)) = listener.accept().await else { continue };
            Counts::add(&self.counts.connections, 1);
            let upstream = Arc::clone(&self);
            tokio::spawn(async move {
                let answer = |request| {
                    let upstream = Arc::clone(&upstream);
                    async move { Ok::<_, Infallible>(upstream.answer(request).await.into_response()) }
                };
                serve_connection(socket, answer).await;
                drop(place);
            });
        }
    }

    async fn serve_counts(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            let upstream = Arc::clone(&self);
            tokio::spawn(async move {
                let answer = |_| {
                    let body = upstream.counts.to_json().into_bytes();
                    let reply = Reply { status: StatusCode::OK, credits: 0, body };
                    async move { Ok::<_, Infallible>(reply.into_response()) }
                };
                serve_connection(socket, answer).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        Counts::add(&self.counts.requests, 1);
        // The timer runs beside what has to be read, as it would in a server that is busy with something else.
        let is_bulk = request.method() == Method::POST;
        let latency = if is_bulk { self.latency.bulk } else { self.latency.single };
        let (reply, ()) = tokio::join!(self.reply_to(request), pause(latency));
        reply
    }

    async fn reply_to(&self, request: Request<Incoming>) -> Reply {
        let parameter = |name: &str| {
            let query = request.uri().query().unwrap_or_default().as_bytes();
            form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        if parameter("apiKey").unwrap_or_default().is_empty() {
            return Reply::refusal(StatusCode::UNAUTHORIZED, "there is no API key");
        }
        match (request.uri().path(), request.method()) {
            ("/v3/security", &Method::GET) => self.reply_about_one(&parameter("ip").unwrap_or_default()),
            ("/v3/security-bulk", &Method::POST) => {
                let content_type = request.headers().get(CONTENT_TYPE);
                if content_type.is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json")) {
                    return Reply::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `application/json`");
                }
                match request.into_body().collect().await {
                    Ok(body) => self.reply_about_many(&body.to_bytes()),
                    Err(_) => Reply::refusal(StatusCode::BAD_REQUEST, "the body did not arrive whole"),
                }
            }
            ("/v3/security" | "/v3/security-bulk", _) => {
                Reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "this method is not supported")
            }
            (path, method) => Reply::refusal(StatusCode::NOT_FOUND, &format!("No endpoint {method} {path}.")),
        }
    }

    fn reply_about_one(&self, ip: &str) -> Reply {
        let mut body = Vec::new();
        if !answers::write(&mut body, ip) {
            return Reply { status: StatusCode::BAD_REQUEST, credits: 0, body };
        }
        self.charged(1, 1, body)
    }

    fn reply_about_many(&self, question: &[u8]) -> Reply {
        let refused = |message| Reply::refusal(StatusCode::BAD_REQUEST, message);
        let Ok(BulkQuestion { ips }) = serde_json::from_slice(question) else {
            return refused("the body is not `{\"ips\": [...]}`");
        };
        if ips.is_empty() || ips.len() > MOST_ADDRESSES {
            return refused("`ips` must have 1 to 50,000 entries");
        }
        let mut body = Vec::with_capacity(ips.len() * 1024);
        let valid = answers::write_all(&mut body, &ips);
        Counts::add(&self.counts.bulk, 1);
        self.charged(ips.len(), valid, body)
    }

    fn charged(&self, addresses: usize, valid: u64, body: Vec<u8>) -> Reply {
        let credits = CREDITS * valid;
        Counts::add(&self.counts.addresses, u64::try_from(addresses).unwrap_or(u64::MAX));
        Counts::add(&self.counts.credits, credits);
        Reply { status: StatusCode::OK, credits, body }
    }
}

/// Without a latency nothing waits: the timer goes by whole milliseconds.
async fn pause(latency: Duration) {
    if !latency.is_zero() {
        sleep(latency).await;
    }
}

/// Serves one connection until the client has enough. What breaks it off is the client's business.
async fn serve_connection<F, R>(socket: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    let _ = socket.set_nodelay(true);
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service_fn(answer))
        .await;
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const QUESTION: &str = "GET /v3/security?apiKey=k&ip=24.0.0.1 HTTP/1.1\r\nhost: h\r\n\r\n";

    const AT_ONCE: Latency = Latency { single: Duration::ZERO, bulk: Duration::ZERO };

    async fn connect(port: u16) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap()
    }

    /// Asks, and reads until `end` has come.
    async fn ask(socket: &mut TcpStream, question: &str, end: &str) -> String {
        socket.write_all(question.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0);
        }
        String::from_utf8(answer).unwrap()
    }

    async fn counts(ports: Ports) -> Value {
        let answer = ask(&mut connect(ports.counts).await, "GET / HTTP/1.1\r\nhost: h\r\n\r\n", "}").await;
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[tokio::test]
    async fn what_was_asked_and_charged_is_counted() {
        let ports = start(0, AT_ONCE, 1).unwrap();
        let mut socket = connect(ports.api).await;
        let answer = ask(&mut socket, QUESTION, "}}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("x-credits-charged: 2\r\n"));
        let list = r#"{"ips":["24.0.0.1","x","::1"]}"#;
        let head = "POST /v3/security-bulk?apiKey=k HTTP/1.1\r\nhost: h\r\ncontent-type: application/json";
        let question = format!("{head}\r\ncontent-length: {}\r\n\r\n{list}", list.len());
        assert!(ask(&mut socket, &question, "}}]").await.contains("x-credits-charged: 4\r\n"));
        ask(&mut socket, "GET /v3/security?ip=24.0.0.1 HTTP/1.1\r\nhost: h\r\n\r\n", "}").await;
        let expected =
            serde_json::json!({"requests": 3, "bulk": 1, "addresses": 4, "credits": 6, "connections": 1});
        assert_eq!(counts(ports).await, expected);
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_until_another_ends() {
        let ports = start(0, AT_ONCE, 1).unwrap();
        let mut first = connect(ports.api).await;
        ask(&mut first, QUESTION, "}}").await;
        let mut second = connect(ports.api).await;
        let mut waiting = std::pin::pin!(ask(&mut second, QUESTION, "}}"));
        assert!(timeout(Duration::from_millis(50), &mut waiting).await.is_err());
        assert_eq!(counts(ports).await["connections"], 1);
        drop(first);
        waiting.await;
        assert_eq!(counts(ports).await["connections"], 2);
    }
}
