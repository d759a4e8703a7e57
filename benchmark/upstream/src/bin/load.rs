//! Loads an upstream from connections that ask one question after the other, and prints how much it took as one line of
//! JSON:
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
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use ip_risk_upstream::arguments::{Arguments, Outcome};
use ip_risk_upstream::client::{Question, Questions, ask_all};
use serde_json::json;

/// The addresses that are asked about begin here; nothing is sent to them.
const FIRST: u32 = 24 << 24;

/// Questions about ever new addresses, until the time is up.
struct Lookups {
    bulk: u32,
    next: AtomicU32,
    end: Instant,
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
    let end = Instant::now() + Duration::from_secs(seconds);
    let lookups = Lookups { bulk, next: AtomicU32::new(FIRST), end };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rate = runtime.block_on(ask_all(port, connections, lookups))?.per_second();
    println!("{}", json!({ "requestsPerSecond": rate, "addressesPerSecond": rate * u64::from(bulk.max(1)) }));
    Ok(())
}

impl Questions for Lookups {
    fn next(&self) -> Outcome<Option<Question>> {
        if Instant::now() >= self.end {
            return Ok(None);
        }
        let first = self.next.fetch_add(self.bulk.max(1), Ordering::Relaxed);
        let request = Request::builder().header(HOST, "127.0.0.1");
        if self.bulk == 0 {
            let uri = format!("/v3/security?apiKey=load&ip={}", Ipv4Addr::from_bits(first));
            return Ok(Some(request.uri(uri).body(Full::default())?));
        }
        let ips = (0..self.bulk).map(|number| Ipv4Addr::from_bits(first.wrapping_add(number)).to_string());
        let body = json!({ "ips": ips.collect::<Vec<_>>() }).to_string();
        let request = request.method("POST").uri("/v3/security-bulk?apiKey=load");
        Ok(Some(request.header(CONTENT_TYPE, "application/json").body(Full::from(body))?))
    }

    fn is_expected(&self, status: StatusCode) -> bool {
        status == StatusCode::OK
    }
}
