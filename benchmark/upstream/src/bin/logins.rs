//! Clients behind a proxy who log in at a server on this machine; prints what they saw as one line of JSON:
//!
//! ```sh
//! cargo run --release -p ip-risk-upstream --bin logins -- --port 3000 --connections 8 --requests 4000
//! ```
//!
//! `--known 1000` is how many addresses come again and again, and `--new-percent 10` how many requests of a hundred come
//! from an address that has never come. Requests are numbered from `--first` on, and the number says which address it is:
//! whoever goes on where a run ended gets new addresses.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::env;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::{Request, StatusCode};
use ip_risk_upstream::arguments::{Arguments, Outcome};
use ip_risk_upstream::client::{Answers, Question, Questions, ask_all};
use serde_json::{Value, json};

/// Known addresses begin here, new ones there; nothing is sent to them.
const KNOWN: u32 = 45 << 24;
const NEW: u32 = 24 << 24;
/// How many new addresses there are.
const NEW_MASK: u32 = 0x03ff_ffff;
/// Odd, so that numbers become different ones far from each other: neither neighbours nor in order.
const SPREAD: u32 = 0x9e37_79b1;

/// The requests of all connections.
struct Logins {
    known: u32,
    new_percent: u32,
    next: AtomicU32,
    end: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("logins: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mut arguments = Arguments::new(env::args().skip(1));
    let port = arguments.take("port", 3000)?;
    let connections = arguments.take("connections", 8)?;
    let requests: u32 = arguments.take("requests", 4000)?;
    let known: u32 = arguments.take("known", 1000)?;
    let new_percent = arguments.take("new-percent", 0)?;
    let first: u32 = arguments.take("first", 0)?;
    arguments.end()?;
    let end = first.wrapping_add(requests);
    let logins = Logins { known: known.max(1), new_percent, next: AtomicU32::new(first), end };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", report(&runtime.block_on(ask_all(port, connections, logins))?));
    Ok(())
}

fn report(answers: &Answers) -> Value {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    json!({
        "requests": answers.times.len(),
        "seconds": answers.took.as_secs_f64(),
        "perSecond": answers.per_second(),
        "p50Ms": milliseconds(answers.percentile(50)),
        "p99Ms": milliseconds(answers.percentile(99)),
    })
}

impl Logins {
    /// Those that are new stand evenly among the others.
    fn address(&self, number: u32) -> Ipv4Addr {
        let spread = number.wrapping_mul(SPREAD);
        let is_new = (number % 100) * self.new_percent % 100 < self.new_percent;
        Ipv4Addr::from_bits(if is_new {
            NEW + (spread & NEW_MASK)
        } else {
            KNOWN + (spread >> 8) % self.known
        })
    }
}

impl Questions for Logins {
    fn next(&self) -> Outcome<Option<Question>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.end {
            return Ok(None);
        }
        let request = Request::post("/login")
            .header(HOST, "127.0.0.1")
            .header(CONTENT_LENGTH, 0)
            .header("x-forwarded-for", self.address(number).to_string());
        Ok(Some(request.body(Full::default())?))
    }

    /// Who is blocked gets an answer too.
    fn is_expected(&self, status: StatusCode) -> bool {
        status == StatusCode::OK || status == StatusCode::FORBIDDEN
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn addresses(new_percent: u32) -> Vec<Ipv4Addr> {
        let logins = Logins { known: 50, new_percent, next: AtomicU32::new(0), end: 0 };
        (0..10_000).map(|number| logins.address(number)).collect()
    }

    #[test]
    fn as_many_addresses_as_wanted_are_new_and_come_once() {
        for (percent, wanted) in [(0, 0), (1, 100), (10, 1_000), (100, 10_000)] {
            let (known, new): (Vec<_>, Vec<_>) =
                addresses(percent).into_iter().partition(|address| address.octets()[0] == 45);
            assert_eq!(new.len(), wanted);
            assert_eq!(new.into_iter().collect::<HashSet<_>>().len(), wanted);
            assert!(known.into_iter().collect::<HashSet<_>>().len() <= 50);
        }
    }

    #[test]
    fn all_known_addresses_come() {
        assert_eq!(addresses(0).into_iter().collect::<HashSet<_>>().len(), 50);
    }
}
