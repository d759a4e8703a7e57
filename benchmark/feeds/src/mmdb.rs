//! Writes segments as a `MaxMind` database, so that its readers can be measured on the same feeds.
//!
//! The database is as easy on them as the format allows: IPv4 alone, the smallest pointers, one small record
//! (`{ "signals": number }`) for all networks of which the same is said.

use std::collections::HashMap;

use crate::program::Outcome;
use crate::segments::Segment;

/// How many bytes a pointer takes.
const POINTER: usize = 3;
/// What stands before the data, and how long it is in the reckoning of pointers.
const SEPARATOR: [u8; 16] = [0; 16];

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    /// Where the record begins in the data.
    Record(usize),
}

/// The bytes of a database.
///
/// # Errors
/// When there are too many networks for its pointers.
pub fn write(segments: &[Segment]) -> Outcome<Vec<u8>> {
    let mut tree = Tree { nodes: vec![[Child::Nothing; 2]], data: Vec::new(), records: HashMap::new() };
    for (place, segment) in segments.iter().enumerate() {
        let end = segments.get(place + 1).map_or(1 << 32, |next| u64::from(next.first));
        if segment.signals != 0 {
            tree.insert_run(u64::from(segment.first), end, segment.signals);
        }
    }
    tree.bytes()
}

struct Tree {
    nodes: Vec<[Child; 2]>,
    data: Vec<u8>,
    records: HashMap<u32, usize>,
}

impl Tree {
    /// A run of addresses, as the largest networks that it consists of.
    fn insert_run(&mut self, mut first: u64, end: u64, signals: u32) {
        let record = self.record(signals);
        while first < end {
            let most = (end - first).ilog2();
            let bits = first.trailing_zeros().min(most).min(31);
            self.insert(first, 32 - bits, record);
            first += 1 << bits;
        }
    }

    fn insert(&mut self, address: u64, length: u32, record: usize) {
        let side = |depth: u32| usize::from(address >> (31 - depth) & 1 == 1);
        let mut node = 0;
        for depth in 0..length - 1 {
            node = match self.nodes[node][side(depth)] {
                Child::Node(next) => next,
                _ => self.add_node(node, side(depth)),
            };
        }
        self.nodes[node][side(length - 1)] = Child::Record(record);
    }

    fn add_node(&mut self, parent: usize, side: usize) -> usize {
        let next = self.nodes.len();
        self.nodes.push([Child::Nothing; 2]);
        self.nodes[parent][side] = Child::Node(next);
        next
    }

    fn record(&mut self, signals: u32) -> usize {
        let start = self.data.len();
        let data = &mut self.data;
        *self.records.entry(signals).or_insert_with(|| {
            map(1, data);
            text("signals", data);
            number(6, &signals.to_be_bytes(), data);
            start
        })
    }

    fn bytes(&self) -> Outcome<Vec<u8>> {
        let mut file = Vec::new();
        for child in self.nodes.iter().flatten() {
            let pointer = match *child {
                Child::Nothing => self.nodes.len(),
                Child::Node(node) => node,
                Child::Record(start) => self.nodes.len() + SEPARATOR.len() + start,
            };
            let bytes = u32::try_from(pointer)?.to_be_bytes();
            let (rest, kept) = bytes.split_at(bytes.len() - POINTER);
            if rest != [0] {
                return Err("there are too many networks for a database with 24-bit pointers".into());
            }
            file.extend_from_slice(kept);
        }
        file.extend_from_slice(&SEPARATOR);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        write_metadata(u32::try_from(self.nodes.len())?, &mut file);
        Ok(file)
    }
}

fn write_metadata(nodes: u32, file: &mut Vec<u8>) {
    map(9, file);
    text("database_type", file);
    text("Signals", file);
    text("description", file);
    map(0, file);
    text("languages", file);
    file.extend_from_slice(&[0, 4]); // an empty list
    for (name, value) in [
        ("binary_format_major_version", 2_u16),
        ("binary_format_minor_version", 0),
        ("ip_version", 4),
        ("record_size", 24),
    ] {
        text(name, file);
        number(5, &value.to_be_bytes(), file);
    }
    text("node_count", file);
    number(6, &nodes.to_be_bytes(), file);
    text("build_epoch", file);
    number(9, &0_u64.to_be_bytes(), file);
}

/// The start of a map with up to 28 entries.
fn map(entries: u8, file: &mut Vec<u8>) {
    file.push(7 << 5 | entries);
}

/// A text of up to 28 bytes.
fn text(text: &str, file: &mut Vec<u8>) {
    file.push(2 << 5 | u8::try_from(text.len()).unwrap_or(0));
    file.extend_from_slice(text.as_bytes());
}

/// A number without a sign: `kind` is 5 for two bytes, 6 for four, 9 for eight.
fn number(kind: u8, bytes: &[u8], file: &mut Vec<u8>) {
    let size = u8::try_from(bytes.len()).unwrap_or(0);
    if kind > 7 {
        file.extend_from_slice(&[size, kind - 7]);
    } else {
        file.push(kind << 5 | size);
    }
    file.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows the bits of `address` through a file, as readers do, to the number in its record.
    fn find(file: &[u8], nodes: usize, address: u32) -> Option<u32> {
        let mut place = 0;
        for depth in 0..32 {
            let side = (address >> (31 - depth) & 1) as usize;
            let start = (2 * place + side) * POINTER;
            place = file[start..start + POINTER].iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
            if place >= nodes {
                break;
            }
        }
        let start = (place > nodes).then(|| nodes * 2 * POINTER + place - nodes)?;
        Some(u32::from_be_bytes(file[start + 10..start + 14].try_into().unwrap()))
    }

    #[test]
    fn a_run_is_found_from_its_first_to_its_last_address() {
        let segments =
            [(0, 0), (5, 3), (1_000_003, 0), (1 << 31, 7)].map(|(first, signals)| Segment { first, signals });
        let file = write(&segments).unwrap();
        let end = file.windows(10).position(|bytes| bytes == b"node_count").unwrap() + 11;
        let nodes = u32::from_be_bytes(file[end..end + 4].try_into().unwrap()) as usize;
        for (address, expected) in [
            (0, None),
            (4, None),
            (5, Some(3)),
            (1_000_002, Some(3)),
            (1_000_003, None),
            ((1 << 31) - 1, None),
            (1 << 31, Some(7)),
            (u32::MAX, Some(7)),
        ] {
            assert_eq!(find(&file, nodes, address), expected, "{address}");
        }
    }
}
