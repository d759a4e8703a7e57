//! The table: what is answered for every kind of policy, evidence, failure and address, written down from the published
//! order of evaluation and tried cell by cell over real sockets. Every cell is tried in both modes.

use ip_risk_core::decision::{Action, Decision, Mode, Source};
use ip_risk_core::error::Code;
use ip_risk_core::provenance::Facts;
use serde_json::{Value, json};

use crate::support::server::Reply;
use crate::support::{LONGEST_COOL_DOWN, TRUSTED_PROXY, UNVERIFIED, World, runtime};

/// `*` is every value of its column. A row is for all values that it lists; every cell has exactly one row.
///
/// * policy: `open`, `challenge` and `closed` fail in that way for every reason; `login` and `payment` are shipped.
/// * known: what the cache holds of the address, or what the provider answers.
///   `fresh-N` and `stale-N` are scores in the cache; `fresh-404` and `stale-404` is "no record" there; `404` is the
///   provider's answer now; `nothing` is a failing provider and an empty cache.
///   `special` is special-use space, `own-peer` is that as the process's own socket peer, `invalid` is no address.
/// * failure: how the provider fails where it is asked; `exhausted` is a limit that a caller can use up.
/// * max-stale: `maxStaleMs` not written, longer than the evidence is old, or shorter.
/// * address: how it became known.
/// * marks: those of `stale`, `degraded`, `opened` (failedOpen) and `closed` (failedClosed) that are true.
/// * code: the failure; `failure` is that of the failure column.
const TABLE: &str = "
policy              known      failure    max-stale     address     would-be   source   marks            code             reasons

# Fresh evidence: nobody is asked, so that nothing can fail.
*                   fresh-10   *          *             verified    allow      memory   -                -                below_thresholds
open,login          fresh-10   *          *             unverified  allow      memory   -                -                below_thresholds
challenge           fresh-10   *          *             unverified  allow      memory   -                -                below_thresholds
closed,payment      fresh-10   *          *             unverified  challenge  memory   -                -                below_thresholds,unverified_address
*                   fresh-30   *          *             verified    log        memory   -                -                threshold_log
open,login          fresh-30   *          *             unverified  log        memory   -                -                threshold_log
challenge           fresh-30   *          *             unverified  log        memory   -                -                threshold_log
closed,payment      fresh-30   *          *             unverified  challenge  memory   -                -                threshold_log,unverified_address
*                   fresh-60   *          *             *           challenge  memory   -                -                threshold_challenge
*                   fresh-90   *          *             verified    block      memory   -                -                threshold_block
*                   fresh-90   *          *             unverified  challenge  memory   -                -                threshold_block,unverified_address

# No record is evidence of nothing: open policies allow, closed ones challenge. It is not a failure.
open,login          404        *          *             *           allow      api      -                -                unknown_address
challenge           404        *          *             *           challenge  api      -                -                unknown_address
closed,payment      404        *          *             *           challenge  api      -                -                unknown_address
open,login          fresh-404  *          *             *           allow      memory   -                -                unknown_address
challenge           fresh-404  *          *             *           challenge  memory   -                -                unknown_address
closed,payment      fresh-404  *          *             *           challenge  memory   -                -                unknown_address

# Nothing known, or only an old \"no record\", which is never used: the failure mode.
open                nothing,stale-404  *          *     *           allow      none     degraded,opened  failure          failed_open
challenge           nothing,stale-404  *          *     *           challenge  none     degraded         failure          failed_challenge
closed,payment      nothing,stale-404  *          *     *           hold       none     degraded,closed  failure          failed_closed
login               nothing,stale-404  upstream   *     *           allow      none     degraded,opened  failure          failed_open
login               nothing,stale-404  exhausted  *     *           challenge  none     degraded         failure          failed_challenge

