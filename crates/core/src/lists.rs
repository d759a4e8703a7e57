//! Allow and deny lists: networks with an owner, a reason, an expiry and routes.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::{Timestamp, civil::Date};

use crate::address::Address;
use crate::error::Error;
use crate::reader::Reader;
use crate::routes::{RouteId, Routes, RoutesOf};

/// One network of a list.
#[derive(Clone, Debug)]
pub struct Entry {
    owner: Option<Box<str>>,
    reason: Option<Box<str>>,
    expires_at: Option<u64>,
    routes: RoutesOf,
}

impl Entry {
    /// Who answers for the entry.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Why it is there.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    fn applies(&self, route: RouteId, now: u64) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at) && self.routes.include(route)
    }
}

/// Entries, flattened so that a look-up costs one binary search, and a step for each entry that holds the address and does
/// not apply.
#[derive(Clone, Debug, Default)]
pub struct List {
    ipv4: Family<u32>,
    ipv6: Family<u128>,
}

/// Networks of one family of addresses.
#[derive(Clone, Debug)]
struct Family<A> {
    /// By the beginning of their networks, enclosing ones first, those of one network as they were written.
    listed: Vec<Listed<A>>,
    /// Where the entries that hold an address change, ascending.
    starts: Vec<A>,
    /// For each start, the place of the first entry to ask from there on.
    first_places: Vec<usize>,
}

/// An entry with its network.
#[derive(Clone, Debug)]
struct Listed<A> {
    start: A,
    prefix_length: u8,
    /// The first address after the network, if there is one.
    after: Option<A>,
    /// The place of the entry to ask when this one does not apply: of the same network, or of the one around it.
    next_place: usize,
    entry: Entry,
}

/// The place of no entry.
const NOWHERE: usize = usize::MAX;

/// Whether a list lets addresses in; such a list may not hold the whole internet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Allow,
    Deny,
}

impl List {
    /// The most specific entry that holds `address`, is for `route` and has not expired.
    #[must_use]
    pub fn find(&self, address: Address, route: RouteId, now: u64) -> Option<&Entry> {
        let applies = |entry: &Entry| entry.applies(route, now);
        match address.ip() {
            IpAddr::V4(address) => self.ipv4.find(address.to_bits(), applies),
            IpAddr::V6(address) => self.ipv6.find(address.to_bits(), applies),
        }
    }

    /// Adds what the user wrote: CIDRs, addresses, or objects with more to say.
    pub(crate) fn extend(
        &mut self,
        list: &Reader<'_>,
        purpose: Purpose,
        routes: &mut Routes,
    ) -> Result<(), Error> {
        for item in list.items()? {
            let (network, entry) = read_entry(&item, purpose, routes)?;
            self.push(network, entry);
        }
        self.ipv4.flatten();
        self.ipv6.flatten();
        Ok(())
    }

    fn push(&mut self, network: IpNet, entry: Entry) {
        let prefix_length = network.prefix_len();
        match network {
            IpNet::V4(network) => {
                let (start, last) = (network.network().to_bits(), network.broadcast().to_bits());
                self.ipv4.push(start, last.checked_add(1), prefix_length, entry);
            }
            IpNet::V6(network) => {
                let (start, last) = (network.network().to_bits(), network.broadcast().to_bits());
                self.ipv6.push(start, last.checked_add(1), prefix_length, entry);
            }
        }
    }
}

impl<A> Default for Family<A> {
    fn default() -> Self {
        Self { listed: Vec::new(), starts: Vec::new(), first_places: Vec::new() }
    }
}

impl<A: Copy + Ord> Family<A> {
    fn push(&mut self, start: A, after: Option<A>, prefix_length: u8, entry: Entry) {
        self.listed.push(Listed { start, prefix_length, after, next_place: NOWHERE, entry });
    }

    fn find(&self, address: A, applies: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let segment = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        let mut place = self.first_places[segment];
        while let Some(listed) = self.listed.get(place) {
            if applies(&listed.entry) {
                return Some(&listed.entry);
            }
            place = listed.next_place;
        }
        None
    }

