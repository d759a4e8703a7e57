//! Offline feeds for the command line and for `npm run build`. What these functions take is JSON, and what they return
//! too; `lib/cli/feeds` and `scripts/seed.mjs` call them, no user does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ip_risk_core::address::Address;
use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::error::{Code, Error};
use ip_risk_core::feeds::catalogue::Profile;
use ip_risk_core::feeds::feed_source::FeedSource;
use ip_risk_core::feeds::import::{ImportOptions, import};
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::progress::Progress;
use ip_risk_core::feeds::report::{FeedOutcome, FeedReport, TableOutcome, UpdateReport};
use ip_risk_core::feeds::seed;
use ip_risk_core::feeds::status::{FeedStatus, status};
use ip_risk_core::feeds::update::{UpdateOptions, update};
use napi::Env;
use napi::bindgen_prelude::{Function, PromiseRaw};
use napi_derive::napi;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::error::{Result, coded, internal};
use crate::setup::{Setup, surroundings};

/// What the feeds say of each address, as `[Explanation | null]`; null for text that is no address.
#[napi(catch_unwind, skip_typescript)]
pub fn explain_feeds(setup: String, ips: Vec<String>) -> Result<String> {
    let explained = read_feeds(&setup).map(|feeds| {
        let now = SystemClock.now();
        let explain = |text: &String| Address::parse(text).map(|address| feeds.explain(address, now));
        ips.iter().map(|text| serde_json::to_value(explain(text)).unwrap_or_default()).collect::<Vec<_>>()
    });
    explained.map(|explained| Value::from(explained).to_string()).map_err(|error| coded(&error))
}

fn read_feeds(setup: &str) -> std::result::Result<FeedSource, Error> {
    let options = Setup::read(setup)?.options.engine.feeds;
    let options = options
        .ok_or_else(|| Error::new(Code::Feeds, "feeds are switched off; there is nothing to explain"))?;
    FeedSource::open(&options, SystemClock.now())
}

/// Writes the package's seed to `path`, out of tables of all networks (`first,last,number` on each line) that were made
/// at `networks_at`, in milliseconds since 1970, and of what may be given on out of a directory of `ip-risk feeds
/// update`. Returns how many bytes it has.
#[napi(catch_unwind, skip_typescript)]
pub fn build_seed(
    networks: Vec<String>,
    networks_at: f64,
    directory: Option<String>,
    path: String,
) -> Result<f64> {
    let refused = |error: String| coded(&Error::new(Code::Feeds, error));
    let read = |path: &String| fs::read(path).map_err(|error| refused(format!("`{path}`: {error}")));
    let files = networks.iter().map(read).collect::<Result<Vec<_>>>()?;
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let networks = Networks::parse(&files).map_err(|error| refused(error.to_string()))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time, written by our own script"
    )]
    let seed = seed::build(&networks, networks_at as u64, directory.as_deref().map(Path::new));
    let seed = seed.map_err(|error| coded(&error))?;
    fs::write(&path, &seed).map_err(|error| refused(format!("`{path}`: {error}")))?;
    #[expect(clippy::cast_precision_loss, reason = "files are far smaller than 2^53 bytes")]
    Ok(seed.len() as f64)
}

/// Starts an update or an import of `{ directory, profile, only, force, acceptNonCommercial, acceptChange, catalogue,
/// files, surroundings }`, of which only the first and the last must be there. `files` are `[id | null, path]`, and make it
/// an import. Returns a promise of `{ report }` or `{ error: { code, message } }`, which never rejects, and a function that
/// says how far each feed is: `[{ id, title, stage, bytes, total, outcome }]`.
#[napi(catch_unwind, skip_typescript)]
pub fn update_feeds(env: &Env, written: String) -> Result<Under<'_>> {
    let written: Value =
        serde_json::from_str(&written).map_err(|_| internal("the options did not arrive whole"))?;
    let progress = Arc::<Progress>::default();
    let watched = Arc::clone(&progress);
    let look = env.create_function_from_closure("progress", move |_| Ok(describe_progress(&watched)));
    let ended = env.spawn_future(async move {
        let report = match written.get("files") {
            None => match update_options(&written) {
                Ok(options) => update(options, progress).await,
                Err(error) => Err(error),
            },
            Some(files) => {
                let options = import_options(&written, files);
                let imported = spawn_blocking(move || import(&options)).await;
                imported.unwrap_or_else(|_| Err(Error::new(Code::Internal, "the import ended too early")))
            }
        };
        let told = match report {
            Ok(report) => json!({ "report": describe_report(&report) }),
            Err(error) => {
                json!({ "error": { "code": error.code().as_str(), "message": error.to_string() } })
            }
        };
        Ok(told.to_string())
    });
    let failed = |_| internal("the update could not be started");
    Ok((ended.map_err(failed)?, look.map_err(failed)?))
}

