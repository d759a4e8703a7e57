//! Databases that are whole, damaged and hostile.

use jiff::civil::date;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::writer::{Writer, encode, header};
use super::*;
use crate::flags::tests::cases;

fn open(writer: &Writer) -> Database {
    Database::open(writer.bytes()).unwrap()
}

/// What a database of that type says of an address, when `record` is about it.
fn found(database_type: &str, record: &Value) -> Vec<Found> {
    let database = open(&Writer::new(database_type).record("198.51.100.0/24", record));
    let found = database.look_up("198.51.100.7".parse().unwrap());
    assert_eq!(database.errors(), 0);
    found
}

fn named(signal: Signal, name: &str) -> Found {
    Found { name: Some(name.to_owned()), ..plain(signal) }
}

fn plain(signal: Signal) -> Found {
    valued(signal, 0)
}

fn valued(signal: Signal, value: u8) -> Found {
    Found { signal, name: None, value, seen: None }
}

#[test]
fn a_database_is_known_by_its_type() {
    for (database_type, kind) in [
        ("GeoIP2-Anonymous-IP", Kind::MaxMindAnonymous),
        ("GeoIP-Anonymous-Plus", Kind::MaxMindAnonymous),
        ("GeoIP2-IP-Risk", Kind::MaxMindAnonymous),
        ("GeoIP-Residential-Proxy", Kind::MaxMindResidentialProxy),
        ("GeoLite2-ASN", Kind::Networks),
        ("GeoIP2-ISP", Kind::Networks),
        ("DBIP-ASN-Lite (compat=GeoLite2-ASN)", Kind::Networks),
        ("IPGeolocation-Security", Kind::IpgeolocationSecurity),
        ("ip-security", Kind::IpgeolocationSecurity),
    ] {
        let database = open(&Writer::new(database_type));
        assert_eq!((database.kind(), database.built_at()), (kind, 1_780_727_385_000), "{database_type}");
    }
    for database_type in ["GeoIP2-City", "GeoLite2-Country", "Basnet", "GeoIP2-Security", "", "Anonymous-IP"]
    {
        let error = Database::open(Writer::new(database_type).bytes()).unwrap_err();
        assert!(matches!(error, MmdbError::UnknownType(_)), "{database_type}");
        let message = error.to_string();
        assert!(message.contains(&format!("`{database_type}`")) && message.contains("GeoIP-Anonymous-Plus"));
    }
}

#[test]
fn the_number_of_a_network_says_whose_it_is_where_our_own_table_knows() {
    let numbered = |number: Value| found("GeoLite2-ASN", &json!({ "autonomous_system_number": number }));
    let amazon = Found { name: Some("Amazon.com, Inc.".to_owned()), ..plain(Signal::Cloud) };
    assert_eq!(numbered(json!(16_509)), [amazon]);
    for number in [json!(4_200_000_000_u32), json!(0), json!("16509"), json!(-1)] {
        assert_eq!(numbered(number.clone()), [], "{number}");
    }
}

#[test]
fn the_number_of_a_network_may_be_signed() {
    let signed = |number: i32| {
        let mut record = Vec::new();
        header(7, 1, &mut record);
        encode(&json!("autonomous_system_number"), &mut record);
        header(8, 4, &mut record);
        record.extend_from_slice(&number.to_be_bytes());
        let database = open(&Writer::new("GeoLite2-ASN").raw_record("198.51.100.0/24", &record));
        database.look_up("198.51.100.7".parse().unwrap())
    };
    assert_eq!(signed(16_509), [named(Signal::Cloud, "Amazon.com, Inc.")]);
    assert_eq!(signed(-16_509), []);
}

