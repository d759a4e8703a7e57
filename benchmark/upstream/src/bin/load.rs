//! Loads an upstream from connections that ask one question after the other, and prints how much it took:
//!
//! ```sh
//! cargo run --release -p ip-risk-upstream --bin load -- --port 8080 --connections 100 --seconds 5 --bulk 0
//! ```
//!
//! `--bulk 100` asks about 100 addresses at once.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::env;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use ip_risk_upstream::arguments::{Arguments, Outcome};
use serde_json::json;
use tokio::net::TcpStream;

/// The addresses that are asked about begin here; nothing is sent to them.
const FIRST: u32 = 24 << 24;

/// What all connections share.
struct Load {
    port: u16,
    bulk: u32,
    next: AtomicU32,
    answers: AtomicU64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mut arguments = Arguments::new(env::args().skip(1));
    let port = arguments.take("port", 8080)?;
    let connections = arguments.take("connections", 100)?;
    let seconds = arguments.take("seconds", 5)?;
    let bulk = arguments.take("bulk", 0)?;
    arguments.end()?;
    let load = Arc::new(Load { port, bulk, next: AtomicU32::new(FIRST), answers: AtomicU64::new(0) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let took = runtime.block_on(measure(&load, connections, Duration::from_secs(seconds)))?;
    let rate = per_second(load.answers.load(Ordering::Relaxed), took);
    println!("{rate} requests per second, {} addresses", rate * u64::from(bulk.max(1)));
    Ok(())
}

fn per_second(count: u64, took: Duration) -> u64 {
    let rate = u128::from(count) * 1_000_000 / took.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// How long it took in fact.
async fn measure(load: &Arc<Load>, connections: usize, time: Duration) -> Outcome<Duration> {
    let began = Instant::now();
    let end = began + time;
    let mut all = Vec::new();
    for _ in 0..connections {
        all.push(tokio::spawn(ask_until(Arc::clone(load), end)));
    }
    for one in all {
        one.await??;
    }
    Ok(began.elapsed())
}

async fn ask_until(load: Arc<Load>, end: Instant) -> Outcome<()> {
    let socket = TcpStream::connect(("127.0.0.1", load.port)).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    while Instant::now() < end {
        ask(&load, &mut sender).await?;
        load.answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn ask(load: &Load, sender: &mut SendRequest<Full<Bytes>>) -> Outcome<()> {
    sender.ready().await?;
    let response = sender.send_request(load.question()?).await?;
    let status = response.status();
    response.into_body().collect().await?;
    if status == StatusCode::OK { Ok(()) } else { Err(format!("answered with {status}").into()) }
}

impl Load {
    fn question(&self) -> Outcome<Request<Full<Bytes>>> {
        let first = self.next.fetch_add(self.bulk.max(1), Ordering::Relaxed);
        let request = Request::builder().header(HOST, "127.0.0.1");
        if self.bulk == 0 {
            let uri = format!("/v3/security?apiKey=load&ip={}", Ipv4Addr::from_bits(first));
            return Ok(request.uri(uri).body(Full::default())?);
        }
        let ips = (0..self.bulk).map(|number| Ipv4Addr::from_bits(first.wrapping_add(number)).to_string());
        let body = json!({ "ips": ips.collect::<Vec<_>>() }).to_string();
        let request = request.method("POST").uri("/v3/security-bulk?apiKey=load");
        Ok(request.header(CONTENT_TYPE, "application/json").body(Full::from(body))?)
    }
}
