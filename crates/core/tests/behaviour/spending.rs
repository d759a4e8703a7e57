//! What a budget lets through, for whom, and what answers when it does not.

use std::sync::Arc;

use ip_risk_core::budget::{Event, Period};
use ip_risk_core::checker::{Checker, Evaluation, Request};
use ip_risk_core::decision::{Action, Decision, PolicyId, Source};
use ip_risk_core::error::Code;
use ip_risk_core::routes::RouteId;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::server::{Reply, Server};
use crate::support::{StoppedClock, TRUSTED_PROXY, UNVERIFIED, checker, policy, reasons, runtime};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
/// For how long a neighbour's evidence answers.
const WINDOW: u64 = 10 * 60 * SECOND;

/// A checker, the server that it asks, and its clock.
struct World {
    server: Server,
    clock: Arc<StoppedClock>,
    checker: Arc<Checker>,
}

impl World {
    async fn new(options: Value) -> Self {
        let server = Server::start().await;
        let clock = Arc::new(StoppedClock::default());
        let checker = checker(&server, options, Arc::<StoppedClock>::clone(&clock), true);
        Self { server, clock, checker }
    }
}

/// An address in a /48 of its own, in its canonical spelling.
fn unrelated(number: usize) -> String {
    format!("2001:db8:{:x}::1", number + 1)
}

async fn check(world: &World, text: &str, name: &str) -> Decision {
    let policy = policy(&world.checker, name);
    world.checker.check(Request { text, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY }).await
}

fn is_neighbour_evidence(world: &World, decision: &Decision) -> bool {
    reasons(&world.checker, decision).contains(&"neighbour_evidence".to_owned())
}

/// A check on a task of its own.
fn checking(world: &World, text: String, name: &str) -> JoinHandle<Decision> {
    let (checker, policy) = (Arc::clone(&world.checker), policy(&world.checker, name));
    tokio::spawn(async move {
        let request = Request { text: &text, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY };
        checker.check(request).await
    })
}

/// Checks of these addresses, all at once.
async fn at_once(world: &World, texts: impl Iterator<Item = String>, policy: &str) -> Vec<Decision> {
    let checks: Vec<_> = texts.map(|text| checking(world, text, policy)).collect();
    let mut decisions = Vec::new();
    for check in checks {
        decisions.push(check.await.unwrap());
    }
    decisions
}

/// How many of them the provider answered; all others were refused by the budget, and got `action`.
fn answered(decisions: &[Decision], action: Action) -> usize {
    let (answered, refused): (Vec<_>, Vec<_>) =
        decisions.iter().partition(|decision| decision.source == Source::Api);
    for decision in refused {
        assert_eq!((decision.failure, decision.action), (Some(Code::Budget), action));
        assert!(!decision.failed_open);
    }
    answered.len()
}

/// How many of those addresses the provider was asked about.
fn asked(world: &World, texts: impl Iterator<Item = String>) -> usize {
    texts.map(|text| world.server.traffic(&text).requests).sum()
}

fn spent(world: &World) -> u64 {
    world.checker.engine().stats().budget[0].spent
}

#[test]
fn a_spray_is_never_charged_more_than_is_set_and_payment_has_the_reserved_share() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 500 }, "maxInFlight": 5_000 })).await;
        let logins = at_once(&world, (0..2_000).map(unrelated), "login").await;
        assert_eq!(answered(&logins, Action::Challenge), 400);
        let payments = at_once(&world, (2_000..2_200).map(unrelated), "payment").await;
        assert_eq!(answered(&payments, Action::Hold), 100);
        assert_eq!(asked(&world, (0..2_200).map(unrelated)), 500);
        assert_eq!(spent(&world), 500);
        // What is known needs no budget.
        let known = logins.iter().position(|decision| decision.source == Source::Api).unwrap();
        assert_eq!(check(&world, &unrelated(known), "payment").await.source, Source::Memory);
    });
}