#[test]
fn the_flags_of_maxmind_are_signals() {
    let all = json!({
        "is_anonymous": true, "is_anonymous_vpn": true, "is_hosting_provider": true, "is_public_proxy": true,
        "is_residential_proxy": true, "is_tor_exit_node": true,
    });
    let signals =
        [Signal::Vpn, Signal::ResidentialProxy, Signal::PublicProxy, Signal::TorExit, Signal::Hosting];
    assert_eq!(found("GeoIP2-Anonymous-IP", &all), signals.map(plain));
    for (field, signal) in [
        ("is_anonymous_vpn", Signal::Vpn),
        ("is_hosting_provider", Signal::Hosting),
        ("is_public_proxy", Signal::PublicProxy),
        ("is_tor_exit_node", Signal::TorExit),
        ("is_residential_proxy", Signal::ResidentialProxy),
    ] {
        assert_eq!(found("GeoIP2-Anonymous-IP", &json!({ field: true })), [plain(signal)]);
        assert_eq!(found("GeoIP2-Anonymous-IP", &json!({ field: false })), []);
    }
    assert_eq!(found("GeoIP2-Anonymous-IP", &json!({ "is_anonymous": true })), []);
}

#[test]
fn name_date_and_confidence_belong_to_the_first_anonymizer() {
    let details = json!({
        "is_anonymous_vpn": true, "is_tor_exit_node": true, "is_hosting_provider": true,
        "anonymizer_confidence": 99, "network_last_seen": "2026-06-06", "provider_name": "Example VPN",
    });
    let vpn = Found { value: 99, seen: Some(date(2026, 6, 6)), ..named(Signal::Vpn, "Example VPN") };
    assert_eq!(
        found("GeoIP-Anonymous-Plus", &details),
        [vpn, plain(Signal::TorExit), plain(Signal::Hosting)]
    );
    let residential =
        json!({ "anonymizer_confidence": 82, "network_last_seen": "2026-06-06", "provider_name": "Homes" });
    let expected =
        Found { value: 82, seen: Some(date(2026, 6, 6)), ..named(Signal::ResidentialProxy, "Homes") };
    assert_eq!(found("GeoIP-Residential-Proxy", &residential), [expected]);
    assert_eq!(found("GeoIP-Residential-Proxy", &json!({})), [plain(Signal::ResidentialProxy)]);
    // Without a flag that says of what, they say nothing.
    assert_eq!(found("GeoIP-Anonymous-Plus", &residential), []);
}

#[test]
fn the_risk_of_maxmind_is_a_score_that_is_cut_off() {
    for (risk, score) in [
        (json!(25), Some(25)),
        (json!(98.99), Some(98)),
        (json!(1.0), Some(1)),
        (json!(0.01), Some(0)),
        (json!(0), Some(0)),
    ] {
        let expected: Vec<Found> = score.map(|score| valued(Signal::Score, score)).into_iter().collect();
        assert_eq!(found("GeoIP2-IP-Risk", &json!({ "ip_risk": risk })), expected, "{risk}");
    }
    for risk in [json!(-1.5), json!(101), json!(f64::MAX), json!([1]), json!({})] {
        assert_eq!(found("GeoIP2-IP-Risk", &json!({ "ip_risk": risk })), [], "{risk}");
    }
    let both = json!({ "ip_risk": 75, "is_anonymous_vpn": true });
    assert_eq!(found("GeoIP2-IP-Risk", &both), [plain(Signal::Vpn), valued(Signal::Score, 75)]);
}

#[test]
fn the_flags_of_ipgeolocation_may_be_texts() {
    for said in [json!("true"), json!(true), json!("TRUE")] {
        for (field, signal) in [
            ("is_vpn", Signal::Vpn),
            ("is_proxy", Signal::PublicProxy),
            ("is_residential_proxy", Signal::ResidentialProxy),
            ("is_tor", Signal::TorExit),
            ("is_relay", Signal::Relay),
            ("is_known_attacker", Signal::Attacker),
            ("is_known_good_bot", Signal::GoodBot),
            ("is_spam", Signal::Spam),
            ("is_cloud_provider", Signal::Hosting),
            ("is_corporate_gateway", Signal::CorporateGateway),
        ] {
            assert_eq!(found("ip-security", &json!({ field: said })), [plain(signal)], "{field}");
        }
    }
    for said in [json!("false"), json!(false), json!(""), json!(1), json!(["true"])] {
        assert_eq!(found("ip-security", &json!({ "is_vpn": said, "is_bot": "true" })), [], "{said}");
    }
}

