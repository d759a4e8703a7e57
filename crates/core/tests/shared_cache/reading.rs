//! The option `redis`: what is read, and how mistakes are told.

use ip_risk_core::error::Code;
use ip_risk_core::secret::Secret;
use ip_risk_core::shared_cache::options::{self, RedisOptions, Topology};
use serde_json::{Value, json};

use crate::world::redis_options;

fn read(redis: &Value) -> RedisOptions {
    redis_options(redis)
}

fn nodes(options: &RedisOptions) -> Vec<String> {
    options.nodes.iter().map(|node| format!("{} {}", node.host, node.port)).collect()
}

fn login(options: &RedisOptions) -> (Option<&str>, Option<&str>) {
    let login = &options.login;
    (login.username.as_deref(), login.password.as_ref().map(Secret::expose))
}

#[test]
fn a_url_says_it_all() {
    let options = read(&json!("redis://localhost"));
    assert_eq!(
        (nodes(&options), options.tls, options.database),
        (vec!["localhost 6379".to_owned()], false, 0)
    );
    assert_eq!((login(&options), options.timeout.as_millis()), ((None, None), 50));
    assert_eq!((options.topology, options.key_prefix.as_str()), (Topology::Standalone, ""));
    let options = read(&json!("rediss://us%40er:p%3Ass%2F@[2001:db8::1]:6380/3?family=0"));
    assert_eq!(
        (nodes(&options), options.tls, options.database),
        (vec!["2001:db8::1 6380".to_owned()], true, 3)
    );
    assert_eq!(login(&options), (Some("us@er"), Some("p:ss/")));
    assert_eq!(login(&read(&json!("redis://:secret@host/"))), (None, Some("secret")));
}

#[test]
fn an_object_says_more() {
    let options = read(&json!({
        "url": "redis://a:b@host/1", "username": "c", "database": 2, "keyPrefix": "shop:", "timeoutMs": 20
    }));
    assert_eq!((login(&options), options.database), ((Some("c"), Some("b")), 2));
    assert_eq!((options.key_prefix.as_str(), options.timeout.as_millis()), ("shop:", 20));
    let options =
        read(&json!({ "urls": ["rediss://a", "rediss://b:7000"], "cluster": true, "password": "p" }));
    assert_eq!(nodes(&options), ["a 6379", "b 7000"]);
    assert_eq!(
        (&options.topology, options.tls, login(&options)),
        (&Topology::Cluster, true, (None, Some("p")))
    );
    let options = read(&json!({
        "sentinel": { "master": "main", "urls": ["redis://:s@a", "redis://b:7000"] }, "password": "p", "database": 1
    }));
    assert_eq!(
        (nodes(&options), login(&options)),
        (vec!["a 26379".to_owned(), "b 7000".to_owned()], (None, Some("p")))
    );
    let Topology::Sentinel { master, login } = options.topology else { panic!() };
    assert_eq!((master.as_str(), login.password.unwrap().expose(), options.database), ("main", "s", 1));
}

#[test]
fn what_is_written_wins_over_the_environment() {
    let of = |written: Value, url: &str| options::read(&written, Some(&Secret::new(url)));
    let key = json!({ "apiKey": "key" });
    assert_eq!(nodes(&of(key.clone(), " redis://env ").unwrap().unwrap()), ["env 6379"]);
    assert_eq!(of(key.clone(), " ").unwrap(), None);
    let written = json!({ "apiKey": "key", "redis": "redis://written" });
    assert_eq!(nodes(&of(written, "redis://env").unwrap().unwrap()), ["written 6379"]);
    assert_eq!(of(json!({ "apiKey": "key", "redis": false }), "redis://env").unwrap(), None);
    let mistake = of(key, "http://user:hunter2@env").unwrap_err().to_string();
    assert_eq!(mistake, "the environment variable `REDIS_URL` must begin with `redis://` or `rediss://`");
}

#[test]
fn mistakes_name_their_place_and_no_value() {
    let pair = ["rediss://:hunter2@a", "redis://:hunter2@b"];
    for (redis, place) in [
        (json!(true), "`redis`"),
        (json!(null), "`redis`"),
        (json!(["redis://:hunter2@host"]), "`redis`"),
        (json!(""), "`redis`"),
        (json!("hunter2"), "`redis`"),
        (json!("http://:hunter2@host"), "`redis`"),
        (json!("redis://:hunter2@host/zero"), "`redis`"),
        (json!("redis://:hunter2@host/0?tls=1"), "`redis`"),
        (json!("redis://:hunter2@host/0#insecure"), "`redis`"),
        (json!("redis://hunter2@host"), "`redis`"),
        (json!("redis://:hunter2%ff@host"), "`redis`"),
        (json!("redis://:hunter2@host:99999"), "`redis`"),
        (json!("redis:hunter2"), "`redis`"),
        (json!({}), "`redis`"),
        (json!({ "url": "redis://a", "urls": ["redis://hunter2"] }), "`redis`"),
        (json!({ "url": 5 }), "`redis.url`"),
        (json!({ "url": ["redis://:hunter2@host"] }), "`redis.url`"),
        (json!({ "urls": ["redis://:hunter2@host"] }), "`redis.urls`"),
        (json!({ "urls": "redis://:hunter2@host", "cluster": true }), "`redis.urls`"),
        (json!({ "urls": [], "cluster": true }), "`redis.urls`"),
        (json!({ "urls": ["redis://a", "hunter2"], "cluster": true }), "`redis.urls[1]`"),
        (json!({ "urls": pair, "cluster": true }), "`redis`"),
        (json!({ "url": "redis://a", "cluster": "yes" }), "`redis.cluster`"),
        (json!({ "url": "redis://a", "password": ["hunter2"] }), "`redis.password`"),
        (json!({ "url": "redis://a", "password": "" }), "`redis.password`"),
        (json!({ "url": "redis://a", "username": "hunter2" }), "`redis.username`"),
        (json!({ "url": "redis://a", "database": -1 }), "`redis.database`"),
        (json!({ "url": "redis://a", "timeoutMs": 0 }), "`redis.timeoutMs`"),
        (json!({ "url": "redis://a", "keyPrefix": "a b" }), "`redis.keyPrefix`"),
        (json!({ "url": "redis://a", "tls": {} }), "`redis.tls`"),
        (json!({ "url": "rediss://a", "tls": { "ca": "/etc/ca.pem" } }), "`redis.tls.ca`"),
        (json!({ "url": "rediss://a", "tls": { "caFile": "x" } }), "`redis.tls.caFile`"),
        (json!({ "url": "redis://a", "pasword": "hunter2" }), "`redis.pasword`"),
        (json!({ "sentinel": { "urls": ["redis://a"] } }), "`redis.sentinel.master`"),
        (json!({ "sentinel": { "master": "m" } }), "`redis.sentinel.urls`"),
        (json!({ "sentinel": { "master": "m", "urls": ["redis://a/1"] } }), "`redis.sentinel.urls`"),
        (json!({ "sentinel": { "master": "m", "urls": ["redis://a"] }, "cluster": true }), "`redis`"),
    ] {
        let written = json!({ "apiKey": "key", "redis": redis });
        let mistake = options::read(&written, None).unwrap_err();
        assert!(matches!(mistake.code(), Code::Option | Code::UnknownOption), "{redis}");
        let message = mistake.to_string();
        assert!(message.starts_with(place), "{redis}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn secrets_do_not_print() {
    let options = read(&json!({ "url": "redis://:hunter2@a", "username": "u" }));
    assert!(!format!("{options:?}").contains("hunter2"));
}
