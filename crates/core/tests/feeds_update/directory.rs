//! What may have happened to the directory.

use std::fs;
use std::sync::Arc;

use ip_risk_core::clock::Clock;
use ip_risk_core::error::Code;
use ip_risk_core::feeds::progress::Progress;
use ip_risk_core::feeds::report::{Outcome, TableOutcome};
use ip_risk_core::feeds::update::update;
use serde_json::{Value, json};

use crate::server::Reply;
use crate::world::{DAY, HOUR, MINUTE, World, list, word};

#[tokio::test]
async fn a_second_update_says_who_is_at_work() {
    let world = World::new().await;
    world.server.answer("/list", Reply::Stall(Vec::new()));
    let first = tokio::spawn(update(world.options(), Arc::new(Progress::default())));
    world.server.asked_for("/list").await;
    let error = world.update_with(|_| ()).await.unwrap_err();
    assert_eq!(error.code(), Code::FeedsBusy);
    assert!(error.to_string().contains("wait until it is done"), "{error}");

    // Dropped, the first one lets go; its server was asked all the same.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    world.server.answer("/list", Reply::ok(list(0, 3)));
    world.server.take_requests();
    assert_eq!(world.word().await, "not_due");
    assert_eq!(world.server.take_requests().len(), 0);
    world.clock.advance(10 * MINUTE);
    assert_eq!(world.word().await, "updated");
    assert_eq!(world.half_written().len(), 0);
}

#[tokio::test]
async fn a_damaged_state_forgets_when_and_keeps_what() {
    let mut world = World::new().await;
    world.add("gone", |_| ());
    world.server.answer("/gone", Reply::ok(list(1, 3)));
    world.update().await;
    let path = world.feeds_directory().join("state.json");
    let whole = fs::read_to_string(&path).unwrap();
    let list_of_feeds = json!({ "feeds": { "list": 7, "gone": { "file": { "rows": -1 } } } }).to_string();
    for text in ["", "{", "[]", &whole[..whole.len() / 2], &list_of_feeds] {
        fs::write(&path, text).unwrap();
        world.server.answer("/gone", Reply::status(410));
        world.clock.advance(HOUR);
        let report = world.update().await;
        assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["unchanged", "status"], "{text}");
        assert_eq!(report.feeds[1].rows, Some(3), "{text}");
        assert_eq!(world.named_by(crate::world::address(1, 0)), ["gone"], "{text}");
    }
}

#[tokio::test]
async fn a_state_from_the_future_holds_nothing_up_for_longer_than_usual() {
    let mut world = World::empty().await;
    world.add("list", |feed| feed["signal"] = json!("cloud"));
    world.server.answer("/list", Reply::ok(list(0, 3)));
    world.update().await;
    let path = world.feeds_directory().join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let far = json!(u64::MAX);
    state["feeds"]["list"]["nextAllowedAt"] = far.clone();
    for key in ["fetchedAt", "checkedAt", "datedAt"] {
        state["feeds"]["list"]["file"][key] = far.clone();
    }
    fs::write(&path, state.to_string()).unwrap();
    fs::remove_file(world.feeds_directory().join("feeds.bin")).unwrap();
    assert_eq!(world.word().await, "not_due");
    assert!(world.table().feeds()[0].seen_at <= world.clock.now());
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "unchanged");
}

#[tokio::test]
async fn a_change_from_the_future_waits_no_longer_than_another() {
    let world = World::new().await;
    world.server.answer("/list", Reply::ok(list(0, 1_000)));
    world.update().await;
    let path = world.feeds_directory().join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["feeds"]["list"]["history"]["change"] =
        json!({ "size": { "rows": 3_000, "addresses": 3_000, "endsWithLine": true }, "since": u64::MAX });
    fs::write(&path, state.to_string()).unwrap();
    world.server.answer("/list", Reply::ok(list(0, 3_000)));
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "changed");
    world.clock.advance(7 * DAY);
    assert_eq!(world.word().await, "updated");
}

#[tokio::test]
async fn a_lost_state_does_not_make_servers_be_asked_at_once() {
    let world = World::new().await;
    world.update().await;
    fs::remove_file(world.feeds_directory().join("state.json")).unwrap();
    world.server.take_requests();
    assert!(world.status()[0].next_allowed_at.is_some());
    assert_eq!(world.word().await, "not_due");
    let forced = world.update_with(|options| options.force = true).await.unwrap();
    assert_eq!(word(&forced.feeds[0]), "not_due");
    assert_eq!(world.server.take_requests().len(), 0);
    assert!(world.has(0, 3));
    world.clock.advance(10 * MINUTE);
    assert_eq!(world.word().await, "unchanged");
}

#[tokio::test]
async fn what_is_wrong_with_one_feed_in_the_state_makes_nobody_else_be_asked() {
    let world = World::new().await;
    world.update().await;
    let path = world.feeds_directory().join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["feeds"]["gone-feed"] = json!({ "file": { "rows": 1 } });
    fs::write(&path, state.to_string()).unwrap();
    world.server.take_requests();
    assert_eq!(world.word().await, "not_due");
    assert!(!world.status()[0].file.as_ref().unwrap().is_imported, "what is known of it is still known");
}

#[tokio::test]
async fn nobody_is_asked_when_that_cannot_be_remembered() {
    let world = World::new().await;
    fs::create_dir_all(world.feeds_directory().join("state.json/full")).unwrap();
    let error = world.update_with(|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("check the directory"), "{error}");
    assert_eq!(world.server.take_requests().len(), 0);
}

