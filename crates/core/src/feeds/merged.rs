//! The rows of all feeds together, with numbers that hold for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::combinations::{Combinations, Overflow};
use super::compile::CompileError;
use super::fold::{Combination, Space};
use super::info::FeedInfo;
use super::neighbourhood::Constants;
use super::networks::Networks;
use super::range::Range;
use super::records::Said;
use super::source::Source;
use super::sweep::{MOST_TAGS, Span};

/// All rows, sorted by address. The tag of a span is the place of what it says in `said`.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) feeds: Vec<FeedInfo>,
    /// Sorted.
    pub(crate) names: Vec<String>,
    /// Sorted.
    pub(crate) said: Vec<Said>,
    pub(crate) ipv4: Vec<Span<u32>>,
    pub(crate) ipv6: Vec<Span<u128>>,
    /// How many different ranges there are.
    pub(crate) prefixes: u64,
    /// How many rows are about an AS of which no addresses are known.
    pub(crate) unusable: u64,
}

/// Rows about an AS: the tags of each number.
type Systems = BTreeMap<u32, Vec<u32>>;

/// So much is said of each range of all networks, on average over all of them. Real feeds say something of a tenth; the
/// bound keeps a small file that names the largest networks again and again from becoming gigabytes.
const MOST_PER_RANGE: usize = 8;
/// And so much may be said in any case.
const MOST_IN_SMALL: usize = 1 << 16;

impl Merged {
    pub(crate) fn new(sources: Vec<Source>, networks: Option<&Networks>) -> Result<Self, CompileError> {
        let mut merged = Self {
            feeds: Vec::with_capacity(sources.len()),
            names: names(&sources)?,
            said: Vec::new(),
            ipv4: Vec::with_capacity(sources.iter().map(|source| source.ipv4.len()).sum()),
            ipv6: Vec::with_capacity(sources.iter().map(|source| source.ipv6.len()).sum()),
            prefixes: 0,
            unusable: 0,
        };
        let mut systems = Systems::new();
        for source in sources {
            merged.add(source, &mut systems)?;
        }
        merged.expand(systems, networks).map_err(|overflow| merged.error(&overflow))?;
        merged.ipv4.sort_unstable();
        merged.ipv6.sort_unstable();
        merged.prefixes = (different(&merged.ipv4) + different(&merged.ipv6)) as u64;
        Ok(merged)
    }

    fn add(&mut self, source: Source, systems: &mut Systems) -> Result<(), CompileError> {
        let feed = u16::try_from(self.feeds.len()).map_err(|_| CompileError::TooManyFeeds)?;
        let tags = self.add_tags(&source, feed);
        let tag = |own: u32| tags.get(own as usize).copied().unwrap_or_default();
        self.ipv4.extend(source.ipv4.into_iter().map(|span| Span { tag: tag(span.tag), ..span }));
        self.ipv6.extend(source.ipv6.into_iter().map(|span| Span { tag: tag(span.tag), ..span }));
        for (number, own) in source.systems {
            systems.entry(number).or_default().push(tag(own));
        }
        self.feeds.push(source.info);
        Ok(())
    }

    /// Adds what a feed says in the order of names and values, not in that of its rows, and gives the new tag of each
    /// of its own.
    fn add_tags(&mut self, source: &Source, feed: u16) -> Vec<u32> {
        let mut names = vec![0; source.names.len() + 1];
        for (name, own) in &source.names {
            let place = self.names.binary_search(name).unwrap_or_default();
            if let (Some(number), Ok(place)) = (names.get_mut(*own as usize), u16::try_from(place + 1)) {
                *number = place;
            }
        }
        let name = |own: u32| names.get(own as usize).copied().unwrap_or_default();
        let mut said: Vec<(Said, u32)> = source
            .tags
            .iter()
            .map(|(&(own, value), tag)| (Said { feed, name: name(own), value }, *tag))
            .collect();
        said.sort_unstable();
        let mut tags = vec![0; said.len()];
        for ((one, own), tag) in said.into_iter().zip(self.said.len()..) {
            self.said.push(one);
            if let (Some(place), Ok(tag)) = (tags.get_mut(own as usize), u32::try_from(tag)) {
                *place = tag;
            }
        }
        tags
    }

