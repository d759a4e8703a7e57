//! How often servers are asked, and with what.

use std::sync::Arc;

use ip_risk_core::clock::Clock;
use ip_risk_core::error::Code;
use ip_risk_core::feeds::progress::{Progress, Stage};
use ip_risk_core::feeds::report::{FeedOutcome, Outcome, TableOutcome};
use ip_risk_core::feeds::update::update;
use serde_json::json;

use crate::server::Reply;
use crate::world::{DAY, HOUR, MINUTE, World, list, word};

#[tokio::test]
async fn a_server_is_told_what_is_here_and_may_say_that_nothing_changed() {
    let world = World::new().await;
    let modified = "Sat, 21 Nov 2026 10:00:00 GMT";
    world.server.answer_with("/list", move |request| match request.header("if-none-match") {
        Some("\"v1\"") => Reply::status(304),
        _ => Reply::ok(list(0, 3)).with("etag", "\"v1\"").with("last-modified", modified),
    });
    assert_eq!(world.word().await, "updated");
    let before = world.table();
    world.clock.advance(HOUR);
    world.server.take_requests();
    let report = world.update().await;
    assert_eq!(report.outcome(), Outcome::Unchanged);
    assert_eq!(report.outcome().exit_code(), 3);
    assert_eq!(world.server.take_requests()[0].header("if-modified-since"), Some(modified));
    assert!(world.has(0, 3));
    // What somebody saw is as old as the file, however often it is asked for.
    assert_eq!(before.feeds()[0].seen_at, world.table().feeds()[0].seen_at);
    assert_eq!(before.feeds()[0].seen_at, 1_795_255_200_000);
    assert_eq!(report.table, TableOutcome::Kept);
}

#[tokio::test]
async fn what_an_operator_says_of_its_own_networks_stays_true_as_long_as_it_says_so() {
    let mut world = World::empty().await;
    world.add("list", |feed| feed["signal"] = json!("cloud"));
    world.server.answer_with("/list", |request| match request.header("if-none-match") {
        Some(_) => Reply::status(304),
        None => Reply::ok(list(0, 3))
            .with("etag", "\"v1\"")
            .with("last-modified", "Sat, 21 Nov 2020 10:00:00 GMT"),
    });
    assert_eq!(world.word().await, "updated");
    world.clock.advance(DAY);
    let report = world.update().await;
    assert_eq!(word(&report.feeds[0]), "unchanged");
    assert_eq!(report.outcome(), Outcome::Updated, "the table is new");
    assert!(world.clock.now() - world.table().feeds()[0].seen_at < HOUR);
}

#[tokio::test]
async fn a_file_that_is_gone_is_fetched_whole_again() {
    let world = World::new().await;
    world.server.answer_with("/list", |request| match request.header("if-none-match") {
        Some(_) => Reply::status(304),
        None => Reply::ok(list(0, 3)).with("etag", "\"v1\""),
    });
    assert_eq!(world.word().await, "updated");
    std::fs::remove_file(world.feeds_directory().join("sources/list")).unwrap();
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "updated");
}

#[tokio::test]
async fn a_feed_is_asked_for_when_it_is_due_and_by_force_no_more_often_than_its_operator_wants() {
    let world = World::new().await;
    let started = world.clock.now();
    assert_eq!(world.word().await, "updated");
    world.server.take_requests();

    let report = world.update().await;
    let FeedOutcome::NotDue { next_at } = report.feeds[0].outcome else { panic!("{report:?}") };
    assert!((started + HOUR..started + HOUR + MINUTE).contains(&next_at));
    assert_eq!(report.outcome(), Outcome::Unchanged);
    let forced = world.update_with(|options| options.force = true).await.unwrap();
    assert_eq!(word(&forced.feeds[0]), "not_due");
    assert_eq!(world.server.take_requests().len(), 0);

    world.clock.advance(10 * MINUTE);
    assert_eq!(world.word().await, "not_due");
    let forced = world.update_with(|options| options.force = true).await.unwrap();
    assert_eq!(word(&forced.feeds[0]), "unchanged");
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "unchanged");
}

