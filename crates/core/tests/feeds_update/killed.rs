//! An update that is killed: what was there is still there, and the next one works.

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ip_risk_core::clock::AdjustableClock;
use ip_risk_core::feeds::progress::Progress;
use ip_risk_core::feeds::report::Outcome;
use ip_risk_core::feeds::update::{UpdateOptions, update};
use tokio::runtime::Runtime;

use crate::server::Reply;
use crate::world::{HOUR, World, address, list};

/// Set in the process that is to be killed: the directory of its world.
const CHILD: &str = "IP_RISK_TEST_KILLED";
const FEEDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// This test once more, as the process that is to be killed.
fn child(world: &World) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "killed::an_update_that_is_killed_leaves_the_old_files_and_the_next_one_works"])
        .env(CHILD, world.directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What that process does: an update an hour later.
fn run_child(directory: &Path) {
    let clock = Arc::new(AdjustableClock::default());
    clock.advance(HOUR);
    let options = UpdateOptions {
        catalogue: Some(directory.join("catalogue.json")),
        force: true,
        jitter: std::time::Duration::ZERO,
        clock,
        ..UpdateOptions::new(&directory.join("feeds"))
    };
    Runtime::new().unwrap().block_on(update(options, Arc::new(Progress::default()))).unwrap();
}

/// Whether the table has either the old or the new rows of each feed.
fn is_whole(world: &World) -> bool {
    let table = world.table();
    let numbers = (0_u8..).zip(FEEDS);
    let mut wholes = numbers.map(|(number, id)| {
        let has = |block: u8, rows: u32| {
            (0..rows).all(|row| {
                let found = table.look_up(address(block, row).into());
                found.entries().any(|entry| entry.feed.id == id)
            })
        };
        has(number, 300) != has(number + 100, 310)
    });
    wholes.all(|is_whole| is_whole)
}

#[test]
fn an_update_that_is_killed_leaves_the_old_files_and_the_next_one_works() {
    if let Some(directory) = env::var_os(CHILD) {
        return run_child(Path::new(&directory));
    }
    let runtime = Runtime::new().unwrap();
    for stalled in FEEDS {
        runtime.block_on(killed_at(stalled));
    }
}

async fn killed_at(stalled: &str) {
    let mut world = World::empty().await;
    for (number, id) in (0_u8..).zip(FEEDS) {
        world.add(id, |_| ());
        world.server.answer(&format!("/{id}"), Reply::ok(list(number, 300)));
    }
    assert_eq!(world.update().await.outcome(), Outcome::Updated);
    assert!(is_whole(&world));

    world.server.take_requests();
    for (number, id) in (100_u8..).zip(FEEDS) {
        let reply = Reply::ok(list(number, 310));
        let half = reply.wire()[..2_000].to_vec();
        world.server.answer(&format!("/{id}"), if id == stalled { Reply::Stall(half) } else { reply });
    }
    let mut child = child(&world);
    world.server.asked_for(&format!("/{stalled}")).await;
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was killed before it was done");
    assert!(is_whole(&world), "killed while `{stalled}` came");

    let stalled_number = (100_u8..).zip(FEEDS).find(|(_, id)| *id == stalled).unwrap().0;
    world.server.answer(&format!("/{stalled}"), Reply::ok(list(stalled_number, 310)));
    world.clock.advance(3 * HOUR);
    let report = world.update().await;
    assert_eq!(report.outcome(), Outcome::Updated, "{report:?}");
    assert!(is_whole(&world));
    assert_eq!(world.named_by(address(stalled_number, 309)), [stalled]);
    assert_eq!(world.half_written().len(), 0);
}
