//! Reads feed files and prints what is in them, unpacked where a name ends in `.gz`:
//!
//! ```sh
//! cargo run --release -p ip-risk-benchmark --bin read_feed -- <format> <file>...
//! ```
//!
//! Exits with 1 when one of them is none of the format at all.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use ip_risk_benchmark::files;
use ip_risk_benchmark::program::Outcome;
use ip_risk_benchmark::timing::timed;
use ip_risk_core::feeds::format::{Format, parse};
use ip_risk_core::feeds::row::Summary;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(format) = Format::ALL.into_iter().find(|format| format.as_str() == name) else {
        let names = Format::ALL.map(Format::as_str).join("`, `");
        println!("`{name}` is no format; use one of `{names}`");
        return ExitCode::FAILURE;
    };
    let mut code = ExitCode::SUCCESS;
    for path in arguments {
        if let Err(error) = read(format, &path) {
            println!("{path}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn read(format: Format, path: &str) -> Outcome<()> {
    let mut bytes = Vec::new();
    files::open(Path::new(path))?.read_to_end(&mut bytes)?;
    let mut names = 0_u64;
    let (summary, time) =
        timed(|| parse(format, &mut bytes.as_slice(), &mut |row| names += u64::from(row.name.is_some())));
    let summary = summary?;
    println!(
        "{path}: {} rows, {names} with a name, {} rejected, {} bytes, {} MB/s",
        summary.rows,
        summary.rejected,
        bytes.len(),
        bytes.len() as u128 / time.as_micros().max(1)
    );
    print_details(summary);
    Ok(())
}

fn print_details(summary: Summary) {
    let details = [
        ("declared rows", summary.declared_rows.map(|rows| rows.to_string())),
        ("declared addresses", summary.declared_addresses.map(|addresses| addresses.to_string())),
        ("dated", summary.dated_at.map(|milliseconds| milliseconds.to_string())),
        ("credit", summary.credit),
        ("first rejected", summary.first_rejected),
    ];
    for (name, value) in details {
        if let Some(value) = value {
            println!("  {name}: {value}");
        }
    }
}
