//! The formats that are read line by line.

#![no_main]

use ip_risk_core::feeds::format::Format;
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 7] = [
    Format::List,
    Format::Spamhaus,
    Format::Geofeed,
    Format::Ipsum,
    Format::AsnCsv,
    Format::Dshield,
    Format::TorExitAddresses,
];

fuzz_target!(|input: &[u8]| ip_risk_fuzz::check(&FORMATS, input));
