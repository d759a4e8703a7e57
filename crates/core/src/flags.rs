//! Flags: what a source says of an address, in the field names of the Security API.

use std::sync::Arc;

use jiff::civil::Date;

/// A boolean field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the field of the same name")]
pub enum BooleanField {
    IsTor,
    IsProxy,
    IsResidentialProxy,
    IsVpn,
    IsRelay,
    IsAnonymous,
    IsKnownAttacker,
    IsBot,
    IsKnownGoodBot,
    IsSpam,
    IsCloudProvider,
    IsCorporateGateway,
}

/// What a confidence or a last-seen date is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Subject {
    Proxy,
    Vpn,
    Bot,
}

/// A field that holds one name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the field of the same name")]
pub enum NameField {
    RelayProviderName,
    BotOperatorName,
    BotType,
    CloudProviderName,
    CorporateGatewayType,
    CorporateGatewayProviderName,
}

/// A field that holds several names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the field of the same name")]
pub enum NameListField {
    ProxyProviderNames,
    VpnProviderNames,
}

/// One of the 27 fields, with its kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Field {
    ThreatScore,
    Boolean(BooleanField),
    ConfidenceScore(Subject),
    LastSeen(Subject),
    Name(NameField),
    NameList(NameListField),
}

impl Field {
    /// All fields with their names, in the order in which the API documents them.
    pub const ALL: [(&'static str, Field); 27] = [
        ("threat_score", Field::ThreatScore),
        ("is_tor", Field::Boolean(BooleanField::IsTor)),
        ("is_proxy", Field::Boolean(BooleanField::IsProxy)),
        ("proxy_provider_names", Field::NameList(NameListField::ProxyProviderNames)),
        ("proxy_confidence_score", Field::ConfidenceScore(Subject::Proxy)),
        ("proxy_last_seen", Field::LastSeen(Subject::Proxy)),
        ("is_residential_proxy", Field::Boolean(BooleanField::IsResidentialProxy)),
        ("is_vpn", Field::Boolean(BooleanField::IsVpn)),
        ("vpn_provider_names", Field::NameList(NameListField::VpnProviderNames)),
        ("vpn_confidence_score", Field::ConfidenceScore(Subject::Vpn)),
        ("vpn_last_seen", Field::LastSeen(Subject::Vpn)),
        ("is_relay", Field::Boolean(BooleanField::IsRelay)),
        ("relay_provider_name", Field::Name(NameField::RelayProviderName)),
        ("is_anonymous", Field::Boolean(BooleanField::IsAnonymous)),
        ("is_known_attacker", Field::Boolean(BooleanField::IsKnownAttacker)),
        ("is_bot", Field::Boolean(BooleanField::IsBot)),
        ("bot_confidence_score", Field::ConfidenceScore(Subject::Bot)),
        ("bot_operator_name", Field::Name(NameField::BotOperatorName)),
        ("bot_type", Field::Name(NameField::BotType)),
        ("is_known_good_bot", Field::Boolean(BooleanField::IsKnownGoodBot)),
        ("bot_last_seen", Field::LastSeen(Subject::Bot)),
        ("is_spam", Field::Boolean(BooleanField::IsSpam)),
        ("is_cloud_provider", Field::Boolean(BooleanField::IsCloudProvider)),
        ("cloud_provider_name", Field::Name(NameField::CloudProviderName)),
        ("is_corporate_gateway", Field::Boolean(BooleanField::IsCorporateGateway)),
        ("corporate_gateway_type", Field::Name(NameField::CorporateGatewayType)),
        ("corporate_gateway_provider_name", Field::Name(NameField::CorporateGatewayProviderName)),
    ];

    /// The field of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }
}

/// A number from 0 to 100. Sources may send fractions; they are cut off, so that `79.9` stays below a
/// threshold of 80 as it does when it is compared exactly.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Percentage(u8);

impl Percentage {
    /// Nothing against the address.
    pub const ZERO: Self = Self(0);

    /// The number, when it is finite and from 0 to 100.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        (0.0..=100.0).contains(&number).then_some(Self(number as u8))
    }

    /// The whole number.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }
}

/// The names that a source gave, shared between all evidence that carries the same ones.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Names {
    single: [Option<Box<str>>; 6],
    lists: [Box<[Box<str>]>; 2],
}

impl Names {
    /// The name in `field`, never an empty one.
    #[must_use]
    pub fn one(&self, field: NameField) -> Option<&str> {
        self.single[field as usize].as_deref()
    }

    /// The names in `field`, an empty slice when the source gave none.
    #[must_use]
    pub fn list(&self, field: NameListField) -> &[Box<str>] {
        &self.lists[field as usize]
    }

