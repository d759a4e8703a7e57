//! How programs that are run by hand end.

#![expect(clippy::print_stderr, reason = "it is for programs")]

use std::error::Error;
use std::process::ExitCode;

/// What can go wrong in a program that is run by hand.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Says on standard error what went wrong in the program of that name, if anything did.
#[must_use]
pub fn end(name: &str, outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
