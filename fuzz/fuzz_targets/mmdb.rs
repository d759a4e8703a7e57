//! Databases in the MaxMind DB format.

#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr};

use ip_risk_core::feeds::mmdb::Database;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The first bytes are an address that is asked for, the others the database.
    let Some((address, file)) = input.split_first_chunk::<16>() else { return };
    let Ok(database) = Database::open(file.to_vec()) else { return };
    let address = u128::from_be_bytes(*address);
    let ipv4 = Ipv4Addr::from_bits(address as u32);
    for address in [Ipv6Addr::from_bits(address).into(), ipv4.into()] {
        for found in database.look_up(address) {
            assert!(found.value <= 100);
            assert!(found.name.is_none_or(|name| name.len() <= 96 && !name.contains(char::is_control)));
        }
    }
    let _ = database.warning();
});
