//! How well scores rank attackers whom no feed in use lists: `npm run quality`.
//!
//! One operator at a time is left out: its own lists, and everything that may hold them (counts of lists, aggregates, long
//! windows). Addresses of its lists are then told apart from random routed ones by the score.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::process::ExitCode;

use fastrand::Rng;
use ip_risk_benchmark::auc::{auc, edge_for, share_from};
use ip_risk_benchmark::population::{Population, alone, score};
use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::snapshots::{CLOUDS, HOSTING, directory, networks, sources, table};
use ip_risk_core::feeds::compile::Source;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::scoring::Scoring;
use ip_risk_core::feeds::table::Table;

/// How many addresses are drawn of each population, or all of a list that has fewer.
const SAMPLE: usize = 8_000;
/// How many of clean access networks: what half a percent of them reaches has to be told exactly.
const CLEAN_SAMPLE: usize = 100_000;
const SEEDS: [u64; 3] = [1, 2, 3];

const OPERATORS: [(&str, &[&str]); 4] = [
    ("blocklist.de", &["blocklist-de"]),
    ("GreenSnow", &["greensnow"]),
    ("CINS", &["cins"]),
    ("bruteforceblocker + ET", &["bruteforceblocker", "et-compromised"]),
];
/// What may hold anybody's list.
const AGGREGATES: [&str; 5] =
    ["ipsum", "firehol-level3", "firehol-level4", "firehol-abusers-30d", "stopforumspam-180d"];

fn main() -> ExitCode {
    end("quality", run())
}

/// What all rows share.
struct World {
    sources: Vec<Source>,
    networks: Networks,
    scoring: Scoring,
    routed: Population,
    hosting: Population,
    /// Of all feeds.
    everything: Table,
    /// Of IPsum alone.
    ipsum: Table,
}

/// The figures of one operator and one draw.
#[derive(Clone, Copy, Default)]
struct Row {
    /// Against all routed space: the score, without the neighbourhood, hosting alone, IPsum alone.
    against_all: [f64; 4],
    /// The same against routed space that is not hosting.
    against_access: [f64; 4],
    /// The share caught at the score that half a percent of clean access networks reach, for the same four.
    caught: [f64; 4],
    /// The share of clean access networks from 20, and from 45.
    clean: [f64; 2],
}

fn run() -> Outcome<()> {
    let networks = networks()?;
    let sources = sources(&directory()?, &networks)?;
    let world = World {
        routed: Population::routed(&networks),
        hosting: Population::of_feeds(&sources, &HOSTING)?,
        everything: table(&sources, &networks, |_| true)?,
        ipsum: alone(&sources, &networks, "ipsum")?,
        scoring: Scoring::shipped()?,
        sources,
        networks,
    };
    println!(
        "Leave one operator out: AUC of the score, {SAMPLE} addresses a side, mean of {} draws.",
        SEEDS.len()
    );
    println!("Each cell: the score / without the neighbourhood / hosting alone / IPsum alone.\n");
    println!(
        "| left out | against all routed space | against access networks | caught at 0.5 % of clean access networks | clean from 20, from 45 |"
    );
    println!("|---|---|---|---|---|");
    let mut rows = Vec::new();
    for (name, ids) in OPERATORS {
        let row = world.leave_out(ids)?;
        row.print(name);
        rows.push(row);
    }
    Row::mean(&rows).print("**mean**");
    world.print_unmoved()
}

impl World {
    fn leave_out(&self, ids: &[&str]) -> Outcome<Row> {
        let is_kept = |id: &str| !ids.contains(&id) && !AGGREGATES.contains(&id);
        let table = table(&self.sources, &self.networks, is_kept)?;
        let listed = Population::of_feeds(&self.sources, ids)?;
        let rows: Vec<Row> = SEEDS.iter().map(|seed| self.row(&table, &listed, *seed)).collect();
        Ok(Row::mean(&rows))
    }

    fn row(&self, table: &Table, listed: &Population, seed: u64) -> Row {
        let mut rng = Rng::with_seed(seed);
        let is_access = |address: u32| !self.hosting.holds(address);
        let is_clean =
            |address: u32| is_access(address) && score(&self.everything, &self.scoring, address, false) == 0;
        let sample = usize::try_from(listed.total()).unwrap_or(SAMPLE).min(SAMPLE);
        let attackers = listed.draw(sample, &mut rng, |_| true);
        let all = self.routed.draw(SAMPLE, &mut rng, |_| true);
        let access = self.routed.draw(SAMPLE, &mut rng, is_access);
        let clean = self.routed.draw(CLEAN_SAMPLE, &mut rng, is_clean);
        let mut row = Row::default();
        for scorer in 0..4 {
            let score = |addresses: &[u32]| -> Vec<u8> {
                addresses.iter().map(|address| self.score(table, *address, scorer)).collect()
            };
            let (attackers, clean) = (score(&attackers), score(&clean));
            row.against_all[scorer] = auc(&attackers, &score(&all));
            row.against_access[scorer] = auc(&attackers, &score(&access));
            row.caught[scorer] = share_from(&attackers, edge_for(&clean, 0.005));
            if scorer == 0 {
                row.clean = [20, 45].map(|edge| share_from(&clean, edge));
            }
        }
        row
    }

    fn score(&self, table: &Table, address: u32, scorer: usize) -> u8 {
        match scorer {
            0 => score(table, &self.scoring, address, true),
            1 => score(table, &self.scoring, address, false),
            2 => u8::from(self.hosting.holds(address)),
            _ => score(&self.ipsum, &self.scoring, address, false),
        }
    }

    /// Relays and clouds, which the neighbourhood must not touch.
    fn print_unmoved(&self) -> Outcome<()> {
        println!("\nAddresses whose score the neighbourhood changes, of {SAMPLE}, with all feeds:");
        let mut rng = Rng::with_seed(SEEDS[0]);
        for (name, ids) in [("relay", &["apple-relay"][..]), ("named clouds", &CLOUDS)] {
            let addresses = Population::of_feeds(&self.sources, ids)?.draw(SAMPLE, &mut rng, |_| true);
            let is_moved = |address: &&u32| {
                score(&self.everything, &self.scoring, **address, true)
                    != score(&self.everything, &self.scoring, **address, false)
            };
            println!("- {name}: {}", addresses.iter().filter(is_moved).count());
        }
        Ok(())
    }
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "there are four operators")]
    fn mean(rows: &[Self]) -> Self {
        let count = rows.len() as f64;
        let mut mean = Self::default();
        for row in rows {
            for place in 0..4 {
                mean.against_all[place] += row.against_all[place] / count;
                mean.against_access[place] += row.against_access[place] / count;
                mean.caught[place] += row.caught[place] / count;
            }
            for place in 0..2 {
                mean.clean[place] += row.clean[place] / count;
            }
        }
        mean
    }

    fn print(&self, name: &str) {
        let cell = |shares: &[f64; 4]| shares.map(|share| format!("{share:.3}")).join(" / ");
        let [from_20, from_45] = self.clean.map(|share| share * 100.0);
        println!(
            "| {name} | {} | {} | {} | {from_20:.2} %, {from_45:.3} % |",
            cell(&self.against_all),
            cell(&self.against_access),
            cell(&self.caught)
        );
    }
}
