//! Files that were fetched elsewhere.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use ip_risk_core::clock::Clock;
use ip_risk_core::error::Code;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::report::Outcome;
use ip_risk_core::feeds::{file, seed};
use serde_json::json;

use crate::server::Reply;
use crate::world::{World, address, gzip, list, word};

#[tokio::test]
async fn a_file_is_imported_by_its_name_or_by_an_id() {
    let mut world = World::new().await;
    world.add("other", |_| ());
    fs::write(world.path("list.txt"), list(0, 3)).unwrap();
    fs::write(world.path("download"), gzip(list(1, 4).as_bytes())).unwrap();
    let files = vec![(None, world.path("list.txt")), (Some("other".into()), world.path("download"))];
    let report = world.import(files, |_| ()).unwrap();
    assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["updated", "updated"]);
    assert_eq!(report.outcome(), Outcome::Updated);
    assert_eq!(world.named_by(address(1, 3)), ["other"]);
    assert!(world.status().iter().all(|feed| feed.file.as_ref().unwrap().is_imported));
    assert_eq!(world.server.take_requests().len(), 0);
    // A server is asked as if nothing was there, and has the same.
    let report = world.update().await;
    assert_eq!(word(&report.feeds[0]), "unchanged");
    assert!(!world.status()[0].file.as_ref().unwrap().is_imported);
    assert!(world.status()[1].file.as_ref().unwrap().is_imported);
}

#[tokio::test]
async fn an_imported_file_is_as_old_as_it_was_written() {
    let world = World::new().await;
    let path = world.path("list.txt");
    fs::write(&path, list(0, 3)).unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    world.import(vec![(None, path)], |_| ()).unwrap();
    assert_eq!(world.table().feeds()[0].seen_at, 1_700_000_000_000);
    assert!(world.clock.now() > 1_700_000_000_000);
}

#[tokio::test]
async fn an_import_passes_the_same_gate() {
    let world = World::new().await;
    let import = |text: &str| {
        fs::write(world.path("list.txt"), text).unwrap();
        let report = world.import(vec![(None, world.path("list.txt"))], |_| ()).unwrap();
        word(&report.feeds[0])
    };
    assert_eq!(import(&list(0, 1_000)), "updated");
    for (text, reason) in [
        ("<html>".to_owned(), "html_page"),
        ("0.0.0.0/0\n".into(), "too_wide"),
        (list(0, 400), "changed"),
        (list(0, 20_000), "too_large"),
        (String::new(), "empty"),
    ] {
        assert_eq!(import(&text), reason);
        assert!(world.has(0, 1_000));
    }
    let files = vec![(None, world.path("list.txt"))];
    fs::write(world.path("list.txt"), list(0, 400)).unwrap();
    let report = world.import(files, |options| options.accept_change = vec!["list".into()]).unwrap();
    assert_eq!(word(&report.feeds[0]), "updated");
}

#[tokio::test]
async fn a_file_that_is_not_for_commerce_needs_a_word_here_too() {
    let mut world = World::empty().await;
    world.add("gift", |feed| feed["licence"]["commercial"] = json!(false));
    fs::write(world.path("gift"), list(0, 3)).unwrap();
    let files = || vec![(None, world.path("gift"))];
    assert_eq!(word(&world.import(files(), |_| ()).unwrap().feeds[0]), "needs_licence");
    assert!(!world.status()[0].licence_accepted);
    let report = world.import(files(), |options| options.accept_non_commercial = true).unwrap();
    assert_eq!(word(&report.feeds[0]), "updated");
    assert!(world.status()[0].licence_accepted);
    // That is remembered, so that a table can be made anew.
    fs::remove_file(world.feeds_directory().join("feeds.bin")).unwrap();
    assert_eq!(word(&world.update().await.feeds[0]), "needs_licence");
    assert_eq!(world.named_by(address(0, 0)), ["gift"]);
}

#[tokio::test]
async fn a_file_that_is_not_for_commerce_is_not_used_because_somebody_put_it_there() {
    let mut world = World::new().await;
    world.add("gift", |feed| feed["licence"]["commercial"] = json!(false));
    fs::create_dir_all(world.feeds_directory().join("sources")).unwrap();
    fs::write(world.feeds_directory().join("sources/gift"), list(1, 3)).unwrap();
    let report = world.update().await;
    assert!(
        report.notes[0].contains("`gift` is left out") && report.notes[0].contains("--accept-non-commercial")
    );
    assert_eq!(report.feeds[1].rows, None);
    assert_eq!(world.named_by(address(1, 0)), [""; 0]);
    world.update_with(|options| options.accept_non_commercial = true).await.unwrap();
    assert_eq!(world.named_by(address(1, 0)), ["gift"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_or_named_is_an_error_before_anything_is_taken() {
    let world = World::new().await;
    fs::write(world.path("list.txt"), list(0, 3)).unwrap();
    fs::write(world.path("what"), list(0, 3)).unwrap();
    let good = (None, world.path("list.txt"));
    for (bad, code) in [
        ((None, world.path("what")), Code::Feeds),
        ((Some("list".into()), world.path("none")), Code::Feeds),
        ((Some("list".into()), world.path("feeds")), Code::Feeds),
        ((Some("lsit".into()), world.path("what")), Code::Option),
    ] {
        let error = world.import(vec![good.clone(), bad], |_| ()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(
            code == Code::Option
                || error.to_string().contains("cannot be read")
                || error.to_string().contains("no feed")
        );
    }
    assert_eq!(world.status()[0].file, None);
}

#[tokio::test]
async fn an_import_and_an_update_do_not_meet() {
    let world = World::new().await;
    world.server.answer("/list", Reply::Stall(Vec::new()));
    let running =
        tokio::spawn(ip_risk_core::feeds::update::update(world.options(), std::sync::Arc::default()));
    world.server.asked_for("/list").await;
    fs::write(world.path("list.txt"), list(0, 3)).unwrap();
    let error = world.import(vec![(None, world.path("list.txt"))], |_| ()).unwrap_err();
    assert_eq!(error.code(), Code::FeedsBusy);
    running.abort();
}

/// A seed of one network, and of what the package may hold out of a directory of the shipped catalogue.
#[tokio::test]
async fn a_release_gives_on_the_anonymizers_whose_licence_allows_it_and_nothing_else() {
    let world = World::new().await;
    let files = ["tor-exits", "greensnow"].iter().zip(0..).map(|(id, block)| {
        let path = world.path(id);
        fs::write(&path, list(block, 2_000)).unwrap();
        (None, path)
    });
    let report = world.import(files.collect(), |options| options.catalogue = None).unwrap();
    assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["updated", "updated"]);
    let networks = Networks::parse(&[b"52.0.0.0,52.0.255.255,16509\n"]).unwrap();
    let seed = seed::build(&networks, 1, Some(&world.feeds_directory())).unwrap();
    let table = file::open(&seed).unwrap();
    let said = |address: &str| {
        let found = table.look_up(address.parse().unwrap());
        found.entries().map(|entry| entry.feed.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(said("52.0.1.2"), ["own-clouds"]);
    assert_eq!(said(&address(0, 7).to_string()), ["tor-exits"]);
    assert_eq!(said(&address(1, 7).to_string()), [""; 0], "greensnow grants nobody to pass it on");
    assert_eq!(file::networks(&seed).unwrap(), Some(networks));
}
