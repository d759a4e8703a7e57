//! What can go wrong on the way: the last good file stays, and the report says why.

use std::time::Duration;

use ip_risk_core::feeds::report::{Outcome, TableOutcome};
use serde_json::json;

use crate::server::{Reply, Server};
use crate::world::{HOUR, World, gzip, list, word};

/// A world whose feed was fetched once, and is due again.
async fn fetched() -> World {
    let world = World::new().await;
    assert_eq!(world.word().await, "updated");
    world.clock.advance(HOUR);
    world
}

/// That answer is refused for that reason, and what was there stays.
async fn refuses(world: &World, reply: Reply, reason: &str) {
    let shown: String = format!("{reply:?}").chars().take(100).collect();
    world.server.answer("/list", reply);
    let report = world.update().await;
    assert_eq!(word(&report.feeds[0]), reason, "{shown}");
    assert_eq!(report.outcome(), Outcome::Failed);
    assert_eq!(report.table, TableOutcome::Kept);
    assert!(report.feeds[0].outcome.message().is_some());
    assert_eq!(report.feeds[0].rows, Some(3), "the last good file is used");
    assert!(world.has(0, 3), "{shown}");
    assert_eq!(world.half_written().len(), 0);
    world.clock.advance(HOUR);
}

#[tokio::test]
async fn a_feed_is_fetched_and_compiled() {
    let world = World::new().await;
    let report = world.update().await;
    assert_eq!(report.outcome(), Outcome::Updated);
    assert_eq!(report.outcome().exit_code(), 0);
    assert!(matches!(report.table, TableOutcome::Compiled { prefixes: 3, .. }), "{:?}", report.table);
    assert!(world.has(0, 3));
    let [request] = &world.server.take_requests()[..] else { panic!("one request") };
    assert!(request.header("user-agent").unwrap().starts_with("ip-risk/"));
    assert_eq!(request.header("accept-encoding"), Some("gzip"));
    assert_eq!(request.header("if-none-match"), None);
}

#[tokio::test]
async fn a_status_that_is_no_answer_is_a_failure() {
    let world = fetched().await;
    for status in [204, 206, 304, 400, 403, 404, 410, 500, 502] {
        refuses(&world, Reply::status(status), "status").await;
    }
    world.server.answer("/list", Reply::ok(list(1, 4)));
    assert_eq!(world.word().await, "updated");
    assert!(world.has(1, 4));
}

#[tokio::test]
async fn an_html_page_is_no_feed_whatever_it_is_called() {
    let world = fetched().await;
    let page = "<!DOCTYPE html><html><body>Please log in</body></html>";
    refuses(&world, Reply::ok(page), "html_page").await;
    refuses(&world, Reply::ok(gzip(page.as_bytes())).with("content-encoding", "gzip"), "html_page").await;
    world.server.answer("/list", Reply::ok(list(1, 3)).with("content-type", "Text/HTML; charset=utf-8"));
    assert_eq!(world.word().await, "updated", "nor is a list a page");
}

#[tokio::test]
async fn compressed_files_are_taken() {
    let body = list(1, 5);
    let once = gzip(body.as_bytes());
    for reply in [
        Reply::ok(once.clone()).with("content-encoding", "gzip"),
        Reply::ok(once.clone()).with("content-type", "application/gzip"),
        Reply::ok(gzip(&once)).with("content-encoding", "gzip"),
    ] {
        let world = fetched().await;
        world.server.answer("/list", reply);
        assert_eq!(world.word().await, "updated");
        assert!(world.has(1, 5));
        let source = std::fs::read_to_string(world.feeds_directory().join("sources/list")).unwrap();
        assert_eq!(source, body, "it is kept decompressed");
    }
}

#[tokio::test]
async fn a_file_is_bounded_as_it_comes_and_after_decompression() {
    let world = fetched().await;
    let large = list(1, 20_000);
    refuses(&world, Reply::ok(large.clone()), "too_large").await;
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    refuses(&world, Reply::Bytes(chunked.into()), "too_large").await;
    let bomb = gzip(&vec![b'\n'; 50_000_000]);
    assert!(bomb.len() < 100_000);
    refuses(&world, Reply::ok(bomb.clone()).with("content-encoding", "gzip"), "too_large").await;
    refuses(&world, Reply::ok(gzip(&bomb)), "too_large").await;
}

#[tokio::test]
async fn an_unknown_or_damaged_compression_is_a_failure() {
    let world = fetched().await;
    refuses(&world, Reply::ok(list(0, 3)).with("content-encoding", "br"), "encoding").await;
    let mut damaged = gzip(list(0, 900).as_bytes());
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    refuses(&world, Reply::ok(damaged), "truncated").await;
}

#[tokio::test]
async fn a_file_that_is_cut_off_at_any_tenth_is_refused() {
    let world = fetched().await;
    let plain = Reply::ok(list(1, 100)).wire();
    let compressed = Reply::ok(gzip(list(1, 100).as_bytes())).wire();
    let text = list(1, 100);
    let (front, back) = text.split_at(600);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n",
        front.len(),
        back.len()
    );
    for wire in [plain, compressed, chunked.into_bytes()] {
        let head = wire.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        for tenth in 0..10 {
            let end = head + (wire.len() - head) * tenth / 10;
            refuses(&world, Reply::Bytes(wire[..end].to_vec()), "truncated").await;
        }
    }
}

