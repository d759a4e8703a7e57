//! The formats that are JSON documents.

#![no_main]

use ip_risk_core::feeds::format::Format;
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 4] = [Format::Aws, Format::Azure, Format::Gcp, Format::Oracle];

fuzz_target!(|input: &[u8]| ip_risk_fuzz::check(&FORMATS, input));
