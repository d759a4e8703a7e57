//! A policy: what one kind of route does with evidence, and without it.

use std::collections::HashMap;

use serde_json::Value;

use crate::decision::{Action, Mode};
use crate::error::{Code, Error, FailureClass, unknown_option};
use crate::evidence::Evidence;
use crate::lists::{List, Purpose};
use crate::reader::Reader;
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
    routes: Routes,
}

impl Policy {
    /// `login`: opens when the source fails, challenges when a limit is used up, so that draining the credits
    /// does not open the door.
    #[must_use]
    pub fn login() -> Self {
        Self::shipped("login", FailureMode::Open, FailureMode::Challenge)
    }

    /// `payment`: holds without evidence.
    #[must_use]
    pub fn payment() -> Self {
        Self::shipped("payment", FailureMode::Closed, FailureMode::Closed)
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
        let (mut action, reason) = self.thresholds.judge(evidence.score.value());
        let mut reasons = Reasons::default().with(reason);
        let mut at_most = Action::Block;
        for (place, rule) in (0..).zip(&self.rules) {
            if rule.applies(evidence, route, now) {
                reasons = reasons.with_rule(place);
                action = action.max(rule.at_least.unwrap_or(Action::Allow));
                at_most = at_most.min(rule.at_most.unwrap_or(Action::Block));
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
            policy.max_stale = Some(max_stale.whole(0, crate::options::MOST_MILLISECONDS)?);
        }
        policy.read_rules(object.get("rules"))?;
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

    fn read_rules(&mut self, written: Option<Reader<'_>>) -> Result<(), Error> {
        if let Some(written) = &written {
            for item in written.items()? {
                self.read_rule(&item)?;
            }
        }
        let is_own = |id: &str| self.own_rules.iter().any(|own| own.id == id);
        let mut rules = shipped(self.thresholds.block);
        rules.retain(|rule| !self.switched_off.contains(&rule.id) && !is_own(&rule.id));
        rules.extend(self.own_rules.iter().cloned());
        match written {
            Some(written) if rules.len() > MAX_RULES => Err(written
                .refused(&format!("a policy may have at most {MAX_RULES} rules, with the shipped ones"))),
            _ => {
                self.rules = rules;
                Ok(())
            }
        }
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
            return Err(unknown_option(id_reader.path(), id, &known));
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

/// The policies of a checker by name: the shipped ones and what the user wrote.
#[derive(Clone, Debug)]
pub struct Policies {
    policies: Vec<Policy>,
}

impl Policies {
    /// The shipped policies.
    #[must_use]
    pub fn shipped() -> Self {
        Self { policies: vec![Policy::login(), Policy::payment()] }
    }

    /// All policies; the place of each is its number.
    #[must_use]
    pub fn all(&self) -> &[Policy] {
        &self.policies
    }

    /// The place of the policy of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.policies.iter().position(|policy| policy.name == name)
    }

    /// The names of all policies.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.policies.iter().map(Policy::name).collect()
    }

    /// The mistake of a name that no policy has.
    #[must_use]
    pub fn unknown(&self, name: &str) -> Error {
        let names: Vec<String> = self.policies.iter().map(|policy| format!("`{}`", policy.name)).collect();
        Error::new(
            Code::UnknownPolicy,
            format!("no policy is called `{name}`; known are {}", names.join(", ")),
        )
    }

    /// Reads `policies: { name: { .. } }`. One that is named like a shipped policy changes it; any other
    /// extends what its `extends` names, or `login`.
    pub(crate) fn read(written: Option<&Reader<'_>>) -> Result<Self, Error> {
        let mut policies = Self::shipped();
        let Some(written) = written else { return Ok(policies) };
        let mut open: HashMap<&str, Reader<'_>> = written.any_object()?.entries().collect();
        let mut names: Vec<&str> = open.keys().copied().collect();
        names.sort_unstable();
        for name in names {
            policies.resolve(name, &mut open)?;
        }
        Ok(policies)
    }

    /// Compiles `name` after what it extends. What is being compiled is no longer in `open`, so a circle ends.
    fn resolve(&mut self, name: &str, open: &mut HashMap<&str, Reader<'_>>) -> Result<(), Error> {
        let Some(written) = open.remove(name) else { return Ok(()) };
        let extends = written.any_object()?.get("extends");
        let parent = match &extends {
            Some(extends) => extends.text()?,
            None if self.find(name).is_some() => name,
            None => "login",
        };
        if parent != name {
            self.resolve(parent, open)?;
        }
        let Some(base) = self.find(parent).map(|place| &self.policies[place]) else {
            let path = extends.map_or_else(String::new, |extends| format!("`{}`: ", extends.path()));
            let why = "it extends a policy that does not exist, or itself in a circle";
            return Err(Error::new(Code::Option, format!("{path}{why} (`{parent}`)")));
        };
        let policy = Policy::derive(name, base, &written)?;
        match self.find(name) {
            Some(place) => self.policies[place] = policy,
            None => self.policies.push(policy),
        }
        Ok(())
    }

    /// Adds a policy that was written at one route and has no name of its own.
    pub(crate) fn add_inline(&mut self, base: &str, written: &Value) -> Result<usize, Error> {
        let base = self.find(base).ok_or_else(|| self.unknown(base))?;
        let name = format!("inline-{}", self.policies.len() - 1);
        let policy = Policy::derive(&name, &self.policies[base], &Reader::new("", written))?;
        self.policies.push(policy);
        Ok(self.policies.len() - 1)
    }

    /// Turns every policy into one that only watches.
    pub(crate) fn log_only(&mut self) {
        let policies = std::mem::take(&mut self.policies);
        self.policies = policies.into_iter().map(Policy::log_only).collect();
    }
}
