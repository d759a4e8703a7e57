//! What the Python constructor hands over.

use std::collections::HashMap;

use ip_risk_core::error::{Code, Error};
use ip_risk_core::feeds::options::FeedOptions;
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::secret::Secret;
use ip_risk_core::spelling::Spelling;
use serde_json::Value;

/// What `ip_risk/_surroundings.py` found around the process, by name.
pub(crate) type Found = HashMap<String, String>;

/// The options, written as JSON, with what surrounds the process. `is_test` lifts the documentation addresses, which the
/// core only allows with a stand-in of the provider.
pub(crate) fn read(written: &str, found: &Found, is_test: bool) -> Result<CheckerOptions, Error> {
    let written = parse(written)?;
    let surroundings = Surroundings { lift_documentation: is_test, ..surroundings(found) };
    let mut options = CheckerOptions::read(&written, surroundings)?;
    options.engine.feeds.iter_mut().for_each(FeedOptions::make_absolute);
    Ok(options)
}

/// Options that are written as JSON.
pub(crate) fn parse(written: &str) -> Result<Value, Error> {
    // What can be wrong with JSON that Python wrote.
    let unreadable = "the options cannot be read; look for text that UTF-8 cannot hold, for a number of more than 300 \
                      digits, or for more than 100 levels";
    serde_json::from_str(written).map_err(|_| Error::new(Code::Option, unreadable))
}

fn surroundings(found: &Found) -> Surroundings {
    let text = |name: &str| found.get(name).map(String::as_str);
    Surroundings {
        api_key: text("api_key").map(Secret::new),
        redis_url: text("redis_url").map(Secret::new),
        mode: text("mode").map(str::to_owned),
        extra_roots: text("extra_roots").map(str::to_owned),
        https_proxy: text("https_proxy").map(Secret::new),
        no_proxy: text("no_proxy").map(str::to_owned),
        seed: text("seed").map(Into::into),
        feeds: text("feeds").map(Into::into),
        lift_documentation: false,
        spelling: Spelling::Snake,
    }
}
