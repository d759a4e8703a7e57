use super::*;
use crate::call_size::REMEMBERED;
use crate::evidence::Answer;
use crate::pace::OFF;
use crate::security_api::bulk;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout_at;

const WAIT: Duration = Duration::from_millis(5);
const SINGLE: Duration = Duration::from_millis(40);
const BULK: Duration = Duration::from_millis(60);
const MOST: usize = 1_000;
const OPTIONS: BatchOptions = BatchOptions { threshold: 32, wait: WAIT, size: 100 };

type BulkResult = Result<Vec<Outcome>, BulkFailure>;

/// What the provider does with a bulk call.
struct Reply {
    after: Duration,
    result: BulkResult,
}

type Behaviour = Box<dyn Fn(&[Address]) -> Reply + Send + Sync>;

/// A provider without a network. Of addresses in 10.0.0.0/8 it says nothing for a day.
struct Provider {
    bulk: Behaviour,
    singles: Mutex<Vec<Address>>,
    bulks: Mutex<Vec<Vec<Address>>>,
    /// How long an address was in calls, all together.
    spent: Mutex<HashMap<Address, Duration>>,
}

impl Provider {
    fn spend(&self, address: Address, time: Duration) {
        *self.spent.lock().unwrap().entry(address).or_default() += time;
    }
}

impl Calls for Arc<Provider> {
    async fn single(&self, address: Address, until: Instant) -> bulk::Reply {
        self.singles.lock().unwrap().push(address);
        let is_busy = address.to_string().starts_with("10.");
        let time = if is_busy { Duration::from_hours(24) } else { SINGLE };
        self.spend(address, time);
        let ended = timeout_at(until, sleep(time)).await;
        bulk::Reply { outcome: ended.map(|()| own(address)).map_err(|_| Code::Timeout), charged: 2 }
    }

    async fn bulk(&self, addresses: &[Address], until: Instant) -> (BulkResult, u64) {
        self.bulks.lock().unwrap().push(addresses.to_vec());
        let reply = (self.bulk)(addresses);
        for address in addresses {
            self.spend(*address, reply.after);
        }
        let ended = timeout_at(until, sleep(reply.after)).await;
        (ended.map_err(|_| Code::Timeout.into()).and(reply.result), 2 * addresses.len() as u64 + 1)
    }
}

/// Time as tokio's tests move it, or faster, so that what lasts minutes comes and goes during a test.
#[derive(Debug)]
struct TestClock {
    began: Instant,
    speed: u32,
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        u64::try_from((self.began.elapsed() * self.speed).as_millis()).unwrap()
    }
}

struct World {
    provider: Arc<Provider>,
    batcher: Arc<Batcher<Arc<Provider>>>,
}

impl World {
    fn new(bulk: impl Fn(&[Address]) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_options(OPTIONS, MOST, 1, bulk)
    }

