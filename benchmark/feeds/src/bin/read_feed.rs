//! Reads feed files and prints what is in them: `cargo run --example read_feed -- <format> <file>...`.
//!
//! Files that end in `.gz` are unpacked. Exits with 1 when one of them is none of the format at all.

#![allow(clippy::print_stdout, reason = "it is a program")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::ExitCode;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;
use ip_risk_core::feeds::format::{Format, parse};

fn open(path: &str) -> std::io::Result<Box<dyn BufRead>> {
    let file = BufReader::new(File::open(path)?);
    let is_packed = std::path::Path::new(path).extension().is_some_and(|extension| extension == "gz");
    Ok(if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

fn read(format: Format, path: &str) -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    let start = Instant::now();
    let mut names = 0_u64;
    let summary = parse(format, &mut bytes.as_slice(), &mut |row| names += u64::from(row.name.is_some()))?;
    let microseconds = start.elapsed().as_micros().max(1);
    println!(
        "{path}: {} rows, {names} with a name, {} rejected, {} bytes, {} MB/s",
        summary.rows,
        summary.rejected,
        bytes.len(),
        bytes.len() as u128 / microseconds
    );
    let shown = [
        ("declared rows", summary.declared_rows.map(|rows| rows.to_string())),
        ("declared addresses", summary.declared_addresses.map(|addresses| addresses.to_string())),
        ("dated", summary.dated_at.map(|milliseconds| milliseconds.to_string())),
        ("credit", summary.credit),
        ("first rejected", summary.first_rejected),
    ];
    for (name, value) in shown {
        if let Some(value) = value {
            println!("  {name}: {value}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
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