    /// Sets one name; an empty one is left out, because the API sends it for "unknown".
    pub fn set_one(&mut self, field: NameField, name: &str) {
        self.single[field as usize] = (!name.is_empty()).then(|| name.into());
    }

    /// Sets several names; empty ones are left out.
    pub fn set_list<'a>(&mut self, field: NameListField, names: impl IntoIterator<Item = &'a str>) {
        self.lists[field as usize] =
            names.into_iter().filter(|name| !name.is_empty()).map(Into::into).collect();
    }

    /// Whether there is no name at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.single.iter().all(Option::is_none) && self.lists.iter().all(|list| list.is_empty())
    }
}

/// Names with the number under which a face may keep its own copy of them. 0 is never given.
#[derive(Debug)]
pub struct SharedNames {
    pub(crate) id: u32,
    pub(crate) names: Names,
}

impl SharedNames {
    /// A number that no other names of this process have.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }
}

const ABSENT: u8 = u8::MAX;
const FIRST_DAY: Date = jiff::civil::date(2000, 1, 1);

/// What a source says of an address: every field may be absent, and absent means "cannot tell".
///
/// 24 bytes, because a million of them are kept: booleans as two bit sets, dates as days since 2000.
#[derive(Clone, Debug)]
pub struct Flags {
    present: u16,
    value: u16,
    threat_score: u8,
    confidences: [u8; 3],
    last_seen: [u16; 3],
    names: Option<Arc<SharedNames>>,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            present: 0,
            value: 0,
            threat_score: ABSENT,
            confidences: [ABSENT; 3],
            last_seen: [0; 3],
            names: None,
        }
    }
}

fn percentage(stored: u8) -> Option<Percentage> {
    (stored != ABSENT).then_some(Percentage(stored))
}

impl Flags {
    /// The source's own score.
    #[must_use]
    pub fn threat_score(&self) -> Option<Percentage> {
        percentage(self.threat_score)
    }

    /// What the source says, or nothing when it did not say.
    #[must_use]
    pub fn boolean(&self, field: BooleanField) -> Option<bool> {
        let bit = 1 << field as u8;
        (self.present & bit != 0).then_some(self.value & bit != 0)
    }

    /// Whether the source says that the field is true.
    #[must_use]
    pub fn is(&self, field: BooleanField) -> bool {
        self.value & (1 << field as u8) != 0
    }

    /// How sure the source is.
    #[must_use]
    pub fn confidence_score(&self, subject: Subject) -> Option<Percentage> {
        percentage(self.confidences[subject as usize])
    }

    /// The day on which the source last saw it, as days since 2000-01-01.
    #[must_use]
    pub fn last_seen(&self, subject: Subject) -> Option<u16> {
        Some(self.last_seen[subject as usize]).filter(|day| *day != 0)
    }

    /// The names, when the source gave any.
    #[must_use]
    pub fn names(&self) -> Option<&Arc<SharedNames>> {
        self.names.as_ref()
    }

    /// Sets the source's own score.
    pub fn set_threat_score(&mut self, score: Percentage) {
        self.threat_score = score.0;
    }

    /// Sets a boolean.
    pub fn set_boolean(&mut self, field: BooleanField, value: bool) {
        let bit = 1 << field as u8;
        self.present |= bit;
        self.value = if value { self.value | bit } else { self.value & !bit };
    }

    /// Sets a confidence.
    pub fn set_confidence_score(&mut self, subject: Subject, score: Percentage) {
        self.confidences[subject as usize] = score.0;
    }

    /// Sets a last-seen date. Dates before 2000-01-02 cannot be kept and are left out.
    pub fn set_last_seen(&mut self, subject: Subject, date: Date) {
        self.last_seen[subject as usize] = day_number(date).unwrap_or(0);
    }

    /// Sets the names.
    pub fn set_names(&mut self, names: Option<Arc<SharedNames>>) {
        self.names = names;
    }

    /// The flags without their names as four words, for faces that build their own objects:
    /// present booleans and true booleans; score and confidences (255 is absent); two dates; one date
    /// (0 is absent).
    #[must_use]
    pub fn words(&self) -> [u32; 4] {
        [
            u32::from(self.present) | u32::from(self.value) << 16,
            u32::from_le_bytes([
                self.threat_score,
                self.confidences[0],
                self.confidences[1],
                self.confidences[2],
            ]),
            u32::from(self.last_seen[0]) | u32::from(self.last_seen[1]) << 16,
            u32::from(self.last_seen[2]),
        ]
    }
}

/// Days from 2000-01-01 to `date`, when that is a positive number of 16 bits.
#[must_use]
pub fn day_number(date: Date) -> Option<u16> {
    let days = (date - FIRST_DAY).get_days();
    u16::try_from(days).ok().filter(|day| *day != 0)
}