# Stale evidence answers in policies that are not closed. Older than they allow, it may still raise the failure mode.
open,challenge      stale-10   *          unset,longer  *           allow      memory   stale,degraded   failure          below_thresholds,stale_evidence
login               stale-10   *          unset,longer  *           allow      memory   stale,degraded   failure          below_thresholds,stale_evidence
open,challenge      stale-60   *          unset,longer  *           challenge  memory   stale,degraded   failure          threshold_challenge,stale_evidence
login               stale-60   *          unset,longer  *           challenge  memory   stale,degraded   failure          threshold_challenge,stale_evidence
open                stale-10   *          shorter        *           allow      none     degraded,opened  failure          failed_open
open                stale-60   *          shorter        *           challenge  memory   stale,degraded   failure          threshold_challenge,stale_evidence
challenge           stale-10,stale-60  *          shorter  *        challenge  none     degraded         failure          failed_challenge
login               stale-10   upstream   shorter        *           allow      none     degraded,opened  failure          failed_open
login               stale-60   upstream   shorter        *           challenge  memory   stale,degraded   failure          threshold_challenge,stale_evidence
login               stale-10,stale-60  exhausted  shorter  *        challenge  none     degraded         failure          failed_challenge

# Closed policies are never cleared by it, unless `maxStaleMs` says how old it may be.
closed,payment      stale-10   *          unset,shorter  *          hold       none     degraded,closed  failure          failed_closed
closed,payment      stale-60   *          unset,shorter  *          hold       none     degraded,closed  failure          failed_closed
closed,payment      stale-10   *          longer         verified   allow      memory   stale,degraded   failure          below_thresholds,stale_evidence
closed,payment      stale-10   *          longer         unverified challenge  memory   stale,degraded   failure          below_thresholds,stale_evidence,unverified_address
closed,payment      stale-60   *          longer         *          challenge  memory   stale,degraded   failure          threshold_challenge,stale_evidence

# A block on evidence stands, however old; only an address that anybody could have written is not blocked.
*                   stale-90   *          *              verified   block      memory   stale,degraded   failure          threshold_block,stale_evidence
open,challenge      stale-90   *          *              unverified challenge  memory   stale,degraded   failure          threshold_block,stale_evidence,unverified_address
login               stale-90   *          *              unverified challenge  memory   stale,degraded   failure          threshold_block,stale_evidence,unverified_address
closed,payment      stale-90   *          longer         unverified challenge  memory   stale,degraded   failure          threshold_block,stale_evidence,unverified_address

# Special-use space: the process's own peer is let in, anything else is not evidence.
*                   own-peer   *          *              verified   allow      special  -                -                special_use
open,login          special    *          *              *          allow      special  opened           SPECIAL_USE      failed_open,special_use
challenge           special    *          *              *          challenge  special  -                SPECIAL_USE      failed_challenge,special_use
closed,payment      special    *          *              *          hold       special  closed           SPECIAL_USE      failed_closed,special_use

# Text that is no address.
open,login          invalid    *          *              *          challenge  none     -                INVALID_ADDRESS  invalid_address
challenge           invalid    *          *              *          challenge  none     -                INVALID_ADDRESS  invalid_address
closed,payment      invalid    *          *              *          hold       none     closed           INVALID_ADDRESS  invalid_address
";

/// What the table leaves to a test of its own: a block on stale evidence about an address that is not blocked because
/// anybody could have written it. Nothing else clears a closed policy, so this must not either.
const UNVERIFIED_STALE_BLOCKS: &str = "
policy              known      failure    max-stale      address     would-be   source   marks            code     reasons
closed,payment      stale-90   *          unset,shorter  unverified  hold       none     degraded,closed  failure  failed_closed
";

const POLICIES: [&str; 5] = ["open", "challenge", "closed", "login", "payment"];
const KNOWN: [&str; 14] = [
    "fresh-10",
    "fresh-30",
    "fresh-60",
    "fresh-90",
    "fresh-404",
    "stale-10",
    "stale-60",
    "stale-90",
    "stale-404",
    "404",
    "nothing",
    "special",
    "own-peer",
    "invalid",
];
const FAILURES: [&str; 2] = ["upstream", "exhausted"];
const MAX_STALE: [&str; 3] = ["unset", "longer", "shorter"];
const ADDRESSES: [&str; 2] = ["verified", "unverified"];

const MINUTE: u64 = 60_000;
/// Beyond the time to live of evidence, and of "no record".
const AGE: u64 = 11 * MINUTE;