    /// Brings everything in order after entries were pushed.
    fn flatten(&mut self) {
        self.starts.clear();
        self.first_places.clear();
        // Stable, which keeps entries of one network as they were written.
        self.listed.sort_by_key(|listed| (listed.start, listed.prefix_length));
        // The networks around the present one, each by the place of its first entry.
        let mut around = Vec::new();
        let mut place = 0;
        while place < self.listed.len() {
            let Listed { start, prefix_length, .. } = self.listed[place];
            self.leave(&mut around, Some(start));
            self.change(start, place);
            let same = |listed: &Listed<A>| (listed.start, listed.prefix_length) == (start, prefix_length);
            let end = place + self.listed[place..].iter().take_while(|listed| same(listed)).count();
            for next_place in place + 1..end {
                self.listed[next_place - 1].next_place = next_place;
            }
            self.listed[end - 1].next_place = around.last().copied().unwrap_or(NOWHERE);
            around.push(place);
            place = end;
        }
        self.leave(&mut around, None);
    }

    /// Leaves the networks that end at or before `start`, or all.
    fn leave(&mut self, around: &mut Vec<usize>, start: Option<A>) {
        let ends = |after: Option<A>| start.is_none_or(|start| after.is_some_and(|after| after <= start));
        while let Some(place) = around.pop_if(|place| ends(self.listed[*place].after)) {
            if let Some(after) = self.listed[place].after {
                self.change(after, around.last().copied().unwrap_or(NOWHERE));
            }
        }
    }

    /// From `start` on, the entry at `place` is the first to ask. Of several changes at one start the last one counts.
    fn change(&mut self, start: A, place: usize) {
        self.starts.push(start);
        self.first_places.push(place);
    }
}

fn read_entry(item: &Reader<'_>, purpose: Purpose, routes: &mut Routes) -> Result<(IpNet, Entry), Error> {
    if item.value().is_string() {
        let entry = Entry { owner: None, reason: None, expires_at: None, routes: RoutesOf::All };
        return Ok((read_network(item, purpose)?, entry));
    }
    let object = item.object(&["cidr", "owner", "reason", "expires", "routes"])?;
    let text = |key| object.get(key).map(|reader| reader.text().map(Into::into)).transpose();
    let entry = Entry {
        owner: text("owner")?,
        reason: text("reason")?,
        expires_at: object.get("expires").map(|reader| read_instant(&reader)).transpose()?,
        routes: RoutesOf::read(object.get("routes"), routes)?,
    };
    Ok((read_network(&object.require("cidr")?, purpose)?, entry))
}

fn read_network(item: &Reader<'_>, purpose: Purpose) -> Result<IpNet, Error> {
    let text = item.text()?;
    let expected = "an address or a CIDR such as `198.51.100.0/24`";
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(Address::parse(text).ok_or_else(|| item.must_be(expected))?.ip()),
    };
    if network != network.trunc() {
        return Err(
            item.refused(&format!("`{text}` has bits set after its prefix; write `{}`", network.trunc()))
        );
    }
    if let IpNet::V6(network) = network
        && network.network().to_ipv4_mapped().is_some()
        && network.prefix_len() >= 96
    {
        return Err(item.refused(&format!("`{text}` is IPv4-mapped; write the IPv4 network itself")));
    }
    if purpose == Purpose::Allow && network.prefix_len() == 0 {
        return Err(
            item.refused("an allow entry may not hold the whole internet; use `mode: 'log-only'` instead")
        );
    }
    Ok(network)
}

/// The instant that a text names. A date alone is its first moment in UTC; a time needs a zone.
fn read_instant(item: &Reader<'_>) -> Result<u64, Error> {
    let expected = "a date such as `2027-01-31` or `2027-01-31T12:00:00Z`";
    let text = item.value().as_str().ok_or_else(|| item.must_be(expected))?;
    let milliseconds = match text.parse::<Timestamp>() {
        Ok(instant) => instant.as_millisecond(),
        // The parser of dates would also take a time without a zone, and drop it.
        Err(_) if text.len() == "2027-01-31".len() => {
            first_moment(text.parse::<Date>().map_err(|_| item.must_be(expected))?)
        }
        Err(_) => return Err(item.must_be(expected)),
    };
    u64::try_from(milliseconds).map_err(|_| item.must_be("a date after 1970"))
}