#[test]
fn lists_stop_before_requests_do_and_requests_before_payment() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 100 } })).await;
        let login = PolicyId::from_number(0);
        let texts = (0..100).map(unrelated).collect();
        let stop = CancellationToken::new();
        let listed = world.checker.check_many(texts, login, RouteId::OTHER, &stop).await.unwrap();
        assert_eq!(answered(&listed, Action::Challenge), 60);
        let logins = at_once(&world, (100..200).map(unrelated), "login").await;
        assert_eq!(answered(&logins, Action::Challenge), 20);
        let payments = at_once(&world, (200..300).map(unrelated), "payment").await;
        assert_eq!(answered(&payments, Action::Hold), 20);
        assert_eq!(spent(&world), 100);
    });
}

#[test]
fn a_new_day_begins_with_the_whole_budget() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 10, "reserved": 0 } })).await;
        for day in 0..3 {
            let decisions =
                at_once(&world, (0..20).map(|number| unrelated(20 * day + number)), "login").await;
            assert_eq!(answered(&decisions, Action::Challenge), 10);
            world.clock.advance(24 * HOUR);
        }
    });
}

/// The siblings of a /24 and of a /48.
const NETWORKS: [fn(usize) -> String; 2] =
    [|number| format!("203.0.113.{number}"), |number| format!("2001:db8:ffff:{:x}::1", number + 1)];

/// A world that is under pressure after five look-ups.
async fn pressed() -> World {
    let world = World::new(json!({ "budget": { "perDay": 240 } })).await;
    for number in 0..5 {
        assert_eq!(check(&world, &unrelated(number), "login").await.source, Source::Api);
    }
    world
}

#[test]
fn under_pressure_siblings_share_evidence_and_unrelated_networks_are_looked_up() {
    for sibling in NETWORKS {
        runtime().block_on(async {
            let world = pressed().await;
            world.server.answer_otherwise(Reply::score(85));
            for number in 0..16 {
                let decision = check(&world, &sibling(number), "login").await;
                assert_eq!((decision.source, decision.action), (Source::Api, Action::Block));
            }
            world.server.answer_otherwise(Reply::score(0));
            for number in 16..40 {
                let text = sibling(number);
                let decision = check(&world, &text, "login").await;
                assert_eq!((decision.score.value(), decision.action), (85, Action::Challenge));
                assert_eq!((decision.failure, decision.degraded), (Some(Code::Budget), true));
                assert!(is_neighbour_evidence(&world, &decision));
                let payment = check(&world, &text, "payment").await;
                assert_eq!((payment.action, payment.failed_closed), (Action::Hold, true));
                let elsewhere = check(&world, &unrelated(number), "login").await;
                assert_eq!((elsewhere.source, elsewhere.failure), (Source::Api, None));
            }
            assert_eq!(asked(&world, (0..40).map(sibling)), 16);
            // Nothing of it was kept: they are looked up when their network has turns again.
            world.clock.advance(WINDOW);
            let decision = check(&world, &sibling(39), "login").await;
            assert_eq!((decision.source, decision.score.value()), (Source::Api, 0));
        });
    }
}

#[test]
fn a_clean_neighbour_clears_a_login_and_never_a_payment() {
    runtime().block_on(async {
        let world = pressed().await;
        let [sibling, _] = NETWORKS;
        for number in 0..16 {
            check(&world, &sibling(number), "login").await;
        }
        let login = check(&world, &sibling(16), "login").await;
        assert_eq!((login.action, login.failed_open), (Action::Allow, false));
        assert!(is_neighbour_evidence(&world, &login));
        assert_eq!(check(&world, &sibling(16), "payment").await.action, Action::Hold);
        let policy = policy(&world.checker, "login");
        let text = sibling(16);
        let request = Request { text: &text, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY };
        assert!(matches!(world.checker.evaluate(request), Evaluation::Pending(_)), "it was kept");
    });
}

