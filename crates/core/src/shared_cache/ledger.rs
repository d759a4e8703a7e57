//! The ledger of a budget that processes share.

use redis::{Cmd, Value, cmd};

use crate::budget::{Lease, LeaseRequest, Ledger};
use crate::shared_cache::SharedCache;
use crate::shared_cache::circuit::Skip;
use crate::shared_cache::fault::Fault;

/// Gives out up to `count`, as long as no more than `ceiling` is given out in all. Runs as a whole, on one hash; its field
/// `total` says what was given out, and each process has a field with its last request, so that one that is sent again
/// gets the same answer; `holders` says how many have. What is there and is none of this counts as forgotten, and whoever asks says what it knows.
///
/// When there are more than 1,000 processes, most of them long gone, all are forgotten; one that waits for a lost answer
/// just then gets another, and leaves that chunk unspent.
///
/// Arguments: `count`, `ceiling`, `known`, `holder`, `sequence`, `kept`.
const LEASE: &str = r"
local last = redis.pcall('HGET', KEYS[1], ARGV[4])
if type(last) == 'table' then
  if not string.find(last.err, '^WRONGTYPE') then return last end
  redis.call('DEL', KEYS[1])
  last = false
end
if last then
  local sequence, granted, total = string.match(last, '^(%d+) (%d+) (%d+)$')
  if sequence == ARGV[5] then return { tonumber(granted), tonumber(total) } end
end
local kept = string.match(redis.call('HGET', KEYS[1], 'total') or '', '^%d+$')
local total = math.max(kept and #kept < 16 and tonumber(kept) or 0, tonumber(ARGV[3]))
local granted = math.max(0, math.min(tonumber(ARGV[1]), tonumber(ARGV[2]) - total))
local after = string.format('%.0f', total + granted)
local holders = tonumber(redis.call('HGET', KEYS[1], 'holders') or '') or 0
if not last then holders = holders + 1 end
if holders > 1000 then
  redis.pcall('DEL', KEYS[1])
  holders = 1
end
redis.call('HSET', KEYS[1], 'total', after, 'holders', holders,
  ARGV[4], ARGV[5] .. ' ' .. string.format('%.0f', granted) .. ' ' .. after)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return { granted, total + granted }";

impl Ledger for SharedCache {
    async fn take(&self, request: &LeaseRequest) -> Option<Lease> {
        let number = self.shared.circuit.number();
        let key = self.shared.keys.budget(request.period, &request.name);
        let replies = self.run(vec![lease(&key, request)], 1).await;
        let lease = replies.and_then(|replies| read(&replies));
        match lease {
            Ok(_) => self.shared.circuit.succeeded(number),
            // A user who may not write, or a full server, is no reason not to read.
            Err(Skip::Failed(fault)) => self.shared.write_failed(number, fault),
            Err(Skip::NotAsked) => self.shared.counters.skipped(Skip::NotAsked),
        }
        lease.ok()
    }
}

fn lease(key: &str, request: &LeaseRequest) -> Cmd {
    let LeaseRequest { count, ceiling, known, holder, sequence, kept, .. } = request;
    let mut command = cmd("EVAL");
    command.arg(LEASE).arg(1).arg(key);
    command.arg(*count).arg(*ceiling).arg(*known).arg(holder).arg(*sequence).arg(*kept);
    command
}

/// What the answer says.
fn read(replies: &[Result<Value, Fault>]) -> Result<Lease, Skip> {
    let answer = replies.first().cloned().unwrap_or(Err(Fault::Failed)).map_err(Skip::Failed)?;
    let number = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let lease = match &answer {
        Value::Array(numbers) => match numbers.as_slice() {
            [granted, total] => number(granted).zip(number(total)),
            _ => None,
        },
        _ => None,
    };
    let (granted, total) = lease.ok_or(Skip::Failed(Fault::Failed))?;
    Ok(Lease { granted, total })
}
