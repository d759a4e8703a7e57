//! What a record of a database says, whoever made it.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json_borrow::Value;

use super::{Found, Kind};
use crate::feeds::own_networks::Known;
use crate::feeds::signal::Signal;
use crate::flags::Percentage;
use crate::security_api::{boolean, date, list, percentage, text};

/// The fields that are read. All others are skipped, whatever they hold.
const FIELDS: [&str; 35] = [
    "anonymizer_confidence",
    "autonomous_system_number",
    "bot_confidence_score",
    "bot_last_seen",
    "bot_operator_name",
    "bot_owner_name",
    "cloud_provider_name",
    "corporate_gateway_provider_name",
    "ip_risk",
    "is_anonymous_vpn",
    "is_cloud_provider",
    "is_corporate_gateway",
    "is_hosting_provider",
    "is_known_attacker",
    "is_known_good_bot",
    "is_proxy",
    "is_public_proxy",
    "is_relay",
    "is_residential_proxy",
    "is_spam",
    "is_tor",
    "is_tor_exit_node",
    "is_vpn",
    "network_last_seen",
    "provider_name",
    "proxy_confidence_score",
    "proxy_last_seen",
    "proxy_provider_name",
    "proxy_provider_names",
    "relay_provider_name",
    "threat_score",
    "vpn_confidence_score",
    "vpn_last_seen",
    "vpn_provider_name",
    "vpn_provider_names",
];

/// A flag, what it means, and the fields that tell more when it is set. A field without a name is none.
struct Said {
    field: &'static str,
    signal: Signal,
    /// The first of them that is filled.
    names: &'static [&'static str],
    confidence: &'static str,
    seen: &'static str,
}

impl Said {
    const fn new(field: &'static str, signal: Signal, names: &'static [&'static str]) -> Self {
        Self { field, signal, names, confidence: "", seen: "" }
    }

    const fn with(self, confidence: &'static str, seen: &'static str) -> Self {
        Self { confidence, seen, ..self }
    }
}

/// The flags of the security database. Some releases have other names for the fields with names.
const SECURITY: [Said; 10] = [
    Said::new("is_vpn", Signal::Vpn, &["vpn_provider_names", "vpn_provider_name"])
        .with("vpn_confidence_score", "vpn_last_seen"),
    Said::new(
        "is_residential_proxy",
        Signal::ResidentialProxy,
        &["proxy_provider_names", "proxy_provider_name"],
    )
    .with("proxy_confidence_score", "proxy_last_seen"),
    Said::new("is_proxy", Signal::PublicProxy, &["proxy_provider_names", "proxy_provider_name"])
        .with("proxy_confidence_score", "proxy_last_seen"),
    Said::new("is_known_good_bot", Signal::GoodBot, &["bot_operator_name", "bot_owner_name"])
        .with("bot_confidence_score", "bot_last_seen"),
    Said::new("is_cloud_provider", Signal::Cloud, &["cloud_provider_name"]),
    Said::new("is_relay", Signal::Relay, &["relay_provider_name"]),
    Said::new("is_corporate_gateway", Signal::CorporateGateway, &["corporate_gateway_provider_name"]),
    Said::new("is_tor", Signal::TorExit, &[]),
    // The maker lets it act by itself, but a file may be weeks old, and addresses change hands.
    Said::new("is_known_attacker", Signal::Attacker, &[]),
    Said::new("is_spam", Signal::Spam, &[]),
];

/// How many names of a list are kept; one is used.
const MOST_NAMES: usize = 4;

/// The fields of a record that are read. One of a type that no field has is null, and says nothing.
#[derive(Debug, Default)]
pub(super) struct Record(HashMap<&'static str, Value<'static>>);

impl Record {
    /// What it says, in a database of that kind.
    pub(super) fn found(&self, kind: Kind, networks: &HashMap<u32, Known>) -> Vec<Found> {
        let (mut found, score) = match kind {
            Kind::MaxMindAnonymous => (self.anonymizers(), "ip_risk"),
            Kind::MaxMindResidentialProxy => (vec![self.anonymizer(Signal::ResidentialProxy)], "ip_risk"),
            Kind::Networks => (self.network(networks), ""),
            Kind::IpgeolocationSecurity => (self.security(), "threat_score"),
        };
        // Also 0: the source's own score counts, whatever its flags would weigh.
        if let Some(value) = self.percentage(score) {
            found.push(Found { value, ..plain(Signal::Score) });
        }
        found
    }

