//! Flags: what a source says of an address, in the field names of the Security API.

use std::sync::Arc;

use jiff::Span;
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
    /// A number that no other names of the same engine have.
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

    /// The day of [`Flags::last_seen`] as a date.
    #[must_use]
    pub fn last_seen_date(&self, subject: Subject) -> Option<Date> {
        let day = self.last_seen(subject)?;
        FIRST_DAY.checked_add(Span::new().days(day)).ok()
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
        self.set_last_seen_day(subject, day_number(date).unwrap_or(0));
    }

    /// Sets a last-seen date as days since 2000-01-01; 0 is none.
    pub(crate) fn set_last_seen_day(&mut self, subject: Subject, day: u16) {
        self.last_seen[subject as usize] = day;
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

/// What is asked of booleans, compared at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BooleanMask {
    said: u16,
    value: u16,
    not_true: u16,
}

impl BooleanMask {
    /// The source must say that `field` is `value`. An absent field is neither true nor false.
    pub(crate) fn said(self, field: BooleanField, value: bool) -> Self {
        let bit = 1 << field as u8;
        Self { said: self.said | bit, value: if value { self.value | bit } else { self.value }, ..self }
    }

    /// The source must not say that `field` is true.
    pub(crate) fn not_true(self, field: BooleanField) -> Self {
        Self { not_true: self.not_true | 1 << field as u8, ..self }
    }

    pub(crate) fn holds(self, flags: &Flags) -> bool {
        flags.present & self.said == self.said
            && flags.value & self.said == self.value
            && flags.value & self.not_true == 0
    }
}

