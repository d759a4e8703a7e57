//! Files that came whole and are not to be trusted.

use std::fs;

use ip_risk_core::feeds::compile::compile;
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::report::{Outcome, TableOutcome, UpdateReport};
use ip_risk_core::feeds::update::UpdateOptions;
use serde_json::json;

use crate::server::Reply;
use crate::world::{DAY, World, address, list, word};

async fn next(world: &World, text: String) -> &'static str {
    world.clock.advance(DAY);
    world.server.answer("/list", Reply::ok(text));
    world.word().await
}

#[tokio::test]
async fn a_list_that_covers_a_tenth_of_the_internet_is_refused() {
    let world = World::new().await;
    assert_eq!(world.word().await, "updated");
    let quarters: String = (0..104_u32)
        .fold(String::new(), |text, part| text + &format!("{}.{}.0.0/10\n", 20 + part / 4, part % 4 * 64));
    for (text, reason) in [
        (quarters, "coverage"),
        ("0.0.0.0/0\n".into(), "too_wide"),
        ("::/0\n".into(), "too_wide"),
        ("foo\nbar\n".into(), "rejected_lines"),
        (String::new(), "empty"),
    ] {
        assert_eq!(next(&world, text).await, reason);
        assert!(world.has(0, 3));
    }
}

#[tokio::test]
async fn a_list_that_doubles_overnight_waits_for_a_week_or_for_somebody_who_accepts_it() {
    let world = World::new().await;
    assert_eq!(next(&world, list(0, 1_000)).await, "updated");
    assert_eq!(next(&world, list(1, 2_001)).await, "changed");
    assert!(world.has(0, 1_000));
    let status = &world.status()[0];
    let failure = status.last_failure.as_ref().unwrap();
    assert_eq!(failure.reason, "changed");
    assert!(
        failure.message.contains("to 2001") && failure.message.contains("--accept-change ID"),
        "{failure:?}"
    );

    world.clock.advance(DAY);
    let report = world.update_with(|options| options.accept_change = vec!["list".into()]).await.unwrap();
    assert_eq!(word(&report.feeds[0]), "updated");
    assert!(world.has(1, 2_001));
    assert_eq!(world.status()[0].last_failure, None);

    for _ in 0..7 {
        assert_eq!(next(&world, list(0, 500)).await, "changed");
    }
    assert_eq!(next(&world, list(0, 500)).await, "updated");
    assert!(world.has(0, 500));
}

#[tokio::test]
async fn the_credit_of_a_file_is_kept_and_shown() {
    let mut world = World::empty().await;
    world.add("drop", |feed| {
        (feed["format"], feed["signal"]) = (json!("spamhaus"), json!("criminal"));
        feed["licence"]["credit"] = json!("The drop project");
    });
    let file = |end: &str| {
        Reply::ok(format!(
            "{{\"cidr\":\"40.0.0.0/16\"}}\n{{\"type\":\"metadata\",\"timestamp\":1784798042,\"records\":1{end}}}\n"
        ))
    };
    for (end, credit) in [
        ("", "The drop project"),
        (",\"copyright\":\"(c) 2026 The Drop Project\"", "(c) 2026 The Drop Project"),
    ] {
        world.server.answer("/drop", file(end));
        world.clock.advance(DAY);
        let report = world.update().await;
        assert!(report.feeds[0].credit.as_ref().unwrap().contains(credit), "{report:?}");
        assert!(world.status()[0].file.as_ref().unwrap().credit.as_ref().unwrap().contains(credit));
        let table = world.table();
        assert!(table.feeds()[0].credit.as_ref().unwrap().contains(credit));
        assert_eq!(table.feeds()[0].seen_at, 1_784_798_042_000, "the file says when it was made");
    }
}

#[tokio::test]
async fn networks_by_their_number_become_addresses_with_a_seed() {
    let mut world = World::empty().await;
    world.add("numbers", |feed| feed["format"] = json!("asn-csv"));
    world.server.answer("/numbers", Reply::ok("64500,Somebody\n"));
    let networks = Networks::parse(&[b"40.1.0.0,40.1.255.255,64500\n"]).unwrap();
    let seed = file::write(&compile(Vec::new(), None, 0).unwrap(), Some(&networks), true);
    fs::write(world.path("seed.bin"), seed).unwrap();

    let report = world.update().await;
    assert_eq!(word(&report.feeds[0]), "unknown_networks");
    assert_eq!(report.table, TableOutcome::Empty);
    world.clock.advance(DAY);
    let report = world.update_with(|options| options.seed = Some(world.path("seed.bin"))).await.unwrap();
    assert!(matches!(report.table, TableOutcome::Compiled { unusable_rows: 0, .. }), "{:?}", report.table);
    assert_eq!(world.named_by("40.1.2.3".parse().unwrap()), ["numbers"]);
}

