//! Opens databases, asks each about addresses all over the internet, and prints what is in them:
//!
//! ```sh
//! cargo run --release -p ip-risk-benchmark --bin read_mmdb -- <file>...
//! ```
//!
//! Exits with 1 when one of them cannot be opened.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::{env, fs};

use ip_risk_benchmark::program::Outcome;
use ip_risk_benchmark::timing::timed;
use ip_risk_core::feeds::mmdb::Database;

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in env::args().skip(1) {
        if let Err(error) = read(&path) {
            println!("{path}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// One address of each IPv4 /16, all of 1.0.0.0/14, and one of each IPv6 /16.
fn addresses() -> impl Iterator<Item = IpAddr> {
    let spread = (0..=u16::MAX).map(|high| Ipv4Addr::from_bits(u32::from(high) << 16 | 1).into());
    let first = (0..1 << 18).map(|low| Ipv4Addr::from_bits(1 << 24 | low).into());
    let ipv6 = (0..=u16::MAX).map(|high| Ipv6Addr::from_bits(u128::from(high) << 112 | 1).into());
    spread.chain(first).chain(ipv6)
}

fn read(path: &str) -> Outcome<()> {
    let database = Database::open(fs::read(path)?)?;
    let mut signals: BTreeMap<_, u64> = BTreeMap::new();
    let (asked, time) = timed(|| {
        addresses().fold(0_u32, |asked, address| {
            for found in database.look_up(address) {
                *signals.entry(found.signal).or_default() += 1;
            }
            asked + 1
        })
    });
    println!(
        "{path}: {:?}, {} ns each, {} errors, {signals:?}",
        database.kind(),
        (time / asked).as_nanos(),
        database.errors()
    );
    if let Some(warning) = database.warning() {
        println!("  warning: {warning}");
    }
    Ok(())
}
