//! How much a process grows when nothing but `moka` is filled as the cache of ip-risk is: `moka_floor STEP STEPS`.
//!
//! The same kind of cache, a key of 16 bytes, a value as large as an answer of ip-risk, and a time to live. Prints, as JSON,
//! how large that is, and how many entries there are and how large the process is, before the first step and after each.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_core::RECORD_BYTES;
use mimalloc::MiMalloc;
use moka::sync::Cache;
use serde_json::json;

/// That of the addon.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const TIME_TO_LIVE: Duration = Duration::from_hours(24);
const VALUE: [u64; RECORD_BYTES / 8] = [1; RECORD_BYTES / 8];

fn main() -> ExitCode {
    end("moka_floor", run())
}

fn run() -> Outcome<()> {
    let words: Vec<u64> = env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [step, steps] = words[..] else { return Err("the words are `STEP STEPS`".into()) };
    let cache = Cache::builder().max_capacity(2 * step * steps).time_to_live(TIME_TO_LIVE).build();
    let mut points = vec![json!({ "entries": 0, "rss": rss()? })];
    for number in 0..steps {
        for key in number * step..(number + 1) * step {
            cache.insert(u128::from(key), VALUE);
        }
        cache.run_pending_tasks();
        points.push(json!({ "entries": cache.entry_count(), "rss": rss()? }));
    }
    println!("{}", json!({ "valueBytes": size_of_val(&VALUE), "points": points }));
    Ok(())
}

/// The bytes of this process that are in memory, as Linux tells it.
fn rss() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("there is no `VmRSS`")?;
    Ok(kilobytes.parse::<u64>()? * 1_024)
}