fn first_moment(date: Date) -> i64 {
    let days = (date - jiff::civil::date(1970, 1, 1)).get_days();
    i64::from(days) * 24 * 60 * 60 * 1_000
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::flags::tests::cases;
    use crate::spelling::Spelling;

    const NAMES: [&str; 2] = ["/login", "/pay"];
    /// The first day of a year, in which some entries expire.
    const NEW_YEAR: u64 = 1_798_761_600_000;

    /// What an entry says of itself.
    #[derive(Clone, Debug)]
    struct Written {
        network: IpNet,
        expires: bool,
        route: Option<usize>,
    }

    impl Written {
        fn value(&self, owner: usize) -> Value {
            let mut value = json!({ "cidr": self.network.to_string(), "owner": owner.to_string() });
            if self.expires {
                value["expires"] = json!("2027-01-01");
            }
            if let Some(route) = self.route {
                value["routes"] = json!([NAMES[route]]);
            }
            value
        }

        fn applies(&self, address: IpAddr, route: Option<usize>, now: u64) -> bool {
            let is_for_route = self.route.is_none_or(|own| Some(own) == route);
            self.network.contains(&address) && is_for_route && (!self.expires || now < NEW_YEAR)
        }
    }

    /// Networks that are nested, equal, neighbours and at both ends of the space. None is IPv4-mapped.
    fn network() -> impl Strategy<Value = IpNet> {
        let byte = || prop::sample::select(vec![0_u8, 1, 127, 128, 255]);
        let v4 = ([byte(), byte(), byte(), byte()], 0..=32_u8)
            .prop_map(|(bytes, length)| IpNet::new(Ipv4Addr::from(bytes).into(), length).unwrap());
        let v6 = ([byte(), byte(), byte()], 0..=128_u8).prop_map(|([first, middle, last], length)| {
            let mut bytes = [middle; 16];
            (bytes[0], bytes[15]) = (first, last);
            IpNet::new(Ipv6Addr::from(bytes).into(), length).unwrap()
        });
        prop_oneof![v4, v6].prop_map(|network| network.trunc())
    }

    fn written() -> impl Strategy<Value = Written> {
        let route = prop::option::weighted(0.4, 0..NAMES.len());
        (network(), prop::bool::weighted(0.4), route).prop_map(|(network, expires, route)| Written {
            network,
            expires,
            route,
        })
    }

    /// The ends of a network, and the addresses right outside of it. Those in mapped form are IPv4.
    fn around(network: IpNet) -> Vec<IpAddr> {
        let (first, last) = (network.network(), network.broadcast());
        let step = |address, by: i8| match address {
            IpAddr::V4(address) => {
                IpAddr::from(Ipv4Addr::from_bits(address.to_bits().wrapping_add_signed(by.into())))
            }
            IpAddr::V6(address) => {
                IpAddr::from(Ipv6Addr::from_bits(address.to_bits().wrapping_add_signed(by.into())))
            }
        };
        [first, last, step(first, -1), step(last, 1)].map(|address| address.to_canonical()).to_vec()
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn what_is_found_is_the_most_specific_entry_that_applies_and_the_first_of_its_network(
            entries in prop::collection::vec(written(), 0..40),
            inherited in 0..40_usize,
        ) {
            let (mut list, mut routes) = (List::default(), Routes::default());
            let values: Vec<_> = entries.iter().enumerate().map(|(owner, entry)| entry.value(owner)).collect();
            let (base, own) = values.split_at(inherited.min(values.len()));
            for part in [json!(base), json!(own)] {
                let reader = Reader::spelled(Spelling::default(), "deny", &part);
                list.extend(&reader, Purpose::Deny, &mut routes).unwrap();
            }
            for address in entries.iter().flat_map(|entry| around(entry.network)) {
                for (route, now) in [(None, 0), (Some(0), 0), (Some(1), 0), (None, NEW_YEAR), (Some(1), NEW_YEAR)] {
                    let applying = entries.iter().enumerate().filter(|(_, entry)| entry.applies(address, route, now));
                    let expected = applying.min_by_key(|(_, entry)| Reverse(entry.network.prefix_len()));
                    let number = route.map_or(RouteId::OTHER, |route| routes.find(NAMES[route]));
                    let asked = Address::parse(&address.to_string()).unwrap();
                    let found = list.find(asked, number, now).and_then(Entry::owner).map(str::to_owned);
                    prop_assert_eq!(found, expected.map(|(owner, _)| owner.to_string()), "{}", address);
                }
            }
        }
    }
}