/// What a feed says whose rows name one network so many times.
fn names(count: u32) -> String {
    (0..count).fold(String::new(), |text, name| text + &format!("64500,{name}\n"))
}

/// A world with a feed of networks by their number, beside the usual one, and a seed.
async fn with_names() -> World {
    let mut world = World::new().await;
    world.add("names", |feed| (feed["format"], feed["signal"]) = (json!("asn-csv"), json!("hosting")));
    let networks = Networks::parse(&[b"40.1.0.0,40.1.255.255,64500\n"]).unwrap();
    let seed = file::write(&compile(Vec::new(), None, 0).unwrap(), Some(&networks), true);
    fs::write(world.path("seed.bin"), seed).unwrap();
    world
}

async fn seeded(world: &World) -> UpdateReport {
    world.update_with(|options| options.seed = Some(world.path("seed.bin"))).await.unwrap()
}

#[tokio::test]
async fn a_feed_that_does_not_fit_into_the_table_is_left_out_and_the_others_go_on() {
    let world = with_names().await;
    world.server.answer("/names", Reply::ok(names(100)));
    assert_eq!(seeded(&world).await.outcome(), Outcome::Updated);
    // More different names on one network than a table can tell apart.
    let accept = |options: &mut UpdateOptions| {
        (options.seed, options.accept_change) = (Some(world.path("seed.bin")), vec!["names".into()]);
    };
    world.server.answer("/names", Reply::ok(names(300)));
    for rows in 4..7 {
        world.clock.advance(DAY);
        world.server.answer("/list", Reply::ok(list(0, rows)));
        let report = world.update_with(accept).await.unwrap();
        assert_eq!(report.feeds.iter().map(word).collect::<Vec<_>>(), ["updated", "does_not_fit"]);
        assert_eq!(report.feeds[1].outcome.as_str(), "left_out");
        assert!(report.notes.iter().any(|note| note.contains("`names` is left out")), "{:?}", report.notes);
        assert_eq!(report.outcome(), Outcome::Partial);
        assert!(world.named_by(address(0, rows - 1)) == ["list"], "the others are compiled");
        assert_eq!(world.status()[1].last_failure.as_ref().unwrap().reason, "does_not_fit");
    }
    world.clock.advance(DAY);
    world.server.answer("/names", Reply::ok(names(100)));
    assert_eq!(world.update_with(accept).await.unwrap().outcome(), Outcome::Updated);
    assert_eq!(world.status()[1].last_failure, None);
    assert_eq!(world.named_by("40.1.2.3".parse().unwrap()).len(), 100);
}

#[tokio::test]
async fn when_nothing_fits_into_the_table_the_old_one_stays() {
    let world = with_names().await;
    world.server.answer("/names", Reply::ok(names(100)));
    let only = |options: &mut UpdateOptions| {
        (options.seed, options.only) = (Some(world.path("seed.bin")), vec!["names".into()]);
        options.accept_change = vec!["names".into()];
    };
    world.update_with(only).await.unwrap();
    world.clock.advance(DAY);
    world.server.answer("/names", Reply::ok(names(300)));
    let report = world.update_with(only).await.unwrap();
    assert!(matches!(report.table, TableOutcome::Failed(_)), "{:?}", report.table);
    assert_eq!((report.outcome(), report.outcome().exit_code()), (Outcome::Failed, 1));
    assert_eq!(world.named_by("40.1.2.3".parse().unwrap()).len(), 100);
}

#[tokio::test]
async fn a_count_crowds_nobody_out() {
    let mut world = World::new().await;
    world.add("counts", |feed| (feed["format"], feed["signal"]) = (json!("ipsum"), json!("attack_count")));
    let rows = (1..=300).fold(String::new(), |text, count| text + &format!("{}\t{count}\n", address(0, 0)));
    world.server.answer("/counts", Reply::ok(rows));
    assert_eq!(world.update().await.outcome(), Outcome::Updated);
    assert!(world.named_by(address(0, 0)).contains(&"list".to_owned()));
}

