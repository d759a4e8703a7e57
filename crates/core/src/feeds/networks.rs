//! Which autonomous system announces an address.

use std::collections::HashMap;
use std::net::IpAddr;

use thiserror::Error;

use super::range::Range;
use super::sweep::{Bits, Span, Sweep};

/// More ranges of one family than the internet will have while this lives.
pub(crate) const MOST_RANGES: usize = 1 << 21;

/// All routed address space: ranges that do not overlap, each with the number of the autonomous system (AS) that
/// announces it.
///
/// Needed while feeds are compiled: to turn rows about an AS into addresses. About 9 MB for the whole internet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Networks {
    /// The tag of a span is its AS number.
    pub(crate) ipv4: Vec<Span<u32>>,
    pub(crate) ipv6: Vec<Span<u128>>,
}

/// What is wrong with the text that networks were to be read from.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NetworksError {
    /// A line is not `first,last,number`.
    #[error("line {line} of the networks is not `first address,last address,AS number`; get the file anew")]
    Line {
        /// Which line, counted from 1 over all files.
        line: usize,
    },
    /// More ranges than the internet has.
    #[error("more than two million networks; get the file anew")]
    TooMany,
    /// Far more ranges overlap than in any table of routes.
    #[error("too many networks hold one and the same address; get the file anew")]
    Crowded,
}

impl Networks {
    /// Reads lines such as `1.0.0.0,1.0.0.255,13335,Somebody` or `16777216,16777471,13335`, in any order. What comes
    /// after the number is ignored. Where ranges overlap, the smaller one is right. AS 0 means "not routed".
    ///
    /// # Errors
    /// The first line that is none of that.
    ///
    /// ```
    /// use ip_risk_core::feeds::networks::Networks;
    ///
    /// let networks = Networks::parse(&[b"192.0.2.0,192.0.2.255,64500,Example\n"]).unwrap();
    /// assert_eq!(networks.number("192.0.2.7".parse().unwrap()), Some(64_500));
    /// assert_eq!(networks.number("192.0.3.7".parse().unwrap()), None);
    /// ```
    pub fn parse(files: &[&[u8]]) -> Result<Self, NetworksError> {
        let mut ipv4 = Vec::new();
        let mut ipv6 = Vec::new();
        let lines = files.iter().flat_map(|file| file.split(|byte| *byte == b'\n'));
        for (place, line) in lines.enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match parse_line(line).ok_or(NetworksError::Line { line: place + 1 })? {
                (_, 0) => {}
                (Range::V4(first, last), tag) => ipv4.push(Span { first, last, tag }),
                (Range::V6(first, last), tag) => ipv6.push(Span { first, last, tag }),
            }
        }
        Self::new(ipv4, ipv6)
    }

    /// From ranges in any order.
    pub(crate) fn new(ipv4: Vec<Span<u32>>, ipv6: Vec<Span<u128>>) -> Result<Self, NetworksError> {
        let ipv4 = without_overlaps(ipv4, |span| u128::from(span.last - span.first))?;
        let ipv6 = without_overlaps(ipv6, |span| span.last - span.first)?;
        if ipv4.len().max(ipv6.len()) > MOST_RANGES {
            return Err(NetworksError::TooMany);
        }
        Ok(Self { ipv4, ipv6 })
    }

    /// The number of the AS that announces an address.
    #[must_use]
    pub fn number(&self, address: IpAddr) -> Option<u32> {
        match address.to_canonical() {
            IpAddr::V4(address) => self.ipv4_number(address.to_bits()),
            IpAddr::V6(address) => find(&self.ipv6, address.to_bits()),
        }
    }

    /// The number of the AS that announces an IPv4 address.
    pub(crate) fn ipv4_number(&self, address: u32) -> Option<u32> {
        find(&self.ipv4, address)
    }

    /// All ranges with their AS numbers, IPv4 first, in the order of their addresses.
    pub fn ranges(&self) -> impl Iterator<Item = (Range, u32)> {
        let ipv4 = self.ipv4.iter().map(|span| (Range::V4(span.first, span.last), span.tag));
        ipv4.chain(self.ipv6.iter().map(|span| (Range::V6(span.first, span.last), span.tag)))
    }

    /// How many IPv4 addresses each AS announces.
    #[must_use]
    pub fn sizes(&self) -> HashMap<u32, u64> {
        let mut sizes = HashMap::new();
        for span in &self.ipv4 {
            *sizes.entry(span.tag).or_default() += u64::from(span.last - span.first) + 1;
        }
        sizes
    }
}

fn parse_line(line: &[u8]) -> Option<(Range, u32)> {
    let mut fields =
        line.splitn(4, |byte| *byte == b',').map(|field| str::from_utf8(field).ok().map(str::trim));
    let mut field = || fields.next().flatten();
    let (first, last, number) = (parse_address(field()?)?, parse_address(field()?)?, field()?);
    Some((Range::between(first, last)?, number.parse().ok()?))
}

/// An address in its own notation or as a decimal number; those that fit into 32 bits are IPv4.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u128 = text.parse().ok()?;
    Some(u32::try_from(number).map_or_else(|_| IpAddr::V6(number.into()), |number| IpAddr::V4(number.into())))
}

