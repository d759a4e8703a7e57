use proptest::prelude::*;

use super::*;
use crate::flags::tests::cases;

const NOW: u64 = 1_770_000_000_000;
const DEADLINE: u64 = 1_500;
const MINUTE: u64 = 60_000;

fn breaker() -> Breaker {
    Breaker::new(Duration::from_millis(DEADLINE), NOW)
}

fn call(breaker: &Breaker, failure: Option<Code>, now: u64) {
    breaker.admit(now).unwrap().report(failure, None, now);
}

/// Opens it for `cause` at [`NOW`].
fn open(cause: Code) -> Breaker {
    let breaker = breaker();
    if cause == Code::Breaker {
        (0..5).for_each(|place| call(&breaker, Some(Code::Timeout), NOW - 1_000 + place * 250));
    } else {
        call(&breaker, Some(cause), NOW);
    }
    assert_eq!(breaker.admit(NOW).unwrap_err(), cause);
    breaker
}

/// Asks twice, because the first question must change nothing.
fn admit(breaker: &Breaker, now: u64) -> Result<Admission<'_>, Code> {
    let before = (breaker.health(), breaker.refusal(now));
    let admission = breaker.admit(now);
    assert_eq!(before.1, admission.as_ref().err().copied());
    if before.1.is_some() {
        assert_eq!(breaker.health(), before.0);
    }
    admission
}

/// The wait that it is in, which began at `now`.
fn wait(breaker: &Breaker, now: u64) -> u64 {
    breaker.health().next_probe.unwrap() - now
}

#[test]
fn one_failure_or_one_burst_of_them_opens_nothing() {
    let breaker = breaker();
    call(&breaker, Some(Code::Timeout), NOW);
    assert!(breaker.admit(NOW).is_ok());
    let under_way: Vec<_> = (0..500).map(|_| breaker.admit(NOW).unwrap()).collect();
    for call in under_way {
        call.report(Some(Code::Connect), None, NOW + 10);
    }
    assert_eq!(breaker.health().state, State::Closed);
}

#[test]
fn few_calls_a_minute_trip_after_five_in_a_row() {
    let breaker = breaker();
    for minute in 0..4 {
        call(&breaker, Some(Code::Timeout), NOW + minute * MINUTE);
    }
    call(&breaker, None, NOW + 4 * MINUTE);
    for minute in 5..9 {
        call(&breaker, Some(Code::UpstreamStatus), NOW + minute * MINUTE);
    }
    assert_eq!(breaker.health().state, State::Closed);
    call(&breaker, Some(Code::Malformed), NOW + 9 * MINUTE);
    assert_eq!(breaker.admit(NOW + 9 * MINUTE).unwrap_err(), Code::Breaker);
}

#[test]
fn every_second_call_failing_opens_it_and_fewer_do_not() {
    for (failing_of_4, is_open) in [(1, false), (2, true)] {
        let breaker = breaker();
        for place in 0..24 {
            let failure = (place % 4 < failing_of_4).then_some(Code::Timeout);
            if let Ok(admission) = breaker.admit(NOW + place * 100) {
                admission.report(failure, None, NOW + place * 100);
            }
        }
        assert_eq!(breaker.health().cause, is_open.then_some(Code::Breaker), "{failing_of_4} of 4");
    }
}

#[test]
fn what_is_no_transient_failure_is_not_counted() {
    for code in Code::ALL {
        let breaker = breaker();
        for place in 0..40 {
            if let Ok(admission) = breaker.admit(NOW + place * 100) {
                admission.report(Some(*code), None, NOW + place * 100);
            }
        }
        let expected = match code {
            Code::Timeout | Code::Connect | Code::UpstreamStatus | Code::Malformed | Code::BodyTooLarge => {
                Some(Code::Breaker)
            }
            Code::KeyRefused | Code::KeyForbidden | Code::Tls | Code::Quota => Some(*code),
            _ => None,
        };
        assert_eq!(breaker.health().cause, expected, "{code}");
    }
}