#[test]
fn neither_a_forged_address_nor_an_invalidated_answer_speaks_for_its_neighbours() {
    runtime().block_on(async {
        let world = pressed().await;
        let [sibling, _] = NETWORKS;
        world.server.answer_otherwise(Reply::score(85));
        for number in 0..15 {
            assert_eq!(check(&world, &sibling(number), "login").await.source, Source::Api);
        }
        world.server.answer_otherwise(Reply::score(0));
        let login = policy(&world.checker, "login");
        let text = sibling(200);
        let request = Request { text: &text, policy: login, route: RouteId::OTHER, facts: UNVERIFIED };
        assert_eq!(world.checker.check(request).await.source, Source::Api);
        // Its answer is forgotten while it is on its way.
        world.server.hold();
        let last = checking(&world, sibling(15), "login");
        world.server.arrived(22).await;
        world.checker.invalidate(Some(&sibling(15))).await.unwrap();
        world.server.release();
        assert_eq!(last.await.unwrap().source, Source::Api);
        let decision = check(&world, &sibling(16), "login").await;
        assert!(!is_neighbour_evidence(&world, &decision) || decision.score.value() == 85, "{decision:?}");
        assert_ne!(decision.action, Action::Allow);
    });
}

#[test]
fn a_clean_neighbour_is_no_way_past_a_spent_budget_or_a_policy_that_closes() {
    let [sibling, _] = NETWORKS;
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 20, "reserved": 0 } })).await;
        for number in 0..16 {
            check(&world, &sibling(number), "login").await;
        }
        assert_eq!(check(&world, &sibling(30), "login").await.action, Action::Allow, "pressure alone");
        for number in 0..5 {
            check(&world, &unrelated(number), "login").await;
        }
        assert_eq!(check(&world, &sibling(31), "login").await.action, Action::Challenge, "nothing is left");
        // Also when nobody else has asked for a while.
        world.clock.advance(2 * 60 * SECOND);
        assert_eq!(check(&world, &sibling(32), "login").await.action, Action::Challenge, "still nothing");
    });
    runtime().block_on(async {
        let closes =
            json!({ "extends": "payment", "onFailure": { "upstream": "closed", "exhausted": "challenge" } });
        let options = json!({ "budget": { "perDay": 240 }, "policies": { "closes": closes } });
        let world = World::new(options).await;
        for number in 0..16 {
            check(&world, &sibling(number), "login").await;
        }
        assert!(is_neighbour_evidence(&world, &check(&world, &sibling(16), "login").await));
        assert_eq!(check(&world, &sibling(16), "closes").await.action, Action::Challenge);
    });
}

#[test]
fn a_list_puts_no_login_under_pressure() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 2_400 } })).await;
        let list = (0..200).map(unrelated).collect();
        let stop = CancellationToken::new();
        let login = policy(&world.checker, "login");
        let decisions = world.checker.check_many(list, login, RouteId::OTHER, &stop).await.unwrap();
        assert!(decisions.iter().all(|decision| decision.source == Source::Api));
        let [sibling, _] = NETWORKS;
        for number in 0..40 {
            assert_eq!(check(&world, &sibling(number), "login").await.source, Source::Api, "{number}");
        }
    });
}

#[test]
fn under_pressure_a_network_has_16_look_ups_however_many_ask_at_once() {
    for sibling in NETWORKS {
        runtime().block_on(async {
            let world = pressed().await;
            let decisions = at_once(&world, (0..200).map(sibling), "login").await;
            let answered = decisions.iter().filter(|decision| decision.source == Source::Api);
            assert_eq!(answered.count(), 16);
            assert_eq!(asked(&world, (0..200).map(sibling)), 16);
        });
    }
}

#[test]
fn who_is_refused_takes_no_turn_of_the_network() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perSecond": 1, "reserved": 0 } })).await;
        world.server.answer_otherwise(Reply::score(60));
        let [sibling, _] = NETWORKS;
        for second in 0..15 {
            assert_eq!(check(&world, &sibling(second), "login").await.source, Source::Api, "{second}");
            for number in 0..20 {
                let refused = check(&world, &sibling(100 + number), "login").await;
                assert_eq!((refused.failure, refused.action), (Some(Code::Budget), Action::Challenge));
            }
            world.clock.advance(SECOND);
        }
        assert_eq!(check(&world, &sibling(15), "login").await.source, Source::Api);
        world.clock.advance(SECOND);
        let decision = check(&world, &sibling(16), "login").await;
        assert!(is_neighbour_evidence(&world, &decision));
    });
}

