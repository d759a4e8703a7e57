//! Files that came whole and are not to be trusted.

use std::fs;

use ip_risk_core::feeds::compile::compile;
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::report::{Outcome, TableOutcome};
use serde_json::json;

use crate::server::Reply;
use crate::world::{DAY, World, list, word};

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
    assert_eq!(status.refused_change.unwrap().size.rows, 2_001);
    assert_eq!(status.last_failure.as_ref().unwrap().reason, "changed");

    world.clock.advance(DAY);
    let report = world.update_with(|options| options.accept_change = vec!["list".into()]).await.unwrap();
    assert_eq!(word(&report.feeds[0]), "updated");
    assert!(world.has(1, 2_001));
    assert_eq!(world.status()[0].refused_change, None);

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
    assert!(matches!(report.table, TableOutcome::Compiled { unusable_rows: 1, .. }), "{:?}", report.table);
    world.clock.advance(DAY);
    let report = world.update_with(|options| options.seed = Some(world.path("seed.bin"))).await.unwrap();
    assert!(matches!(report.table, TableOutcome::Compiled { unusable_rows: 0, .. }), "{:?}", report.table);
    assert_eq!(world.named_by("40.1.2.3".parse().unwrap()), ["numbers"]);
}

#[tokio::test]
async fn feeds_that_do_not_fit_into_a_table_leave_the_old_one() {
    let mut world = World::new().await;
    assert_eq!(world.word().await, "updated");
    // More different counts on one address than a table can tell apart.
    for id in ["one", "two"] {
        world.add(id, |feed| (feed["format"], feed["signal"]) = (json!("ipsum"), json!("attack_count")));
        let rows = (1..=200).fold(String::new(), |text, count| text + &format!("40.0.0.1\t{count}\n"));
        world.server.answer(&format!("/{id}"), Reply::ok(rows));
    }
    let report = world.update().await;
    assert!(matches!(report.table, TableOutcome::Failed(_)), "{:?}", report.table);
    assert_eq!(report.outcome(), Outcome::Failed);
    assert_eq!(report.outcome().exit_code(), 1);
    assert!(world.has(0, 3));
}
