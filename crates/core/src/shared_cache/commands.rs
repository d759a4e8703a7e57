//! The commands that Redis gets, and what its answers mean. Each has one key, so that a cluster takes them.

use redis::{Cmd, Value, cmd};

use crate::shared_cache::entry::{self, Unusable};
use crate::shared_cache::fault::Fault;

/// Writes an entry unless Redis has one that is newer, and not from the future. Whatever else is under the key is
/// replaced: garbage, other types. Runs inside Redis, about 10 microseconds a copy, because reading and then writing
/// would take two round trips and lose races.
///
/// Whether it is from the future is for the later of two clocks to say, Redis's and the writer's: one that is behind must
/// not take every newer entry for one of the future.
///
/// Arguments: the entry, its `fetched_at`, its time to live, the writer's time, how far clocks may be apart.
const WRITE: &str = r"
local kept = redis.pcall('GETRANGE', KEYS[1], 0, 65536)
if type(kept) == 'string' and #kept > 0 and #kept <= 65536 then
  local is_json, entry = pcall(cjson.decode, kept)
  local time = is_json and type(entry) == 'table' and entry['fetched_at']
  local latest = math.max(redis.call('TIME')[1] * 1000, tonumber(ARGV[4])) + ARGV[5]
  if type(time) == 'number' and time > tonumber(ARGV[2]) and time <= latest then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1";

/// Adds a line to what was forgotten: that of everything, which replaces the one before, or that of a key, of which the
/// newest stay. Whatever else is under the key goes.
///
/// Arguments: the line, with its end, and the time to live.
const FORGET: &str = r"
local kept = redis.pcall('GETRANGE', KEYS[1], 0, 16383)
if type(kept) ~= 'string' then kept = '' end
local all, keys = string.match(kept, '^(until %d+\n)(.*)$')
if not all then all, keys = '', kept end
if string.sub(ARGV[1], 1, 6) == 'until ' then all = ARGV[1] else keys = ARGV[1] .. keys end
redis.call('SET', KEYS[1], string.sub(all .. keys, 1, 16384), 'PX', ARGV[2])
return 1";

/// What a look-up found under one key.
pub(super) enum Found {
    Nothing,
    Entry { bytes: Vec<u8>, remaining: Option<u64> },
    Unusable(Unusable),
}

/// Reads the entry, but no more of it than an entry may have.
pub(super) fn read(key: &str) -> Cmd {
    let mut command = cmd("GETRANGE");
    command.arg(key).arg(0).arg(entry::LARGEST);
    command
}

/// Reads how long the entry lives still.
pub(super) fn remaining(key: &str) -> Cmd {
    let mut command = cmd("PTTL");
    command.arg(key);
    command
}

/// What the answers to [`read`] and, where it was asked, [`remaining`] mean.
pub(super) fn found(replies: &[Result<Value, Fault>]) -> Result<Found, Fault> {
    let (entry, remaining) = match replies {
        [Err(Fault::WrongType), ..] => return Ok(Found::Unusable(Unusable::WrongType)),
        [Err(fault), ..] | [_, Err(fault)] => return Err(*fault),
        [Ok(entry)] => (entry, None),
        [Ok(entry), Ok(Value::Int(remaining))] => (entry, u64::try_from(*remaining).ok()),
        _ => return Err(Fault::Failed),
    };
    match entry {
        Value::BulkString(bytes) if bytes.is_empty() => Ok(Found::Nothing),
        Value::BulkString(bytes) => Ok(Found::Entry { bytes: bytes.clone(), remaining }),
        _ => Err(Fault::Failed),
    }
}

/// Writes an entry that lives for so many milliseconds.
pub(super) fn write(key: &str, entry: &str, fetched_at: u64, lifetime: u64, now: u64) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(WRITE).arg(1).arg(key);
    command.arg(entry).arg(fetched_at).arg(lifetime).arg(now).arg(entry::CLOCK_SKEW);
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

/// Keeps an invalidation for those who come later, of keys the newest hundreds.
pub(super) fn forget(key: &str, message: &str, lifetime: u64) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(FORGET).arg(1).arg(key).arg(format!("{message}\n")).arg(lifetime.max(1));
    command
}

/// The messages that [`forget`] kept. Something else under the key is not ours.
pub(super) fn forgotten(entry: &Result<Value, Fault>) -> Result<impl Iterator<Item = &[u8]>, Fault> {
    let text = match entry {
        Err(Fault::WrongType) => &[],
        Err(fault) => return Err(*fault),
        Ok(Value::BulkString(bytes)) => bytes.as_slice(),
        Ok(_) => return Err(Fault::Failed),
    };
    // The last line may have been cut, and then names something else.
    Ok(text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n")))
}

pub(super) fn publish(channel: &str, message: &str) -> Cmd {
    let mut command = cmd("PUBLISH");
    command.arg(channel).arg(message);
    command
}