/// What is under way, and what tells how far it is.
type Under<'env> = (PromiseRaw<'env, String>, Function<'env, (), String>);

fn describe_progress(progress: &Progress) -> String {
    let feeds = progress.feeds();
    let of = feeds.iter().map(|feed| {
        json!({
            "id": feed.id,
            "title": feed.title,
            "stage": feed.stage.as_str(),
            "bytes": feed.bytes,
            "total": feed.total,
            "outcome": feed.outcome,
        })
    });
    Value::from(of.collect::<Vec<_>>()).to_string()
}

/// What is there of each feed of the catalogue, as JSON.
#[napi(catch_unwind, skip_typescript)]
pub fn feed_status(directory: String, catalogue: Option<String>) -> Result<String> {
    let now = SystemClock.now();
    let feeds = status(Path::new(&directory), catalogue.as_deref().map(Path::new), now);
    let feeds = feeds.map_err(|error| coded(&error))?;
    Ok(Value::from(feeds.iter().map(describe_status).collect::<Vec<_>>()).to_string())
}

fn update_options(written: &Value) -> std::result::Result<UpdateOptions, Error> {
    let profile = written["profile"].as_str().map(Profile::parse).transpose()?;
    Ok(UpdateOptions {
        profile: profile.unwrap_or_default(),
        only: texts(&written["only"]),
        force: written["force"] == true,
        accept_non_commercial: written["acceptNonCommercial"] == true,
        accept_change: texts(&written["acceptChange"]),
        catalogue: path(&written["catalogue"]),
        seed: path(&written["surroundings"]["seed"]),
        surroundings: surroundings(&written["surroundings"]),
        ..UpdateOptions::new(&path(&written["directory"]).unwrap_or_default())
    })
}

fn import_options(written: &Value, files: &Value) -> ImportOptions {
    let files = files.as_array().into_iter().flatten();
    let files = files.filter_map(|file| Some((file[0].as_str().map(str::to_owned), path(&file[1])?)));
    ImportOptions {
        accept_non_commercial: written["acceptNonCommercial"] == true,
        accept_change: texts(&written["acceptChange"]),
        catalogue: path(&written["catalogue"]),
        seed: path(&written["surroundings"]["seed"]),
        ..ImportOptions::new(&path(&written["directory"]).unwrap_or_default(), files.collect())
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn path(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}

fn describe_report(report: &UpdateReport) -> Value {
    let outcome = report.outcome();
    json!({
        "outcome": outcome.as_str(),
        "exitCode": outcome.exit_code(),
        "feeds": report.feeds.iter().map(describe_feed).collect::<Vec<_>>(),
        "notes": report.notes,
        "table": describe_table(&report.table),
    })
}

fn describe_feed(feed: &FeedReport) -> Value {
    let next_at = match &feed.outcome {
        FeedOutcome::NotDue { next_at } => Some(next_at),
        _ => None,
    };
    json!({
        "id": feed.id,
        "title": feed.title,
        "outcome": feed.outcome.as_str(),
        "reason": feed.outcome.reason(),
        "message": feed.outcome.message(),
        "nextAt": next_at,
        "rows": feed.rows,
        "seenAt": feed.seen_at,
        "credit": feed.credit,
    })
}

fn describe_table(table: &TableOutcome) -> Value {
    match table {
        TableOutcome::Empty => json!({ "outcome": "empty" }),
        TableOutcome::Kept => json!({ "outcome": "kept" }),
        TableOutcome::Compiled { prefixes, bytes, unusable_rows } => json!({
            "outcome": "compiled",
            "prefixes": prefixes,
            "bytes": bytes,
            "unusableRows": unusable_rows,
        }),
        TableOutcome::Failed(message) => json!({ "outcome": "failed", "message": message }),
    }
}

fn describe_status(feed: &FeedStatus) -> Value {
    let file = feed.file.as_ref().map(|file| {
        json!({
            "rows": file.rows,
            "seenAt": file.seen_at,
            "fetchedAt": file.fetched_at,
            "isImported": file.is_imported,
            "credit": file.credit,
        })
    });
    json!({
        "id": feed.id,
        "title": feed.title,
        "operator": feed.operator,
        "profile": feed.profile,
        "licence": feed.licence,
        "file": file,
        "nextAllowedAt": feed.next_allowed_at,
        "dueAt": feed.due_at,
        "licenceAccepted": feed.licence_accepted,
        "lastFailure": feed.last_failure.as_ref().map(|failure| {
            json!({ "at": failure.at, "reason": failure.reason, "message": failure.message })
        }),
    })
}
