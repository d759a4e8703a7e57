//! What the API says of an address, as JSON that is made once.

use std::net::IpAddr;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// What is charged for one address with an answer.
pub const CREDITS: u64 = 2;

/// As many kinds of addresses, of which most are clean.
const KINDS: u64 = 16;
const VPN: u64 = 1;
const RESIDENTIAL_PROXY: u64 = 2;
const CLOUD: u64 = 3;

/// One `security` object for each kind, as text.
static SECURITY: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..KINDS).map(|kind| security(kind).to_string()).collect());

/// The 27 fields as they are when nothing is known.
fn clean() -> Value {
    json!({
        "threat_score": 0,
        "is_tor": false,
        "is_proxy": false,
        "proxy_provider_names": [],
        "proxy_confidence_score": 0,
        "proxy_last_seen": "",
        "is_residential_proxy": false,
        "is_vpn": false,
        "vpn_provider_names": [],
        "vpn_confidence_score": 0,
        "vpn_last_seen": "",
        "is_relay": false,
        "relay_provider_name": "",
        "is_anonymous": false,
        "is_known_attacker": false,
        "is_bot": false,
        "bot_confidence_score": 0,
        "bot_operator_name": "",
        "bot_type": "",
        "is_known_good_bot": false,
        "bot_last_seen": "",
        "is_spam": false,
        "is_cloud_provider": false,
        "cloud_provider_name": "",
        "is_corporate_gateway": false,
        "corporate_gateway_type": "",
        "corporate_gateway_provider_name": "",
    })
}

fn security(kind: u64) -> Value {
    let known = match kind {
        VPN => json!({
            "threat_score": 50,
            "is_vpn": true,
            "vpn_provider_names": ["Example VPN"],
            "vpn_confidence_score": 99,
            "vpn_last_seen": "2026-11-20",
            "is_anonymous": true,
        }),
        RESIDENTIAL_PROXY => json!({
            "threat_score": 80,
            "is_proxy": true,
            "proxy_provider_names": ["Example Proxy"],
            "proxy_confidence_score": 90,
            "proxy_last_seen": "2026-11-20",
            "is_residential_proxy": true,
            "is_anonymous": true,
            "is_known_attacker": true,
        }),
        CLOUD => json!({
            "threat_score": 5,
            "is_cloud_provider": true,
            "cloud_provider_name": "Example Cloud",
        }),
        _ => json!({}),
    };
    let mut all = clean();
    for (field, value) in known.as_object().into_iter().flatten() {
        all[field] = value.clone();
    }
    all
}

/// The kind of an address: always the same, and spread over neighbours.
fn kind(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    };
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60
}

/// Appends what is said of `text`, and tells whether it is an address.
pub fn write(body: &mut Vec<u8>, text: &str) -> bool {
    let known = text.parse().ok().and_then(|address| SECURITY.get(usize::try_from(kind(address)).ok()?));
    let Some(security) = known else {
        body.extend_from_slice(&message("the given address is not valid"));
        return false;
    };
    for part in [r#"{"ip":""#, text, r#"","security":"#, security, "}"] {
        body.extend_from_slice(part.as_bytes());
    }
    true
}

/// Appends what is said of each, in their order, and tells how many are addresses.
pub fn write_all(body: &mut Vec<u8>, texts: &[&str]) -> u64 {
    body.push(b'[');
    let mut valid = 0;
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        valid += u64::from(write(body, text));
    }
    body.push(b']');
    valid
}

/// The body of an answer that says no.
#[must_use]
pub fn message(text: &str) -> Vec<u8> {
    json!({ "message": text }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn an_answer_has_all_27_fields_and_the_address_as_it_was_written() {
        for address in ["1.2.3.4", "2001:DB8::1"] {
            let mut body = Vec::new();
            assert!(write(&mut body, address));
            let answer = read(&body);
            assert_eq!(answer["ip"], address);
            assert_eq!(answer["security"].as_object().unwrap().len(), 27);
        }
    }

    #[test]
    fn a_list_keeps_its_order_and_only_addresses_count() {
        let mut body = Vec::new();
        assert_eq!(write_all(&mut body, &["1.2.3.4", "host.example", "::1"]), 2);
        let answer = read(&body);
        assert_eq!(answer[0]["ip"], "1.2.3.4");
        assert!(answer[1]["message"].is_string() && answer[1].get("ip").is_none());
        assert_eq!(answer[2]["ip"], "::1");
    }

    #[test]
    fn most_addresses_are_clean_and_each_kind_comes_up() {
        let mut scores = std::collections::BTreeMap::<u64, u32>::new();
        for last in 0..=u16::MAX {
            let [high, low] = last.to_be_bytes();
            let mut body = Vec::new();
            write(&mut body, &format!("24.0.{high}.{low}"));
            *scores.entry(read(&body)["security"]["threat_score"].as_u64().unwrap()).or_default() += 1;
        }
        assert_eq!(scores.keys().copied().collect::<Vec<_>>(), [0, 5, 50, 80]);
        assert!((50_000..56_000).contains(&scores[&0]), "{scores:?}");
    }
}