    fn anonymizers(&self) -> Vec<Found> {
        let mut found: Vec<Found> = [
            ("is_anonymous_vpn", Signal::Vpn),
            ("is_residential_proxy", Signal::ResidentialProxy),
            ("is_public_proxy", Signal::PublicProxy),
            ("is_tor_exit_node", Signal::TorExit),
        ]
        .into_iter()
        .filter(|(field, _)| self.is(field))
        .map(|(_, signal)| plain(signal))
        .collect();
        // One name, date and confidence stand for the whole record; MaxMind gives them of VPN services before others.
        if let Some(first) = found.first_mut() {
            *first = self.anonymizer(first.signal);
        }
        found.extend(self.is("is_hosting_provider").then(|| plain(Signal::Hosting)));
        found
    }

    /// Whose network it is, as our own table says of its number.
    fn network(&self, networks: &HashMap<u32, Known>) -> Vec<Found> {
        let number = self.0.get("autonomous_system_number").and_then(Value::as_u64);
        let known = number.and_then(|number| networks.get(&u32::try_from(number).ok()?));
        let found = known.map(|(signal, name)| Found { name: name.map(str::to_owned), ..plain(*signal) });
        found.into_iter().collect()
    }

    fn anonymizer(&self, signal: Signal) -> Found {
        self.detailed(&Said {
            field: "",
            signal,
            names: &["provider_name"],
            confidence: "anonymizer_confidence",
            seen: "network_last_seen",
        })
    }

    fn security(&self) -> Vec<Found> {
        // A residential proxy is a proxy, too; as two signals it would corroborate itself.
        let is_residential = self.is("is_residential_proxy");
        let is_said = |said: &&Said| self.is(said.field) && !(is_residential && said.field == "is_proxy");
        let mut found: Vec<Found> = SECURITY.iter().filter(is_said).map(|said| self.detailed(said)).collect();
        for found in &mut found {
            if found.signal == Signal::Cloud && found.name.is_none() {
                found.signal = Signal::Hosting;
            }
        }
        found
    }

    fn detailed(&self, said: &Said) -> Found {
        Found {
            signal: said.signal,
            name: said.names.iter().find_map(|field| self.name(field)),
            value: self.percentage(said.confidence).unwrap_or(0),
            seen: self.0.get(said.seen).and_then(date),
        }
    }

    fn is(&self, field: &str) -> bool {
        self.0.get(field).and_then(boolean) == Some(true)
    }

    fn name(&self, field: &str) -> Option<String> {
        let value = self.0.get(field)?;
        text(value).or_else(|| list(value).next()).map(ToOwned::to_owned)
    }

    fn percentage(&self, field: &str) -> Option<u8> {
        self.0.get(field).and_then(percentage).map(Percentage::value)
    }
}

fn plain(signal: Signal) -> Found {
    Found { signal, name: None, value: 0, seen: None }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Record;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        while let Some(key) = map.next_key::<&str>()? {
            if let Some(field) = FIELDS.into_iter().find(|field| *field == key) {
                record.0.insert(field, map.next_value::<Leaf<true>>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(record)
    }
}

/// A value without what is nested in it, but for the texts of a list where there may be `LISTS`: no record makes
/// decoding go deep.
struct Leaf<const LISTS: bool>(Value<'static>);

impl<'de, const LISTS: bool> Deserialize<'de> for Leaf<LISTS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeafVisitor::<LISTS>).map(Self)
    }
}

struct LeafVisitor<const LISTS: bool>;

impl<'de, const LISTS: bool> Visitor<'de> for LeafVisitor<LISTS> {
    type Value = Value<'static>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'static>, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'static>, E> {
        // A `Value` that was made of an `i64` is no `u64`, whatever its sign.
        Ok(u64::try_from(value).map_or_else(|_| value.into(), Into::into))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'static>, E> {
        Ok(value.into())
    }

    fn visit_u128<E>(self, _value: u128) -> Result<Value<'static>, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'static>, E> {
        Ok(if value.is_finite() { value.into() } else { Value::Null })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'static>, E> {
        Ok(Value::Str(value.to_owned().into()))
    }

    fn visit_bytes<E>(self, _value: &[u8]) -> Result<Value<'static>, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'static>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value<'static>, A::Error> {
        let mut texts = Vec::new();
        while LISTS && texts.len() < MOST_NAMES {
            match sequence.next_element::<Leaf<false>>()? {
                Some(text) => texts.push(text.0),
                None => return Ok(Value::Array(texts)),
            }
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(texts))
    }
}
