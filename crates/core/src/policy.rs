//! A policy: what one kind of route does with evidence, and without it.

use crate::budget::Priority;
use crate::decision::{Action, Mode};
use crate::error::{Code, Error, FailureClass, nearest};
use crate::evidence::{Evidence, FeedEvidence};
use crate::lists::{List, Purpose};
use crate::reader::{MOST_MILLISECONDS, Reader};
use crate::reasons::{MAX_RULES, Reason, Reasons};
use crate::routes::{RouteId, Routes};
use crate::rules::{RISING_ACTIONS, Rule, read_id, read_percentage, shipped};

/// What a policy answers when nothing is known about an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureMode {
    /// Let it through.
    Open,
    /// Let it through to a second factor.
    Challenge,
    /// Hold it.
    Closed,
}

const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("log-only", Mode::LogOnly)];

const FAILURE_MODES: &[(&str, FailureMode)] =
    &[("open", FailureMode::Open), ("challenge", FailureMode::Challenge), ("closed", FailureMode::Closed)];

/// Bulk work is nobody's to choose: it is what `checkMany` and `checkStream` do.
const PRIORITIES: &[(&str, Priority)] = &[("high", Priority::High), ("normal", Priority::Normal)];

/// The scores from which an action is taken, lower edge inclusive.
#[derive(Clone, Copy, Debug)]
struct Thresholds {
    log: u8,
    challenge: u8,
    block: u8,
}

const DEFAULT_THRESHOLDS: Thresholds = Thresholds { log: 20, challenge: 45, block: 80 };

/// An action with the reasons for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    pub(crate) reasons: Reasons,
}

/// One policy, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    mode: Mode,
    thresholds: Thresholds,
    /// The shipped rules that are not switched off, then the user's own.
    rules: Vec<Rule>,
    own_rules: Vec<Rule>,
    switched_off: Vec<String>,
    allow: List,
    deny: List,
    upstream: FailureMode,
    exhausted: FailureMode,
    max_action: Option<Action>,
    max_stale: Option<u64>,
    priority: Priority,
    routes: Routes,
}

impl Policy {
    /// `login`: opens when the source fails, challenges when a limit is used up, so that draining the credits
    /// does not open the door.
    #[must_use]
    pub fn login() -> Self {
        Self::shipped("login", FailureMode::Open, FailureMode::Challenge)
    }

    /// `payment`: holds without evidence, and may spend what is reserved of the budget.
    #[must_use]
    pub fn payment() -> Self {
        let priority = Priority::High;
        Self { priority, ..Self::shipped("payment", FailureMode::Closed, FailureMode::Closed) }
    }