#[tokio::test]
async fn a_document_that_was_cut_off_at_its_server_is_refused() {
    let networks = (0..50).map(|row| json!({ "ip_prefix": format!("40.{row}.0.0/16") }));
    let aws = json!({ "prefixes": networks.collect::<Vec<_>>(), "ipv6_prefixes": [] }).to_string();
    let row = |row: u8| format!("{{\"cidr\":\"40.{row}.0.0/16\"}}\n");
    let spamhaus = (0..50).map(row).collect::<Vec<_>>().concat()
        + "{\"type\":\"metadata\",\"timestamp\":1784798042,\"size\":1,\"records\":50}\n";
    for (format, text) in [("aws", aws), ("spamhaus", spamhaus)] {
        let mut world = World::empty().await;
        world.add("list", |feed| feed["format"] = json!(format));
        world.server.answer("/list", Reply::ok(text.clone()));
        assert_eq!(world.word().await, "updated");
        for tenth in 1..10 {
            world.clock.advance(HOUR);
            world.server.answer("/list", Reply::ok(&text.as_bytes()[..text.len() * tenth / 10]));
            let reason = world.word().await;
            assert!(["truncated", "rejected_lines"].contains(&reason), "{format} at {tenth}: {reason}");
            assert_eq!(world.table().feeds()[0].rows, 50);
        }
    }
}

#[tokio::test]
async fn a_file_whose_end_cannot_be_told_is_refused() {
    let world = fetched().await;
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n{}", list(1, 3));
    refuses(&world, Reply::Bytes(reply.into()), "no_length").await;
}

#[tokio::test]
async fn what_is_not_http_is_a_failure() {
    let world = fetched().await;
    refuses(&world, Reply::Bytes(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()), "truncated").await;
    refuses(&world, Reply::Bytes(Vec::new()), "truncated").await;
}

#[tokio::test]
async fn a_server_that_stands_still_or_drips_ends_at_its_limit() {
    let wire = Reply::ok(list(1, 100)).wire();
    for bytes in [Vec::new(), wire[..20].to_vec(), wire[..wire.len() - 9].to_vec()] {
        let world = fetched().await;
        world.server.answer("/list", Reply::Stall(bytes));
        let started = tokio::time::Instant::now();
        let report =
            world.update_with(|options| options.limits.idle = Duration::from_millis(100)).await.unwrap();
        assert_eq!(word(&report.feeds[0]), "timeout");
        assert!(started.elapsed() < Duration::from_secs(15));
        assert!(world.has(0, 3));
    }
    let world = fetched().await;
    world.server.answer("/list", Reply::Stall(wire[..wire.len() - 9].to_vec()));
    let report =
        world.update_with(|options| options.limits.total = Duration::from_millis(100)).await.unwrap();
    assert_eq!(word(&report.feeds[0]), "timeout");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_that_may_be_tried_again_at_once() {
    let mut world = World::empty().await;
    world.add("list", |feed| feed["url"] = json!("http://127.0.0.1:9/list"));
    assert_eq!(world.word().await, "connect");
    assert_eq!(world.word().await, "connect");
    assert_eq!(world.update().await.table, TableOutcome::Empty);
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_site_and_at_most_three_times() {
    let world = fetched().await;
    for (from, to) in [("/list", "/a"), ("/a", "b"), ("/b", "/c")] {
        world.server.answer(from, Reply::status(302).with("location", to));
    }
    world.server.answer("/c", Reply::ok(list(1, 4)));
    assert_eq!(world.word().await, "updated");
    assert!(world.has(1, 4));

    world.server.answer("/c", Reply::status(301).with("location", "/d"));
    world.server.answer("/d", Reply::ok(list(0, 5)));
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "redirect");
    assert!(world.has(1, 4));
}

#[tokio::test]
async fn a_redirect_to_another_site_is_not_followed() {
    let world = fetched().await;
    let elsewhere = Server::start().await;
    elsewhere.answer("/list", Reply::ok(list(1, 4)));
    let localhost = elsewhere.url("/list").replace("127.0.0.1", "localhost");
    for target in
        [elsewhere.url("/list"), localhost, "file:///etc/passwd".into(), "https://127.0.0.1/".into()]
    {
        refuses(&world, Reply::status(307).with("location", target), "redirect").await;
    }
    refuses(&world, Reply::status(302), "redirect").await;
    assert_eq!(elsewhere.take_requests().len(), 0);
}

#[tokio::test]
async fn a_link_that_moves_is_read_from_its_page() {
    let mut world = World::empty().await;
    let (page, link) = (world.server.url("/page"), world.server.url("/d/*/list_*.txt"));
    world.add("list", |feed| {
        feed["url"] = serde_json::Value::Null;
        (feed["page"], feed["link"]) = (json!(page), json!(link));
    });
    let publish = |date: &str, rows| {
        let path = format!("/d/7f/list_{date}.txt");
        let html = format!("<html><a href=\"{}\">download</a>", world.server.url(&path));
        world.server.answer("/page", Reply::ok(html).with("content-type", "text/html"));
        world.server.answer(&path, Reply::ok(list(0, rows)).with("etag", "\"same\""));
    };
    publish("20261123", 3);
    assert_eq!(world.word().await, "updated");
    assert!(world.has(0, 3));

    publish("20261130", 4);
    world.clock.advance(HOUR);
    world.server.take_requests();
    assert_eq!(world.word().await, "updated");
    assert!(world.has(0, 4));
    let asked = world.server.take_requests();
    assert_eq!(asked[1].header("if-none-match"), None, "what is known is about another file");

    world.server.answer("/page", Reply::ok("<html>we moved").with("content-type", "text/html"));
    world.clock.advance(HOUR);
    assert_eq!(world.word().await, "no_link");
    assert!(world.has(0, 4));
}
