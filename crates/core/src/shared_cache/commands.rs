//! The commands that Redis gets, and what its answers mean. Each has one key, so that a cluster takes them.

use redis::{Cmd, Value, cmd};

use crate::shared_cache::entry::{self, Unusable};
use crate::shared_cache::fault::Fault;

/// Writes an entry unless Redis has one that is newer, and not from the future. Whatever else is under the key is
/// replaced: garbage, other types. Runs inside Redis, about 10 microseconds a copy, because reading and then writing
/// would take two round trips and lose races.
///
/// Arguments: the entry, its `fetched_at`, its time to live, the latest `fetched_at` that is believed.
const WRITE: &str = r"
local kept = redis.pcall('GETRANGE', KEYS[1], 0, 65536)
if type(kept) == 'string' and #kept > 0 and #kept <= 65536 then
  local is_json, entry = pcall(cjson.decode, kept)
  local time = is_json and type(entry) == 'table' and entry['fetched_at']
  if type(time) == 'number' and time > tonumber(ARGV[2]) and time <= tonumber(ARGV[4]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1";

/// What a look-up found under one key.
pub(super) enum Found {
    Nothing,
    Entry { bytes: Vec<u8>, remaining: Option<u64> },
    Unusable(Unusable),
}

/// Reads the entry, but no more of it than an entry may have, and its time to live.
pub(super) fn read(key: &str) -> [Cmd; 2] {
    let mut entry = cmd("GETRANGE");
    entry.arg(key).arg(0).arg(entry::LARGEST);
    let mut remaining = cmd("PTTL");
    remaining.arg(key);
    [entry, remaining]
}

/// What the answers to [`read`] mean.
pub(super) fn found(entry: &Result<Value, Fault>, remaining: &Result<Value, Fault>) -> Result<Found, Fault> {
    match (entry, remaining) {
        (Err(Fault::WrongType), _) => Ok(Found::Unusable(Unusable::WrongType)),
        (Err(fault), _) | (_, Err(fault)) => Err(*fault),
        (Ok(Value::BulkString(bytes)), Ok(_)) if bytes.is_empty() => Ok(Found::Nothing),
        (Ok(Value::BulkString(bytes)), Ok(Value::Int(remaining))) => {
            Ok(Found::Entry { bytes: bytes.clone(), remaining: u64::try_from(*remaining).ok() })
        }
        _ => Err(Fault::Failed),
    }
}

/// Writes an entry that lives for so many milliseconds.
pub(super) fn write(key: &str, entry: &str, fetched_at: u64, lifetime: u64, now: u64) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(WRITE).arg(1).arg(key);
    command.arg(entry).arg(fetched_at).arg(lifetime).arg(now.saturating_add(entry::CLOCK_SKEW));
    command
}

/// Whether [`write`] wrote.
pub(super) fn wrote(answer: &Value) -> Result<bool, Fault> {
    match answer {
        Value::Int(count) => Ok(*count == 1),
        _ => Err(Fault::Failed),
    }
}

pub(super) fn delete(key: &str) -> Cmd {
    let mut command = cmd("DEL");
    command.arg(key);
    command
}

/// Writes the time until which everything is forgotten.
pub(super) fn forget_until(key: &str, time: u64, lifetime: u64) -> Cmd {
    let mut command = cmd("SET");
    command.arg(key).arg(time).arg("PX").arg(lifetime.max(1));
    command
}

/// The time until which everything is forgotten; 0 when nothing is.
pub(super) fn forgotten_until(entry: &Result<Value, Fault>) -> Result<u64, Fault> {
    match entry {
        // Something else under the key is not ours, and must not forget everything.
        Err(Fault::WrongType) => Ok(0),
        Err(fault) => Err(*fault),
        Ok(Value::BulkString(bytes)) => {
            Ok(str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0))
        }
        Ok(_) => Err(Fault::Failed),
    }
}

pub(super) fn publish(channel: &str, message: &str) -> Cmd {
    let mut command = cmd("PUBLISH");
    command.arg(channel).arg(message);
    command
}
