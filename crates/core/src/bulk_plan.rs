//! Which addresses of a list are asked about, and in which bulk calls.
//!
//! A list holds what caches did not know. Each cache key is asked about once; addresses that nobody may be asked about
//! are never sent. A stream is a list after the other, each as long as a call: what was asked before is then in the
//! cache, so that memory stays flat however long the stream is.

use std::collections::HashMap;
use std::iter;
use std::ops::Range;

use crate::address::{Address, CacheKey};
use crate::call_size::CallSize;
use crate::error::Code;
use crate::security_api::bulk::{BulkFailure, MOST_ADDRESSES_PER_CALL, Outcome};

/// How many addresses go into one call, though the provider takes 50 times as many. A call that fails or comes too late
/// then costs little; question and answer (some 40 KB and 1 MB at most) stay below what servers and we take; and yet a
/// round trip is shared by so many that larger calls would save nothing.
pub(crate) const ADDRESSES_PER_CALL: usize = 1_000;

/// A list on its way to the outcomes of all its addresses.
#[derive(Debug)]
pub(crate) struct BulkPlan<'a> {
    size: &'a CallSize,
    /// What is asked about: the first address of each key.
    asked: Vec<Address>,
    outcomes: Vec<Option<Outcome>>,
    /// For each address of the list its place in `asked`; nothing when it is not sent.
    places: Vec<Option<usize>>,
    /// The parts of `asked` that are not in a call yet, the next one last.
    left: Vec<Range<usize>>,
}

/// A call to make. Give it back to [`BulkPlan::ended`].
#[derive(Debug)]
pub(crate) struct BulkCall {
    range: Range<usize>,
    addresses: Vec<Address>,
}

impl BulkCall {
    /// What to ask about, in this order. Never empty.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }
}

impl<'a> BulkPlan<'a> {
    /// A plan for `addresses`, those that are judged. `may_be_sent` is false for special-use space. All plans of an
    /// engine share one `size`, which remembers what was too large.
    pub(crate) fn new(
        addresses: &[Address],
        ipv6_prefix: u8,
        size: &'a CallSize,
        may_be_sent: impl Fn(Address) -> bool,
    ) -> Self {
        let mut place_of: HashMap<CacheKey, usize> = HashMap::new();
        let mut asked = Vec::new();
        let mut place = |address: Address| {
            *place_of.entry(address.cache_key(ipv6_prefix)).or_insert_with(|| {
                asked.push(address);
                asked.len() - 1
            })
        };
        let places = addresses.iter().map(|address| may_be_sent(*address).then(|| place(*address))).collect();
        let (outcomes, left) = (vec![None; asked.len()], iter::once(0..asked.len()).collect());
        Self { size, asked, outcomes, places, left }
    }

    /// The next call, or nothing when all were made. Several may be under way at once.
    pub(crate) fn next_call(&mut self, now: u64) -> Option<BulkCall> {
        let size = self.size.at(now).min(MOST_ADDRESSES_PER_CALL);
        let part = self.left.pop()?;
        let range = part.start..part.end.min(part.start + size);
        if range.end < part.end {
            self.left.push(range.end..part.end);
        }
        let addresses = self.asked.get(range.clone())?.to_vec();
        (!addresses.is_empty()).then_some(BulkCall { range, addresses })
    }

    /// Takes what a call brought. One that was too large is made again, in parts, by [`BulkPlan::next_call`].
    pub(crate) fn ended(&mut self, call: BulkCall, result: Result<Vec<Outcome>, BulkFailure>, now: u64) {
        let count = call.addresses.len();
        match result {
            Ok(outcomes) if outcomes.len() == count => self.keep(call.range, outcomes),
            // Nobody can tell whose they are.
            Ok(_) => self.keep(call.range, vec![Err(Code::Internal); count]),
            Err(BulkFailure::TooLarge) if count > 1 => {
                self.size.refused(count, now);
                self.left.push(call.range);
            }
            Err(BulkFailure::TooLarge) => self.keep(call.range, vec![Err(Code::RequestRefused)]),
            Err(BulkFailure::Failed(code)) => self.keep(call.range, vec![Err(code); count]),
        }
    }