#[test]
fn ipgeolocation_gives_each_signal_a_name_and_a_date() {
    let record = json!({
        "threat_score": 50,
        "is_vpn": "true", "vpn_provider_names": ["Example VPN", "Other VPN"], "vpn_confidence_score": 99,
        "vpn_last_seen": "2026-06-06",
        "is_proxy": "true", "is_residential_proxy": "true", "proxy_provider_names": [], "proxy_confidence_score": 80,
        "proxy_last_seen": "",
        "is_cloud_provider": "true", "cloud_provider_name": "Example Cloud",
        "is_relay": "true", "relay_provider_name": "Example Relay",
        "is_known_good_bot": "true", "bot_owner_name": "Example Search", "bot_operator_name": "",
        "is_corporate_gateway": "true", "corporate_gateway_provider_name": "Example Gateway",
    });
    assert_eq!(
        found("ip-security", &record),
        [
            Found { value: 99, seen: Some(date(2026, 6, 6)), ..named(Signal::Vpn, "Example VPN") },
            valued(Signal::ResidentialProxy, 80),
            named(Signal::GoodBot, "Example Search"),
            named(Signal::Cloud, "Example Cloud"),
            named(Signal::Relay, "Example Relay"),
            named(Signal::CorporateGateway, "Example Gateway"),
            valued(Signal::Score, 50),
        ]
    );
}

#[test]
fn an_address_is_found_in_any_layout_and_family() {
    let vpn = json!({ "is_anonymous_vpn": true });
    for record_size in [24, 28, 32] {
        let both = Writer::new("GeoIP2-Anonymous-IP")
            .record_size(record_size)
            .record("198.51.100.0/24", &vpn)
            .record("2001:db8::/32", &vpn);
        let ipv4 = Writer::new("GeoIP2-Anonymous-IP")
            .ipv4_only()
            .record_size(record_size)
            .record("198.51.100.0/24", &vpn);
        for (database, has_ipv6) in [(open(&both), 1), (open(&ipv4), 0)] {
            for (address, count) in [
                ("198.51.100.0", 1),
                ("198.51.100.255", 1),
                ("::ffff:198.51.100.7", 1),
                ("198.51.101.0", 0),
                ("2001:db8::7", has_ipv6),
                ("2001:db9::7", 0),
            ] {
                assert_eq!(database.look_up(address.parse().unwrap()).len(), count, "{address}");
            }
            assert_eq!((database.errors(), database.warning()), (0, None));
        }
    }
}

#[test]
fn a_database_without_a_description_works_with_a_warning() {
    let writer = Writer::new("ip-security")
        .without_description()
        .record("198.51.100.0/24", &json!({ "is_tor": "true" }));
    let database = open(&writer);
    assert_eq!(database.look_up("198.51.100.7".parse().unwrap()), [plain(Signal::TorExit)]);
    assert!(database.warning().unwrap().contains("description"));
}

