//! Writes databases for tests: only what the tests need of the format, without sharing.

use ipnet::IpNet;
use serde_json::{Value, json};

/// A database while it is written.
pub(super) struct Writer {
    database_type: String,
    description: Value,
    ip_version: u16,
    record_size: u16,
    nodes: Vec<[Child; 2]>,
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

impl Writer {
    pub(super) fn new(database_type: &str) -> Self {
        Self {
            database_type: database_type.to_owned(),
            description: json!({ "en": "a test" }),
            ip_version: 6,
            record_size: 24,
            nodes: vec![[Child::Nothing; 2]],
            data: Vec::new(),
        }
    }

    pub(super) fn ipv4_only(self) -> Self {
        Self { ip_version: 4, ..self }
    }

    pub(super) fn record_size(self, record_size: u16) -> Self {
        Self { record_size, ..self }
    }

    pub(super) fn without_description(self) -> Self {
        Self { description: json!({}), ..self }
    }

    /// Adds a record of a network that no other one holds or is in.
    pub(super) fn record(self, network: &str, record: &Value) -> Self {
        let mut bytes = Vec::new();
        encode(record, &mut bytes);
        self.raw_record(network, &bytes)
    }

    /// The same with the bytes of a record, however wrong.
    pub(super) fn raw_record(mut self, network: &str, record: &[u8]) -> Self {
        let (bits, length) = match network.parse().unwrap() {
            IpNet::V4(network) if self.ip_version == 4 => {
                (u128::from(network.addr().to_bits()) << 96, network.prefix_len())
            }
            IpNet::V4(network) => (u128::from(network.addr().to_bits()), 96 + network.prefix_len()),
            IpNet::V6(network) => (network.addr().to_bits(), network.prefix_len()),
        };
        let side = |depth: u8| usize::from(bits >> (127 - depth) & 1 == 1);
        let mut node = 0;
        for depth in 0..length - 1 {
            node = match self.nodes[node][side(depth)] {
                Child::Node(next) => next,
                Child::Nothing => {
                    self.nodes.push([Child::Nothing; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side(depth)] = Child::Node(next);
                    next
                }
                Child::Data(_) => panic!("`{network}` is in another network"),
            };
        }
        self.nodes[node][side(length - 1)] = Child::Data(self.data.len());
        self.data.extend_from_slice(record);
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for node in &self.nodes {
            let [left, right] = node.map(|child| self.pointer(child));
            let both = u64::from(left) << 32 | u64::from(right);
            match self.record_size {
                24 => [left, right].iter().for_each(|side| file.extend_from_slice(&side.to_be_bytes()[1..])),
                28 => {
                    file.extend_from_slice(&left.to_be_bytes()[1..]);
                    file.push(u8::try_from(left >> 24 << 4 | right >> 24).unwrap());
                    file.extend_from_slice(&right.to_be_bytes()[1..]);
                }
                _ => file.extend_from_slice(&both.to_be_bytes()),
            }
        }
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        self.write_metadata(&mut file);
        file
    }

    fn pointer(&self, child: Child) -> u32 {
        let pointer = match child {
            Child::Nothing => self.nodes.len(),
            Child::Node(node) => node,
            Child::Data(offset) => self.nodes.len() + 16 + offset,
        };
        u32::try_from(pointer).unwrap()
    }

    fn write_metadata(&self, file: &mut Vec<u8>) {
        header(7, 9, file);
        for (key, value) in [
            ("database_type", json!(self.database_type)),
            ("description", self.description.clone()),
            ("languages", json!(["en"])),
        ] {
            encode(&json!(key), file);
            encode(&value, file);
        }
        for (key, kind, value) in [
            ("binary_format_major_version", 5, 2_u64),
            ("binary_format_minor_version", 5, 0),
            ("ip_version", 5, self.ip_version.into()),
            ("record_size", 5, self.record_size.into()),
            ("node_count", 6, self.nodes.len() as u64),
            ("build_epoch", 9, 1_780_727_385),
        ] {
            encode(&json!(key), file);
            encode_number(kind, value, file);
        }
    }
}

/// A number without a sign in as many bytes as its type takes at most: 5 takes two, 6 takes four, 9 takes eight.
fn encode_number(kind: u8, number: u64, file: &mut Vec<u8>) {
    let size = if kind == 9 { 8 } else { usize::from(kind - 4) * 2 };
    header(kind, size, file);
    file.extend_from_slice(&number.to_be_bytes()[8 - size..]);
}

/// A value as the format writes it.
pub(super) fn encode(value: &Value, file: &mut Vec<u8>) {
    match value {
        Value::Object(entries) => {
            header(7, entries.len(), file);
            for (key, value) in entries {
                encode(&json!(key), file);
                encode(value, file);
            }
        }
        Value::Array(items) => {
            header(11, items.len(), file);
            for item in items {
                encode(item, file);
            }
        }
        Value::String(text) => {
            header(2, text.len(), file);
            file.extend_from_slice(text.as_bytes());
        }
        Value::Bool(value) => header(14, usize::from(*value), file),
        Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                encode_number(9, number, file);
            } else {
                header(3, 8, file);
                file.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
            }
        }
        Value::Null => panic!("the format has no null"),
    }
}

/// The type and the size that a value begins with.
pub(super) fn header(kind: u8, size: usize, file: &mut Vec<u8>) {
    let (low, more) = match size {
        0..29 => (size, vec![]),
        29..285 => (29, vec![size - 29]),
        285..65_821 => (30, vec![(size - 285) >> 8, (size - 285) & 0xff]),
        _ => panic!("{size} is more than a test needs"),
    };
    let low = u8::try_from(low).unwrap();
    if kind > 7 {
        file.extend_from_slice(&[low, kind - 7]);
    } else {
        file.push(kind << 5 | low);
    }
    file.extend(more.iter().map(|byte| u8::try_from(*byte).unwrap()));
}