#[test]
fn one_refusal_of_the_key_the_quota_or_tls_is_enough() {
    for code in [Code::KeyRefused, Code::KeyForbidden, Code::Tls, Code::Quota] {
        let breaker = open(code);
        let health = breaker.health();
        assert_eq!((health.state, health.cause, health.since), (State::Open, Some(code), NOW));
    }
}

#[test]
fn waits_grow_to_their_longest_and_are_jittered() {
    let refused: &[u64] = &[2, 60, 60, 60];
    for (cause, failure, seconds) in [
        (Code::Breaker, Code::Timeout, &[1, 2, 4, 8, 16, 30, 30, 30][..]),
        (Code::KeyRefused, Code::KeyRefused, refused),
        (Code::KeyForbidden, Code::KeyForbidden, refused),
        (Code::Tls, Code::Tls, refused),
        (Code::Quota, Code::Quota, &[5, 10, 20, 40, 80, 160, 300, 300][..]),
    ] {
        let (breaker, mut now) = (open(cause), NOW);
        for seconds in seconds {
            let wait = wait(&breaker, now);
            assert!((seconds * 750..=seconds * 1_000).contains(&wait), "{cause}: {wait} of {seconds} s");
            assert_eq!(breaker.admit(now + wait - 1).unwrap_err(), cause);
            now += wait;
            call(&breaker, Some(failure), now);
        }
    }
    let mut first: Vec<u64> = (0..50).map(|_| wait(&open(Code::KeyRefused), NOW)).collect();
    first.sort_unstable();
    first.dedup();
    assert!(first.len() > 10, "{first:?}");
}

#[test]
fn retry_after_is_kept_to_from_a_second_to_an_hour() {
    const HOUR: u64 = 60 * MINUTE;
    for (retry_at, least, most) in [
        (Some(NOW + 90_000), 90_000, 112_500),
        (Some(NOW), 1_000, 1_250),
        (Some(NOW + 100 * HOUR), HOUR, HOUR + HOUR / 4),
        (Some(u64::MAX), HOUR, HOUR + HOUR / 4),
        (Some(NOW - 1), 3_750, 5_000),
        (None, 3_750, 5_000),
    ] {
        let breaker = breaker();
        breaker.admit(NOW).unwrap().report(Some(Code::Quota), retry_at, NOW);
        let wait = wait(&breaker, NOW);
        assert!((least..=most).contains(&wait), "{retry_at:?}: {wait}");
    }
    for cause in [Code::KeyRefused, Code::KeyForbidden] {
        let breaker = breaker();
        breaker.admit(NOW).unwrap().report(Some(cause), Some(NOW + HOUR), NOW);
        let most = 5 * MINUTE;
        assert!((most..=most + most / 4).contains(&wait(&breaker, NOW)), "{cause}");
    }
    // A fault that may pass by itself is looked at again soon.
    let breaker = breaker();
    for place in 0..5 {
        let now = NOW + place * 250;
        breaker.admit(now).unwrap().report(Some(Code::UpstreamStatus), Some(now + HOUR), now);
    }
    assert!(wait(&breaker, NOW + 1_000) <= 1_000);
}

#[test]
fn one_probe_at_a_time_and_its_success_closes() {
    for cause in [Code::Breaker, Code::KeyRefused, Code::Tls, Code::Quota] {
        let (breaker, now) = (open(cause), NOW + 10_000);
        let probe = breaker.admit(now).unwrap();
        assert!(probe.is_probe());
        assert_eq!(breaker.health().state, State::HalfOpen);
        assert_eq!(breaker.admit(now).unwrap_err(), cause);
        probe.report(None, None, now + 50);
        let health = breaker.health();
        assert_eq!((health.state, health.cause, health.since), (State::Closed, None, now + 50));
        assert!(!breaker.admit(now + 50).unwrap().is_probe());
        // What failed before is forgotten.
        call(&breaker, Some(Code::Timeout), now + 60);
        assert!(breaker.admit(now + 60).is_ok());
    }
}