#[test]
fn a_record_that_cannot_be_decoded_is_counted_and_others_are_found() {
    let mut too_many = Vec::new();
    header(7, 60_000, &mut too_many);
    let mut no_map = Vec::new();
    encode(&json!("no map"), &mut no_map);
    let mut name = Vec::new();
    header(7, 1, &mut name);
    header(2, 200, &mut name);
    // A pointer to the first record, which is this one.
    let endless = vec![0x20, 0x00];
    let mut deep = vec![0xe1];
    encode(&json!("other"), &mut deep);
    deep.extend([0x01, 0x04].repeat(10_000));
    for record in [too_many, no_map.clone(), name, endless, deep, vec![0xff; 8], vec![0x00]] {
        let database = open(
            &Writer::new("GeoIP2-Anonymous-IP")
                .raw_record("198.51.100.0/24", &record)
                .record("192.0.2.0/24", &json!({ "is_tor_exit_node": true })),
        );
        assert_eq!(database.look_up("198.51.100.7".parse().unwrap()), [], "{record:?}");
        assert_eq!(database.errors(), 1, "{record:?}");
        assert_eq!(database.look_up("192.0.2.1".parse().unwrap()), [plain(Signal::TorExit)]);
        assert_eq!(database.errors(), 1);
        // What is whole, but no record, is no damage.
        assert_eq!(database.warning().is_some(), record != no_map, "{record:?}");
    }
}

#[test]
fn a_field_of_another_type_says_nothing_and_spoils_no_other() {
    for other in
        [json!({ "a": { "b": [1] } }), json!([[["a"]]]), json!(1.5), json!("a\u{7}b"), json!([]), json!("")]
    {
        let record = json!({
            "is_anonymous_vpn": true, "provider_name": other, "network_last_seen": other, "is_public_proxy": other,
            "unknown": other,
        });
        assert_eq!(found("GeoIP-Anonymous-Plus", &record), [plain(Signal::Vpn)], "{other}");
    }
}

fn whole() -> Vec<u8> {
    Writer::new("GeoIP-Anonymous-Plus")
        .record("198.51.100.0/24", &json!({ "is_anonymous_vpn": true, "provider_name": "Example VPN" }))
        .record("2001:db8::/32", &json!({ "ip_risk": 12.5, "network_last_seen": "2026-06-06" }))
        .bytes()
}

/// Asks a database, if it is one, everything that can be asked.
fn ask(bytes: Vec<u8>) -> Option<Database> {
    let database = Database::open(bytes).ok()?;
    for address in ["198.51.100.7", "0.0.0.0", "255.255.255.255", "2001:db8::7", "::", "ffff::"] {
        for found in database.look_up(address.parse().unwrap()) {
            assert!(found.value <= 100);
            assert!(found.name.is_none_or(|name| name.len() <= 96 && !name.contains(char::is_control)));
        }
    }
    let _ = database.warning();
    Some(database)
}

#[test]
fn a_database_that_is_cut_off_anywhere_is_damaged() {
    let whole = whole();
    for end in 0..whole.len() {
        let error = Database::open(whole[..end].to_vec()).unwrap_err();
        assert!(matches!(error, MmdbError::Damaged(_)), "{end}");
    }
    assert!(ask(whole).is_some());
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn no_damage_does_more_than_to_lose_records(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = whole();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        ask(bytes);
    }

    #[test]
    fn no_record_does_more_than_to_be_lost(record in prop::collection::vec(any::<u8>(), 1..64)) {
        let writer = Writer::new("GeoIP-Anonymous-Plus").raw_record("198.51.100.0/24", &record);
        prop_assert!(ask(writer.bytes()).is_some());
    }

    #[test]
    fn what_is_written_is_found(
        network in (any::<u32>(), 1_u8..=32), hosting: bool, confidence in 0_u8..=100, name in "[a-zA-Z ]{0,40}",
    ) {
        let (address, length) = (std::net::Ipv4Addr::from_bits(network.0), network.1);
        let record = json!({
            "is_hosting_provider": hosting, "is_public_proxy": true, "anonymizer_confidence": confidence,
            "provider_name": name,
        });
        let database = open(&Writer::new("GeoIP-Anonymous-Plus").record(&format!("{address}/{length}"), &record));
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        let mut expected = vec![Found { signal: Signal::PublicProxy, name, value: confidence, seen: None }];
        expected.extend(hosting.then(|| plain(Signal::Hosting)));
        prop_assert_eq!(database.look_up(address.into()), expected);
    }
}