#[tokio::test]
async fn a_source_of_the_same_length_is_another_one_all_the_same() {
    let world = World::new().await;
    world.server.answer_with("/list", |request| match request.header("if-none-match") {
        Some(_) => Reply::status(304),
        None => Reply::ok(list(0, 3)).with("etag", "\"v1\""),
    });
    world.update().await;
    assert_eq!(list(0, 3).len(), list(1, 3).len());
    fs::write(world.feeds_directory().join("sources/list"), list(1, 3)).unwrap();
    assert!(world.status()[0].file.is_none());
    world.update().await;
    assert!(world.has(1, 3), "it is judged and used");
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "updated", "what is known is about another file");
    assert!(world.has(0, 3));
}

#[tokio::test]
async fn a_source_that_is_too_large_or_no_file_is_left_out() {
    let world = World::new().await;
    world.update().await;
    let source = world.feeds_directory().join("sources/list");
    fs::write(&source, list(1, 20_000)).unwrap();
    let report = world.update().await;
    assert!(report.notes[0].contains("`list` is left out"), "{:?}", report.notes);
    assert!(world.has(0, 3));
    fs::remove_file(&source).unwrap();
    fs::create_dir(&source).unwrap();
    assert_eq!(world.update().await.table, TableOutcome::Empty);
    assert!(world.has(0, 3));
}

#[tokio::test]
async fn a_source_that_was_changed_by_hand_is_judged_again() {
    let world = World::new().await;
    world.update().await;
    let source = world.feeds_directory().join("sources/list");
    world.server.answer("/list", Reply::status(500));
    fs::write(&source, list(1, 7)).unwrap();
    world.clock.advance(HOUR);
    world.update().await;
    assert!(world.has(1, 7));

    fs::write(&source, "<html>").unwrap();
    world.clock.advance(HOUR);
    let report = world.update().await;
    assert!(report.notes.iter().any(|note| note.contains("`list`")), "{report:?}");
    assert!(world.has(1, 7), "the table is still there");
    world.server.answer("/list", Reply::ok(list(0, 4)));
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "updated");
    assert!(world.has(0, 4));
}

#[tokio::test]
async fn a_table_that_is_damaged_or_gone_is_made_again_without_asking_anybody() {
    let world = World::new().await;
    world.update().await;
    let path = world.feeds_directory().join("feeds.bin");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    world.server.take_requests();
    assert!(matches!(world.update().await.table, TableOutcome::Compiled { .. }));
    assert!(world.has(0, 3));
    fs::remove_file(&path).unwrap();
    assert!(matches!(world.update().await.table, TableOutcome::Compiled { .. }));
    assert_eq!(world.update().await.table, TableOutcome::Kept);
    assert_eq!(world.server.take_requests().len(), 0);
}

#[tokio::test]
async fn a_feed_that_cannot_be_written_fails_by_itself() {
    let mut world = World::new().await;
    world.add("other", |_| ());
    world.server.answer("/other", Reply::ok(list(1, 3)));
    fs::create_dir_all(world.feeds_directory().join("sources/list.tmp/full")).unwrap();
    let report = world.update().await;
    assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["storage", "updated"]);
    assert_eq!(report.outcome(), Outcome::Partial);
}

#[tokio::test]
async fn a_directory_a_catalogue_or_a_seed_that_cannot_be_used_is_an_error() {
    let world = World::new().await;
    fs::write(world.path("file"), "text").unwrap();
    for (what, error) in [
        ("directory", world.update_with(|options| options.directory = world.path("file")).await),
        ("catalogue", world.update_with(|options| options.catalogue = Some(world.path("file"))).await),
        ("catalogue", world.update_with(|options| options.catalogue = Some(world.path("none"))).await),
        ("seed", world.update_with(|options| options.seed = Some(world.path("file"))).await),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::Feeds);
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(world.server.take_requests().len(), 0);
}

#[tokio::test]
async fn what_a_newer_catalogue_knows_is_left_out_with_a_note() {
    let mut world = World::new().await;
    world.add("newer", |feed| feed["format"] = json!("of-tomorrow"));
    let report = world.update().await;
    assert_eq!(report.feeds.len(), 1);
    assert!(report.notes[0].contains("`newer`"), "{:?}", report.notes);
}

#[tokio::test]
async fn status_says_what_is_there_how_old_it_is_and_when_it_may_be_fetched() {
    let mut world = World::new().await;
    world.add("other", |_| ());
    world.server.answer("/other", Reply::status(500));
    assert!(world.status().iter().all(|feed| feed.file.is_none() && feed.next_allowed_at.is_none()));
    world.update().await;
    let [list, other] = &world.status()[..] else { panic!("two feeds") };
    let file = list.file.as_ref().unwrap();
    assert_eq!((file.rows, file.is_imported, list.licence.name.as_str()), (3, false, "CC0"));
    assert!(list.due_at.unwrap() > list.next_allowed_at.unwrap());
    assert_eq!((&other.file, other.due_at), (&None, None));
    assert_eq!(other.last_failure.as_ref().unwrap().reason, "status");
    world.clock.advance(DAY);
    let list = &world.status()[0];
    assert_eq!((list.due_at, list.next_allowed_at), (None, None));
}
