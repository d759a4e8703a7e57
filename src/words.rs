//! A decision as a fixed number of words, which cost far less to hand over than an object.
//!
//! `lib/decision.js` reads them; the two change together.

use ip_risk_core::decision::Decision;

/// How many words one decision takes.
pub(crate) const WORDS: usize = 12;

/// The decision about `text`.
pub(crate) fn write(decision: &Decision, text: &str) -> [u32; WORDS] {
    let keeps_text = decision.address.is_some_and(|address| address.is_written_as(text));
    let flag = |is_set: bool, bit: u32| u32::from(is_set) << bit;
    // 0 stands for "none", so what may be absent is counted from 1.
    let numbered = |number: Option<u8>| number.map_or(0, |number| u32::from(number) + 1);
    let reasons = decision.reasons.bits();
    let checked_at = decision.checked_at.unwrap_or(0);
    let [booleans, scores, dates, date] = decision.flags.words();
    [
        decision.action as u32
            | (decision.would_be as u32) << 3
            | numbered(decision.band.map(|band| band as u8)) << 6
            | (decision.source as u32) << 9
            | u32::from(decision.score.value()) << 12
            | (decision.mode as u32) << 19
            | (decision.provenance as u32) << 20
            | flag(decision.stale, 23)
            | flag(decision.degraded, 24)
            | flag(decision.failed_open, 25)
            | flag(decision.failed_closed, 26)
            | flag(keeps_text, 27)
            | flag(decision.address.is_none(), 28),
        numbered(decision.failure.map(|code| code as u8))
            | numbered(decision.warning.map(|code| code as u8)) << 8
            | numbered(decision.provider.map(|provider| provider as u8)) << 16,
        u32::from(decision.policy.number()),
        low(reasons),
        high(reasons),
        booleans,
        scores,
        dates,
        date,
        decision.flags.names().map_or(0, |names| names.id()),
        low(checked_at),
        high(checked_at),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low(number: u64) -> u32 {
    number as u32
}

fn high(number: u64) -> u32 {
    low(number >> 32)
}
