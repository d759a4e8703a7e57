//! Which share of each population lies in which band: `npm run bands`.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use fastrand::Rng;
use ip_risk_benchmark::population::{Population, alone, score};
use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::snapshots::{CLOUDS, HOSTING, directory, networks, sources, table};
use ip_risk_core::feeds::compile::Source;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::scoring::Scoring;

/// How many addresses are drawn of each population.
const SAMPLE: usize = 20_000;

/// The populations that are the addresses of feeds.
const OF_FEEDS: [(&str, &[&str]); 14] = [
    ("iCloud Private Relay", &["apple-relay"]),
    ("named clouds", &CLOUDS),
    ("X4BNet datacenter", &["x4bnet-datacenter-v4"]),
    ("X4BNet vpn minus relay", &["x4bnet-vpn-v4"]),
    ("exact consumer VPN", &["proton-vpn", "mullvad", "pia"]),
    ("Tor exits", &["tor-exits"]),
    ("public proxies 30 d", &["sslproxies-30d", "socks-proxy-30d"]),
    ("blocklist.de", &["blocklist-de"]),
    ("GreenSnow", &["greensnow"]),
    ("CINS", &["cins"]),
    ("StopForumSpam 180 d", &["stopforumspam-180d"]),
    ("FireHOL level 3", &["firehol-level3"]),
    ("FireHOL level 4", &["firehol-level4"]),
    ("Spamhaus DROP", &["spamhaus-drop-v4"]),
];

fn main() -> ExitCode {
    end("bands", run())
}

fn run() -> Outcome<()> {
    let networks = networks()?;
    let sources = sources(&directory()?, &networks)?;
    let table = table(&sources, &networks, |_| true)?;
    let scoring = Scoring::shipped()?;
    println!(
        "Share of each population in each band, in percent; {SAMPLE} addresses each; scoring {}.",
        scoring.version
    );
    println!("Every feed is taken to be fresh. `alone`: without the neighbourhood.\n");
    println!("| population | 0-19 | 20-44 | 45-79 | 80+ | mean | 0-19 alone | 20-44 alone | mean alone |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut rng = Rng::with_seed(7);
    for (name, addresses) in populations(&sources, &networks, &mut rng)? {
        let with = Bands::of(addresses.iter().map(|address| score(&table, &scoring, *address, true)));
        let alone = Bands::of(addresses.iter().map(|address| score(&table, &scoring, *address, false)));
        let [low, guarded, elevated, high] = with.shares;
        let mean = with.mean;
        println!(
            "| {name} | {low:.1} | {guarded:.1} | {elevated:.1} | {high:.1} | {mean:.1} | {:.1} | {:.1} | {:.1} |",
            alone.shares[0], alone.shares[1], alone.mean
        );
    }
    println!("| verified crawlers | no snapshot | | | | | | | |");
    Ok(())
}

fn populations(
    sources: &[Source],
    networks: &Networks,
    rng: &mut Rng,
) -> Outcome<Vec<(&'static str, Vec<u32>)>> {
    let routed = Population::routed(networks);
    let hosting = Population::of_feeds(sources, &HOSTING)?;
    let relay = Population::of_feeds(sources, &["apple-relay"])?;
    let mut drawn = vec![
        ("routed space", routed.draw(SAMPLE, rng, |_| true)),
        ("routed minus hosting", routed.draw(SAMPLE, rng, |address| !hosting.holds(address))),
    ];
    for (name, ids) in OF_FEEDS {
        let population = Population::of_feeds(sources, ids)?;
        // A relay is on the list of VPN networks by intention of its makers.
        let is_kept = |address| name != "X4BNet vpn minus relay" || !relay.holds(address);
        drawn.push((name, population.draw(SAMPLE, rng, is_kept)));
    }
    let ipsum = Population::of_feeds(sources, &["ipsum"])?;
    let counts = alone(sources, networks, "ipsum")?;
    let count = |address: u32| {
        let found = counts.look_up(IpAddr::V4(Ipv4Addr::from_bits(address)));
        found.entries().map(|entry| entry.value).max().unwrap_or(0)
    };
    drawn.push(("IPsum >= 3", ipsum.draw(SAMPLE, rng, |address| count(address) >= 3)));
    drawn.push(("IPsum = 1", ipsum.draw(SAMPLE, rng, |address| count(address) == 1)));
    Ok(drawn)
}

struct Bands {
    /// In percent.
    shares: [f64; 4],
    mean: f64,
}

impl Bands {
    #[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^53")]
    fn of(scores: impl Iterator<Item = u8>) -> Self {
        let mut counts = [0_u32; 4];
        let (mut sum, mut all) = (0_u64, 0_u64);
        for score in scores {
            counts[[20, 45, 80].iter().filter(|edge| score >= **edge).count()] += 1;
            sum += u64::from(score);
            all += 1;
        }
        Self {
            shares: counts.map(|count| f64::from(count) * 100.0 / all as f64),
            mean: sum as f64 / all as f64,
        }
    }
}