#[tokio::test]
async fn an_interval_may_be_longer_than_a_week() {
    let mut world = World::empty().await;
    let eight_days = json!(8 * 24 * 60);
    world.add("list", |feed| {
        (feed["minIntervalMinutes"], feed["intervalMinutes"]) = (eight_days.clone(), eight_days);
    });
    world.server.answer("/list", Reply::ok(list(0, 3)));
    assert_eq!(world.word().await, "updated");
    for (days, outcome) in [(0, "not_due"), (7, "not_due"), (1, "unchanged")] {
        world.clock.advance(days * DAY);
        let forced = world.update_with(|options| options.force = true).await.unwrap();
        assert_eq!(word(&forced.feeds[0]), outcome);
    }
}

#[tokio::test]
async fn a_page_that_answered_was_asked_whatever_becomes_of_its_link() {
    let mut world = World::empty().await;
    let page = world.server.url("/page");
    world.add("list", |feed| {
        feed["url"] = serde_json::Value::Null;
        (feed["page"], feed["link"]) = (json!(page), json!("http://127.0.0.1:9/d/*.txt"));
    });
    world.server.answer("/page", Reply::ok("<a href=\"http://127.0.0.1:9/d/x.txt\">"));
    assert_eq!(world.word().await, "connect");
    assert_eq!(world.word().await, "not_due");
    assert_eq!(world.server.take_requests().len(), 1);
}

#[tokio::test]
async fn a_new_file_is_compiled_also_when_its_date_and_length_are_those_of_the_last() {
    let world = World::new().await;
    let modified = "Sat, 21 Nov 2026 10:00:00 GMT";
    for block in 0..3 {
        world.server.answer("/list", Reply::ok(list(block, 3)).with("last-modified", modified));
        assert_eq!(world.word().await, "updated");
        assert!(world.has(block, 3));
        world.clock.advance(HOUR);
    }
    std::fs::write(world.path("list.txt"), list(0, 3)).unwrap();
    world.import(vec![(None, world.path("list.txt"))], |_| ()).unwrap();
    assert!(world.has(0, 3));
}

#[tokio::test]
async fn the_same_file_once_more_is_as_old_as_it_was() {
    let world = World::new().await;
    assert_eq!(world.word().await, "updated");
    let before = world.table().feeds()[0].seen_at;
    world.clock.advance(30 * DAY);
    let report = world.update().await;
    assert_eq!((report.outcome(), report.table), (Outcome::Unchanged, TableOutcome::Kept));
    world
        .server
        .answer("/list", Reply::ok(list(0, 3)).with("last-modified", "Wed, 01 Jan 2098 00:00:00 GMT"));
    world.clock.advance(30 * DAY);
    assert_eq!(world.word().await, "unchanged");
    assert_eq!(world.table().feeds()[0].seen_at, before);
}

#[tokio::test]
async fn a_server_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    for status in [429, 503] {
        let world = World::new().await;
        assert_eq!(world.word().await, "updated");
        world.clock.advance(HOUR);
        world.server.answer("/list", Reply::status(status).with("retry-after", "7200"));
        assert_eq!(world.word().await, "busy");
        assert!(world.has(0, 3));
        let next = world.status()[0].next_allowed_at.unwrap() - world.clock.now();
        assert!((119 * MINUTE..=120 * MINUTE).contains(&next), "{next}");

        world.server.answer("/list", Reply::ok(list(1, 3)));
        world.server.take_requests();
        world.clock.advance(119 * MINUTE);
        let forced = world.update_with(|options| options.force = true).await.unwrap();
        assert_eq!(word(&forced.feeds[0]), "not_due");
        assert_eq!(world.server.take_requests().len(), 0);
        world.clock.advance(MINUTE);
        assert_eq!(world.word().await, "updated");
    }
}