#[test]
fn what_the_provider_says_it_charged_is_what_counts() {
    runtime().block_on(async {
        // How many look-ups 20 credits are enough for; one needs two of them to begin.
        for (charged, look_ups) in [(4, 5), (2, 10), (1, 19)] {
            let world = World::new(json!({ "budget": { "perDay": 10, "reserved": 0 } })).await;
            let body = r#"{"security":{"threat_score":0}}"#;
            let head = format!(
                "HTTP/1.1 200 Any\r\nx-credits-charged: {charged}\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            world.server.answer_otherwise(Reply::Bytes([head, body.to_owned()].concat().into_bytes()));
            let mut decisions = Vec::new();
            for number in 0..30 {
                decisions.push(check(&world, &unrelated(number), "login").await);
            }
            assert_eq!(answered(&decisions, Action::Challenge), look_ups, "{charged} credits each");
        }
    });
}

#[test]
fn an_answer_that_is_free_costs_nothing() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 10, "reserved": 0 } })).await;
        world.server.answer_otherwise(Reply::status(404));
        for number in 0..30 {
            assert_eq!(check(&world, &unrelated(number), "login").await.failure, None);
        }
        assert_eq!(spent(&world), 0);
    });
}

#[test]
fn a_call_that_may_have_been_charged_is_not_made_once_more() {
    runtime().block_on(async {
        let text = unrelated(1);
        let world = World::new(json!({ "budget": { "perDay": 100 } })).await;
        world.server.answer(&text, Reply::Bytes(Vec::new()));
        assert_eq!(check(&world, &text, "login").await.failure, Some(Code::Connect));
        assert_eq!((world.server.traffic(&text).requests, spent(&world)), (1, 1));
        let world = World::new(json!({})).await;
        world.server.answer_in_turn(&text, [Reply::Bytes(Vec::new()), Reply::score(7)]);
        assert_eq!(check(&world, &text, "login").await.failure, None, "without a budget it is");
    });
}

#[test]
fn each_percentage_is_told_once_when_it_is_reached() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 20, "reserved": 0 } })).await;
        let mut told = Vec::new();
        for number in 0..30 {
            check(&world, &unrelated(number), "login").await;
            told.extend(world.checker.engine().take_budget_events());
        }
        let event = |(percent, used)| Event { period: Period::Day, percent, used, limit: 20 };
        assert_eq!(told, [(50, 10), (80, 16), (95, 19)].map(event));
    });
}

#[test]
fn high_priority_gets_its_look_up_though_others_were_refused_the_same_address() {
    runtime().block_on(async {
        let world = World::new(json!({ "budget": { "perDay": 2_000, "reserved": 100 } })).await;
        for number in 0..500 {
            // Some of them join the look-up of another when it is refused already.
            let logins: Vec<_> = (0..4).map(|_| checking(&world, unrelated(number), "login")).collect();
            let payments = [(); 3].map(|()| checking(&world, unrelated(number), "payment"));
            for payment in payments {
                assert_eq!(payment.await.unwrap().failure, None);
            }
            for login in logins {
                login.await.unwrap();
            }
            assert_eq!(world.server.traffic(&unrelated(number)).requests, 1);
        }
        assert_eq!(spent(&world), 500);
    });
}

#[test]
fn a_budget_that_cannot_be_asked_is_a_fault_and_not_one_that_is_used_up() {
    runtime().block_on(async {
        // Nobody listens there.
        let options = json!({ "budget": { "perDay": 1_000 }, "redis": "redis://127.0.0.1:1" });
        let world = World::new(options).await;
        for number in 0..20 {
            let login = check(&world, &unrelated(number), "login").await;
            assert_eq!((login.failure, login.action), (Some(Code::Redis), Action::Challenge));
            let payment = check(&world, &unrelated(number), "payment").await;
            assert_eq!((payment.failure, payment.action), (Some(Code::Redis), Action::Hold));
        }
        assert_eq!(asked(&world, (0..20).map(unrelated)), 0);
        assert_eq!(spent(&world), 0);
    });
}