/// One cell: a value for each of the five columns on the left.
type Cell = [&'static str; 5];

/// One row: what it is for, and what is expected.
struct Row {
    cells: [&'static str; 5],
    would_be: &'static str,
    source: &'static str,
    marks: &'static str,
    code: &'static str,
    reasons: &'static str,
}

impl Row {
    fn read(line: &'static str) -> Self {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [policy, known, failure, max_stale, address, would_be, source, marks, code, reasons] =
            columns[..]
        else {
            panic!("not ten columns: {line}");
        };
        let cells = [policy, known, failure, max_stale, address];
        Self { cells, would_be, source, marks, code, reasons }
    }

    fn is_for(&self, cell: &Cell) -> bool {
        self.cells
            .iter()
            .zip(cell)
            .all(|(listed, value)| *listed == "*" || listed.split(',').any(|one| one == *value))
    }

    /// Everything that is expected of a decision, as text.
    fn expected(&self, cell: &Cell, mode: Mode) -> String {
        let failure = if cell[2] == "upstream" { "UPSTREAM_STATUS" } else { "QUOTA" };
        let code = if self.code == "failure" { failure } else { self.code };
        let action = if mode == Mode::Enforce { self.would_be } else { "allow" };
        format!(
            "{action}, would be {}, source {}, marks {}, code {code}, reasons {}",
            self.would_be, self.source, self.marks, self.reasons
        )
    }
}

fn rows(table: &'static str) -> Vec<Row> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.skip(1).map(Row::read).collect()
}

/// All cells that can occur.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for policy in POLICIES {
        for known in KNOWN {
            for failure in FAILURES {
                for max_stale in MAX_STALE {
                    for address in ADDRESSES {
                        // The process's own peer is who the socket says.
                        if (known, address) != ("own-peer", "unverified") {
                            cells.push([policy, known, failure, max_stale, address]);
                        }
                    }
                }
            }
        }
    }
    cells
}

fn policy_name(policy: &str, max_stale: &str, mode: Mode) -> String {
    format!("{policy}-{max_stale}-{}", mode.as_str())
}

/// A policy for every kind, `maxStaleMs` and mode.
fn policies() -> Value {
    let mut policies = json!({});
    for policy in POLICIES {
        for max_stale in MAX_STALE {
            for mode in Mode::ALL {
                let mut written = match policy {
                    "login" | "payment" => json!({ "extends": policy }),
                    mode => json!({ "onFailure": mode }),
                };
                written["mode"] = json!(mode.as_str());
                match max_stale {
                    "longer" => written["maxStaleMs"] = json!(AGE + 10 * MINUTE),
                    "shorter" => written["maxStaleMs"] = json!(AGE - MINUTE),
                    _ => {}
                }
                policies[policy_name(policy, max_stale, *mode)] = written;
            }
        }
    }
    policies
}

/// What the provider answers about an address of whom this is known.
fn reply_about(known: &str) -> Reply {
    match known.rsplit_once('-').map_or(known, |(_, score)| score) {
        "404" => Reply::status(404),
        score => Reply::score(score.parse().unwrap()),
    }
}

/// Makes the world what the cell says, and checks the address in it.
async fn decide(
    world: &World,
    [policy, known, failure, max_stale, address]: Cell,
    mode: Mode,
    text: &str,
) -> Decision {
    let policy = policy_name(policy, max_stale, mode);
    // The provider failed in the cell before, and is asked again.
    world.clock.advance(LONGEST_COOL_DOWN);
    if known.starts_with("fresh-") || known.starts_with("stale-") {
        world.server.answer(text, reply_about(known));
        world.check(text, &policy, TRUSTED_PROXY).await;
    }
    // At least a minute, in which unverified addresses get their look-ups back.
    world.clock.advance(if known.starts_with("stale-") { AGE } else { MINUTE });
    let status = if failure == "upstream" { 503 } else { 429 };
    world.server.answer(text, if known == "404" { reply_about(known) } else { Reply::status(status) });
    let text = match known {
        "special" | "own-peer" => "10.1.2.3",
        "invalid" => "10.1.2",
        _ => text,
    };
    let untrusted_peer = Facts::FRAMEWORK | Facts::IS_PEER | Facts::FORWARDED_HEADER;
    let facts = match (known, address) {
        ("own-peer", _) => Facts::from_bits(Facts::FRAMEWORK | Facts::IS_PEER),
        ("special", "unverified") => Facts::from_bits(untrusted_peer),
        // Text from a framework that is no address is nobody's, so the verified one comes through `check()`.
        ("invalid", "verified") => Facts::default(),
        (_, "verified") => TRUSTED_PROXY,
        _ => UNVERIFIED,
    };
    world.check(text, &policy, facts).await
}

