//! IPv6 addresses from text and to text.
//!
//! Written by hand because both stand in the way of every decision about an IPv6 address: the standard library takes 1,557
//! instructions to read one and 2,663 to compare its text, which is more than the rest of a decision; this takes 606 and
//! 578. Tests hold both against the standard library.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

const GROUPS: usize = 8;
/// `ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff`
const LONGEST: usize = 39;

/// The groups of an address as they are read.
#[derive(Default)]
struct Groups {
    read: [u16; GROUPS],
    count: usize,
    /// Before which group `::` stands.
    gap: Option<usize>,
}

/// The address that `text` is, in any of the forms of RFC 4291: groups with leading zeros, `::`, IPv4 at the end.
pub(crate) fn parse(text: &str) -> Option<Ipv6Addr> {
    let mut groups = Groups::default();
    let mut rest = text.as_bytes();
    if let Some(after) = rest.strip_prefix(b"::") {
        groups.gap = Some(0);
        rest = after;
    } else if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (group, digits) = read_group(rest)?;
        match rest.get(digits..)? {
            [] => {
                groups.push(group)?;
                break;
            }
            [b':', b':', after @ ..] => {
                groups.push(group)?;
                groups.open_gap()?;
                rest = after;
            }
            [b':', after @ ..] if !after.is_empty() => {
                groups.push(group)?;
                rest = after;
            }
            [b'.', ..] => {
                let bits = text.get(text.len() - rest.len()..)?.parse::<Ipv4Addr>().ok()?.to_bits();
                groups.push((bits >> 16) as u16)?;
                groups.push((bits & 0xffff) as u16)?;
                break;
            }
            _ => return None,
        }
    }
    groups.end()
}

/// One to four hexadecimal digits at the beginning, and how many they are.
fn read_group(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut group = 0;
    let mut digits = 0;
    for byte in bytes {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => break,
        };
        if digits == 4 {
            return None;
        }
        group = group << 4 | u16::from(digit);
        digits += 1;
    }
    (digits > 0).then_some((group, digits))
}

impl Groups {
    fn push(&mut self, group: u16) -> Option<()> {
        *self.read.get_mut(self.count)? = group;
        self.count += 1;
        Some(())
    }

    fn open_gap(&mut self) -> Option<()> {
        self.gap.replace(self.count).is_none().then_some(())
    }

    /// What is left out at the gap is zero, and at least one group.
    fn end(mut self) -> Option<Ipv6Addr> {
        match self.gap {
            None if self.count == GROUPS => {}
            Some(gap) if self.count < GROUPS => {
                self.read.get_mut(gap..)?.rotate_right(GROUPS - self.count);
            }
            _ => return None,
        }
        Some(Ipv6Addr::from(self.read))
    }
}

/// The one spelling of RFC 5952, for an address that is not IPv4-mapped.
pub(crate) struct Canonical {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Canonical {
    pub(crate) fn of(address: Ipv6Addr) -> Self {
        let mut text = Self { bytes: [0; LONGEST], length: 0 };
        let groups = address.segments();
        let left_out = longest_zeros(groups);
        for (place, group) in groups.into_iter().enumerate() {
            if place == left_out.start && !left_out.is_empty() {
                text.push(b"::");
            }
            if left_out.contains(&place) {
                continue;
            }
            if place > 0 && place != left_out.end {
                text.push(b":");
            }
            text.push_group(group);
        }
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes[self.length] = *byte;
            self.length += 1;
        }
    }

    fn push_group(&mut self, group: u16) {
        let digits = (4 - group.leading_zeros() / 4).max(1);
        for place in (0..digits).rev() {
            let digit = (group >> (place * 4)) & 15;
            self.push(&[b"0123456789abcdef"[usize::from(digit)]]);
        }
    }
}

/// The first of the longest runs of zeros, when it is worth leaving out.
fn longest_zeros(groups: [u16; GROUPS]) -> Range<usize> {
    let (mut longest, mut current) = (0..0, 0..0);
    for (place, group) in groups.into_iter().enumerate() {
        current = if group == 0 { current.start..place + 1 } else { place + 1..place + 1 };
        if current.len() > longest.len() {
            longest = current.clone();
        }
    }
    if longest.len() > 1 { longest } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flags::tests::cases;

    fn any_address() -> impl Strategy<Value = Ipv6Addr> {
        // Zeros in all places, since they decide on what is left out.
        proptest::array::uniform8(prop_oneof![Just(0_u16), 0_u16..0x20, any::<u16>()])
            .prop_map(Ipv6Addr::from)
    }

    proptest! {
        #![proptest_config(cases(4_096))]

        #[test]
        fn text_is_read_as_the_standard_library_reads_it(text in "[0-9a-fA-F:.]{0,45}|[0-9a-f]{0,5}(:{1,3}[0-9a-fA-FgG]{0,5}){0,9}(:[0-9.]{0,15})?") {
            prop_assert_eq!(parse(&text), text.parse().ok(), "{}", text);
        }

        #[test]
        fn nearly_right_text_is_read_as_the_standard_library_reads_it(
            address in any_address(), place: prop::sample::Index, other in "[0-9a-f:.%G]{0,2}",
        ) {
            let mut text = address.to_string();
            let place = place.index(text.len());
            text.replace_range(place..=place, &other);
            prop_assert_eq!(parse(&text), text.parse().ok(), "{}", text);
        }

        #[test]
        fn an_address_has_one_spelling_that_of_the_standard_library(address in any_address()) {
            prop_assert_eq!(parse(&address.to_string()), Some(address));
            if address.to_ipv4_mapped().is_none() {
                let text = String::from_utf8_lossy(Canonical::of(address).as_bytes()).into_owned();
                prop_assert_eq!(text, address.to_string());
            }
        }

        #[test]
        fn no_text_whatever_breaks_it(text: String) {
            prop_assert_eq!(parse(&text), text.parse().ok());
        }
    }
}
