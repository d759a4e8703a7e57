//! The networks as bytes, as few as possible: 412 thousand IPv4 and 103 thousand IPv6 ranges compress to 1.1 MB.
//!
//! For each family: how many ranges there are; the gap before each; the length of each; how many other AS numbers
//! were used since its own, or that it is not among the recent ones; and the numbers that were not, first the highest
//! byte of all of them and so on. Alike things stand together because gzip finds more to save then: with the numbers
//! in a table, the most frequent first, it is a tenth more.

use super::networks::{MOST_RANGES, Networks};
use super::sweep::{Bits, Span};

/// How a family's distances are written: most are whole numbers of a /24 or a /48.
trait Distance: Bits {
    const SCALE: u32;

    fn wide(self) -> u128;
    fn narrow(wide: u128) -> Option<Self>;
}

impl Distance for u32 {
    const SCALE: u32 = 8;

    fn wide(self) -> u128 {
        self.into()
    }

    fn narrow(wide: u128) -> Option<Self> {
        wide.try_into().ok()
    }
}

impl Distance for u128 {
    const SCALE: u32 = 80;

    fn wide(self) -> u128 {
        self
    }

    fn narrow(wide: u128) -> Option<Self> {
        Some(wide)
    }
}

/// The bytes from which [`decode`] makes the same networks.
pub(crate) fn encode(networks: &Networks) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_spans(&mut bytes, &networks.ipv4);
    write_spans(&mut bytes, &networks.ipv6);
    bytes
}

/// Networks from bytes, or nothing when these are not what [`encode`] writes.
pub(crate) fn decode(bytes: &[u8]) -> Option<Networks> {
    let mut bytes = bytes;
    let (ipv4, ipv6) = (read_spans(&mut bytes)?, read_spans(&mut bytes)?);
    bytes.is_empty().then_some(Networks { ipv4, ipv6 })
}

fn write_spans<B: Distance>(bytes: &mut Vec<u8>, spans: &[Span<B>]) {
    write(bytes, spans.len() as u128);
    let mut free = 0;
    for span in spans {
        write_scaled::<B>(bytes, span.first.wide() - free);
        free = span.last.wide().wrapping_add(1);
    }
    for span in spans {
        // All of IPv6 is one address more than fits; it becomes 0, which no other length is.
        write_scaled::<B>(bytes, (span.last.wide() - span.first.wide()).wrapping_add(1));
    }
    write_numbers(bytes, spans.iter().map(|span| span.tag));
}

fn read_spans<B: Distance>(bytes: &mut &[u8]) -> Option<Vec<Span<B>>> {
    let count = read_count(bytes)?;
    let gaps: Vec<u128> = (0..count).map(|_| read_scaled::<B>(bytes)).collect::<Option<_>>()?;
    let lengths: Vec<u128> = (0..count).map(|_| read_scaled::<B>(bytes)).collect::<Option<_>>()?;
    let numbers = read_numbers(bytes, count)?;
    let mut spans = Vec::with_capacity(count);
    let mut free = Some(0_u128);
    for ((gap, length), tag) in gaps.into_iter().zip(lengths).zip(numbers) {
        let first = free?.checked_add(gap)?;
        let last = first.checked_add(length.wrapping_sub(1))?;
        spans.push(Span { first: B::narrow(first)?, last: B::narrow(last)?, tag });
        free = last.checked_add(1);
    }
    Some(spans)
}

/// The AS numbers that were used last, newest first.
#[derive(Default)]
struct Recent(Vec<u32>);

impl Recent {
    const MOST: usize = 63;

    /// How many others were used since, when the number is among the recent ones.
    fn place(&self, number: u32) -> Option<usize> {
        self.0.iter().position(|recent| *recent == number)
    }

    fn add(&mut self, number: u32, place: Option<usize>) {
        if let Some(place) = place.filter(|place| *place < self.0.len()) {
            self.0.remove(place);
        }
        self.0.insert(0, number);
        self.0.truncate(Self::MOST);
    }
}

fn write_numbers(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = u32>) {
    let (mut recent, mut others) = (Recent::default(), Vec::new());
    for number in numbers {
        let place = recent.place(number);
        // 0 is "not among them".
        bytes.push(place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0));
        if place.is_none() {
            others.push(number.to_be_bytes());
        }
        recent.add(number, place);
    }
    for place in 0..size_of::<u32>() {
        bytes.extend(others.iter().filter_map(|number| number.get(place)));
    }
}