/// Everything that the table speaks of, as text.
fn described(world: &World, decision: &Decision) -> String {
    let marks = [
        ("stale", decision.stale),
        ("degraded", decision.degraded),
        ("opened", decision.failed_open),
        ("closed", decision.failed_closed),
    ];
    let marks: Vec<&str> = marks.into_iter().filter(|(_, is_set)| *is_set).map(|(mark, _)| mark).collect();
    let code = decision.failure.map_or("-", |code| code.as_str().trim_start_matches("ERR_IP_RISK_"));
    format!(
        "{}, would be {}, source {}, marks {}, code {code}, reasons {}",
        decision.action.as_str(),
        decision.would_be.as_str(),
        decision.source.as_str(),
        if marks.is_empty() { "-".to_owned() } else { marks.join(",") },
        world.reasons(decision).join(",")
    )
}

/// What the other fields of a decision must be, whatever the cell.
fn is_consistent(decision: &Decision, known: &str, mode: Mode) {
    let has_evidence = decision.band.is_some();
    let score = known.rsplit_once('-').and_then(|(_, score)| score.parse().ok()).unwrap_or(0);
    assert_eq!(decision.score.value(), if has_evidence { score } else { 0 });
    assert_eq!(decision.flags.threat_score().is_some(), has_evidence);
    let has_answered = matches!(decision.source, Source::Memory | Source::Api);
    assert_eq!((decision.provider.is_some(), decision.checked_at.is_some()), (has_answered, has_answered));
    assert_eq!(decision.mode, mode);
    assert_eq!(decision.address.is_none(), decision.failure == Some(Code::InvalidAddress));
    assert!(decision.action != Action::Block || !decision.failed_closed);
}

/// Tries those of the table's cells that `is_wanted`, and says of all that are wrong how.
fn try_table(rows: &[Row], is_wanted: impl Fn(&Cell) -> bool) -> usize {
    runtime().block_on(async {
        let world = World::new(json!({ "policies": policies() })).await;
        let mut tried = 0;
        let mut wrong = Vec::new();
        for cell in cells().into_iter().filter(is_wanted) {
            let [row] = rows.iter().filter(|row| row.is_for(&cell)).collect::<Vec<_>>()[..] else {
                panic!("not exactly one row for {cell:?}");
            };
            for mode in Mode::ALL {
                tried += 1;
                let text = format!("2001:db8:0:{tried:x}::1");
                let decision = decide(&world, cell, *mode, &text).await;
                is_consistent(&decision, cell[1], *mode);
                let (found, expected) = (described(&world, &decision), row.expected(&cell, *mode));
                if found != expected {
                    wrong.push(format!("{cell:?} {mode:?}\n  is        {found}\n  should be {expected}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {tried} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
        tried
    })
}

#[test]
fn every_cell_is_answered_as_the_order_of_evaluation_says() {
    let exceptions = rows(UNVERIFIED_STALE_BLOCKS);
    let is_exception = |cell: &Cell| exceptions.iter().any(|row| row.is_for(cell));
    let tried = try_table(&rows(TABLE), |cell| !is_exception(cell));
    assert_eq!(tried, (5 * 14 * 2 * 3 * 2 - 5 * 2 * 3 - 2 * 2 * 2) * 2);
}

#[test]
fn every_row_is_for_a_cell() {
    for row in rows(TABLE) {
        assert!(cells().iter().any(|cell| row.is_for(cell)), "{:?}", row.cells);
    }
}

#[test]
fn a_stale_block_that_does_not_stand_leaves_a_closed_policy_holding() {
    let exceptions = rows(UNVERIFIED_STALE_BLOCKS);
    try_table(&exceptions, |cell| exceptions.iter().any(|row| row.is_for(cell)));
}

#[test]
fn a_stale_block_that_max_action_lowers_leaves_a_closed_policy_holding() {
    runtime().block_on(async {
        let world =
            World::new(json!({ "policies": { "capped": { "extends": "payment", "maxAction": "log" } } }))
                .await;
        let text = "198.51.100.9";
        world.server.answer(text, Reply::score(90));
        world.check(text, "capped", TRUSTED_PROXY).await;
        world.clock.advance(AGE);
        world.server.answer(text, Reply::status(503));
        let decision = world.check(text, "capped", TRUSTED_PROXY).await;
        assert_eq!((decision.action, decision.failed_closed), (Action::Hold, true));
    });
}
