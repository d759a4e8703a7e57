//! Opens databases and prints what is in them: `cargo run --example read_mmdb -- <file>...`.
//!
//! Each one is asked about addresses all over the internet. Exits with 1 when one of them cannot be opened.

#![allow(clippy::print_stdout, reason = "it is a program")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Instant;

use ip_risk_core::feeds::mmdb::Database;

/// One address of each IPv4 /16, all of 1.0.0.0/14, and one of each IPv6 /16.
fn addresses() -> impl Iterator<Item = IpAddr> {
    let spread = (0..=u16::MAX).map(|high| Ipv4Addr::from_bits(u32::from(high) << 16 | 1).into());
    let first = (0..1 << 18).map(|low| Ipv4Addr::from_bits(1 << 24 | low).into());
    let ipv6 = (0..=u16::MAX).map(|high| Ipv6Addr::from_bits(u128::from(high) << 112 | 1).into());
    spread.chain(first).chain(ipv6)
}

fn read(path: &str) -> Result<(), Box<dyn Error>> {
    let database = Database::open(std::fs::read(path)?)?;
    let start = Instant::now();
    let mut asked = 0_u32;
    let mut signals: BTreeMap<_, u64> = BTreeMap::new();
    for address in addresses() {
        asked += 1;
        for found in database.look_up(address) {
            *signals.entry(found.signal).or_default() += 1;
        }
    }
    let nanoseconds = (start.elapsed() / asked).as_nanos();
    println!(
        "{path}: {:?}, {nanoseconds} ns each, {} errors, {signals:?}",
        database.kind(),
        database.errors()
    );
    if let Some(warning) = database.warning() {
        println!("  warning: {warning}");
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in std::env::args().skip(1) {
        if let Err(error) = read(&path) {
            println!("{path}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