/// Days from 2000-01-01 to `date`, when that is a positive number of 16 bits.
#[must_use]
pub fn day_number(date: Date) -> Option<u16> {
    let days = (date - FIRST_DAY).get_days();
    u16::try_from(days).ok().filter(|day| *day != 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::evidence::{Evidence, Provider};

    pub(crate) const BOOLEANS: [BooleanField; 12] = [
        BooleanField::IsTor,
        BooleanField::IsProxy,
        BooleanField::IsResidentialProxy,
        BooleanField::IsVpn,
        BooleanField::IsRelay,
        BooleanField::IsAnonymous,
        BooleanField::IsKnownAttacker,
        BooleanField::IsBot,
        BooleanField::IsKnownGoodBot,
        BooleanField::IsSpam,
        BooleanField::IsCloudProvider,
        BooleanField::IsCorporateGateway,
    ];
    const SUBJECTS: [Subject; 3] = [Subject::Proxy, Subject::Vpn, Subject::Bot];

    /// That many cases, the same ones in every run. `PROPTEST_RNG_SEED` chooses others, and `PROPTEST_CASES` above
    /// 256 tries more of them.
    pub(crate) fn cases(cases: u32) -> ProptestConfig {
        let default = ProptestConfig::default();
        let rng_seed = match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            RngSeed::Fixed(seed) => RngSeed::Fixed(seed),
        };
        let cases = cases * default.cases.max(256) / 256;
        ProptestConfig { cases, rng_seed, failure_persistence: None, ..default }
    }

    pub(crate) fn boolean_field() -> impl Strategy<Value = BooleanField> {
        prop::sample::select(BOOLEANS.to_vec())
    }

    /// Booleans, confidences and dates, each of which may be absent.
    pub(crate) fn any_flags() -> impl Strategy<Value = Flags> {
        let booleans = prop::collection::vec(any::<Option<bool>>(), BOOLEANS.len());
        let confidences = prop::collection::vec(prop::option::of(0_u8..=100), SUBJECTS.len());
        let days = prop::collection::vec(prop::option::of(1_i32..=65_535), SUBJECTS.len());
        (booleans, confidences, days).prop_map(|(booleans, confidences, days)| {
            let mut flags = Flags::default();
            for (field, said) in BOOLEANS.into_iter().zip(booleans) {
                said.inspect(|said| flags.set_boolean(field, *said));
            }
            for (subject, confidence) in SUBJECTS.into_iter().zip(confidences) {
                confidence.inspect(|score| flags.set_confidence_score(subject, Percentage(*score)));
            }
            for (subject, day) in SUBJECTS.into_iter().zip(days) {
                day.inspect(|day| flags.set_last_seen(subject, date(*day)));
            }
            flags
        })
    }

    /// Such flags with any score.
    pub(crate) fn any_evidence() -> impl Strategy<Value = Evidence> {
        (any_flags(), 0_u8..=100).prop_map(|(mut flags, score)| {
            let score = Percentage(score);
            flags.set_threat_score(score);
            Evidence { flags, score, provider: Provider::Ipgeolocation, checked_at: 1 }
        })
    }

    fn date(day: i32) -> Date {
        FIRST_DAY.checked_add(jiff::Span::new().days(day)).unwrap()
    }

    proptest! {
        #![proptest_config(cases(1_024))]

        #[test]
        fn a_percentage_is_a_number_from_0_to_100_with_its_fraction_cut_off(number in any::<f64>()) {
            for number in [number, number % 200.0, (number % 200.0).trunc()] {
                let kept = Percentage::new(number).map(|percentage| f64::from(percentage.value()));
                let is_in_range = (0.0..=100.0).contains(&number);
                prop_assert_eq!(kept, is_in_range.then(|| number.trunc().abs()));
            }
        }

        #[test]
        fn setting_one_field_changes_no_other(
            flags in any_flags(), field in boolean_field(), said: bool,
            place in 0_usize..3, score in 0_u8..=100,
        ) {
            let mut changed = flags.clone();
            changed.set_boolean(field, said);
            for other in BOOLEANS {
                let expected = if other == field { Some(said) } else { flags.boolean(other) };
                prop_assert_eq!(changed.boolean(other), expected);
                prop_assert_eq!(changed.is(other), expected == Some(true));
            }
            prop_assert_eq!(&changed.words()[1..], &flags.words()[1..]);
            changed.set_confidence_score(SUBJECTS[place], Percentage(score));
            for subject in SUBJECTS {
                let is_set = subject == SUBJECTS[place];
                let expected = if is_set { Some(Percentage(score)) } else { flags.confidence_score(subject) };
                prop_assert_eq!(changed.confidence_score(subject), expected);
                prop_assert_eq!(changed.last_seen(subject), flags.last_seen(subject));
            }
        }

        #[test]
        fn the_words_hold_every_field(flags in any_flags()) {
            let [booleans, scores, dates, date] = flags.words();
            for (place, field) in BOOLEANS.into_iter().enumerate() {
                let is_set = |bit: usize| booleans & 1 << bit != 0;
                prop_assert_eq!(flags.boolean(field), is_set(place).then_some(is_set(place + 16)));
            }
            for (place, subject) in SUBJECTS.into_iter().enumerate() {
                let score = u8::try_from(scores >> (8 * (place + 1)) & 255).unwrap();
                prop_assert_eq!(flags.confidence_score(subject), (score != 255).then_some(Percentage(score)));
                let day = u16::try_from([dates & 0xffff, dates >> 16, date][place]).unwrap();
                prop_assert_eq!(flags.last_seen(subject), (day != 0).then_some(day));
            }
            prop_assert_eq!(scores & 255, 255, "no score was set");
        }

        #[test]
        fn a_day_is_counted_from_2000_or_left_out(day in -2_900_000_i32..2_900_000) {
            let number = day_number(date(day));
            prop_assert_eq!(number, u16::try_from(day).ok().filter(|day| *day != 0));
            let mut flags = Flags::default();
            flags.set_last_seen(Subject::Vpn, date(day));
            prop_assert_eq!(flags.last_seen(Subject::Vpn), number);
        }
    }

    #[test]
    fn numbers_that_are_none_are_no_percentage() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 100.000_001, -1.0, 101.0, 1e308] {
            assert_eq!(Percentage::new(number), None, "{number}");
        }
        for (number, value) in [(-0.0, 0), (0.0, 0), (0.999, 0), (79.999, 79), (99.999_999, 99), (100.0, 100)]
        {
            assert_eq!(Percentage::new(number).map(Percentage::value), Some(value), "{number}");
        }
    }

    #[test]
    fn every_field_has_a_name_and_a_place_of_its_own() {
        let names: std::collections::HashSet<&str> = Field::ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), 27);
        for (place, (name, field)) in Field::ALL.into_iter().enumerate() {
            assert_eq!(Field::named(name), Some(field));
            assert!(Field::ALL[..place].iter().all(|(_, other)| *other != field), "{name}");
        }
        assert_eq!(Field::named("IS_VPN"), None);
        assert_eq!(Field::named("security.is_vpn"), None);
    }

    #[test]
    fn empty_names_are_left_out() {
        let mut names = Names::default();
        names.set_one(NameField::BotType, "");
        names.set_list(NameListField::VpnProviderNames, ["", ""]);
        assert!(names.is_empty());
        names.set_list(NameListField::VpnProviderNames, ["", "Nord VPN", ""]);
        assert_eq!(names.list(NameListField::VpnProviderNames), [Box::<str>::from("Nord VPN")]);
        assert!(names.list(NameListField::ProxyProviderNames).is_empty());
        assert!(!names.is_empty());
    }
}
