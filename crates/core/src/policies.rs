//! The policies of a checker by name: the shipped ones and what the user wrote.

use std::collections::HashMap;

use serde_json::Value;

use crate::decision::Mode;
use crate::error::{Code, Error};
use crate::policy::{FailureMode, Policy};
use crate::reader::Reader;
use crate::spelling::Spelling;

/// How many policies one checker may have, those at routes included.
pub(crate) const MOST_POLICIES: usize = 1_000;

/// All policies of a checker; the place of each is its number.
#[derive(Clone, Debug)]
pub struct Policies {
    policies: Vec<Policy>,
    /// How users write policies.
    spelling: Spelling,
}

impl Policies {
    /// The shipped policies.
    #[must_use]
    pub fn shipped() -> Self {
        let policies = vec![Policy::login(), Policy::payment()];
        Self { policies, spelling: Spelling::default() }
    }

    /// All policies; the place of each is its number.
    #[must_use]
    pub fn all(&self) -> &[Policy] {
        &self.policies
    }

    /// The place of the policy of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.policies.iter().position(|policy| policy.name() == name)
    }

    /// The mistake of a name that no policy has.
    #[must_use]
    pub fn unknown(&self, name: &str) -> Error {
        let names: Vec<String> = self.policies.iter().map(|policy| format!("`{}`", policy.name())).collect();
        Error::new(
            Code::UnknownPolicy,
            format!("no policy is called `{name}`; known are {}", names.join(", ")),
        )
    }

    /// Reads `policies: { name: { .. } }`. One that is named like a shipped policy changes it; any other
    /// extends what its `extends` names, or `login`.
    pub(crate) fn read(spelling: Spelling, written: Option<&Reader<'_>>) -> Result<Self, Error> {
        let mut policies = Self { spelling, ..Self::shipped() };
        let Some(written) = written else { return Ok(policies) };
        let mut open: HashMap<&str, Reader<'_>> = written.any_object()?.entries().collect();
        if open.len() > MOST_POLICIES {
            return Err(written.refused(&format!("a checker may have at most {MOST_POLICIES} policies")));
        }
        if let Some(name) = open.keys().filter(|name| !is_name(name)).min() {
            let why = "must be letters, digits, `-`, `_` or `.`, beginning with a letter, at most 64 in all";
            return Err(written.refused(&format!(
                "the name `{}` {why}",
                name.chars().take(60).collect::<String>().escape_debug()
            )));
        }
        let mut names: Vec<&str> = open.keys().copied().collect();
        names.sort_unstable();
        for name in names {
            policies.resolve(name, &mut open, &[])?;
        }
        Ok(policies)
    }

    /// Compiles `name` after what it extends; `above` are those that wait for it.
    fn resolve(
        &mut self,
        name: &str,
        open: &mut HashMap<&str, Reader<'_>>,
        above: &[&str],
    ) -> Result<(), Error> {
        let Some(written) = open.remove(name) else { return Ok(()) };
        let extends = written.any_object()?.get("extends");
        let parent = match &extends {
            Some(extends) => extends.text()?,
            None if self.find(name).is_some() => name,
            None => "login",
        };
        if parent != name {
            if above.contains(&parent) {
                return Err(extends
                    .unwrap_or(written)
                    .refused(&format!("`{parent}` and `{name}` extend each other in a circle")));
            }
            self.resolve(parent, open, &[above, &[name]].concat())?;
        }
        let Some(base) = self.find(parent).map(|place| &self.policies[place]) else {
            return Err(extends.unwrap_or(written).refused(&format!("no policy is called `{parent}`")));
        };
        let policy = Policy::derive(name, base, &written)?;
        match self.find(name) {
            Some(place) => self.policies[place] = policy,
            None => self.policies.push(policy),
        }
        Ok(())
    }

    /// Adds a policy that was written at one route and has no name of its own. `has_provider` says whether it may close.
    pub(crate) fn add_inline(
        &mut self,
        base: &str,
        written: &Value,
        has_provider: bool,
    ) -> Result<usize, Error> {
        let base_name = base;
        let base = self.find(base).ok_or_else(|| self.unknown(base))?;
        if self.policies.len() >= MOST_POLICIES {
            let why =
                format!("a checker may have at most {MOST_POLICIES} policies, those at routes included");
            return Err(Error::new(Code::Option, format!("{why}; name one and use it at several routes")));
        }
        let mut names = (1..).map(|number| format!("inline-{number}"));
        let name = names.find(|name| self.find(name).is_none()).unwrap_or_default();
        let written = Reader::spelled(self.spelling, "", written);
        let policy = Policy::derive(&name, &self.policies[base], &written)?;
        if !has_provider {
            require_provider(&policy, base_name, self.spelling)?;
        }
        self.policies.push(policy);
        Ok(self.policies.len() - 1)
    }

    /// Refuses the policy called `name` when it acts and closes, and no provider can be asked: it would hold everybody
    /// whom feeds do not block.
    pub(crate) fn require_provider(&self, name: &str) -> Result<(), Error> {
        match self.policies.iter().find(|policy| policy.name() == name) {
            Some(policy) => require_provider(policy, name, self.spelling),
            None => Ok(()),
        }
    }

    /// Turns every policy into one that only watches.
    pub(crate) fn log_only(&mut self) {
        let policies = std::mem::take(&mut self.policies);
        self.policies = policies.into_iter().map(Policy::log_only).collect();
    }
}

fn require_provider(policy: &Policy, shown: &str, spelling: Spelling) -> Result<(), Error> {
    if policy.failure_mode() != FailureMode::Closed || policy.mode() == Mode::LogOnly {
        return Ok(());
    }
    Err(Error::new(
        Code::NoSource,
        format!(
            "the policy `{shown}` closes, and without a key it would hold everybody whom no feed blocks: set \
             `IPGEO_API_KEY`, or write `{}` to let feeds clear it",
            spelling.primary_feeds()
        ),
    ))
}

/// Names stand in logs, counts and decisions.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.as_bytes()[0].is_ascii_alphabetic() && name.bytes().all(is_plain)
}