#[tokio::test]
async fn a_server_cannot_send_its_clients_away_for_ever() {
    let world = World::new().await;
    world.server.answer("/list", Reply::status(429).with("retry-after", "18446744073709551615"));
    assert_eq!(world.word().await, "busy");
    world.server.answer("/list", Reply::ok(list(1, 3)));
    world.clock.advance(7 * DAY);
    assert_eq!(world.word().await, "updated");
}

#[tokio::test]
async fn a_failure_is_tried_again_as_soon_as_the_operator_lets() {
    let world = World::new().await;
    assert_eq!(world.word().await, "updated");
    world.clock.advance(HOUR);
    world.server.answer("/list", Reply::status(500));
    assert_eq!(world.word().await, "status");
    assert_eq!(world.word().await, "not_due");
    let failure = world.status()[0].last_failure.clone().unwrap();
    assert_eq!(failure.reason, "status");
    world.server.answer("/list", Reply::ok(list(1, 3)));
    world.clock.advance(10 * MINUTE);
    assert_eq!(world.word().await, "updated");
    assert_eq!(world.status()[0].last_failure, None);
}

#[tokio::test]
async fn a_feed_that_is_not_for_commerce_needs_a_word() {
    let mut world = World::new().await;
    world.add("gift", |feed| feed["licence"]["commercial"] = json!(false));
    world.server.answer("/gift", Reply::ok(list(1, 3)));
    let report = world.update().await;
    assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["updated", "needs_licence"]);
    assert_eq!(report.outcome(), Outcome::Updated);
    assert!(world.server.take_requests().iter().all(|request| request.path != "/gift"));
    let report = world.update_with(|options| options.accept_non_commercial = true).await.unwrap();
    assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["not_due", "updated"]);
}

#[tokio::test]
async fn profiles_and_names_choose_and_slips_are_found_before_anybody_is_asked() {
    let mut world = World::new().await;
    world.add("more", |feed| feed["profile"] = json!("full"));
    world.server.answer("/more", Reply::ok(list(1, 3)));
    assert_eq!(world.update().await.feeds.len(), 1);
    let only = world.update_with(|options| options.only = vec!["more".into()]).await.unwrap();
    assert_eq!(only.feeds.iter().map(|feed| feed.id.as_str()).collect::<Vec<_>>(), ["more"]);
    world.server.take_requests();
    let error = world.update_with(|options| options.only = vec!["mroe".into()]).await.unwrap_err();
    assert_eq!(error.code(), Code::Option);
    let error = world.update_with(|options| options.accept_change = vec!["lst".into()]).await.unwrap_err();
    assert!(error.to_string().contains("`list`"), "{error}");
    assert_eq!(world.server.take_requests().len(), 0);
}

#[tokio::test]
async fn one_feed_that_fails_does_not_hold_up_the_others() {
    let mut world = World::new().await;
    world.add("bad", |_| ());
    let report = world.update().await;
    assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["updated", "status"]);
    assert_eq!(report.outcome(), Outcome::Partial);
    assert_eq!(report.outcome().exit_code(), 4);
    assert!(world.has(0, 3));
}

#[tokio::test]
async fn progress_says_how_far_each_feed_is() {
    let mut world = World::new().await;
    world.add("slow", |_| ());
    let wire = Reply::ok(list(1, 100)).wire();
    let (length, cut) = (list(1, 100).len() as u64, 40);
    world.server.answer("/slow", Reply::Stall(wire[..wire.len() - cut].to_vec()));
    let progress = Arc::new(Progress::default());
    let running = tokio::spawn(update(world.options(), Arc::clone(&progress)));
    let is_there = || {
        let feeds = progress.feeds();
        feeds.len() == 2 && feeds[0].stage == Stage::Done && feeds[1].bytes == length - cut as u64
    };
    while !is_there() {
        tokio::task::yield_now().await;
    }
    let feeds = progress.feeds();
    assert_eq!((feeds[0].outcome, feeds[0].title.as_str()), (Some("updated"), "The list"));
    assert_eq!((feeds[1].stage, feeds[1].total), (Stage::Fetching, Some(length)));
    running.abort();
}