#[test]
fn a_probe_that_never_comes_back_is_replaced_and_says_nothing_later() {
    let (breaker, now) = (open(Code::Breaker), NOW + 10_000);
    let lost = breaker.admit(now).unwrap();
    assert!(breaker.admit(now + 2 * DEADLINE - 1).is_err());
    let second = breaker.admit(now + 2 * DEADLINE).unwrap();
    lost.report(None, None, now + 2 * DEADLINE);
    assert_eq!(breaker.health().state, State::HalfOpen);
    second.report(Some(Code::Timeout), None, now + 2 * DEADLINE);
    assert_eq!(breaker.health().state, State::Open);
}

#[test]
fn a_probe_that_is_dropped_waits_as_before_and_does_not_wedge() {
    let (breaker, now) = (open(Code::Breaker), NOW + 1_000);
    drop(breaker.admit(now).unwrap());
    assert_eq!(breaker.health().state, State::Open);
    assert!((750..=1_000).contains(&wait(&breaker, now)));
    // A call that never left says nothing either.
    breaker.admit(now + 1_000).unwrap().report(Some(Code::Internal), None, now + 1_200);
    assert!((750..=1_000).contains(&wait(&breaker, now + 1_000)));
}

#[test]
fn a_probe_may_find_another_cause() {
    let breaker = open(Code::Breaker);
    breaker.admit(NOW + 1_000).unwrap().report(Some(Code::Quota), Some(NOW + 31_000), NOW + 1_000);
    let health = breaker.health();
    assert_eq!((health.cause, health.since), (Some(Code::Quota), NOW + 1_000));
    assert!(wait(&breaker, NOW + 1_000) >= 30_000);
    // A timeout does not say that there is quota again.
    breaker.admit(NOW + 60_000).unwrap().report(Some(Code::Timeout), None, NOW + 61_500);
    assert_eq!(breaker.admit(NOW + 61_500).unwrap_err(), Code::Quota);
    // An answer of any other kind does.
    breaker.admit(NOW + 600_000).unwrap().report(Some(Code::RequestRefused), None, NOW + 600_000);
    assert_eq!(breaker.health().state, State::Closed);
}

#[test]
fn calls_from_before_the_outage_change_nothing() {
    let breaker = breaker();
    let early: Vec<_> = (0..3).map(|_| breaker.admit(NOW).unwrap()).collect();
    call(&breaker, Some(Code::Quota), NOW);
    let before = breaker.health();
    for (admission, failure) in early.into_iter().zip([None, Some(Code::KeyRefused), Some(Code::Timeout)]) {
        admission.report(failure, None, NOW + 5);
        assert_eq!(breaker.health(), before);
    }
}

#[test]
fn a_relapse_goes_on_with_longer_waits_and_a_minute_of_health_forgets_them() {
    let trip = |breaker: &Breaker, now: u64| {
        (0..5).for_each(|place| call(breaker, Some(Code::Timeout), now + place * 250));
        wait(breaker, now + 1_000)
    };
    let (breaker, mut now) = (breaker(), NOW);
    for seconds in [1, 2, 4, 8] {
        let wait = trip(&breaker, now);
        assert!((seconds * 750..=seconds * 1_000).contains(&wait), "{wait}");
        now += 1_000 + wait;
        call(&breaker, None, now);
    }
    let wait = trip(&breaker, now + MINUTE);
    assert!(wait <= 1_000, "{wait}");
}

