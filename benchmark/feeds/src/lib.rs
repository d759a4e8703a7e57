//! What the programs beside this file share: snapshots of real feeds, what is compiled of them, and how addresses are
//! drawn.
//!
//! Snapshots are not in the repository. The programs look for them in the directory that `IP_RISK_SNAPSHOTS` names, or in
//! `../shared/data/feeds` beside the checkout, and say so when they are not there.

pub mod auc;
pub mod draw;
pub mod files;
pub mod measured;
mod merged;
pub mod mmdb;
pub mod population;
pub mod program;
pub mod search;
mod search_points;
pub mod segments;
pub mod snapshots;
pub mod synthetic;
pub mod timing;