    fn shipped(name: &str, upstream: FailureMode, exhausted: FailureMode) -> Self {
        Self {
            name: name.to_owned(),
            mode: Mode::Enforce,
            thresholds: DEFAULT_THRESHOLDS,
            rules: shipped(DEFAULT_THRESHOLDS.block),
            own_rules: Vec::new(),
            switched_off: Vec::new(),
            allow: List::default(),
            deny: List::default(),
            upstream,
            exhausted,
            max_action: None,
            max_stale: None,
            priority: Priority::Normal,
            routes: Routes::default(),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the policy acts.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Which part of the budget its look-ups may spend.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The routes that the policy names; their numbers are what requests carry.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// What each bit of a decision's reasons means, most important first; unused bits are empty.
    #[must_use]
    pub fn reason_names(&self) -> Vec<String> {
        crate::reasons::names(self.rules.iter().map(|rule| rule.id.as_str()))
    }

    /// The allow list.
    #[must_use]
    pub fn allow(&self) -> &List {
        &self.allow
    }

    /// The deny list.
    #[must_use]
    pub fn deny(&self) -> &List {
        &self.deny
    }

    /// What answers when nothing is known and nothing failed; also what "open" and "closed policy" mean.
    pub(crate) fn failure_mode(&self) -> FailureMode {
        self.upstream
    }

    pub(crate) fn failure_mode_for(&self, class: FailureClass) -> FailureMode {
        match class {
            FailureClass::Upstream => self.upstream,
            FailureClass::Exhausted => self.exhausted,
        }
    }

    /// Whether stale evidence of that age may clear a request. Without `maxStaleMs`: never in a closed policy.
    pub(crate) fn trusts_stale(&self, age: u64, mode: FailureMode) -> bool {
        self.max_stale.map_or(mode != FailureMode::Closed, |most| age <= most)
    }

    /// Thresholds, then the highest `atLeast`, then the lowest `atMost`.
    pub(crate) fn judge(&self, evidence: &Evidence, route: RouteId, now: u64) -> Verdict {
        let (action, reason) = self.thresholds.judge(evidence.score.value());
        self.apply_rules(Verdict { action, reasons: Reasons::default().with(reason) }, evidence, route, now)
    }

    /// The same for feeds, whose score does not block unless the evidence is strict: it is evidence about addresses,
    /// which change hands. What is known of the neighbourhood alone does no more than to be recorded. A rule that the
    /// user wrote may do more.
    pub(crate) fn judge_feeds(&self, feeds: &FeedEvidence, route: RouteId, now: u64) -> Verdict {
        let (action, reason) = self.thresholds.judge(feeds.evidence.score.value());
        let mut reasons = Reasons::default().with(reason);
        if feeds.is_raised_by_neighbourhood {
            reasons = reasons.with(Reason::Neighbourhood);
        }
        let most = match feeds {
            FeedEvidence { is_match: false, .. } => Action::Log,
            FeedEvidence { is_strict: false, .. } => Action::Challenge,
            _ => Action::Block,
        };
        let capped = Verdict { action: action.min(most), reasons };
        let verdict = self.apply_rules(capped, &feeds.evidence, route, now);
        if action > most && verdict.action < action {
            return Verdict { reasons: verdict.reasons.with(Reason::FeedsNotStrict), ..verdict };
        }
        verdict
    }

    fn apply_rules(&self, verdict: Verdict, evidence: &Evidence, route: RouteId, now: u64) -> Verdict {
        let Verdict { mut action, mut reasons } = verdict;
        let mut at_most = Action::Block;
        for (place, rule) in (0..).zip(&self.rules) {
            if rule.applies(evidence, route, now) {
                reasons = reasons.with_rule(place);
                action = action.max(rule.at_least.unwrap_or(Action::Allow));
                at_most = at_most.min(rule.cap(evidence).unwrap_or(Action::Block));
            }
        }
        Verdict { action: action.min(at_most), reasons }
    }

    /// The policy's own cap. `hold` stands outside the order and is never capped.
    pub(crate) fn cap(&self, verdict: Verdict) -> Verdict {
        match self.max_action {
            Some(most) if verdict.action != Action::Hold && verdict.action > most => {
                Verdict { action: most, reasons: verdict.reasons.with(Reason::MaxAction) }
            }
            _ => verdict,
        }
    }

    /// The same policy, only watching.
    #[must_use]
    pub(crate) fn log_only(self) -> Self {
        Self { mode: Mode::LogOnly, ..self }
    }

    /// A policy of that name that starts as a copy of `base` and changes what is written.
    pub(crate) fn derive(name: &str, base: &Self, written: &Reader<'_>) -> Result<Self, Error> {
        let object = written.object(&[
            "extends",
            "mode",
            "thresholds",
            "rules",
            "allow",
            "deny",
            "onFailure",
            "maxAction",
            "maxStaleMs",
            "priority",
        ])?;
        let mut policy = Self { name: name.to_owned(), ..base.clone() };
        if let Some(mode) = object.get("mode") {
            policy.mode = mode.one_of(MODES)?;
        }
        if let Some(thresholds) = object.get("thresholds") {
            policy.thresholds = policy.thresholds.read(&thresholds)?;
        }
        if let Some(allow) = object.get("allow") {
            policy.allow.extend(&allow, Purpose::Allow, &mut policy.routes)?;
        }
        if let Some(deny) = object.get("deny") {
            policy.deny.extend(&deny, Purpose::Deny, &mut policy.routes)?;
        }
        if let Some(on_failure) = object.get("onFailure") {
            policy.read_on_failure(&on_failure)?;
        }
        if let Some(max_action) = object.get("maxAction") {
            policy.max_action = Some(max_action.one_of(RISING_ACTIONS)?);
        }
        if let Some(max_stale) = object.get("maxStaleMs") {
            policy.max_stale = Some(max_stale.milliseconds(0, MOST_MILLISECONDS)?);
        }
        if let Some(priority) = object.get("priority") {
            policy.priority = priority.one_of(PRIORITIES)?;
        }
        policy.read_rules(object.get("rules").as_ref(), written)?;
        Ok(policy)
    }

    fn read_on_failure(&mut self, written: &Reader<'_>) -> Result<(), Error> {
        if written.value().is_object() {
            let object = written.object(&["upstream", "exhausted"])?;
            if let Some(mode) = object.get("upstream") {
                self.upstream = mode.one_of(FAILURE_MODES)?;
            }
            if let Some(mode) = object.get("exhausted") {
                self.exhausted = mode.one_of(FAILURE_MODES)?;
            }
            return Ok(());
        }
        self.upstream = written.one_of(FAILURE_MODES)?;
        self.exhausted = self.upstream;
        Ok(())
    }

    fn read_rules(&mut self, written: Option<&Reader<'_>>, policy: &Reader<'_>) -> Result<(), Error> {
        if let Some(written) = written {
            for item in written.items()? {
                self.read_rule(&item)?;
            }
        }
        let is_own = |id: &str| self.own_rules.iter().any(|own| own.id == id);
        let mut rules = shipped(self.thresholds.block);
        rules.retain(|rule| !self.switched_off.contains(&rule.id) && !is_own(&rule.id));
        rules.extend(self.own_rules.iter().cloned());
        if rules.len() > MAX_RULES {
            let why = format!("a policy may have at most {MAX_RULES} rules, with the shipped ones");
            return Err(written.unwrap_or(policy).refused(&why));
        }
        self.rules = rules;
        Ok(())
    }

    /// A rule, or `{ id, enabled }`, which switches one off or on again.
    fn read_rule(&mut self, written: &Reader<'_>) -> Result<(), Error> {
        let Some(enabled) = written.any_object()?.get("enabled") else {
            let rule = Rule::read(written, &mut self.routes)?;
            let is_taken =
                |name: &String| *name == rule.id && !self.rules.iter().any(|known| known.id == rule.id);
            if self.reason_names().iter().any(is_taken) {
                return Err(
                    written.refused(&format!("`{}` is a reason of its own; choose another id", rule.id))
                );
            }
            self.own_rules.retain(|known| known.id != rule.id);
            self.own_rules.push(rule);
            return Ok(());
        };
        let object = written.object(&["id", "enabled"])?;
        let id_reader = object.require("id")?;
        let id = read_id(&id_reader)?;
        let shipped_rules = shipped(DEFAULT_THRESHOLDS.block);
        let known: Vec<&str> =
            shipped_rules.iter().chain(&self.own_rules).map(|rule| rule.id.as_str()).collect();
        if !known.contains(&id) {
            let message =
                format!("`{}`: no rule is called `{id}`; {}", id_reader.path(), nearest(id, &known));
            return Err(Error::new(Code::UnknownOption, message));
        }
        self.switched_off.retain(|known| known != id);
        if !enabled.boolean()? {
            self.switched_off.push(id.to_owned());
            self.own_rules.retain(|known| known.id != id);
        }
        Ok(())
    }
}

impl Thresholds {
    fn judge(self, score: u8) -> (Action, Reason) {
        if score >= self.block {
            (Action::Block, Reason::ThresholdBlock)
        } else if score >= self.challenge {
            (Action::Challenge, Reason::ThresholdChallenge)
        } else if score >= self.log {
            (Action::Log, Reason::ThresholdLog)
        } else {
            (Action::Allow, Reason::BelowThresholds)
        }
    }

    fn read(self, written: &Reader<'_>) -> Result<Self, Error> {
        let object = written.object(&["log", "challenge", "block"])?;
        let edge = |key, default| object.get(key).map_or(Ok(default), |reader| read_percentage(&reader));
        let read = Self {
            log: edge("log", self.log)?,
            challenge: edge("challenge", self.challenge)?,
            block: edge("block", self.block)?,
        };
        if read.log <= read.challenge && read.challenge <= read.block {
            return Ok(read);
        }
        let Self { log, challenge, block } = read;
        Err(written.refused(&format!(
            "thresholds must not fall: `log` {log}, `challenge` {challenge}, `block` {block}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::evidence::Provider;
    use crate::flags::tests::{BOOLEANS, any_evidence, boolean_field, cases};
    use crate::flags::{BooleanField, Field, Flags, Percentage};

    const NOW: u64 = 1_770_000_000_000;

    /// The flags that say something for an address: these may soften, every other one may only harden.
    const SOFTENERS: [BooleanField; 3] =
        [BooleanField::IsRelay, BooleanField::IsCorporateGateway, BooleanField::IsKnownGoodBot];

    fn derived(base: &Policy, written: &Value) -> Policy {
        Policy::derive("derived", base, &Reader::new("", written)).unwrap()
    }

    fn action(policy: &Policy, evidence: &Evidence) -> Action {
        policy.judge(evidence, RouteId::OTHER, NOW).action
    }

    fn saying(evidence: &Evidence, field: BooleanField, said: bool) -> Evidence {
        let mut evidence = evidence.clone();
        evidence.flags.set_boolean(field, said);
        evidence
    }

    fn name_of(field: BooleanField) -> &'static str {
        Field::ALL.iter().find(|(_, known)| *known == Field::Boolean(field)).unwrap().0
    }

    fn rising_action() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["allow", "log", "challenge", "block"])
    }

    fn thresholds() -> impl Strategy<Value = Value> {
        prop::collection::vec(0_u8..=100, 3).prop_map(|mut edges| {
            edges.sort_unstable();
            json!({ "log": edges[0], "challenge": edges[1], "block": edges[2] })
        })
    }

    /// Conditions that ask for flags to be true, and now and then for a score.
    fn positive_conditions() -> impl Strategy<Value = Value> {
        let score = prop::option::of((0_u8..=50, 50_u8..=100));
        (prop::collection::vec(boolean_field(), 1..3), score).prop_map(|(fields, score)| {
            let mut when = json!({});
            for field in fields {
                when[name_of(field)] = json!(true);
            }
            if let Some((min, max)) = score {
                when["threat_score"] = json!({ "min": min, "max": max });
            }
            when
        })
    }

    /// A user's policy whose own rules only raise, on flags that are true.
    fn raising_policy() -> impl Strategy<Value = Value> {
        let rules = prop::collection::vec((positive_conditions(), rising_action()), 0..6);
        (rules, thresholds()).prop_map(|(rules, thresholds)| {
            let rules = rules.into_iter().enumerate().map(|(place, (when, action))| {
                json!({ "id": format!("own_{place}"), "when": when, "atLeast": action })
            });
            json!({ "thresholds": thresholds, "rules": rules.collect::<Vec<_>>() })
        })
    }

    /// A user's policy with rules that raise, rules that cap, and shipped rules that are switched off.
    fn any_policy() -> impl Strategy<Value = Value> {
        let condition = (boolean_field(), any::<bool>());
        let rules = prop::collection::vec(
            (condition, prop::option::of(rising_action()), prop::option::of(rising_action())),
            0..6,
        );
        let off = prop::sample::subsequence(
            vec!["residential_proxy", "known_attacker", "relay", "corporate_gateway", "known_good_bot"],
            0..=5,
        );
        (rules, off, thresholds()).prop_map(|(rules, off, thresholds)| {
            let own = rules.into_iter().enumerate().filter_map(|(place, ((field, said), least, most))| {
                let mut rule = json!({ "id": format!("own_{place}"), "when": { name_of(field): said } });
                let rank = |action: &str| RISING_ACTIONS.iter().position(|(name, _)| *name == action);
                match (least, most) {
                    (None, None) => return None,
                    (Some(least), Some(most)) if rank(least) > rank(most) => return None,
                    _ => {}
                }
                least.inspect(|action| rule["atLeast"] = json!(action));
                most.inspect(|action| rule["atMost"] = json!(action));
                Some(rule)
            });
            let off = off.into_iter().map(|id| json!({ "id": id, "enabled": false }));
            json!({ "thresholds": thresholds, "rules": own.chain(off).collect::<Vec<_>>() })
        })
    }

    proptest! {
        #![proptest_config(cases(2_048))]

        #[test]
        fn saying_more_against_an_address_never_lowers_the_action(
            evidence in any_evidence(), field in boolean_field(), written in raising_policy(),
        ) {
            prop_assume!(!SOFTENERS.contains(&field));
            let worse = saying(&evidence, field, true);
            for policy in [Policy::login(), Policy::payment(), derived(&Policy::login(), &written)] {
                prop_assert!(action(&policy, &worse) >= action(&policy, &evidence), "{}", name_of(field));
            }
        }

        #[test]
        fn saying_something_for_an_address_never_raises_the_action(
            evidence in any_evidence(), softener in prop::sample::select(SOFTENERS.to_vec()),
        ) {
            let better = saying(&evidence, softener, true);
            for policy in [Policy::login(), Policy::payment()] {
                prop_assert!(action(&policy, &better) <= action(&policy, &evidence), "{}", name_of(softener));
            }
        }

        #[test]
        fn false_instead_of_nothing_changes_nothing_where_no_rule_asks_for_it(
            evidence in any_evidence(), written in raising_policy(),
        ) {
            let absent: Vec<BooleanField> =
                BOOLEANS.into_iter().filter(|field| evidence.flags.boolean(*field).is_none()).collect();
            let say = |evidence, field: &BooleanField| saying(&evidence, *field, false);
            let all = absent.iter().fold(evidence.clone(), say);
            for policy in [Policy::login(), Policy::payment(), derived(&Policy::login(), &written)] {
                prop_assert_eq!(action(&policy, &all), action(&policy, &evidence));
            }
        }

        #[test]
        fn a_higher_score_never_lowers_the_action_without_rules_on_scores(
            evidence in any_evidence(), other in 0_u8..=100, written in any_policy(),
        ) {
            let policy = derived(&Policy::login(), &written);
            let other = Percentage::new(f64::from(other)).unwrap();
            let scoring = |score| action(&policy, &Evidence { score, ..evidence.clone() });
            prop_assert!(scoring(other.min(evidence.score)) <= scoring(other.max(evidence.score)));
        }

        #[test]
        fn no_cap_of_any_rule_is_for_a_known_attacker(evidence in any_evidence(), written in any_policy()) {
            let attacker = saying(&evidence, BooleanField::IsKnownAttacker, true);
            let mut policy = derived(&Policy::login(), &written);
            // Rules that raise and cap have a test of their own.
            policy.rules.retain(|rule| rule.at_least.is_none() || rule.at_most.is_none());
            let mut uncapped = policy.clone();
            uncapped.rules.iter_mut().for_each(|rule| rule.at_most = None);
            uncapped.rules.retain(|rule| rule.at_least.is_some());
            prop_assert_eq!(action(&policy, &attacker), action(&uncapped, &attacker));
        }

        #[test]
        fn the_highest_at_least_and_then_the_lowest_at_most_of_the_rules_that_apply(
            evidence in any_evidence(), written in any_policy(),
        ) {
            let policy = derived(&Policy::login(), &written);
            let verdict = policy.judge(&evidence, RouteId::OTHER, NOW);
            let applying: Vec<&Rule> =
                policy.rules.iter().filter(|rule| rule.applies(&evidence, RouteId::OTHER, NOW)).collect();
            let (from_score, reason) = policy.thresholds.judge(evidence.score.value());
            let raised = applying.iter().filter_map(|rule| rule.at_least).fold(from_score, Ord::max);
            let capped = applying.iter().filter_map(|rule| rule.cap(&evidence)).fold(raised, Ord::min);
            prop_assert_eq!(verdict.action, capped);
            let names = policy.reason_names();
            let said: Vec<&String> =
                (0..64).filter(|bit| verdict.reasons.bits() & 1 << bit != 0).map(|bit| &names[bit]).collect();
            let expected: Vec<&str> =
                applying.iter().map(|rule| rule.id.as_str()).chain([reason.as_str()]).collect();
            prop_assert_eq!(said, expected);
        }

        #[test]
        fn max_action_is_the_most_that_is_answered_and_hold_stands_outside(
            place in 0_usize..5, most in rising_action(),
        ) {
            let policy = derived(&Policy::login(), &json!({ "maxAction": most }));
            let before = Action::ALL[place];
            let after = policy.cap(Verdict { action: before, reasons: Reasons::default() });
            let most = RISING_ACTIONS.iter().find(|(name, _)| *name == most).unwrap().1;
            let expected = if before == Action::Hold { Action::Hold } else { before.min(most) };
            prop_assert_eq!(after.action, expected);
            let says_so = after.reasons == Reasons::default().with(Reason::MaxAction);
            prop_assert_eq!(says_so, before != expected);
        }
    }

    /// Evidence with a score of 0 that says these are true.
    fn clean_but(fields: &[BooleanField]) -> Evidence {
        let mut flags = Flags::default();
        for field in fields {
            flags.set_boolean(*field, true);
        }
        Evidence { flags, score: Percentage::ZERO, provider: Provider::Ipgeolocation, checked_at: 0 }
    }

    #[test]
    fn only_a_residential_proxy_and_a_known_attacker_act_alone() {
        for field in BOOLEANS {
            let expected = match field {
                BooleanField::IsResidentialProxy | BooleanField::IsKnownAttacker => Action::Challenge,
                _ => Action::Allow,
            };
            assert_eq!(action(&Policy::login(), &clean_but(&[field])), expected, "{}", name_of(field));
        }
    }

    #[test]
    fn a_rule_that_raises_and_caps_still_raises_for_a_known_attacker() {
        let rule = json!({ "id": "tor", "when": { "is_tor": true }, "atLeast": "block", "atMost": "block" });
        let policy = derived(&Policy::login(), &json!({ "rules": [rule] }));
        assert_eq!(action(&policy, &clean_but(&[BooleanField::IsTor])), Action::Block);
        let attacker = clean_but(&[BooleanField::IsTor, BooleanField::IsKnownAttacker]);
        assert_eq!(action(&policy, &attacker), Action::Block);
    }

    #[test]
    fn payment_has_high_priority_and_others_what_they_extend_or_write() {
        assert_eq!(Policy::login().priority(), Priority::Normal);
        assert_eq!(Policy::payment().priority(), Priority::High);
        assert_eq!(derived(&Policy::payment(), &json!({})).priority(), Priority::High);
        let read = |priority: Value| {
            let written = json!({ "priority": priority });
            let policy = Policy::derive("p", &Policy::payment(), &Reader::new("policies.p", &written))?;
            Ok::<_, Error>(policy.priority())
        };
        assert_eq!(read(json!("normal")).unwrap(), Priority::Normal);
        assert_eq!(read(json!("high")).unwrap(), Priority::High);
        for written in [json!("bulk"), json!("low"), json!("HIGH"), json!(1), json!(null)] {
            let message = format!("`policies.p.priority` must be one of `high`, `normal`, not `{written}`");
            assert_eq!(read(written).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_policy_keeps_what_it_extends_and_changes_what_is_written() {
        let base = derived(
            &Policy::payment(),
            &json!({
                "maxAction": "challenge", "maxStaleMs": 5, "mode": "log-only", "thresholds": { "log": 10 },
                "deny": ["8.8.8.8"], "rules": [{ "id": "own", "when": { "is_tor": true }, "atLeast": "log" }],
            }),
        );
        let policy = derived(
            &base,
            &json!({
                "thresholds": { "block": 90 }, "deny": ["9.9.9.9"], "onFailure": { "exhausted": "open" },
                "rules": [{ "id": "relay", "enabled": false }],
            }),
        );
        let Thresholds { log, challenge, block } = policy.thresholds;
        assert_eq!((log, challenge, block), (10, 45, 90));
        assert_eq!((policy.max_action, policy.max_stale), (Some(Action::Challenge), Some(5)));
        assert_eq!((policy.mode, policy.upstream), (Mode::LogOnly, FailureMode::Closed));
        assert_eq!(policy.exhausted, FailureMode::Open);
        let is_denied = |text: &str| {
            policy.deny.find(crate::address::Address::parse(text).unwrap(), RouteId::OTHER, 0).is_some()
        };
        assert!(is_denied("8.8.8.8") && is_denied("9.9.9.9"));
        let ids: Vec<&str> = policy.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert!(ids.contains(&"own") && !ids.contains(&"relay"));
    }

    #[test]
    fn rules_are_replaced_switched_off_and_on_by_their_id() {
        let ids =
            |policy: &Policy| -> Vec<String> { policy.rules.iter().map(|rule| rule.id.clone()).collect() };
        let own = json!({ "id": "relay", "when": { "is_relay": true }, "atMost": "allow" });
        let replaced = derived(&Policy::login(), &json!({ "rules": [own] }));
        assert_eq!(ids(&replaced).iter().filter(|id| *id == "relay").count(), 1);
        assert_eq!(ids(&replaced).last().unwrap(), "relay");
        let off = derived(&Policy::login(), &json!({ "rules": [{ "id": "relay", "enabled": false }] }));
        assert!(!ids(&off).contains(&"relay".to_owned()));
        let on = derived(&off, &json!({ "rules": [{ "id": "relay", "enabled": true }] }));
        assert_eq!(ids(&on), ids(&Policy::login()));
        let still_off = derived(&off, &json!({ "thresholds": { "block": 90 } }));
        assert_eq!(ids(&still_off), ids(&off));
    }
}
