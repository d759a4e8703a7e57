//! The stand-in by itself, on 127.0.0.1:
//!
//! ```sh
//! cargo run --release -p ip-risk-upstream --bin upstream -- --port 0 --latency-ms 50 --connections 100
//! ```
//!
//! `--bulk-latency-ms` is for answers about lists; without it they take as long as the others.
//!
//! Prints where it is as one line of JSON: `url` of the API, and `counts` with what was asked and charged so far. Ends when
//! its standard input does, so that it does not outlive who started it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;
use std::{env, io, process, thread};

use ip_risk_upstream::arguments::{Arguments, Outcome};
use ip_risk_upstream::server::{self, Latency};
use serde_json::json;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upstream: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mut arguments = Arguments::new(env::args().skip(1));
    let port = arguments.take("port", 0)?;
    let single = arguments.take("latency-ms", 50)?;
    let bulk = arguments.take("bulk-latency-ms", single)?;
    let latency = Latency { single: Duration::from_millis(single), bulk: Duration::from_millis(bulk) };
    let connections = arguments.take("connections", 100)?;
    arguments.end()?;
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    // One thread does; more would take the processors away from what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ports = server::start(port, latency, connections)?;
        let place = |port, path| format!("http://127.0.0.1:{port}{path}");
        println!("{}", json!({ "url": place(ports.api, ""), "counts": place(ports.counts, "/counts") }));
        std::future::pending().await
    })
}