#[test]
fn a_clock_that_is_set_back_or_forward_never_shuts_for_longer() {
    for cause in [Code::Breaker, Code::KeyRefused, Code::Tls, Code::Quota] {
        assert!(open(cause).admit(NOW - 1).is_ok(), "set back: {cause}");
        assert!(open(cause).admit(u64::MAX).is_ok(), "set forward: {cause}");
        let breaker = open(cause);
        let _probe = breaker.admit(NOW + MINUTE).unwrap();
        assert!(breaker.admit(NOW).is_ok(), "set back while a probe runs: {cause}");
    }
    // Failures before a clock was set back still count.
    let breaker = breaker();
    (0..5).for_each(|place| call(&breaker, Some(Code::Timeout), NOW - place * MINUTE));
    assert_eq!(breaker.health().state, State::Open);
}

#[test]
fn one_loud_line_in_ten_minutes_for_each_cause_and_one_when_it_is_over() {
    let breaker = breaker();
    assert_eq!(breaker.take_notice(NOW), None);
    call(&breaker, Some(Code::KeyRefused), NOW);
    let notice = Notice { cause: Code::KeyRefused, since: NOW, is_over: false };
    assert_eq!(breaker.take_notice(NOW), Some(notice));
    for now in [NOW, NOW + 1, NOW + 10 * MINUTE - 1] {
        assert_eq!(breaker.take_notice(now), None);
    }
    assert_eq!(breaker.take_notice(NOW + 10 * MINUTE), Some(notice));
    let now = NOW + 11 * MINUTE;
    call(&breaker, None, now);
    assert_eq!(breaker.take_notice(now), Some(Notice { is_over: true, ..notice }));
    assert_eq!(breaker.take_notice(now), None);
    // An outage that nobody asked about while it lasted is not told when it is over.
    call(&breaker, Some(Code::KeyRefused), now);
    call(&breaker, None, now + 2_000);
    assert_eq!(breaker.take_notice(now + 2_000), None);
    // Another cause has its own.
    call(&breaker, Some(Code::KeyRefused), now + 3_000);
    call(&breaker, Some(Code::Quota), now + 5_000);
    assert_eq!(breaker.take_notice(now + 5_000).map(|notice| notice.cause), Some(Code::Quota));
}

#[test]
fn of_what_comes_and_goes_the_last_line_is_right_and_there_are_few() {
    let (breaker, mut now, mut lines) = (breaker(), NOW, Vec::new());
    let mut take = |now| {
        lines.extend(breaker.take_notice(now).map(|notice| notice.is_over));
        (lines.len(), lines.last().copied())
    };
    // For ten seconds each, for an hour.
    for _ in 0..180 {
        call(&breaker, Some(Code::KeyRefused), now);
        assert_eq!(take(now).1, Some(false), "it is on again and said to be over");
        now += 10_000;
        call(&breaker, None, now);
        take(now);
        now += 10_000;
    }
    let (count, last) = take(now + MINUTE);
    assert!(count <= 2 * 7, "{count} lines");
    assert_eq!(last, Some(true), "it is over and not said to be");
}

/// What the breaker must do, said in another way: over all outcomes since it last closed.
#[derive(Default)]
struct Model {
    outcomes: Vec<(u64, bool)>,
    /// The cause and when its wait began.
    open: Option<(Code, u64)>,
    probe: Option<u64>,
    /// What is under way from before the last change is not listened to.
    deaf: Vec<usize>,
}