    fn keep(&mut self, range: Range<usize>, outcomes: Vec<Outcome>) {
        let places = self.outcomes.get_mut(range).into_iter().flatten();
        for (place, outcome) in places.zip(outcomes) {
            *place = Some(outcome);
        }
    }

    /// The outcome of each address of the list, in its order; nothing for those that were not sent. Those whose call was
    /// not made, or did not end, get `unanswered`.
    pub(crate) fn into_outcomes(self, unanswered: Code) -> Vec<Option<Outcome>> {
        let outcome = |place: usize| self.outcomes.get(place).cloned().flatten().unwrap_or(Err(unanswered));
        self.places.iter().map(|place| place.map(outcome)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::evidence::Answer;
    use crate::flags::tests::cases;
    use crate::special_use;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// An answer that shows whom it is for.
    fn own(address: Address) -> Answer {
        Answer::Unknown { checked_at: u64::from(whose(address)) }
    }

    fn whose(address: Address) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the last 32 bits tell them apart")]
        let last = address.bits() as u32;
        last
    }

    fn is_own(outcome: &Outcome, address: Address) -> bool {
        matches!(outcome, Ok(Answer::Unknown { checked_at }) if *checked_at == u64::from(whose(address)))
    }

    fn may_be_sent(address: Address) -> bool {
        special_use::name(address).is_none()
    }

    fn many(count: u32) -> Vec<Address> {
        (0..count).map(|n| address(&format!("9.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255))).collect()
    }

    /// Makes all calls against a provider that takes at most `limit` addresses; gives back those that it answered.
    fn run(plan: &mut BulkPlan<'_>, limit: usize) -> Vec<Vec<Address>> {
        let mut answered = Vec::new();
        while let Some(call) = plan.next_call(0) {
            let addresses = call.addresses().to_vec();
            assert!(!addresses.is_empty());
            if addresses.len() > limit {
                plan.ended(call, Err(BulkFailure::TooLarge), 0);
            } else {
                plan.ended(call, Ok(addresses.iter().map(|address| Ok(own(*address))).collect()), 0);
                answered.push(addresses);
            }
        }
        answered
    }

    #[test]
    fn a_list_goes_in_calls_of_a_bounded_size() {
        let (size, list) = (CallSize::new(ADDRESSES_PER_CALL), many(2_500));
        let mut plan = BulkPlan::new(&list, 64, &size, may_be_sent);
        let calls = run(&mut plan, usize::MAX);
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        assert_eq!(calls.concat(), list);
    }

    #[test]
    fn a_call_is_never_larger_than_the_provider_documents() {
        let (size, list) = (CallSize::new(usize::MAX), many(50_001));
        let calls = run(&mut BulkPlan::new(&list, 64, &size, may_be_sent), usize::MAX);
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [50_000, 1]);
    }

    #[test]
    fn duplicates_and_siblings_of_one_network_are_sent_once_and_answered_all() {
        let size = CallSize::new(10);
        let list = ["8.8.8.8", "2606:4700::1", "8.8.8.8", "2606:4700::2", "9.9.9.9"].map(address);
        let mut plan = BulkPlan::new(&list, 64, &size, may_be_sent);
        assert_eq!(run(&mut plan, usize::MAX), [[list[0], list[1], list[4]]]);
        let outcomes = plan.into_outcomes(Code::Closed);
        let outcome_is = |place: usize, whose| is_own(outcomes[place].as_ref().unwrap(), whose);
        assert!(
            [(0, 0), (1, 1), (2, 0), (3, 1), (4, 4)].iter().all(|(at, whose)| outcome_is(*at, list[*whose]))
        );
    }

    #[test]
    fn special_addresses_are_never_sent() {
        let size = CallSize::new(10);
        let list = ["10.0.0.1", "8.8.8.8", "::1", "192.0.2.1"].map(address);
        let mut plan = BulkPlan::new(&list, 64, &size, may_be_sent);
        assert_eq!(run(&mut plan, usize::MAX), [[list[1]]]);
        let outcomes = plan.into_outcomes(Code::Closed);
        assert_eq!(outcomes.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, false]);
        assert!(BulkPlan::new(&list[2..], 64, &size, may_be_sent).next_call(0).is_none());
        assert!(BulkPlan::new(&[], 64, &size, may_be_sent).next_call(0).is_none());
    }

    #[test]
    fn what_is_too_large_is_halved_and_the_next_list_begins_with_what_passed() {
        let (size, list) = (CallSize::new(1_000), many(1_500));
        let mut plan = BulkPlan::new(&list, 64, &size, may_be_sent);
        let calls = run(&mut plan, 300);
        assert_eq!(calls.concat(), list);
        assert!(calls.iter().all(|call| call.len() <= 250));
        let mut next = BulkPlan::new(&list, 64, &size, may_be_sent);
        assert_eq!(next.next_call(0).unwrap().addresses().len(), 250);
    }

    #[test]
    fn a_single_address_that_is_too_large_fails_by_itself() {
        let (size, list) = (CallSize::new(4), many(3));
        let mut plan = BulkPlan::new(&list, 64, &size, may_be_sent);
        assert!(run(&mut plan, 0).is_empty());
        let outcomes = plan.into_outcomes(Code::Closed);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Some(Err(Code::RequestRefused)))));
    }

    #[test]
    fn a_call_that_fails_costs_its_own_addresses_only() {
        let (size, list) = (CallSize::new(2), many(7));
        let mut plan = BulkPlan::new(&list, 64, &size, may_be_sent);
        let calls = [(); 3].map(|()| plan.next_call(0).unwrap());
        let [failed, short, answered] = calls;
        let outcomes = answered.addresses().iter().map(|address| Ok(own(*address))).collect();
        // In any order.
        plan.ended(answered, Ok(outcomes), 0);
        plan.ended(short, Ok(vec![Ok(own(list[2]))]), 0);
        plan.ended(failed, Err(BulkFailure::Failed(Code::Timeout)), 0);
        let codes: Vec<Option<Code>> =
            plan.into_outcomes(Code::Closed).into_iter().map(|outcome| outcome.unwrap().err()).collect();
        let [timeout, internal, closed] = [Code::Timeout, Code::Internal, Code::Closed].map(Some);
        assert_eq!(codes, [timeout, timeout, internal, internal, None, None, closed]);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn everybody_gets_their_own_answer_and_every_address_is_asked_about_once(
            list in prop::collection::vec(prop_oneof![0x0808_0800_u32..0x0808_0820, 0x0a00_0000_u32..0x0a00_0004], 0..80),
            size in 1_usize..20, limit in 1_usize..20,
        ) {
            let list: Vec<Address> =
                list.into_iter().map(|bits| address(&std::net::Ipv4Addr::from_bits(bits).to_string())).collect();
            let size = CallSize::new(size);
            let mut plan = BulkPlan::new(&list, 64, &size, may_be_sent);
            let asked = run(&mut plan, limit).concat();
            let unique: HashSet<Address> = list.iter().copied().filter(|address| may_be_sent(*address)).collect();
            prop_assert_eq!(asked.len(), unique.len());
            prop_assert_eq!(asked.into_iter().collect::<HashSet<_>>(), unique);
            for (address, outcome) in list.iter().zip(plan.into_outcomes(Code::Closed)) {
                prop_assert_eq!(outcome.is_some(), may_be_sent(*address));
                prop_assert!(outcome.is_none_or(|outcome| is_own(&outcome, *address)));
            }
        }
    }
}