fn read_numbers(bytes: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (places, rest) = bytes.split_at_checked(count)?;
    let unknown = places.iter().map(|place| usize::from(*place == 0)).sum::<usize>();
    let (highest_first, rest) = rest.split_at_checked(unknown.checked_mul(size_of::<u32>())?)?;
    *bytes = rest;
    let byte = |plane: usize, other: usize| highest_first.get(plane * unknown + other).copied();
    let mut others = (0..unknown).map(|other| {
        let bytes = [byte(0, other)?, byte(1, other)?, byte(2, other)?, byte(3, other)?];
        Some(u32::from_be_bytes(bytes))
    });
    let mut recent = Recent::default();
    let number = |place: &u8| {
        let place = usize::from(*place).checked_sub(1);
        let number = match place {
            Some(place) => *recent.0.get(place)?,
            None => others.next().flatten()?,
        };
        recent.add(number, place);
        Some(number)
    };
    places.iter().map(number).collect()
}

/// A count of things of which each takes a byte or more.
fn read_count(bytes: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(read(bytes)?).ok()?;
    (count <= MOST_RANGES && count <= bytes.len()).then_some(count)
}

/// Seven bits per byte, the lowest first; the high bit says that more follow. As in Protocol Buffers, with 128 bits.
fn write(bytes: &mut Vec<u8>, mut number: u128) {
    while number > 0x7f {
        bytes.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low_bits(number));
}

fn read(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f)
            .checked_shl(shift)
            .filter(|bits| bits >> shift == u128::from(byte & 0x7f))?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
}

const fn low_bits(number: u128) -> u8 {
    (number & 0x7f) as u8
}

/// A distance. The first byte says whether it was divided, and has its lowest six bits.
fn write_scaled<B: Distance>(bytes: &mut Vec<u8>, distance: u128) {
    let divided = distance >> B::SCALE;
    let is_divided = divided << B::SCALE == distance;
    let number = if is_divided { divided } else { distance };
    let (rest, start) = (number >> 6, low_bits(number << 1) & 0x7e | u8::from(is_divided));
    if rest == 0 {
        bytes.push(start);
    } else {
        bytes.push(start | 0x80);
        write(bytes, rest);
    }
}

fn read_scaled<B: Distance>(bytes: &mut &[u8]) -> Option<u128> {
    let (start, rest) = bytes.split_first()?;
    *bytes = rest;
    let rest = if start & 0x80 == 0 { 0 } else { read(bytes)? };
    let number = shifted(rest, 6)? | u128::from(start >> 1 & 0x3f);
    if start & 1 == 0 { Some(number) } else { shifted(number, B::SCALE) }
}

/// Nothing, when bits would be lost.
fn shifted(number: u128, bits: u32) -> Option<u128> {
    (number.leading_zeros() >= bits).then(|| number << bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::feeds::range::Range;
    use crate::feeds::reference::range;
    use crate::flags::tests::cases;

    fn networks(rows: &[(Range, u32)]) -> Networks {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for &(range, tag) in rows {
            match range {
                Range::V4(first, last) => ipv4.push(Span { first, last, tag }),
                Range::V6(first, last) => ipv6.push(Span { first, last, tag }),
            }
        }
        Networks::new(ipv4, ipv6).unwrap()
    }

    proptest! {
        #![proptest_config(cases(300))]

        #[test]
        fn networks_come_back_from_their_bytes(
            rows in prop::collection::vec((range(), prop_oneof![1..9_u32, any::<u32>()]), 0..40)
        ) {
            let networks = networks(&rows);
            prop_assert_eq!(decode(&encode(&networks)), Some(networks));
        }

        #[test]
        fn other_bytes_are_refused_or_networks_that_do_not_overlap(
            mut bytes in prop::collection::vec(any::<u8>(), 0..60),
            start in prop::collection::vec(0..4_u8, 0..8),
        ) {
            bytes.splice(0..0, start);
            if let Some(networks) = decode(&bytes) {
                let sorted = |spans: &[Span<u32>]| spans.windows(2).all(|pair| pair[0].last < pair[1].first);
                prop_assert!(sorted(&networks.ipv4));
                prop_assert!(networks.ipv4.iter().all(|span| span.first <= span.last));
                prop_assert!(networks.ipv6.windows(2).all(|pair| pair[0].last < pair[1].first));
                prop_assert!(networks.ipv6.iter().all(|span| span.first <= span.last));
            }
        }
    }

    #[test]
    fn bytes_that_were_cut_off_or_added_to_are_refused() {
        let networks =
            Networks::parse(&[b"1.0.0.0,1.0.0.255,13\n1.0.4.7,1.0.7.9,388\n2001:db8::,2001:db8::5,9\n"]);
        let bytes = encode(&networks.unwrap());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length} bytes");
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn whole_networks_take_few_bytes() {
        let networks =
            Networks::parse(&[b"1.0.0.0,1.0.3.255,13\n1.0.4.0,1.0.7.255,13\n1.1.0.0,1.1.0.255,13\n"]);
        // Two ranges, as the first two are one: a count, a gap of three bytes and one of two, two lengths, two places,
        // one number; and a count of none.
        assert_eq!(encode(&networks.unwrap()).len(), 1 + 5 + 2 + 2 + 4 + 1);
    }
}