    fn with_options(
        options: BatchOptions,
        most: usize,
        speed: u32,
        bulk: impl Fn(&[Address]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let provider = Arc::new(Provider {
            bulk: Box::new(bulk),
            singles: Mutex::default(),
            bulks: Mutex::default(),
            spent: Mutex::default(),
        });
        let clock = Arc::new(TestClock { began: Instant::now(), speed });
        let batcher = Arc::new(Batcher::new(Arc::clone(&provider), options, most, Pace::default(), clock));
        Self { provider, batcher }
    }

    /// A provider that answers every bulk call well.
    fn good() -> Self {
        Self::new(answer_all)
    }

    /// Begins as many look-ups as the threshold has, which are under way for a day.
    async fn busy(self) -> Self {
        for n in 0..self.batcher.options.threshold {
            drop(self.submit(address(10, n)));
        }
        yield_now().await;
        self.provider.singles.lock().unwrap().clear();
        self.know_singles();
        self
    }

    /// As if some had gone alone just now.
    fn know_singles(&self) {
        (0..3).for_each(|_| self.batcher.pace.single_took(SINGLE, self.batcher.clock.now()));
    }

    /// Begins a look-up; gives its outcome and when it came.
    fn submit(&self, address: Address) -> JoinHandle<(Outcome, Duration)> {
        self.submit_until(address, far())
    }

    fn submit_until(&self, address: Address, until: Instant) -> JoinHandle<(Outcome, Duration)> {
        let batcher = Arc::clone(&self.batcher);
        tokio::spawn(async move {
            let began = Instant::now();
            let outcome = batcher.submit(address, until).await.outcome;
            (outcome, began.elapsed())
        })
    }

    fn submit_all(&self, addresses: &[Address]) -> Vec<JoinHandle<(Outcome, Duration)>> {
        addresses.iter().map(|address| self.submit(*address)).collect()
    }

    /// Looks all up at the same time, and checks that each got its own answer.
    async fn all_answered(&self, addresses: &[Address]) {
        for (task, address) in self.submit_all(addresses).into_iter().zip(addresses) {
            assert!(is_own(&task.await.unwrap().0, *address), "{address}");
        }
    }

    fn sizes(&self) -> Vec<usize> {
        self.provider.bulks.lock().unwrap().drain(..).map(|call| call.len()).collect()
    }

    fn single_calls(&self) -> usize {
        self.provider.singles.lock().unwrap().drain(..).count()
    }

    fn under_way(&self) -> usize {
        self.batcher.most - self.batcher.permits.available_permits()
    }
}

/// A time that no test reaches.
fn far() -> Instant {
    Instant::now() + Duration::from_hours(48)
}

fn address(first: u8, n: usize) -> Address {
    Address::parse(&format!("{first}.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).unwrap()
}

fn addresses(count: usize) -> Vec<Address> {
    (0..count).map(|n| address(9, n)).collect()
}

/// An answer that shows whom it is for.
fn own(address: Address) -> Answer {
    Answer::Unknown { checked_at: whose(address) }
}

fn whose(address: Address) -> u64 {
    u64::try_from(address.bits() & u128::from(u32::MAX)).unwrap()
}

fn is_own(outcome: &Outcome, address: Address) -> bool {
    matches!(outcome, Ok(Answer::Unknown { checked_at }) if *checked_at == whose(address))
}

fn own_all(addresses: &[Address]) -> Vec<Outcome> {
    addresses.iter().map(|address| Ok(own(*address))).collect()
}

fn answer_all(addresses: &[Address]) -> Reply {
    Reply { after: BULK, result: Ok(own_all(addresses)) }
}

fn fail(failure: BulkFailure) -> Reply {
    Reply { after: BULK, result: Err(failure) }
}

#[tokio::test(start_paused = true)]
async fn in_light_traffic_every_look_up_is_a_call_of_its_own() {
    let world = World::good();
    let tasks = world.submit_all(&addresses(32));
    for (task, address) in tasks.into_iter().zip(addresses(32)) {
        let (outcome, after) = task.await.unwrap();
        assert!(is_own(&outcome, address));
        assert_eq!(after, SINGLE);
    }
    assert_eq!((world.single_calls(), world.sizes()), (32, vec![]));
    assert_eq!(world.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn past_the_threshold_look_ups_wait_and_travel_together_in_their_order() {
    let world = World::good().busy().await;
    let early = world.submit_all(&addresses(3));
    sleep(Duration::from_millis(3)).await;
    let late = world.submit(address(9, 3));
    for (task, address) in early.into_iter().zip(addresses(3)) {
        let (outcome, after) = task.await.unwrap();
        assert!(is_own(&outcome, address));
        assert_eq!(after, WAIT + BULK);
    }
    assert_eq!(late.await.unwrap().1, Duration::from_millis(2) + BULK);
    assert_eq!(*world.provider.bulks.lock().unwrap(), [addresses(4)]);
    assert_eq!(world.single_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_leaves_at_once() {
    let world = World::good().busy().await;
    let mut tasks = world.submit_all(&addresses(101));
    let last = tasks.pop().unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap().1, BULK);
    }
    // Alone in its batch, so that it needs no bulk call.
    assert_eq!(last.await.unwrap().1, WAIT + SINGLE);
    assert_eq!((world.sizes(), world.single_calls()), (vec![100], 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_full_does_not_cut_the_wait_of_the_next_one_short() {
    let world = World::good().busy().await;
    let first = world.submit_all(&addresses(100));
    sleep(Duration::from_millis(2)).await;
    let second = [address(9, 200), address(9, 201)].map(|address| world.submit(address));
    for task in second {
        assert_eq!(task.await.unwrap().1, WAIT + BULK);
    }
    for task in first {
        assert_eq!(task.await.unwrap().1, BULK);
    }
    assert_eq!(world.sizes(), [100, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_batch_delays_nobody_who_is_not_in_it() {
    let slow = Duration::from_secs(1);
    let is_slow = |addresses: &[Address]| addresses.contains(&address(9, 0));
    let world = World::new(move |addresses| Reply {
        after: if is_slow(addresses) { slow } else { BULK },
        result: Ok(own_all(addresses)),
    });
    let world = world.busy().await;
    let slow_ones = world.submit_all(&addresses(2));
    sleep(WAIT + Duration::from_millis(1)).await;
    for task in world.submit_all(&[address(9, 8), address(9, 9)]) {
        assert_eq!(task.await.unwrap().1, WAIT + BULK);
    }
    for task in slow_ones {
        assert_eq!(task.await.unwrap().1, WAIT + slow);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_halved_and_its_size_remembered_for_a_while() {
    let world = World::new(|addresses| match addresses.len() {
        ..=30 => answer_all(addresses),
        _ => fail(BulkFailure::TooLarge),
    });
    let world = world.busy().await;
    world.all_answered(&addresses(100)).await;
    assert_eq!(world.sizes(), [100, 50, 50, 25, 25, 25, 25]);
    world.all_answered(&addresses(100)).await;
    assert_eq!(world.sizes(), [25, 25, 25, 25]);
    sleep(Duration::from_millis(REMEMBERED)).await;
    world.all_answered(&addresses(40)).await;
    assert_eq!(world.sizes(), [40, 20, 20]);
}

#[tokio::test(start_paused = true)]
async fn where_no_bulk_call_is_small_enough_single_ones_are_made() {
    let world = World::new(|_| fail(BulkFailure::TooLarge)).busy().await;
    world.all_answered(&addresses(4)).await;
    assert_eq!((world.sizes(), world.single_calls()), (vec![4, 2, 2], 4));
    let began = Instant::now();
    world.all_answered(&addresses(4)).await;
    assert_eq!(began.elapsed(), SINGLE);
    assert_eq!((world.sizes(), world.single_calls()), (vec![], 4));
}

#[tokio::test(start_paused = true)]
async fn bulk_that_is_more_than_twice_as_slow_is_off_for_a_minute() {
    let slow = SINGLE * 2 + Duration::from_millis(1);
    let world = World::new(move |addresses| Reply { after: slow, result: Ok(own_all(addresses)) });
    world.all_answered(&addresses(3)).await;
    let world = world.busy().await;
    for _ in 0..3 {
        world.all_answered(&addresses(2)).await;
    }
    assert_eq!(world.sizes(), [2, 2, 2]);
    let off = Instant::now();
    world.all_answered(&addresses(2)).await;
    assert_eq!((off.elapsed(), world.sizes(), world.single_calls()), (SINGLE, vec![], 2));
    tokio::time::sleep_until(off + Duration::from_millis(OFF)).await;
    world.all_answered(&addresses(2)).await;
    assert_eq!(world.sizes(), [2]);
}

#[tokio::test(start_paused = true)]
async fn in_a_rush_without_single_calls_one_look_up_in_a_hundred_goes_alone_until_bulk_is_judged() {
    let slow = SINGLE * 2 + Duration::from_millis(1);
    let world = World::new(move |addresses| Reply { after: slow, result: Ok(own_all(addresses)) });
    let world = world.busy().await;
    // The times of before are too old by then.
    sleep(Duration::from_secs(10)).await;
    world.all_answered(&addresses(99)).await;
    assert_eq!((world.sizes(), world.single_calls()), (vec![99], 0));
    world.all_answered(&addresses(200)).await;
    assert_eq!((world.sizes(), world.single_calls()), (vec![100, 98], 2));
    world.all_answered(&addresses(100)).await;
    assert_eq!((world.sizes(), world.single_calls()), (vec![99], 1));
    world.all_answered(&addresses(2)).await;
    assert_eq!((world.sizes(), world.single_calls()), (vec![], 2), "it is off");
}

#[tokio::test(start_paused = true)]
async fn bulk_calls_that_never_come_back_in_time_are_off_for_a_minute() {
    let deadline = Duration::from_millis(1_500);
    let world =
        World::new(move |_| Reply { after: deadline, result: Err(BulkFailure::Failed(Code::Timeout)) });
    world.all_answered(&addresses(3)).await;
    let world = world.busy().await;
    for _ in 0..3 {
        for task in world.submit_all(&addresses(2)) {
            assert_eq!(task.await.unwrap().0.unwrap_err(), Code::Timeout);
        }
    }
    world.all_answered(&addresses(2)).await;
    assert_eq!(world.sizes(), [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn where_bulk_is_refused_as_such_single_calls_take_over() {
    for code in [Code::Endpoint, Code::RequestRefused, Code::KeyRefused, Code::KeyForbidden, Code::Redirect] {
        let world = World::new(move |_| fail(BulkFailure::Failed(code))).busy().await;
        world.all_answered(&addresses(2)).await;
        assert_eq!((world.sizes(), world.single_calls()), (vec![2], 2));
        world.all_answered(&addresses(2)).await;
        assert_eq!((world.sizes(), world.single_calls()), (vec![], 2), "it is off");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_falls_back_on_ends_with_the_time_of_those_who_wait() {
    let results: [fn(&[Address]) -> BulkResult; 2] =
        [|_| Err(BulkFailure::Failed(Code::RequestRefused)), |_| Err(BulkFailure::TooLarge)];
    for result in results {
        let world = World::new(move |addresses| Reply { after: BULK, result: result(addresses) });
        let world = world.busy().await;
        // A call alone would take longer than what is left after the batch.
        let patience = WAIT + BULK + SINGLE / 2;
        let tasks = (0..2).map(|n| world.submit_until(address(9, n), Instant::now() + patience));
        for task in tasks.collect::<Vec<_>>() {
            let (outcome, after) = task.await.unwrap();
            assert_eq!((outcome.unwrap_err(), after), (Code::Timeout, patience));
        }
        assert_eq!(world.under_way(), 32, "nobody is asked any more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_the_time_of_the_one_who_waits_longest() {
    let world = World::good().busy().await;
    let began = Instant::now();
    let patient = world.submit_until(address(9, 0), began + WAIT + BULK);
    let other = world.submit_until(address(9, 1), began + WAIT + BULK / 2);
    assert!(is_own(&patient.await.unwrap().0, address(9, 0)));
    assert!(is_own(&other.await.unwrap().0, address(9, 1)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_can_use_is_not_paid_for_twice_and_ends_bulk_for_a_minute() {
    let useless = |addresses: &[Address]| Ok(vec![Err(Code::Malformed); addresses.len()]);
    let results: [fn(&[Address]) -> BulkResult; 2] = [|_| Err(BulkFailure::Failed(Code::Malformed)), useless];
    for result in results {
        let world = World::new(move |addresses| Reply { after: BULK, result: result(addresses) });
        let world = world.busy().await;
        for task in world.submit_all(&addresses(2)) {
            assert_eq!(task.await.unwrap().0.unwrap_err(), Code::Malformed);
        }
        assert_eq!((world.sizes(), world.single_calls()), (vec![2], 0));
        world.all_answered(&addresses(2)).await;
        assert_eq!((world.sizes(), world.single_calls()), (vec![], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_moment_fail_the_batch_and_leave_bulk_on() {
    for code in [Code::Connect, Code::UpstreamStatus, Code::Quota, Code::Tls] {
        let world = World::new(move |_| fail(BulkFailure::Failed(code))).busy().await;
        for _ in 0..4 {
            for task in world.submit_all(&addresses(2)) {
                assert_eq!(task.await.unwrap().0.unwrap_err(), code);
            }
        }
        assert_eq!((world.sizes(), world.single_calls()), (vec![2, 2, 2, 2], 0));
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_give_up_are_not_asked_about_and_stop_nobody() {
    let world = World::good().busy().await;
    let tasks = world.submit_all(&addresses(4));
    yield_now().await;
    tasks[0].abort();
    tasks[2].abort();
    for (place, task) in tasks.into_iter().enumerate() {
        match task.await {
            Ok((outcome, _)) => assert!(is_own(&outcome, address(9, place))),
            Err(error) => assert!(error.is_cancelled() && place % 2 == 0),
        }
    }
    assert_eq!(*world.provider.bulks.lock().unwrap(), [[address(9, 1), address(9, 3)]]);
    assert_eq!(world.under_way(), 32);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_everybody_left_is_not_sent() {
    let world = World::good().busy().await;
    let tasks = world.submit_all(&addresses(3));
    yield_now().await;
    tasks.iter().for_each(JoinHandle::abort);
    sleep(WAIT * 2).await;
    assert_eq!((world.sizes(), world.single_calls()), (vec![], 0));
    assert_eq!(world.under_way(), 32);
}

#[tokio::test(start_paused = true)]
async fn those_who_leave_during_the_call_stop_nobody() {
    let world = World::good().busy().await;
    let mut tasks = world.submit_all(&addresses(3));
    sleep(WAIT + BULK / 2).await;
    tasks.remove(0).abort();
    for (task, n) in tasks.into_iter().zip(1..) {
        assert!(is_own(&task.await.unwrap().0, address(9, n)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_answers_everybody_in_the_batch_and_the_next_one_is_well() {
    let world = World::new(|addresses| {
        assert!(!addresses.contains(&address(9, 0)), "a defect, on purpose");
        answer_all(addresses)
    });
    let world = world.busy().await;
    for task in world.submit_all(&addresses(3)) {
        assert_eq!(task.await.unwrap().0.unwrap_err(), Code::Internal);
    }
    assert_eq!(world.under_way(), 32);
    world.all_answered(&addresses(5)[1..]).await;
}

#[test]
fn the_end_of_a_runtime_answers_everybody_who_waits() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let options = BatchOptions { wait: Duration::from_hours(1), ..OPTIONS };
    let (ending, other) = (runtime(), runtime());
    let world = ending.block_on(async {
        let world = World::with_options(options, MOST, 1, answer_all).busy().await;
        drop(world.submit(address(9, 0)));
        yield_now().await;
        world
    });
    let waiting = other.spawn({
        let batcher = Arc::clone(&world.batcher);
        async move { batcher.submit(address(9, 1), far()).await.outcome }
    });
    other.block_on(yield_now());
    drop(ending);
    // Only a failing test waits so long.
    let outcome = other.block_on(async { tokio::time::timeout(Duration::from_secs(20), waiting).await });
    assert_eq!(outcome.unwrap().unwrap().unwrap_err(), Code::Internal);
    assert_eq!(world.under_way(), 0);
    assert!(world.batcher.gathering().waiters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_are_not_as_many_as_addresses_are_nobodys() {
    for count in [0, 1, 3] {
        let world = World::new(move |addresses| Reply {
            after: BULK,
            result: Ok(own_all(&addresses.repeat(2)[..count])),
        });
        for task in world.busy().await.submit_all(&addresses(2)) {
            assert_eq!(task.await.unwrap().0.unwrap_err(), Code::Internal);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_its_bound_it_takes_nobody_in_also_when_those_before_gave_up() {
    let world = World::with_options(OPTIONS, 40, 1, answer_all).busy().await;
    let tasks = world.submit_all(&addresses(8));
    sleep(WAIT + BULK / 2).await;
    tasks.iter().for_each(JoinHandle::abort);
    assert_eq!(world.batcher.submit(address(9, 9), far()).await.outcome.unwrap_err(), Code::Overloaded);
    sleep(BULK).await;
    world.all_answered(&addresses(8)).await;
}

/// Numbers that look random and are the same in every run.
fn scattered(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = u32::try_from(seed).unwrap();
    move |below| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap() % below
    }
}

/// A provider with every mood: what it does depends on the addresses alone.
fn moody(addresses: &[Address]) -> Reply {
    let mut next = scattered(addresses.iter().map(|address| whose(*address) & 0xffff).sum());
    let after = Duration::from_millis(next(120) as u64);
    let result = match next(20) {
        0 => Err(BulkFailure::TooLarge),
        1 => Err(BulkFailure::Failed(Code::UpstreamStatus)),
        2 => Err(BulkFailure::Failed(Code::Endpoint)),
        _ => Ok(own_all(addresses)),
    };
    Reply { after, result }
}

#[tokio::test(start_paused = true)]
async fn under_stress_everybody_gets_their_own_answer_after_the_wait_and_their_calls() {
    const MANY: usize = 20_000;
    let world = World::with_options(OPTIONS, MOST, 10_000, moody);
    let (mut next, mut tasks) = (scattered(7), Vec::new());
    while tasks.len() < MANY {
        for _ in 0..next(60) {
            tasks.push((address(9, tasks.len()), world.submit(address(9, tasks.len()))));
        }
        sleep(Duration::from_millis(next(8) as u64)).await;
    }
    let mut failed = 0;
    for (address, task) in tasks {
        let (outcome, after) = task.await.unwrap();
        let spent = world.provider.spent.lock().unwrap().get(&address).copied().unwrap_or_default();
        assert!(after <= WAIT + spent, "{address} got its answer after {after:?} and {spent:?} of calls");
        match outcome {
            Ok(_) => assert!(is_own(&outcome, address), "{address}"),
            Err(code) => {
                assert!(matches!(code, Code::UpstreamStatus | Code::Overloaded), "{code}");
                failed += 1;
            }
        }
    }
    let (sizes, alone) = (world.sizes(), world.single_calls());
    assert!(failed < MANY / 5, "{failed} failed");
    assert!(sizes.iter().all(|size| (2..=100).contains(size)));
    assert!(sizes.iter().sum::<usize>() > MANY / 3, "{} bulk calls", sizes.len());
    assert!(alone > MANY / 10, "{alone} single calls");
    assert_eq!(world.under_way(), 0);
    assert!(world.batcher.gathering().waiters.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_threads_everybody_gets_their_own_answer() {
    let options = BatchOptions { threshold: 1, wait: Duration::from_millis(1), size: 7 };
    let at_once = |addresses: &[Address]| Reply { after: Duration::ZERO, result: Ok(own_all(addresses)) };
    let world = Arc::new(World::with_options(options, usize::MAX, 1, at_once));
    let askers = (0..8).map(|asker| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for round in 0..20 {
                let list: Vec<Address> =
                    (0..25).map(|n| address(9, asker * 1_000 + round * 25 + n)).collect();
                world.all_answered(&list).await;
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.unwrap();
    }
    assert!(world.sizes().iter().all(|size| *size <= 7));
    assert_eq!(world.under_way(), 0);
}