/// Cuts ranges at each other, so that every address is in the smallest range that holds it, and joins neighbours.
fn without_overlaps<B: Bits>(
    mut spans: Vec<Span<B>>,
    size: impl Fn(&Span<B>) -> u128,
) -> Result<Vec<Span<B>>, NetworksError> {
    spans.sort_unstable();
    spans.dedup();
    let numbered: Vec<Span<B>> = spans.iter().zip(0..).map(|(span, tag)| Span { tag, ..*span }).collect();
    let mut sweep = Sweep::new(&numbered);
    let mut cut: Vec<Span<B>> = Vec::with_capacity(spans.len());
    let mut open: Option<Span<B>> = None;
    while let Some((at, places)) = sweep.advance().map_err(|_| NetworksError::Crowded)? {
        let covering = places.iter().filter_map(|place| spans.get(*place as usize));
        let smallest = covering.min_by_key(|span| size(span)).map(|span| Span { first: at, ..*span });
        if smallest.map(|span| span.tag) == open.map(|span| span.tag) {
            continue;
        }
        cut.extend(open.take().and_then(|open| Some(Span { last: at.previous()?, ..open })));
        open = smallest;
    }
    // Whatever is open now goes on to the last address there is.
    cut.extend(open.map(|open| Span { last: B::LAST, ..open }));
    Ok(cut)
}

fn find<B: Bits>(spans: &[Span<B>], address: B) -> Option<u32> {
    let before = spans.partition_point(|span| span.first <= address).checked_sub(1)?;
    spans.get(before).filter(|span| address <= span.last).map(|span| span.tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(networks: &Networks, address: &str) -> Option<u32> {
        networks.number(address.parse().unwrap())
    }

    #[test]
    fn the_smallest_range_that_holds_an_address_is_right() {
        let networks = Networks::parse(&[
            b"8.0.0.0,8.255.255.255,1\r\n8.8.8.0,8.8.8.255,2,\"Two, Inc\"\n\n8.8.8.8,8.8.8.8,3\n",
            b"2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,4\n8.9.0.0,8.9.0.0,0\n",
        ]);
        let networks = networks.unwrap();
        for (address, expected) in [
            ("7.255.255.255", None),
            ("8.0.0.0", Some(1)),
            ("8.8.7.255", Some(1)),
            ("8.8.8.0", Some(2)),
            ("8.8.8.8", Some(3)),
            ("::ffff:8.8.8.9", Some(2)),
            ("8.8.9.0", Some(1)),
            ("8.255.255.255", Some(1)),
            ("9.0.0.0", None),
            ("2001:db8::1", Some(4)),
            ("2001:db9::", None),
        ] {
            assert_eq!(number(&networks, address), expected, "{address}");
        }
        assert_eq!(networks.sizes(), HashMap::from([(1, (1 << 24) - 256), (2, 255), (3, 1)]));
    }

    #[test]
    fn neighbours_of_one_number_become_one_range() {
        let networks = Networks::parse(&[b"1.0.1.0,1.0.1.255,1\n1.0.0.0,1.0.0.255,1\n1.0.2.0,1.0.2.0,2\n"]);
        let ranges: Vec<_> = networks.unwrap().ranges().collect();
        assert_eq!(
            ranges,
            [(Range::V4(0x0100_0000, 0x0100_01ff), 1), (Range::V4(0x0100_0200, 0x0100_0200), 2)]
        );
    }

    #[test]
    fn decimal_numbers_are_addresses_too() {
        let networks =
            Networks::parse(&[b"134744064,134744319,2\n42540766411282592856903984951653826560,42540766490510755371168322545197776895,4\n"]);
        let networks = networks.unwrap();
        assert_eq!(number(&networks, "8.8.8.8"), Some(2));
        assert_eq!(number(&networks, "2001:db8::"), Some(4));
        assert_eq!(number(&networks, "2001:db9::"), None);
    }

    #[test]
    fn a_line_that_is_something_else_is_named() {
        for line in [
            "first,last,asn",
            "1.0.0.0,1.0.0.255",
            "1.0.0.255,1.0.0.0,1",
            "1.0.0.0,::1,1",
            "1.0.0.0,1.0.0.1,AS1",
            "+5,6,1",
            "1.0.0.0,1.0.0.1,4294967296",
            "<html>",
        ] {
            let text = format!("1.0.0.0,1.0.0.255,1\n{line}\n");
            assert_eq!(Networks::parse(&[text.as_bytes()]), Err(NetworksError::Line { line: 2 }), "{line}");
        }
    }

    #[test]
    fn the_whole_space_can_be_one_network() {
        let networks =
            Networks::parse(&[b"0.0.0.0,255.255.255.255,1\n::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,2\n"]);
        let networks = networks.unwrap();
        assert_eq!(number(&networks, "255.255.255.255"), Some(1));
        assert_eq!(number(&networks, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Some(2));
        assert_eq!(networks.sizes(), HashMap::from([(1, 1 << 32)]));
    }
}
