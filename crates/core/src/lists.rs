//! Allow and deny lists: networks with an owner, a reason, an expiry and routes.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::quality::RandomState;
use ipnet::IpNet;
use jiff::{Timestamp, civil::Date};

use crate::address::{Address, prefix_mask};
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

/// Entries by the length of their networks, so that a look-up costs one hash per length that occurs and not
/// one comparison per entry.
#[derive(Clone, Debug, Default)]
pub struct List {
    ipv4: Lengths,
    ipv6: Lengths,
}

/// Longest networks first, IPv4 lengths counted in its mapped form.
type Lengths = Vec<(u8, HashMap<u128, Vec<Entry>, RandomState>)>;

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
        let lengths = match address.ip() {
            IpAddr::V4(_) => &self.ipv4,
            IpAddr::V6(_) => &self.ipv6,
        };
        let bits = address.bits();
        lengths.iter().find_map(|(length, networks)| {
            networks.get(&(bits & prefix_mask(*length)))?.iter().find(|entry| entry.applies(route, now))
        })
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
            self.insert(network, entry);
        }
        Ok(())
    }

    fn insert(&mut self, network: IpNet, entry: Entry) {
        let (lengths, length, bits) = match network {
            IpNet::V4(network) => {
                (&mut self.ipv4, 96 + network.prefix_len(), network.network().to_ipv6_mapped())
            }
            IpNet::V6(network) => (&mut self.ipv6, network.prefix_len(), network.network()),
        };
        let position = lengths.binary_search_by(|(known, _)| length.cmp(known)).unwrap_or_else(|position| {
            lengths.insert(position, (length, HashMap::default()));
            position
        });
        lengths[position].1.entry(bits.to_bits()).or_default().push(entry);
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