    /// Turns rows about an AS into rows about its addresses.
    fn expand(&mut self, mut systems: Systems, networks: Option<&Networks>) -> Result<(), Overflow> {
        for tags in systems.values_mut() {
            tags.sort_unstable();
            tags.dedup();
            if tags.len() > MOST_TAGS {
                return Err(Overflow::Tags(mem::take(tags)));
            }
        }
        let ranges = networks.map_or(0, |networks| networks.ipv4.len() + networks.ipv6.len());
        let mut left = ranges.saturating_mul(MOST_PER_RANGE).max(MOST_IN_SMALL);
        let mut known = Systems::new();
        for (range, number) in networks.into_iter().flat_map(Networks::ranges) {
            if let Some(tags) = systems.remove(&number) {
                known.insert(number, tags);
            }
            let Some(tags) = known.get(&number) else { continue };
            left = left.checked_sub(tags.len()).ok_or(Overflow::Rows)?;
            let tags = tags.iter();
            match range {
                Range::V4(first, last) => self.ipv4.extend(tags.map(|&tag| Span { first, last, tag })),
                Range::V6(first, last) => self.ipv6.extend(tags.map(|&tag| Span { first, last, tag })),
            }
        }
        self.unusable = systems.values().map(|tags| tags.len() as u64).sum();
        Ok(())
    }

    /// The addresses that count for the neighbourhood, sorted, each once.
    pub(crate) fn listed(&self, constants: &Constants, built_at: u64) -> Vec<u32> {
        let feeds: Vec<bool> = self.feeds.iter().map(|feed| constants.counts(feed, built_at)).collect();
        let counts = |span: &&Span<u32>| {
            let said = self.said.get(span.tag as usize);
            let feed = said.and_then(|said| feeds.get(usize::from(said.feed)));
            span.last - span.first < constants.widest && feed.copied().unwrap_or_default()
        };
        let spans = self.ipv4.iter().filter(counts);
        let mut listed: Vec<u32> = spans.flat_map(|span| span.first..=span.last).collect();
        listed.sort_unstable();
        listed.dedup();
        listed
    }

    /// What combinations of tags say, and which points hold for them.
    pub(crate) fn combinations(
        &self,
        combinations: &Combinations,
        constants: Option<&Constants>,
    ) -> Vec<Combination> {
        let combination = |tags: &[u32]| {
            let said: Vec<Said> =
                tags.iter().filter_map(|tag| self.said.get(*tag as usize)).copied().collect();
            let feeds = said.iter().filter_map(|said| self.feeds.get(usize::from(said.feed)));
            let signals: Vec<_> = feeds.map(|feed| feed.signal).collect();
            let space = constants.map_or(Space::Off, |constants| constants.space(&signals));
            Combination { said, space }
        };
        combinations.sets().into_iter().map(combination).collect()
    }

    /// The error that names the feed which is most to blame.
    pub(crate) fn error(&self, overflow: &Overflow) -> CompileError {
        match overflow {
            Overflow::Tags(tags) => CompileError::Crowded { feed: self.most_of(tags.iter().copied()) },
            Overflow::Combinations => CompileError::TooManyRecords { feed: self.most_of(0..) },
            Overflow::Rows => self.too_large(),
        }
    }

    /// That there are too many rows.
    pub(crate) fn too_large(&self) -> CompileError {
        let (ipv4, ipv6) = (self.ipv4.iter().map(|span| span.tag), self.ipv6.iter().map(|span| span.tag));
        CompileError::TooLarge { feed: self.most_of(ipv4.chain(ipv6)) }
    }

    /// The id of the feed that most of these tags are of, up to the first that is none.
    fn most_of(&self, tags: impl Iterator<Item = u32>) -> String {
        let mut counts = vec![0_usize; self.feeds.len()];
        for said in tags.map_while(|tag| self.said.get(tag as usize)) {
            if let Some(count) = counts.get_mut(usize::from(said.feed)) {
                *count += 1;
            }
        }
        let most = self.feeds.iter().zip(counts).max_by_key(|(_, count)| *count);
        most.map(|(feed, _)| feed.id.clone()).unwrap_or_default()
    }
}

/// All names, sorted.
fn names(sources: &[Source]) -> Result<Vec<String>, CompileError> {
    let names: BTreeSet<&String> = sources.iter().flat_map(|source| source.names.keys()).collect();
    if names.len() > usize::from(u16::MAX) {
        let most = sources.iter().max_by_key(|source| source.names.len());
        let feed = most.map(|source| source.info.id.clone()).unwrap_or_default();
        return Err(CompileError::TooManyNames { feed });
    }
    Ok(names.into_iter().cloned().collect())
}

/// How many different ranges there are among sorted spans.
fn different<B: PartialEq>(spans: &[Span<B>]) -> usize {
    spans.chunk_by(|one, next| one.first == next.first && one.last == next.last).count()
}