#[tokio::test]
async fn a_list_of_networks_is_as_large_as_they_are() {
    let mut world = World::empty().await;
    world.add("numbers", |feed| {
        (feed["format"], feed["signal"]) = (json!("spamhaus"), json!("criminal_asn"));
    });
    let small = |number: u32| {
        format!("40.{0}.{1}.0,40.{0}.{1}.255,{2}\n", number / 256, number % 256, 1_000 + number)
    };
    let text =
        (0..400).fold("50.0.0.0,73.255.255.255,7922\n".to_owned(), |text, number| text + &small(number));
    let networks = Networks::parse(&[text.as_bytes()]).unwrap();
    let seed = file::write(&compile(Vec::new(), None, 0).unwrap(), Some(&networks), true);
    fs::write(world.path("seed.bin"), seed).unwrap();
    let file = |more: &str, records: u32| {
        let rows =
            (1_000..1_400).fold(String::new(), |text, number| text + &format!("{{\"asn\":{number}}}\n"));
        Reply::ok(rows + more + &format!("{{\"type\":\"metadata\",\"records\":{records}}}\n"))
    };
    world.server.answer("/numbers", file("", 400));
    assert_eq!(word(&seeded(&world).await.feeds[0]), "updated");
    world.clock.advance(DAY);
    world.server.answer("/numbers", file("{\"asn\":7922}\n", 401));
    assert_eq!(word(&seeded(&world).await.feeds[0]), "changed");
    assert_eq!(world.named_by("60.1.2.3".parse().unwrap()), [""; 0]);
}

#[tokio::test]
async fn ipv6_networks_are_part_of_the_size() {
    let mut world = World::empty().await;
    world.add("list", |feed| feed["signal"] = json!("criminal"));
    let rows = (0..80).fold(String::new(), |text, row| text + &format!("2a0e:{row:x}::/32\n"));
    world.server.answer("/list", Reply::ok(rows.clone()));
    assert_eq!(world.word().await, "updated");
    for (more, reason) in
        [("2600::/16\n", "too_wide"), ("2600::/20\n2a02::/20\n", "changed"), ("", "unchanged")]
    {
        assert_eq!(next(&world, rows.clone() + more).await, reason);
    }
}

#[tokio::test]
async fn a_list_that_was_cut_off_at_its_server_is_refused() {
    let world = World::new().await;
    let text = list(0, 3_000);
    assert_eq!(next(&world, text.clone()).await, "updated");
    for tenth in 1..10 {
        let reason = next(&world, text[..text.len() * tenth / 10].to_owned()).await;
        assert!(["changed", "truncated"].contains(&reason), "{tenth}: {reason}");
        // As if no change had been refused before.
        assert_eq!(next(&world, text.clone()).await, "unchanged");
        assert!(world.has(0, 3_000));
    }
}

#[tokio::test]
async fn a_file_that_says_that_it_is_older_than_the_one_that_is_there_is_refused() {
    let world = World::new().await;
    let dated = |date: &str, block| format!("# Updated: {date} 00:00:00\n{}", list(block, 5));
    assert_eq!(next(&world, dated("2026-01-02", 0)).await, "updated");
    assert_eq!(next(&world, dated("2026-01-01", 1)).await, "older");
    fs::write(world.path("list.txt"), dated("2026-01-01", 1)).unwrap();
    let files = || vec![(None, world.path("list.txt"))];
    let report = world.import(files(), |_| ()).unwrap();
    assert_eq!(word(&report.feeds[0]), "older");
    assert!(report.feeds[0].outcome.message().unwrap().contains("--accept-change"));
    assert!(world.has(0, 5));
    let report = world.import(files(), |options| options.accept_change = vec!["list".into()]).unwrap();
    assert_eq!(word(&report.feeds[0]), "updated");
    assert!(world.has(1, 5));
    assert_eq!(next(&world, dated("2099-01-01", 0)).await, "updated");
    assert_eq!(next(&world, dated("2026-01-02", 1)).await, "updated", "nothing is made in the future");
}

#[tokio::test]
async fn lists_that_hold_relays_are_told_to_need_the_list_of_relays() {
    let mut world = World::empty().await;
    world.add("x4bnet-vpn-v4", |feed| feed["signal"] = json!("vpn_range"));
    world.server.answer("/x4bnet-vpn-v4", Reply::ok(list(0, 3)));
    let notes = world.update().await.notes;
    assert!(notes.iter().any(|note| note.contains("`apple-relay`")), "{notes:?}");
    world.add("apple-relay", |feed| feed["signal"] = json!("relay"));
    world.server.answer("/apple-relay", Reply::ok(list(1, 3)));
    assert_eq!(world.update().await.notes, [""; 0]);
}
