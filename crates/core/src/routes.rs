//! The routes that a policy speaks of, as numbers, so that a request compares no text.

use crate::error::Error;
use crate::reader::Reader;

/// A route of one policy; `RouteId::OTHER` is every route that the policy does not name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouteId(u16);

impl RouteId {
    /// A route that the policy does not name.
    pub const OTHER: Self = Self(0);

    /// The route with that number: its place in [`Routes::names`], counted from 1. Unknown numbers match nothing.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }
}

/// The routes that a policy names, in the order in which they were met.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    names: Vec<String>,
}

impl Routes {
    /// All routes that the policy names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of `route`, which is the pattern of a route, never a raw URL.
    #[must_use]
    pub fn find(&self, route: &str) -> RouteId {
        let position = self.names.iter().position(|name| name == route);
        position.and_then(|position| u16::try_from(position + 1).ok()).map_or(RouteId::OTHER, RouteId)
    }

    fn add(&mut self, item: &Reader<'_>) -> Result<RouteId, Error> {
        let name = item.text()?;
        if self.find(name) == RouteId::OTHER {
            if self.names.len() == usize::from(u16::MAX) {
                return Err(item.refused("more routes than a policy can name (65,535)"));
            }
            self.names.push(name.to_owned());
        }
        Ok(self.find(name))
    }
}

/// The routes that an entry or a rule is for.
#[derive(Clone, Debug)]
pub(crate) enum RoutesOf {
    All,
    Some(Vec<RouteId>),
}

impl RoutesOf {
    pub(crate) fn read(written: Option<Reader<'_>>, routes: &mut Routes) -> Result<Self, Error> {
        let Some(written) = written else { return Ok(Self::All) };
        let items = written.items()?;
        if items.is_empty() {
            return Err(written.must_be("an array of at least one route; leave it out for all routes"));
        }
        Ok(Self::Some(items.iter().map(|item| routes.add(item)).collect::<Result<_, _>>()?))
    }

    pub(crate) fn include(&self, route: RouteId) -> bool {
        match self {
            Self::All => true,
            Self::Some(routes) => routes.contains(&route),
        }
    }
}