impl Model {
    fn trips(&self, now: u64) -> bool {
        let row: Vec<u64> =
            self.outcomes.iter().rev().take_while(|(_, is_success)| !is_success).map(|(at, _)| *at).collect();
        let is_row = row.len() >= 5 && now - row[row.len() - 1] >= 1_000;
        let recent: Vec<&(u64, bool)> =
            self.outcomes.iter().filter(|(at, _)| at / 1_000 + 10 > now / 1_000).collect();
        let failed: Vec<u64> =
            recent.iter().filter(|(_, is_success)| !is_success).map(|(at, _)| at / 1_000).collect();
        let is_spread = failed.iter().any(|second| *second != failed[0]);
        is_row || (is_spread && recent.len() >= 20 && failed.len() * 2 >= recent.len())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Admit,
    /// The end of one that is under way.
    End(prop::sample::Index, Option<Code>),
    Drop(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop::sample::select(vec![
        None,
        None,
        Some(Code::Timeout),
        Some(Code::Connect),
        Some(Code::Malformed),
        Some(Code::Timeout),
        Some(Code::UpstreamStatus),
        Some(Code::RequestRefused),
        Some(Code::Quota),
        Some(Code::KeyRefused),
    ]);
    prop_oneof![
        1 => (0_u64..80_000).prop_map(Step::Pass),
        4 => (0_u64..700).prop_map(Step::Pass),
        8 => Just(Step::Admit),
        8 => (any::<prop::sample::Index>(), outcome).prop_map(|(place, outcome)| Step::End(place, outcome)),
        1 => any::<prop::sample::Index>().prop_map(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn it_is_open_exactly_when_the_outcomes_say_so(steps in prop::collection::vec(step(), 0..400)) {
        let (breaker, mut model, mut now) = (breaker(), Model::default(), NOW);
        let mut under_way: Vec<(usize, Admission<'_>)> = Vec::new();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Pass(time) => now += time,
                Step::Admit => match (admit(&breaker, now), model.open) {
                    (Ok(admission), None) => {
                        prop_assert!(!admission.is_probe());
                        under_way.push((number, admission));
                    }
                    (Ok(admission), Some((_, since))) => {
                        prop_assert!(admission.is_probe());
                        prop_assert!(now - since >= 750, "a probe before any wait is over");
                        prop_assert!(model.probe.is_none_or(|began| now - began >= 2 * DEADLINE));
                        model.deaf.extend(under_way.iter().map(|(number, _)| *number));
                        model.probe = Some(now);
                        under_way.push((number, admission));
                    }
                    (Err(code), open) => {
                        let (cause, since) = open.expect("refused while closed");
                        prop_assert_eq!(code, cause);
                        let longest = if cause == Code::Breaker { 30_000 } else { 5 * MINUTE };
                        match model.probe {
                            Some(began) => prop_assert!(now - began < 2 * DEADLINE, "wedged by a probe"),
                            None => prop_assert!(now - since < longest, "refused for too long"),
                        }
                    }
                },
                Step::End(place, _) | Step::Drop(place) if !under_way.is_empty() => {
                    let (ended, admission) = under_way.swap_remove(place.index(under_way.len()));
                    let is_heard = !model.deaf.contains(&ended);
                    let Step::End(_, outcome) = step else {
                        if admission.is_probe() && is_heard {
                            model.open = model.open.map(|(cause, _)| (cause, model.probe.unwrap()));
                            model.probe = None;
                        }
                        drop(admission);
                        continue;
                    };
                    let is_probe = admission.is_probe();
                    admission.report(outcome, None, now);
                    if !is_heard {
                        continue;
                    }
                    let was_open = model.open.is_some();
                    match outcome {
                        Some(cause @ (Code::Quota | Code::KeyRefused)) => model.open = Some((cause, now)),
                        None | Some(Code::RequestRefused) if is_probe => model.open = None,
                        _ if is_probe => model.open = model.open.map(|(cause, _)| (cause, now)),
                        Some(Code::RequestRefused) => {}
                        _ => {
                            model.outcomes.push((now, outcome.is_none()));
                            if outcome.is_some() && model.trips(now) {
                                model.open = Some((Code::Breaker, now));
                            }
                        }
                    }
                    if is_probe {
                        model.probe = None;
                    }
                    if was_open != model.open.is_some() {
                        model.deaf.extend(under_way.iter().map(|(number, _)| *number));
                        model.outcomes.clear();
                    }
                }
                Step::End(..) | Step::Drop(_) => {}
            }
            number += 1;
            prop_assert_eq!(breaker.health().cause, model.open.map(|(cause, _)| cause));
            let is_probing = breaker.health().state == State::HalfOpen;
            prop_assert_eq!(is_probing, model.probe.is_some());
        }
    }
}
